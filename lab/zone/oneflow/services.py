# SPDX-License-Identifier: GPL-3.0-or-later
"""A OneFlow service and its roles, read from and written to its document as a given user."""

from __future__ import annotations

import contextlib
import json
import typing as t

from ..oned.core import NO_EXISTS, Oned, OneError, now
from ..oned.vm_states import ACTIVE, BOOT_FAILURE, RUNNING
from ..store import Entity
from ..template_text import xml_to_hash
from .render import deep_merge, evaluate, to_raw
from .schema import RubyError, compact, parse_json, to_i

SERVICE_TYPE, TEMPLATE_TYPE = 100, 101

STATES = (
    "PENDING",
    "DEPLOYING",
    "RUNNING",
    "UNDEPLOYING",
    "WARNING",
    "DONE",
    "FAILED_UNDEPLOYING",
    "FAILED_DEPLOYING",
    "SCALING",
    "FAILED_SCALING",
    "COOLDOWN",
    "DEPLOYING_NETS",
    "UNDEPLOYING_NETS",
    "FAILED_DEPLOYING_NETS",
    "FAILED_UNDEPLOYING_NETS",
    "HOLD",
)
ROLE_STATES = (*STATES[:11], "HOLD")  # a role's HOLD has another number than a service's
TRANSIENT = ("DEPLOYING", "UNDEPLOYING", "SCALING", "COOLDOWN", "DEPLOYING_NETS", "UNDEPLOYING_NETS")
RECOVER_DEPLOY = ("FAILED_DEPLOYING", "DEPLOYING", "PENDING")
RECOVER_UNDEPLOY = ("FAILED_UNDEPLOYING", "UNDEPLOYING", "FAILED_UNDEPLOYING_NETS")
RECOVER_SCALE = ("FAILED_SCALING", "SCALING")
_IMMUTABLE = (
    "user_inputs",
    "user_inputs_values",
    "custom_attrs",
    "custom_attrs_values",
    "deployment",
    "log",
    "name",
    "networks",
    "networks_values",
    "ready_status_gate",
    "state",
    "start_time",
)
_IMMUTABLE_ROLE = ("cardinality", "last_vmname", "nodes", "parents", "state", "template_id", "vm_template")
_MAX_LOG = 50
_VM_INFO = ("ID", "UID", "GID", "UNAME", "GNAME", "NAME")


class FlowError(Exception):
    """An error that OneFlow answers as plain text; `code` is oned's, it decides the HTTP status."""

    def __init__(self, text: str, code: int = -1) -> None:
        super().__init__(text)
        self.text, self.code = text, code


def call(one: Oned, user: Entity, name: str, *arguments: t.Any) -> t.Any:
    if any(isinstance(argument, int) and not -(2**31) <= argument < 2**31 for argument in arguments):
        raise FlowError("Bignum is too big! Must be signed 32-bit integer!")  # Ruby's XML-RPC client, before it sends
    try:
        return one.call(user, name, *arguments)
    except OneError as error:
        raise FlowError(error.text, error.code) from None


def get_document(one: Oned, user: Entity, number: int, kind: int) -> Entity:
    call(one, user, "one.document.info", number)
    document = one.find("document", number)
    if document.data["type"] != kind:
        raise FlowError(f"[DocumentInfo] Error getting document [{number}].")
    return document


def write_body(one: Oned, user: Entity, number: int, body: str) -> None:
    call(one, user, "one.document.update", number, f"<TEMPLATE><BODY><![CDATA[{body}]]></BODY></TEMPLATE>", 0)


def allocate(one: Oned, user: Entity, kind: int, name: t.Any, body: dict) -> int:
    text = f"<TEMPLATE><NAME>{name}</NAME><BODY><![CDATA[{compact(body)}]]></BODY></TEMPLATE>"
    return call(one, user, "one.document.allocate", text, kind)


class Role:
    """One role of a service; `body` is its part of the service's body."""

    def __init__(self, service: Service, body: dict) -> None:
        self.service, self.body = service, body
        if body.get("state") is None:
            body["state"] = 0
        if body.get("nodes") is None:
            body["nodes"] = []
        if body.get("on_hold") is None:
            body["on_hold"] = False
        if body.get("cooldown") is None and body.get("type", "vm") == "vm":
            cooldown = service.one.config.timings.default_cooldown
            body["cooldown"] = int(cooldown) if cooldown == int(cooldown) else cooldown

    @property
    def name(self) -> str:
        return self.body["name"]

    @property
    def state(self) -> str:
        return ROLE_STATES[self.body["state"]]

    @state.setter
    def state(self, name: str) -> None:
        self.body["state"] = ROLE_STATES.index(name)

    @property
    def vm_template(self) -> int:
        return self.body[self.service.one.config.facts.vm_template]

    @property
    def parents(self) -> list[str]:
        return self.body.get("parents") or []

    @property
    def cardinality(self) -> int:
        return int(self.body.get("cardinality") or 0)

    def node_ids(self) -> list[int]:
        return [node["deploy_id"] for node in self.body["nodes"]]

    def set_cardinality(self, wanted: int) -> None:
        way = "up" if wanted > self.cardinality else "down"
        self.service.log(f"Role {self.name} scaling {way} from {self.cardinality} to {wanted} nodes")
        self.body["cardinality"] = wanted

    def scale(self, wanted: int, force: t.Any) -> None:
        """Set the cardinality within min_vms and max_vms.

        `force` goes through JSON text, as in the real server: without it the text is broken and the request ends in an
        error of Ruby.
        """
        shown = "" if force is None else str(force).lower() if isinstance(force, bool) else str(force)
        text = f'{{ "cardinality" : {wanted},\n  "force" : {shown} }}'
        try:
            forced = json.loads(text)["force"] is True
        except ValueError:
            raise RubyError(f"unexpected token at '{text}'") from None
        low, high = self.body.get("min_vms"), self.body.get("max_vms")
        if not forced and wanted < int(low or 0):
            raise FlowError(f"Minimum cardinality is {low}")
        if not forced and high is not None and wanted > int(high):
            raise FlowError(f"Maximum cardinality is {high}")
        self.set_cardinality(wanted)

    def any_parent_on_hold(self) -> bool:
        roles = self.service.roles
        return any(roles[parent].body["on_hold"] for parent in self.parents if parent in roles)

    # -- VMs ----------------------------------------------------------------------------------------------------
    def deploy(self) -> list[int]:
        """Make the VMs that are missing. Raises FlowError at the first that cannot be made."""
        missing = self.cardinality - len(self.body["nodes"])
        if missing <= 0:
            return []
        service, number = self.service, self.vm_template
        self.body["last_vmname"] = self.body.get("last_vmname") or 0
        extra = self._extra_template()
        deployed = []
        for _ in range(missing):
            name = f"{self.name}_{self.body['last_vmname']}_(service_{service.id})"
            self.body["last_vmname"] += 1
            try:
                vm = service.call("one.template.instantiate", number, name, bool(self.body["on_hold"]), extra, False)
            except FlowError as error:
                service.log(f"Role {self.name} : Instantiate failed for template {number}; {error.text}", "E")
                raise FlowError(f"Error instantiating VM Template {number} in Role {self.name}: {error.text}") from None
            deployed.append(vm)
            seen = xml_to_hash(service.call("one.vm.info", vm, False))["VM"]
            info = {key: seen[key] for key in seen if key in _VM_INFO}
            self.body["nodes"].append({"deploy_id": vm, "vm_info": {"VM": info}})
        return deployed

    def _extra_template(self) -> str:
        service, number = self.service, self.vm_template
        if service.one.config.facts.generation == 6:
            text = f'{self.body.get("vm_template_contents") or ""}\nSERVICE_ID = {service.id}\nROLE_NAME = "{self.name}"'
            return evaluate(text, self.parents, self._look_up)
        extra = dict(self.body.get("template_contents") or {})
        if extra:
            try:
                seen = service.call("one.template.info", number, False, False)
            except FlowError as error:
                # The real server trips over its own error here and leaves the service in DEPLOYING_NETS for ever.
                raise RubyError(f"Role {self.name} : Info template {number}; {error.text}") from None
            extra = deep_merge(xml_to_hash(seen)["VMTEMPLATE"]["TEMPLATE"], extra, arrays=False)
        extra["SERVICE_ID"], extra["ROLE_NAME"] = service.id, self.name
        return evaluate(to_raw(extra), self.parents, self._look_up)

    def _look_up(self, parent: str, path: list[str]) -> str | None:
        for node in self.service.roles[parent].node_ids():
            try:
                found: t.Any = xml_to_hash(self.service.call("one.vm.info", node, False))
            except FlowError:
                continue
            for step in [part.upper() for part in path]:
                found = _descend(found, step)
            if isinstance(found, str):
                return found
        return None

    def shutdown(self, *, recover: bool = False) -> list[int]:
        """Terminate the surplus nodes, or all when there is no surplus. Raises FlowError when one refuses."""
        service = self.service
        surplus = len(self.body["nodes"]) - self.cardinality
        count = surplus if surplus else len(self.body["nodes"])
        action = self.body.get("shutdown_action") or service.body.get("shutdown_action") or "terminate"
        gone = []
        chosen = self.node_ids()[:count] if count >= 0 else self.node_ids()[: count or None]
        for vm in chosen:
            try:
                self._terminate(vm, action, recover)
            except FlowError as error:
                service.log(f"Role {self.name} : Terminate failed for VM {vm}, will perform a Delete; {error.text}", "E")
                try:
                    self._force(vm, action)
                except FlowError as last:
                    service.log(f"Role {self.name} : Delete failed for VM {vm}; {last.text}", "E")
                    continue
            gone.append(vm)
        if len(gone) != count and count >= 0:
            raise FlowError(f"Error undeploying nodes for role `{self.name}`")
        return gone

    def _terminate(self, vm: int, action: str, recover: bool) -> None:
        if recover and self._failed(vm):
            self.service.call("one.vm.recover", vm, 2)
        else:
            self.service.call("one.vm.action", "terminate-hard" if action == "terminate-hard" else "terminate", vm)

    def _force(self, vm: int, action: str) -> None:
        if action != "terminate-hard":
            try:
                self.service.call("one.vm.action", "terminate-hard", vm)
                return
            except FlowError:
                pass
        self.service.call("one.vm.recover", vm, 3)

    def _failed(self, vm: int) -> bool:
        data = self.service.one.find("vm", vm).data
        return (data["state"], data["lcm"]) == (ACTIVE, BOOT_FAILURE)

    def release(self) -> list[int]:
        released = []
        for vm in self.node_ids():
            try:
                self.service.call("one.vm.action", "release", vm)
                released.append(vm)
            except FlowError as error:
                self.service.log(f"Role {self.name}: Release failed for VM {vm}, {error.text}", "E")
        if len(released) != len(self.body["nodes"]):
            raise FlowError(f"Error releasing role {self.name}")
        return released

    def recover_deploy(self, report: bool) -> list[int] | None:
        """Retry failed VMs, resume others, make missing ones; return the VMs to wait for.

        None when making one failed: the real server then waits for nothing, and the service stays as it is."""
        waiting = []
        for vm in self.node_ids():
            data = self.service.one.find("vm", vm).data
            if (data["state"], data["lcm"]) == (ACTIVE, RUNNING) and not report:
                continue
            try:
                if self._failed(vm):
                    self.service.call("one.vm.recover", vm, 2)
                else:
                    self._resume(vm)
                waiting.append(vm)
            except FlowError as error:
                self.service.log(f"Role {self.name} : Retry failed for VM {vm}; {error.text}", "E")
        try:
            return waiting + self.deploy()
        except FlowError:
            return None

    def _resume(self, vm: int) -> None:
        with contextlib.suppress(FlowError):  # not suspended: nothing to resume
            self.service.call("one.vm.action", "resume", vm)

    def chown(self, uid: int, gid: int) -> None:
        for vm in self.node_ids():
            try:
                self.service.call("one.vm.chown", vm, uid, gid)
            except FlowError as error:
                self.service.log(f"Role {self.name} : Chown failed for VM {vm}; {error.text}", "E")
                raise

    # -- states -------------------------------------------------------------------------------------------------
    def can_recover_deploy(self) -> bool:
        if self.state != "PENDING":
            return self.state in RECOVER_DEPLOY
        roles = self.service.roles
        return all(roles[parent].state == "RUNNING" for parent in self.parents if parent in roles)

    def can_recover_undeploy(self) -> bool:
        if self.state in RECOVER_UNDEPLOY:
            return True
        return not any(
            self.name in other.parents and other.state != "DONE" for name, other in self.service.roles.items() if name != self.name
        )


def _descend(found: t.Any, step: str) -> t.Any:
    """Return the first element of that name, at any depth."""
    if isinstance(found, list):
        return next((hit for item in found if (hit := _descend(item, step)) is not None), None)
    if not isinstance(found, dict):
        return None
    if step in found:
        return found[step]
    return next((hit for item in found.values() if (hit := _descend(item, step)) is not None), None)


class Service:
    """A service as `user` sees it. Raises FlowError when the user may not."""

    def __init__(self, one: Oned, user: Entity, number: int) -> None:
        self.one, self.user, self.id = one, user, number
        self.document = get_document(one, user, number, SERVICE_TYPE)
        self.load(json.loads(self.document.template.get("BODY")))

    def load(self, body: dict) -> None:
        self.body = body
        self.roles: dict[str, Role] = {role["name"]: Role(self, role) for role in body.get("roles") or []}

    def call(self, name: str, *arguments: t.Any) -> t.Any:
        return call(self.one, self.user, name, *arguments)

    @property
    def owner(self) -> Entity:
        return self.one.user(self.document.uid)

    @property
    def state(self) -> str:
        return STATES[int(self.body.get("state") or 0)]

    @state.setter
    def state(self, name: str) -> None:
        self.body["state"] = STATES.index(name)
        self.log(f"New state: {name}")

    def log(self, message: str, severity: str = "I") -> None:
        entries = self.body.get("log") or []
        entries.append({"timestamp": now(), "severity": severity, "message": message})
        self.body["log"] = entries[-_MAX_LOG:]

    @property
    def gated(self) -> bool:
        return bool(self.body.get("ready_status_gate"))

    @property
    def on_hold(self) -> bool:
        return bool(self.body.get("on_hold"))

    @property
    def straight(self) -> bool:
        return self.body.get("deployment") == "straight"

    def all_roles(self, state: str) -> bool:
        return all(role.state == state for role in self.roles.values())

    def save(self) -> None:
        write_body(self.one, self.user, self.id, compact(self.body))

    def delete(self) -> None:
        self.call("one.document.delete", self.id)

    def empty(self, role: Role) -> bool:
        """Tell whether an automatic deletion is due: the last node of the last role is gone."""
        if not self.body.get("automatic_deletion") or role.body["nodes"]:
            return False
        return not any(other.body["nodes"] for other in self.roles.values())

    # -- order of the roles -------------------------------------------------------------------------------------
    def roles_to_deploy(self) -> dict[str, Role]:
        if not self.straight:
            return {name: role for name, role in self.roles.items() if role.state in ("PENDING", "SCALING")}
        return self._after_parents("PENDING", "RUNNING")

    def roles_to_hold(self) -> dict[str, Role]:
        return self._after_parents("PENDING", "HOLD" if self.straight else None)

    def roles_to_release(self) -> dict[str, Role]:
        return self._after_parents("HOLD", "RUNNING" if self.straight else None)

    def _after_parents(self, state: str, parents: str | None) -> dict[str, Role]:
        ready = {name for name, role in self.roles.items() if parents is None or role.state == parents}
        return {
            name: role
            for name, role in self.roles.items()
            if role.state == state and (parents is None or set(role.parents) <= ready)
        }

    def roles_to_shut_down(self) -> dict[str, Role]:
        over = ("UNDEPLOYING", "DONE", "FAILED_UNDEPLOYING")
        alive = {name: role for name, role in self.roles.items() if role.state not in over}
        if not self.straight:
            return alive
        parents = {parent for role in self.roles.values() if role.state != "DONE" for parent in role.parents}
        return {name: role for name, role in alive.items() if name not in parents}

    # -- networks -----------------------------------------------------------------------------------------------
    def networks(self, *, deploy: bool) -> list[int]:
        """Return the networks to wait for. One that was never made counts as network 0: the real server waits for that.

        Raises RubyError for a reservation without `extra`, which has false for its id.
        """
        values = (net for entry in self.body.get("networks_values") or [] for net in entry.values())
        wanted = [net.get("id") for net in values if deploy or "id" not in net]
        if any(number is False for number in wanted):
            raise RubyError("undefined method `to_i' for false:FalseClass")
        return [to_i(number) for number in wanted]

    def deploy_networks(self) -> None:
        """Make the networks that are to be made. Raises FlowError for one that cannot be, or that is not there (404).

        With `id` beside `reserve_from` it reserves all the same; the service is left behind (measured on 7.4.0, not recorded).
        """
        for entry in self.body.get("networks_values") or []:
            for name, net in entry.items():
                if "id" in net and "reserve_from" not in net and "template_id" not in net:
                    if self.one.store.get("vnet", number := to_i(net["id"])) is None:
                        raise FlowError(f"[one.vn.info] Error getting virtual network [{number}].", NO_EXISTS)
                    continue
                title, extra = f"{name}-{self.id}", net.get("extra") or ""
                if "template_id" in net:
                    number = int(str(net["template_id"] or 0))
                    net["id"] = self.call("one.vntemplate.instantiate", number, title, extra)
                elif "reserve_from" in net:
                    if not extra:
                        net["id"] = False
                        continue
                    net["extra"] = f'{extra}\nNAME="{title}"\n'
                    net["id"] = self.call("one.vn.reserve", int(str(net["reserve_from"])), net["extra"])

    def delete_networks(self) -> None:
        for entry in self.body.get("networks_values") or []:
            for net in entry.values():
                if ("template_id" in net or "reserve_from" in net) and net.get("id") not in (None, False):
                    with contextlib.suppress(FlowError):  # only logged by the real server
                        self.call("one.vn.delete", int(net["id"]))

    # -- updates ------------------------------------------------------------------------------------------------
    def replace(self, text: str, append: bool) -> None:
        """Do PUT /service. Raises FlowError for an immutable value."""
        if self.state in TRANSIENT or self.state.startswith("FAILED_"):
            raise FlowError(f"Service cannot be updated in state: {self.state}")
        new = parse_json(text)
        if wrong := self._changed_immutable(new, append):
            raise FlowError(
                "To change `service/name` use rename operation"
                if wrong == "name"
                else f"Immutable value: `{wrong}` can not be changed"
            )
        write_body(self.one, self.user, self.id, compact({**self.body, **new} if append else new))

    def _changed_immutable(self, new: dict, append: bool) -> str | None:
        if append:
            return next((f"service/{name}" for name in _IMMUTABLE if new.get(name) is not None), None)
        if len(new["roles"]) != len(self.roles):
            return "service/roles size"
        for name in _IMMUTABLE:
            if new.get(name) != self.body.get(name):
                return f"service/{name}"
        for role in new["roles"]:
            if role["name"] not in self.roles:
                return "name"
            old = self.roles[role["name"]].body
            for name in _IMMUTABLE_ROLE:
                if role.get(name) != old.get(name):
                    return f"role/{name}"
        return None
