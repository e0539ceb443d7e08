# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow services, parsed once, and what can be said about one without asking a server."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import lookup
from .answers import as_dict, as_list, to_int
from .documents import Document, body_of
from .errors import InvalidRequest, NotFound
from .generation6 import canonical
from .inputs import Declaration, declarations, render, text_of
from .session import Session
from .states import FAILED_STATES, GOING_STATES, role_state_name, service_state_name
from .vms import Vm


@dataclass(frozen=True)
class Node:
    """One VM of a role, as the service's document knows it."""

    vm_id: int
    name: str

    def to_result(self, vms: Mapping[int, Vm], secret: t.Container[str]) -> dict[str, t.Any]:
        """Return Vm.to_result, with None and nothing for what was not read."""
        if self.vm_id in vms:
            return vms[self.vm_id].to_result(secret)
        return {"vm_id": self.vm_id, "name": self.name, "state": None, "lcm_state": None, "addresses": [], "attributes": {}}


@dataclass(frozen=True)
class Role:
    """One role. made is the number of VMs that OneFlow has made for it, lost and removed ones included."""

    name: str
    state: str
    cardinality: int
    nodes: tuple[Node, ...] = ()
    parents: tuple[str, ...] = ()
    min_vms: int | None = None
    max_vms: int | None = None
    made: int = 0

    @classmethod
    def from_body(cls, role: Mapping[str, t.Any]) -> Role:
        """Return the role of an entry in a service's or service template's roles."""
        nodes = []
        for node in as_list(role.get("nodes")):
            entry = as_dict(node)
            name = as_dict(as_dict(entry.get("vm_info")).get("VM")).get("NAME", "")
            nodes.append(Node(to_int(entry.get("deploy_id")), str(name)))
        limits = {key: None if role.get(key) is None else to_int(role[key]) for key in ("min_vms", "max_vms")}
        return cls(
            name=str(role.get("name", "")),
            state=role_state_name(to_int(role.get("state"))),
            cardinality=to_int(role.get("cardinality"), 0),
            nodes=tuple(nodes),
            parents=tuple(str(parent) for parent in as_list(role.get("parents"))),
            made=to_int(role.get("last_vmname"), 0),
            **limits,
        )

    def limit(self, count: int) -> str | None:
        """Return what is wrong with that many VMs, in OneFlow's words, or None."""
        if self.min_vms is not None and count < self.min_vms:
            return f"role {self.name}: Minimum cardinality is {self.min_vms}"
        if self.max_vms is not None and count > self.max_vms:
            return f"role {self.name}: Maximum cardinality is {self.max_vms}"
        return None


@dataclass(frozen=True)
class Service(Document):
    """One service. log: [{timestamp, severity, message}], oldest first."""

    state: str
    state_id: int
    roles: tuple[Role, ...]
    log: tuple[Mapping[str, t.Any], ...] = ()

    @classmethod
    def from_document(cls, document: Mapping[str, t.Any]) -> Service:
        """Return the service of a document as OneFlow gives it."""
        body = canonical(body_of(document))
        number = to_int(body.get("state"))
        log = [
            {
                "timestamp": to_int(entry.get("timestamp")),
                "severity": str(entry.get("severity", "")),
                "message": str(entry.get("message", "")),
            }
            for entry in as_list(body.get("log"))
            if isinstance(entry, dict)
        ]
        return cls(
            **cls._fields(document, body),
            state=service_state_name(number),
            state_id=number,
            roles=tuple(Role.from_body(role) for role in as_list(body.get("roles")) if isinstance(role, dict)),
            log=tuple(log),
        )

    @property
    def number(self) -> int:
        """The id of a service that exists."""
        return -1 if self.id is None else self.id

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"service {self.name!r} (id {self.id})"

    @property
    def vm_ids(self) -> list[int]:
        """Ids of all VMs, in the order of roles and nodes."""
        return [node.vm_id for role in self.roles for node in role.nodes if node.vm_id >= 0]

    @property
    def going(self) -> bool:
        """Whether it is being removed."""
        return self.state in GOING_STATES

    @property
    def on_hold(self) -> bool:
        """Whether anything of it is on hold."""
        return self.state == "HOLD" or any(role.state == "HOLD" for role in self.roles)

    @property
    def settled(self) -> bool:
        """Whether every role runs, is on hold, or waits for one on hold; under `deployment: none` OneFlow stays DEPLOYING then."""
        held = {role.name for role in self.roles if role.state == "HOLD"}
        rest = [role for role in self.roles if role.state != "HOLD"]
        while waiting := [role for role in rest if role.state == "PENDING" and held & set(role.parents)]:
            held |= {role.name for role in waiting}
            rest = [role for role in rest if role not in waiting]
        return bool(held) and all(role.state == "RUNNING" for role in rest)

    def role(self, name: str) -> Role | None:
        """Return the role of that name."""
        return next((role for role in self.roles if role.name == name), None)

    def summary(self) -> str:
        """Return one line for people: state, and each role with its state and VMs."""
        roles = [f"{role.name} {role.state} {len(role.nodes)}/{role.cardinality}" for role in self.roles]
        return f"{self.state} ({', '.join(roles)})" if roles else self.state

    def errors(self, since: Iterable[Mapping[str, t.Any]] = ()) -> list[str]:
        """Return the error lines of the log that came after the entries of since."""
        return [entry["message"] for entry in _new(list(self.log), list(since)) if entry["severity"] == "E"]

    def failure(self, since: Iterable[Mapping[str, t.Any]] = ()) -> str | None:
        """Return why it has failed, with the roles and the log lines since then, or None when it has not."""
        if self.state not in FAILED_STATES:
            return None
        roles = [f"{role.name} ({role.state})" for role in self.roles if role.state in FAILED_STATES]
        text = f"is in state {self.state}"
        if roles:
            text += f", role {', '.join(roles)}"
        lines = self.errors(since)
        if lines:
            return f"{text}: {' | '.join(lines)}"
        return f"{text}; its log names no reason (a VM did not boot, or could not be shut down)"

    def shows(self, vms: Mapping[int, Vm], wanted: Mapping[str, t.Any]) -> bool:
        """Tell whether one of its VMs shows all user attributes that are wanted; without VMs there is nobody to wait for."""
        own = [vms[number].attributes for number in self.vm_ids if number in vms]
        return not (wanted and own) or any(
            all(attributes.get(name) == str(value) for name, value in wanted.items()) for attributes in own
        )

    def driver_errors(self, vms: Mapping[int, Vm]) -> str:
        """Return what oned wrote into ERROR of the VMs that are the reason, "; VM 7: ..." each; a service's log has none of it.

        The ERROR of a VM that runs again is history, unless the service failed because that VM does not go.
        """
        undeploying = self.going or "UNDEPLOYING" in self.state
        said = {vm.id: vm.attributes.get("ERROR") for vm in vms.values() if undeploying or not vm.running}
        return "".join(f"; VM {vm_id}: {text}" for vm_id, text in said.items() if text)

    def short_of_vms(self, asked: Mapping[str, int]) -> list[str]:
        """Return the roles that have fewer VMs than was asked, or than their cardinality ("web: 0 of 2").

        A VM that dies before its READY leaves its service RUNNING without it, and OneFlow takes it off the cardinality.
        """
        wanted = {role.name: max(role.cardinality, asked.get(role.name, 0)) for role in self.roles}
        return [
            f"{role.name}: {len(role.nodes)} of {wanted[role.name]}" for role in self.roles if len(role.nodes) < wanted[role.name]
        ]

    def lost_names(self, asked: Mapping[str, int]) -> list[str]:
        """Return the names of the VMs that roles have lost; none where OneFlow has removed others as well.

        `last_vmname` counts the VMs that were made (flow/lib/models/role.rb).
        """
        lost: list[str] = []
        for role in self.roles:
            have = {node.name for node in role.nodes}
            names = [f"{role.name}_{number}_(service_{self.id})" for number in range(role.made)]
            gone = [name for name in names if name not in have]
            if len(gone) == max(role.cardinality, asked.get(role.name, 0)) - len(role.nodes):
                lost += gone
        return lost

    def to_result(self, vms: Mapping[int, Vm] | None = None) -> dict[str, t.Any]:
        """Return {id, name, uid, gid, uname, gname, mode, state, state_id, roles: [{name, state, cardinality, nodes}], log}."""
        roles = [
            {
                "name": role.name,
                "state": role.state,
                "cardinality": role.cardinality,
                "nodes": [node.to_result(vms or {}, self.hidden_inputs) for node in role.nodes],
            }
            for role in self.roles
        ]
        log = [dict(entry) for entry in self.log]
        return {**self.identity(), "state": self.state, "state_id": self.state_id, "roles": roles, "log": log}

    def to_diff(self) -> dict[str, t.Any]:
        """Return what a diff shows of it."""
        entry = self.access()
        roles = {role.name: role.cardinality for role in self.roles}
        return {"name": entry.pop("name"), "state": self.state, **entry, "roles": roles}

    def input_drift(self, values: Mapping[str, t.Any], roles: Iterable[Mapping[str, t.Any]]) -> list[str]:
        """Return the names of inputs whose given values are not those the service was made with."""
        own = declarations(self.body.get("user_inputs"))
        names = _drift(values, as_dict(self.body.get("user_inputs_values")), own)
        existing = {role.get("name"): role for role in self.body.get("roles") or []}
        for role in roles:
            found = existing.get(role["name"])
            if found is not None and role.get("state") != "absent":
                declared = {**own, **declarations(found.get("user_inputs"))}
                given = role.get("user_inputs_values") or {}
                drift = _drift(given, as_dict(found.get("user_inputs_values")), declared)
                names += [f"{role['name']}.{name}" for name in drift]
        return names


def state_of(document: Mapping[str, t.Any]) -> str:
    """Return the state of a service's document by name."""
    return service_state_name(to_int(body_of(document).get("state")))


def by_name(
    documents: Iterable[Mapping[str, t.Any]], name: str, *, caller: str, owner: str | None = None
) -> Mapping[str, t.Any] | None:
    """Return the document of the service of that name, see lookup; one in state DONE does not count."""
    alive = (document for document in documents if document.get("NAME") == name and state_of(document) != "DONE")
    return lookup.by_name(alive, name, "service", caller=caller, owner=owner)


def find(session: Session, asked: str) -> Service:
    """Return the service of that id (digits) or name. Raises NotFound or Ambiguous."""
    if asked.isdigit():
        return Service.from_document(session.flow.service(int(asked)))
    found = by_name(session.flow.services(), asked, caller=session.username)
    if found is None:
        raise NotFound(f"there is no service {asked!r}", endpoint=session.flow.endpoint)
    return Service.from_document(found)


def _drift(given: Mapping[str, t.Any], have: Mapping[str, t.Any], declared: Mapping[str, Declaration]) -> list[str]:
    return [
        str(name)
        for name, value in given.items()
        if value is not None and _rendered(declared, name, value) != _rendered(declared, name, have.get(name))
    ]


def _rendered(declared: Mapping[str, Declaration], name: str, value: t.Any) -> str:
    """Return a value as it would be sent, so that two spellings of one value are one."""
    if name in declared and value is not None:
        try:
            return render(declared[name], value).strip()
        except InvalidRequest:
            pass
    text = text_of(value).strip()
    return {"true": "YES", "false": "NO"}.get(text.lower(), text)


def _new(log: list[Mapping[str, t.Any]], old: list[Mapping[str, t.Any]]) -> list[Mapping[str, t.Any]]:
    """Return what follows the old entries; a log loses its oldest ones, and the same error may come twice in a second."""
    for kept in range(min(len(old), len(log)), 0, -1):
        if log[:kept] == old[len(old) - kept :]:
            return log[kept:]
    return log
