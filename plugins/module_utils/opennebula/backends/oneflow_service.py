# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service: a service as the task describes it."""

from __future__ import annotations

import contextlib
import typing as t

from ..answers import as_dict, to_int
from ..bodies import check_contents
from ..documents import ACCESS_ARGUMENTS, access_wanted, body_of, change_access, identity, predicted, select
from ..errors import Ambiguous, InvalidRequest, NotFound, OpenNebulaError, Refused, WaitFailed, may_have_happened
from ..generation6 import canonical, contents_with_values, for_server, instantiation_for_server, needs_vm_context
from ..inputs import fill, merge_template
from ..secrets import secret_values
from ..services import describe, failure, input_drift, log_of, role_state, roles_of, state_of, vm_ids
from ..session import Deadline, Session
from ..states import GOING_STATES, STEADY_STATES, STUCK_STATES
from ..template_text import check_name, without_booleans
from ..waiting import Waiter

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str"},
    "id": {"type": "int"},
    "template_name": {"type": "str"},
    "template_id": {"type": "int"},
    "user_inputs_values": {"type": "dict", "default": {}},
    "networks_values": {"type": "list", "elements": "dict", "default": []},
    "roles": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "cardinality": {"type": "int"},
            "user_inputs_values": {"type": "dict"},
            "template_contents": {"type": "dict"},
            "template_id": {"type": "int"},
            "parents": {"type": "list", "elements": "str"},
        },
    },
    "force_scale": {"type": "bool", "default": False},
    "on_failed": {"type": "str", "choices": ["fail", "recover", "recreate"], "default": "fail"},
    "release": {"type": "bool", "default": False},
    "new_name": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "float", "default": 600.0},
    "wait_interval": {"type": "float", "default": 2.0},
    "failure_attribute": {"type": "str"},
    **ACCESS_ARGUMENTS,
}
RULES: dict[str, t.Any] = {
    "required_one_of": [("name", "id")],
    "mutually_exclusive": [("template_name", "template_id")],
}

Params = dict[str, t.Any]
# What counts as up: HOLD is up when the task does not release it.
UP = frozenset({"RUNNING", "HOLD"})


def run(params: Params, session: Session) -> dict[str, t.Any]:
    """Return {changed, service, input_drift, diff}; service is None when it is absent."""
    _check(params)
    task = _ServiceTask(params, session)
    return task.absent() if params["state"] == "absent" else task.present()


def _check(params: Params) -> None:
    faults: list[str] = []
    seen: set[str] = set()
    for option in ("name", "new_name"):
        if params[option] is not None and params["state"] == "present":
            check_name(option, params[option])
    for role in params["roles"]:
        if role["name"] in seen:
            faults.append(f"roles: {role['name']} appears twice")
        seen.add(role["name"])
        if role["cardinality"] is not None and role["cardinality"] < 0:
            faults.append(f"roles: {role['name']} cannot have {role['cardinality']} VMs")
        check_contents(role["template_contents"] or {}, f"roles[{role['name']}].template_contents", faults)
    if params["wait_timeout"] < 0 or params["wait_interval"] <= 0:
        faults.append("wait_timeout and wait_interval must be positive")
    if faults:
        raise InvalidRequest("; ".join(faults))


class _ServiceTask:
    def __init__(self, params: Params, session: Session) -> None:
        self.params = params
        self.session = session
        self.flow = session.flow
        self.deadline: Deadline = session.deadline(params["wait_timeout"])
        self.log_before: list[dict] | None = None
        self.ids_before: set[int] = set()

    # -- finding ----------------------------------------------------------------------------------------------------

    def find(self) -> dict | None:
        """Return the service meant by id or name; a DONE one counts as none."""
        params = self.params
        if params["id"] is not None:
            try:
                document = self.flow.service(params["id"])
            except NotFound:
                if params["state"] == "present":
                    raise
                return None
            return None if state_of(document) == "DONE" else document
        documents = self.flow.services()
        self.ids_before = {identity(document)["id"] for document in documents}
        documents = [document for document in documents if state_of(document) != "DONE"]
        caller, owner = self.session.username, params["owner"]
        current = select(documents, params["name"], "service", caller=caller, owner=owner)
        if params["new_name"] and params["state"] == "present":
            renamed = select(documents, params["new_name"], "service", caller=caller, owner=owner)
            if current is not None and renamed is not None and current is not renamed:
                raise Ambiguous(
                    f"service {params['name']!r} (id {current['ID']}) cannot become {params['new_name']!r}: "
                    f"id {renamed['ID']} has that name"
                )
            return current or renamed
        return current

    # -- absent -----------------------------------------------------------------------------------------------------

    def absent(self) -> dict[str, t.Any]:
        current = self.find()
        diff = {"before": _shown(current), "after": {}}
        if current is None:
            return {"changed": False, "service": None, "input_drift": [], "diff": diff}
        if not self.session.check_mode:
            self.remove(current)
        return {"changed": True, "service": None, "input_drift": [], "diff": diff}

    def remove(self, document: dict, *, wait: bool | None = None) -> None:
        """Take a service down and, unless told otherwise, wait until it and its VMs are gone."""
        service_id = identity(document)["id"]
        removal = _Removal(self.session, service_id)
        if not (self.params["wait"] if wait is None else wait):
            removal.step(document)
            return
        machines = vm_ids(document)
        waiter = Waiter(self.session, service_id, self.deadline, self.params["wait_interval"], None)
        waiter.until_gone(removal.step)
        try:
            left = [i for i, vm in self.session.vms_by_id(machines).items() if to_int(vm.get("STATE")) != 6]
        except OpenNebulaError:
            return
        if left:
            self.session.warnings.append(
                f"service {service_id} is gone, but VMs of it still exist: {', '.join(map(str, sorted(left)))}"
            )

    # -- present ----------------------------------------------------------------------------------------------------

    def present(self) -> dict[str, t.Any]:
        current = self.find()
        if current is not None:
            self._remember_secrets(body_of(current))
            reason = failure(current)
            if state_of(current) in GOING_STATES:
                reason = f"is being removed ({state_of(current)})"
            if reason is not None:
                return self._failed(current, reason)
        if current is None:
            return self._create()
        return self._converge(current, _shown(current))

    def _remember_secrets(self, body: dict) -> None:
        given = [
            self.params["user_inputs_values"],
            *(role["user_inputs_values"] or {} for role in self.params["roles"]),
        ]
        self.session.secrets |= secret_values(body, *given)

    def _failed(self, current: dict, reason: str) -> dict[str, t.Any]:
        how, before = self.params["on_failed"], _shown(current)
        if how == "fail" or (how == "recover" and state_of(current) in GOING_STATES):
            error = WaitFailed(
                f"service {current.get('NAME')!r} (id {current.get('ID')}) {reason}",
                hint="on_failed=recover tries again, on_failed=recreate replaces it, state=absent removes it.",
            )
            raise self._waiter(current).with_service(error, current)
        if how == "recreate":
            if self.session.check_mode:
                result = self._create()
            else:
                self._template()  # before anything is removed
                self.remove(current, wait=True)
                result = self._create()
            result["diff"]["before"] = before
            return result
        if self.session.check_mode:
            after = {**self._described(current), "state": "RUNNING", "state_id": 2}
            return {
                "changed": True,
                "service": after,
                "input_drift": [],
                "diff": {"before": before, "after": {**before, "state": "RUNNING"}},
            }
        self.log_before = log_of(current)
        self.flow.service_action(identity(current)["id"], "recover")
        if not self.params["wait"]:
            # recover is carried out later; until then the next task would see the old failure.
            current = self._waiter(current).until_recovering(self.log_before)
        return self._converge(current, before)

    def _template(self) -> dict:
        """Return the service template to instantiate."""
        params = self.params
        if params["template_id"] is not None:
            return self.flow.template(params["template_id"])
        if params["template_name"] is None:
            name = params["new_name"] or params["name"]
            raise NotFound(
                f"there is no service {name!r}",
                endpoint=self.flow.endpoint,
                hint="Give template_name or template_id to create it.",
            )
        documents = self.flow.templates()
        mine = [document for document in documents if document.get("UNAME") == self.session.username]
        found = _only(mine, params["template_name"]) or _only(documents, params["template_name"])
        if found is None:
            raise NotFound(f"there is no service template {params['template_name']!r}", endpoint=self.flow.endpoint)
        return found

    def _create(self) -> dict[str, t.Any]:
        params, session = self.params, self.session
        if params["id"] is not None:
            raise NotFound(f"service {params['id']} is DONE", hint="Use name to create a new one.")
        template = self._template()
        body = canonical(body_of(template))
        self._remember_secrets(body)
        name = params["new_name"] or params["name"]
        known = {role.get("name") for role in body.get("roles") or []}
        later = [role for role in params["roles"] if role["name"] not in known and role["template_id"] is not None]
        roles = [role for role in params["roles"] if role["state"] == "present" and role not in later]
        merge = merge_template(
            body, name=name, values=params["user_inputs_values"], networks_values=params["networks_values"], roles=roles
        )
        contexts = self._vm_contexts(needs_vm_context(merge, body, session.version))
        sent = instantiation_for_server(merge, body, session.version, contexts)
        if session.check_mode:
            return self._predicted_new(name, body, roles + later)
        document = self._instantiate(identity(template)["id"], sent)
        return self._converge(document, {})

    def _vm_contexts(self, ids: set[int]) -> dict[int, dict[str, t.Any]]:
        """Return the CONTEXT of VM templates by id; a template that does not exist is the server's to refuse."""
        found = {}
        for number in sorted(ids):
            with contextlib.suppress(NotFound):
                template = as_dict(self.session.oned.call("template.info", number, False, False))
                found[number] = as_dict(as_dict(template.get("TEMPLATE")).get("CONTEXT"))
        return found

    def _instantiate(self, template_id: int, merge: dict[str, t.Any]) -> dict:
        self.session.progress(f"service {merge['name']}: instantiating template {template_id}")
        try:
            return self.flow.instantiate(template_id, merge)
        except InvalidRequest:
            raise
        except OpenNebulaError as error:
            # The answer may be lost, or wrong: a bad network gives 404 although the service was made.
            made = self._made_meanwhile(merge["name"])
            self.session.changed = self.session.changed or bool(made)
            if len(made) == 1 and may_have_happened(error):
                self.session.warnings.append(f"the answer to instantiate was lost ({error.text}); service {made[0]['ID']} is there")
                return made[0]
            if made:
                ids = ", ".join(str(document["ID"]) for document in made)
                error.text += f" - yet service {ids} was created"
                error.hint = "state=absent with this id removes it."
                error.result["service"] = describe(made[0])
            raise

    def _made_meanwhile(self, name: str) -> list[dict]:
        try:
            documents = self.flow.services()
        except OpenNebulaError:
            return []
        mine = [d for d in documents if d.get("NAME") == name and d.get("UNAME") == self.session.username]
        return [document for document in mine if identity(document)["id"] not in self.ids_before]

    def _predicted_new(self, name: str, body: dict, roles: list[Params]) -> dict[str, t.Any]:
        given = {role["name"]: role for role in roles}
        names = list(dict.fromkeys([*(role["name"] for role in body["roles"]), *given]))
        declared = {role["name"]: to_int(role.get("cardinality"), 0) for role in body["roles"]}
        entries = []
        for role in names:
            cardinality = given.get(role, {}).get("cardinality")
            count = declared.get(role, 0) if cardinality is None else cardinality
            entries.append({"name": role, "state": "PENDING", "cardinality": count, "nodes": []})
        fresh = {"PERMISSIONS": {"OWNER_U": "1", "OWNER_M": "1"}}
        entry = {
            "id": None,
            "name": name,
            "uid": None,
            "gid": None,
            "uname": self.session.username,
            "gname": None,
            "mode": "600",
        }
        service = {
            **predicted(entry, access_wanted(fresh, self.params)),
            "state": "PENDING",
            "state_id": 0,
            "roles": entries,
            "log": [],
        }
        after = {**_shown_entry(service), "state": "RUNNING" if self.params["wait"] else "PENDING"}
        return {"changed": True, "service": service, "input_drift": [], "diff": {"before": {}, "after": after}}

    # -- an existing service ----------------------------------------------------------------------------------------

    def _converge(self, document: dict, before: dict[str, t.Any]) -> dict[str, t.Any]:
        params, session = self.params, self.session
        drift = input_drift(document, params["user_inputs_values"], params["roles"])
        if drift and before:
            session.warnings.append(
                f"service {document.get('ID')} was made with other values for {', '.join(drift)}; inputs of a service cannot be "
                "changed, only those of a new one"
            )
        name = params["new_name"] or (params["name"] if params["id"] is not None else None)
        rename = name is not None and name != document.get("NAME")
        access = access_wanted(document, params)
        steps = self._role_steps(document)
        if session.check_mode:
            release = params["release"] and _on_hold(document)
            return self._predicted_change(document, before, access, name if rename else None, steps, release, drift)
        if params["wait"] and not (params["release"] and _on_hold(document)):
            document = self._wait(document)
        if params["release"] and _on_hold(document):
            self.flow.service_action(identity(document)["id"], "release")
            if params["wait"]:
                document = self._wait(document, frozenset({"RUNNING"}))
        if rename:
            document = self._rename(document, str(name))
        document = change_access(
            session,
            document,
            access,
            lambda perform, values: self.flow.service_action(identity(document)["id"], perform, values),
            lambda: self.flow.service(identity(document)["id"]),
        )
        for step in self._role_steps(document):
            document = self._role_step(document, *step)
        service = self._described(document)
        return {
            "changed": session.changed,
            "service": service,
            "input_drift": drift if before else [],
            "diff": {"before": before, "after": _shown_entry(service)},
        }

    def _rename(self, document: dict, name: str) -> dict:
        service_id = identity(document)["id"]
        self.flow.service_action(service_id, "rename", {"name": name})
        after = self.flow.service(service_id)
        if after.get("NAME") != name:
            raise Refused(f"service {service_id} is still named {after.get('NAME')!r}, although the server reported success")
        return after

    def _role_steps(self, document: dict) -> list[tuple[str, Params]]:
        """Return what has to be done to the roles: ("remove_role"|"add_role"|"scale", role)."""
        existing = {str(role.get("name")): role for role in roles_of(document)}
        steps: list[tuple[str, Params]] = []
        faults = []
        for role in self.params["roles"]:
            have = existing.get(role["name"])
            if role["state"] == "absent":
                if have is not None:
                    steps.append(("remove_role", role))
            elif have is None:
                if role["template_id"] is None:
                    faults.append(f"there is no role {role['name']!r}, only {', '.join(existing)}; template_id would add it")
                steps.append(("add_role", role))
            elif role["cardinality"] is not None and role["cardinality"] != to_int(have.get("cardinality"), 0):
                steps.append(("scale", role))
        if faults:
            raise InvalidRequest("; ".join(faults))
        return steps

    def _role_step(self, document: dict, step: str, role: Params) -> dict:
        service_id = identity(document)["id"]
        state = state_of(document)
        if state not in STEADY_STATES:
            raise Refused(
                f"{step} of {role['name']} needs a running service; {service_id} is {state}",
                hint="Say wait: true, or release it.",
            )
        self.session.progress(
            f"service {service_id}: {step} {role['name']}" + (f" to {role['cardinality']}" if step == "scale" else "")
        )
        if step == "scale":
            self.flow.scale(service_id, role["name"], role["cardinality"], force=self.params["force_scale"])
        elif step == "remove_role":
            self.flow.role_action(service_id, "remove_role", role["name"])
        else:
            self.flow.role_action(service_id, "add_role", self._role_for_server(_new_role(role)))
        if not self.params["wait"]:
            return self.flow.service(service_id)
        self.log_before = None
        document = self._wait(self.flow.service(service_id), removing=step == "remove_role")
        names = {str(r.get("name")): r for r in roles_of(document)}
        reached = (
            role["name"] not in names
            if step == "remove_role"
            else role["name"] in names
            and (role["cardinality"] is None or to_int(names[role["name"]].get("cardinality"), 0) == role["cardinality"])
        )
        if not reached:
            raise Refused(f"{step} of {role['name']} was accepted, but service {service_id} does not show it")
        return document

    def _role_for_server(self, role: dict[str, t.Any]) -> dict[str, t.Any]:
        version = self.session.version
        result = for_server({"roles": [role]}, version)["roles"][0]
        values = result.get("custom_attrs_values")
        if values:
            vm_context = self._vm_contexts({role["template_id"]}).get(role["template_id"], {})
            result["vm_template_contents"] = contents_with_values(role.get("template_contents") or {}, values, vm_context, version)
        return result

    def _wait(self, document: dict, states: frozenset[str] = UP, *, removing: bool = False) -> dict:
        if state_of(document) == "WARNING":
            self.session.progress(f"service {document.get('ID')} is in WARNING: a VM is powered off")
        return self._waiter(document).until(states, log_before=self.log_before, removing=removing)

    def _waiter(self, document: dict) -> Waiter:
        return Waiter(
            self.session,
            identity(document)["id"],
            self.deadline,
            self.params["wait_interval"],
            self.params["failure_attribute"],
        )

    def _predicted_change(
        self,
        document: dict,
        before: dict[str, t.Any],
        access: dict[str, str],
        name: str | None,
        steps: list[tuple[str, Params]],
        release: bool,
        drift: list[str],
    ) -> dict[str, t.Any]:
        service = predicted(self._described(document), access)
        if name:
            service["name"] = name
        if release:
            service.update(state="RUNNING", state_id=2)
        for step, role in steps:
            if step == "remove_role":
                service["roles"] = [entry for entry in service["roles"] if entry["name"] != role["name"]]
            elif step == "add_role":
                self._role_for_server(_new_role(role))  # refuses what a real run would
                count = role["cardinality"] or 0
                service["roles"].append({"name": role["name"], "state": "PENDING", "cardinality": count, "nodes": []})
            else:
                for entry in service["roles"]:
                    if entry["name"] == role["name"]:
                        entry["cardinality"] = role["cardinality"]
        changed = bool(access or name or steps or release)
        return {
            "changed": changed,
            "service": service,
            "input_drift": drift,
            "diff": {"before": before, "after": _shown_entry(service)},
        }

    def _described(self, document: dict) -> dict[str, t.Any]:
        return describe(document, self.session.vms_by_id(vm_ids(document)))


class _Removal:
    """What moves a removal on, by the state it is in. DELETE is refused in failed and most passing states."""

    def __init__(self, session: Session, service_id: int) -> None:
        self._session = session
        self._id = service_id
        self._sent: str | None = None
        self._log: list[dict] = []
        self._grace = session.deadline(0)

    def step(self, document: dict) -> None:
        """Send what is due. Raises WaitFailed when the removal itself has failed."""
        state = state_of(document)
        if state in GOING_STATES:
            return  # a second DELETE would remove the service and leave its VMs running
        if self._sent == "recover":
            reason = failure(document, self._log)
            if reason and (log_of(document) != self._log or self._grace.left() <= 0):
                raise WaitFailed(f"service {self._id} {reason}", hint="Its VMs or networks may need attention in OpenNebula.")
            return
        if state in STUCK_STATES:
            self._sent, self._log, self._grace = "recover", log_of(document), self._session.deadline(10)
            self._act(lambda: self._session.flow.service_action(self._id, "recover", {"delete": True}))
        elif self._sent is None:
            self._sent = "delete"
            try:
                self._act(lambda: self._session.flow.delete_service(self._id))
            except Refused as error:
                if "cannot be undeployed in state" not in error.text:
                    raise
                self._sent = None  # it changed its state under our hands

    @staticmethod
    def _act(call: t.Callable[[], None]) -> None:
        with contextlib.suppress(NotFound):
            call()


def _on_hold(document: dict) -> bool:
    return state_of(document) == "HOLD" or any(role_state(role) == "HOLD" for role in roles_of(document))


def _only(documents: list[dict], name: str) -> dict | None:
    """Return the only template of that name, whoever owns it (using one does not change it)."""
    named = [document for document in documents if document.get("NAME") == name]
    if len(named) > 1:
        ids = ", ".join(sorted((str(document.get("ID")) for document in named), key=int))
        raise Ambiguous(f"{len(named)} service templates are named {name!r}: ids {ids}", hint="Say which one with template_id.")
    return named[0] if named else None


def _new_role(role: Params) -> dict[str, t.Any]:
    faults: list[str] = []
    values = role["user_inputs_values"] or {}
    values = fill({name: "O|text" for name in values}, values, None, f"role {role['name']}: ", faults)
    if faults:
        raise InvalidRequest("; ".join(faults))
    new = {
        "name": role["name"],
        "type": "vm",
        "template_id": role["template_id"],
        "cardinality": role["cardinality"] or 0,
    }
    if values:
        new["user_inputs_values"] = values
    for key in ("template_contents", "parents"):
        if role[key]:
            new[key] = without_booleans(role[key])
    return new


def _shown(document: dict | None) -> dict[str, t.Any]:
    return {} if document is None else _shown_entry(describe(document))


def _shown_entry(service: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what a diff shows of a service."""
    return {
        "name": service["name"],
        "state": service["state"],
        "owner": service["uname"] or service["uid"],
        "group": service["gname"] or service["gid"],
        "mode": service["mode"],
        "roles": {role["name"]: role["cardinality"] for role in service["roles"]},
    }
