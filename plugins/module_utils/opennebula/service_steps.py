# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that make a service what a task asks for. Each can be carried out, or foretold for check mode.

apply() carries a step out and returns the service as it then is; predict() returns the service as it would be.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping
from dataclasses import replace

from .documents import NEW_MODE, Chmod, Own, Rename
from .errors import InvalidRequest, NotFound, OpenNebulaError, Refused, may_have_happened
from .generation6 import contents_with_values, for_server
from .inputs import fill
from .removal import Removal
from .services import Role, Service
from .session import Deadline, Session
from .states import STEADY_STATES
from .template_text import without_booleans
from .vms import STOPPED
from .waiting import FIRST_PAUSE, Waiter, failures_before, in_warning

Params = dict[str, t.Any]
# What counts as up: HOLD is up when the task does not release it.
UP = frozenset({"RUNNING", "HOLD"})
# one.vm.recover: retry.
RETRY = 2
# Seconds within which OneFlow lists the VMs that it makes; it makes them before it answers (measured, 7.4.0).
MADE_WITHIN = 10.0


class Work:
    """One task at work on one service: what its steps share."""

    def __init__(self, params: Params, session: Session) -> None:
        self.params = params
        self.session = session
        self.flow = session.flow
        self.deadline: Deadline = session.deadline(params["wait_timeout"])
        self.settled: Deadline = session.deadline(params["settling"])
        self.log_before: tuple[Mapping[str, t.Any], ...] | None = None
        self.ids_before: set[int] = set()

    def read(self, service_id: int) -> Service:
        """Return the service as it is."""
        return Service.from_document(self.flow.service(service_id))

    def waiter(self, service: Service) -> Waiter:
        """Return what waits for the service within the task's deadline."""
        params = self.params
        before = failures_before(params)
        interval, attribute = params["wait_interval"], params["failure_attribute"]
        return Waiter(self.session, service.number, self.deadline, interval, attribute, before, self.settled)

    def wait(
        self,
        service: Service,
        states: frozenset[str] = UP,
        *,
        asked: Mapping[str, int] | None = None,
        removing: bool = False,
    ) -> Service:
        """Return the service once it is up, see Waiter.until."""
        waiter = self.waiter(service)
        waiter.asked = dict(asked or {})
        return waiter.until(states, log_before=self.log_before, removing=removing)

    def remove(self, service: Service, *, wait: bool) -> None:
        """Take a service down; with wait, return when it and its VMs are gone."""
        removal = Removal(self.session, service.number)
        if not wait:
            removal.step(service)
            return
        machines = service.vm_ids
        Waiter(self.session, service.number, self.deadline, self.params["wait_interval"], None).until_gone(removal.step)
        try:
            left = [vm.id for vm in self.session.vms(machines).values() if not vm.done]
        except OpenNebulaError:
            return
        if left:
            self.session.warnings.append(
                f"service {service.id} is gone, but VMs of it still exist: {', '.join(map(str, sorted(left)))}"
            )

    def asked(self) -> dict[str, int]:
        """Return the number of VMs by role that the task asks for."""
        return {
            role["name"]: role["cardinality"]
            for role in self.params["roles"]
            if role["state"] == "present" and role["cardinality"] is not None
        }


class Remove:
    """Take the service down and wait until it is gone."""

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out."""
        work.remove(service, wait=True)
        return service

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service, of which nothing remains."""
        return service


class Create(t.NamedTuple):
    """Instantiate a service template. body is the template's with the task's cardinalities; sent goes to the server."""

    template_id: int
    name: str
    body: Mapping[str, t.Any]
    sent: Mapping[str, t.Any]

    def apply(self, work: Work, service: Service | None) -> Service:
        """Carry it out; the service is new, and not up yet."""
        work.session.progress(f"service {self.name}: instantiating template {self.template_id}")
        try:
            made = work.flow.instantiate(self.template_id, self.sent)
        except InvalidRequest:
            raise
        except OpenNebulaError as error:
            made = self._made_after_all(work, error)
        return Service.from_document(made)

    def _made_after_all(self, work: Work, error: OpenNebulaError) -> dict[str, t.Any]:
        """Return the service of which the answer was lost; raise the error otherwise.

        The server may have made one in spite of the error: a bad network gives 404, and a service.
        """
        session = work.session
        try:
            documents = work.flow.services()
        except OpenNebulaError:
            documents = []
        mine = [d for d in documents if d.get("NAME") == self.name and d.get("UNAME") == session.username]
        made = [Service.from_document(document) for document in mine if int(document["ID"]) not in work.ids_before]
        session.changed = session.changed or bool(made)
        if len(made) == 1 and may_have_happened(error):
            session.warnings.append(f"the answer to instantiate was lost ({error.text}); service {made[0].id} is there")
            return next(document for document in mine if str(document["ID"]) == str(made[0].id))
        if made:
            error.text += f" - yet service {', '.join(str(service.id) for service in made)} was created"
            error.hint = "state=absent with this id removes it."
            error.result["service"] = made[0].to_result()
        raise error

    def predict(self, work: Work, service: Service | None) -> Service:
        """Return the service as it would be."""
        state = "PENDING" if not work.params["wait"] else "HOLD" if self.body.get("on_hold") else "RUNNING"
        roles = [replace(Role.from_body(role), state=state, nodes=()) for role in self.body.get("roles") or []]
        return Service(
            id=None,
            name=self.name,
            uid=None,
            gid=None,
            uname=work.session.username,
            gname=None,
            mode=NEW_MODE,
            body=self.body,
            state=state,
            state_id={"PENDING": 0, "RUNNING": 2, "HOLD": 15}[state],
            roles=tuple(roles),
        )


class Recover:
    """Let OneFlow try again what failed."""

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out. recover is carried out later; until then the next task would see the old failure."""
        work.log_before = service.log
        work.flow.service_action(service.number, "recover")
        return service if work.params["wait"] else work.waiter(service).until_recovering(service.log)

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service as it would be."""
        return replace(service, state="RUNNING", state_id=2)


class Revive:
    """Start the VMs that keep a service in WARNING; OneFlow does not recover that state."""

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out and wait until OneFlow has noticed."""
        oned = work.session.oned
        for vm in work.session.vms(service.vm_ids).values():
            if vm.failed:
                oned.call("vm.recover", vm.id, RETRY)
            elif vm.down and (vm.state in STOPPED or vm.lcm_state == "UNKNOWN"):
                oned.call("vm.action", "resume", vm.id)
        return work.read(service.number)

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service as it would be."""
        return replace(service, state="RUNNING", state_id=2)


class Release:
    """Release what is on hold."""

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out."""
        work.flow.service_action(service.number, "release")
        return work.wait(service, frozenset({"RUNNING"}), asked=work.asked()) if work.params["wait"] else service

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service as it would be."""
        roles = tuple(replace(role, state="RUNNING") for role in service.roles)
        return replace(service, state="RUNNING", state_id=2, roles=roles)


class Access(t.NamedTuple):
    """Change the name, owner, group or mode."""

    step: Rename | Own | Chmod

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out."""
        return self.step.apply(work.session, service, lambda: work.read(service.number))

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service as it would be."""
        return self.step.predict(service)


class Scale(t.NamedTuple):
    """Give a role another number of VMs."""

    role: str
    cardinality: int

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out."""

        def send() -> None:
            work.flow.scale(service.number, self.role, self.cardinality, force=work.params["force_scale"])

        asked = {self.role: self.cardinality}
        return _on_roles(work, service, f"scale {self.role} to {self.cardinality}", send, self._reached, asked=asked)

    def _reached(self, service: Service) -> bool:
        role = service.role(self.role)
        return role is not None and role.cardinality == self.cardinality

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service as it would be. Raises InvalidRequest beyond the role's limits."""
        roles = [replace(role, cardinality=self.cardinality) if role.name == self.role else role for role in service.roles]
        return replace(service, roles=tuple(roles))


class AddRole(t.NamedTuple):
    """Add a role. sent is what the server gets."""

    role: Role
    sent: Mapping[str, t.Any]

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out."""
        return _on_roles(
            work,
            service,
            f"add role {self.role.name}",
            lambda: work.flow.role_action(service.number, "add_role", self.sent),
            lambda after: after.role(self.role.name) is not None,
            asked={self.role.name: self.role.cardinality},
        )

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service as it would be."""
        return replace(service, roles=(*service.roles, self.role))


class RemoveRole(t.NamedTuple):
    """Remove a role with its VMs."""

    role: str

    def apply(self, work: Work, service: Service) -> Service:
        """Carry it out."""
        return _on_roles(
            work,
            service,
            f"remove role {self.role}",
            lambda: work.flow.role_action(service.number, "remove_role", self.role),
            lambda after: after.role(self.role) is None,
            removing=True,
        )

    def predict(self, work: Work, service: Service) -> Service:
        """Return the service as it would be."""
        return replace(service, roles=tuple(role for role in service.roles if role.name != self.role))


Step: t.TypeAlias = "Remove | Create | Recover | Revive | Release | Access | Scale | AddRole | RemoveRole"


def _on_roles(
    work: Work,
    service: Service,
    what: str,
    send: Callable[[], None],
    reached: Callable[[Service], bool],
    *,
    asked: Mapping[str, int] | None = None,
    removing: bool = False,
) -> Service:
    """Send a change of roles, wait for it, and return the service. Raises Refused when it does not show."""
    if service.state not in STEADY_STATES:
        raise Refused(
            f"{what} needs a running service; {service.id} is {service.state}",
            hint="Wait for it (wait: true), release it, or start its VMs.",
        )
    work.session.progress(f"service {service.id}: {what}")
    try:
        send()
    except OpenNebulaError as error:
        _tell_what_is_there(work, service, error)
        raise
    if not work.params["wait"]:
        return _once_made(work, service, asked or {})
    work.log_before = None
    after = work.wait(service, asked=asked, removing=removing)
    if not reached(after):
        raise Refused(f"{what} was accepted, but service {service.id} does not show it")
    return after


def _once_made(work: Work, service: Service, asked: Mapping[str, int]) -> Service:
    """Return the service as soon as OneFlow has made the VMs that were asked for; whether they come up is not waited for."""
    for _left in work.session.ticks(work.session.deadline(MADE_WITHIN), FIRST_PAUSE, 1.0):
        service = work.read(service.number)
        if service.failure() or not service.short_of_vms(asked):
            break
    return service


def _tell_what_is_there(work: Work, service: Service, error: OpenNebulaError) -> None:
    """Put the service as it is into the error: OneFlow may have kept a change that it refused."""
    try:
        after = work.read(service.number)
    except OpenNebulaError:
        return
    if (after.state, after.roles) != (service.state, service.roles):
        work.session.changed = True
        error.text += f" - yet the service is {after.summary()}"
        error.result["service"] = after.to_result()


def added_role(role: Params, session: Session) -> AddRole:
    """Return the step that adds a role. Raises InvalidRequest, and NotFound for a VM template that does not exist."""
    faults: list[str] = []
    values = role["user_inputs_values"] or {}
    values = fill({name: "O|" for name in values}, values, None, f"role {role['name']}: ", faults)
    if faults:
        raise InvalidRequest("; ".join(faults))
    new: dict[str, t.Any] = {
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
    # OneFlow would keep the role although it answers 500, and have no way back (measured, 7.4.0).
    vm_template = vm_templates(session, {role["template_id"]})[role["template_id"]]
    sent = for_server({"roles": [new]}, session.version)["roles"][0]
    if "vm_template" in sent and (values or role["template_contents"]):
        contents = new.get("template_contents") or {}
        sent["vm_template_contents"] = contents_with_values(contents, values, vm_template, session.version)
    return AddRole(Role.from_body({**new, "state": 0}), sent)


def vm_templates(session: Session, ids: set[int]) -> dict[int, Mapping[str, t.Any]]:
    """Return the attributes of VM templates by id. Raises NotFound."""
    found = {}
    for number in sorted(ids):
        try:
            document = session.oned.call("template.info", number, False, False)
        except NotFound as error:
            error.hint = "Check template_id; one_resource_info finds VM templates by name."
            raise
        found[number] = document.get("TEMPLATE") or {}
    return found


def warning_of(session: Session, service: Service) -> str | None:
    """Return which VMs keep the service in WARNING, None when it is not or all of them run again."""
    if service.state != "WARNING":
        return None
    return in_warning(session.vms(service.vm_ids))
