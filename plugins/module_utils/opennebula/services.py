# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow services as results, and the pure part of waiting for them."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping

from .answers import as_dict, as_list, to_int
from .documents import body_of, identity
from .generation6 import canonical
from .secrets import masked, secret_inputs
from .states import FAILED_STATES, role_state_name, service_state_name
from .vms import vm_node

# Entries a service's log keeps (flow/lib/models/service.rb).
LOG_LENGTH = 50


def state_of(document: Mapping[str, t.Any]) -> str:
    """Return the service's state by name."""
    return service_state_name(to_int(body_of(document).get("state")))


def roles_of(document: Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the roles of a service as the server has them."""
    return [role for role in as_list(body_of(document).get("roles")) if isinstance(role, dict)]


def role_state(role: Mapping[str, t.Any]) -> str:
    """Return a role's state by name."""
    return role_state_name(to_int(role.get("state")))


def vm_ids(document: Mapping[str, t.Any]) -> list[int]:
    """Return the ids of all VMs of a service, in the order of roles and nodes."""
    return [
        to_int(node.get("deploy_id"))
        for role in roles_of(document)
        for node in as_list(role.get("nodes"))
        if isinstance(node, dict) and to_int(node.get("deploy_id")) >= 0
    ]


def log_of(document: Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the service's log: [{timestamp, severity, message}], oldest first."""
    return [
        {
            "timestamp": to_int(e.get("timestamp")),
            "severity": str(e.get("severity", "")),
            "message": str(e.get("message", "")),
        }
        for e in as_list(body_of(document).get("log"))
        if isinstance(e, dict)
    ]


def describe(document: Mapping[str, t.Any], vms: Mapping[int, Mapping[str, t.Any]] | None = None) -> dict[str, t.Any]:
    """Return a service for results.

    {id, name, uid, gid, uname, gname, mode, state, state_id, roles: [{name, state, cardinality, nodes}], log}; nodes are
    vms.vm_node of each VM. Values of password inputs, and of attributes named like a secret, are masked.
    """
    body = canonical(body_of(document))
    secret = secret_inputs(body)
    roles = []
    for role in roles_of(document):
        nodes = []
        for node in as_list(role.get("nodes")):
            entry = _node(as_dict(node), vms or {})
            entry["attributes"] = masked(entry["attributes"], secret, by_name=True)
            nodes.append(entry)
        roles.append(
            {
                "name": str(role.get("name", "")),
                "state": role_state(role),
                "cardinality": to_int(role.get("cardinality"), 0),
                "nodes": nodes,
            }
        )
    return {
        **identity(document),
        "state": state_of(document),
        "state_id": to_int(body_of(document).get("state")),
        "roles": roles,
        "log": log_of(document),
    }


def _node(node: Mapping[str, t.Any], vms: Mapping[int, Mapping[str, t.Any]]) -> dict[str, t.Any]:
    vm_id = to_int(node.get("deploy_id"))
    if vm_id in vms:
        return vm_node(vms[vm_id])
    name = as_dict(as_dict(node.get("vm_info")).get("VM")).get("NAME", "")
    return {"vm_id": vm_id, "name": str(name), "state": None, "lcm_state": None, "addresses": [], "attributes": {}}


def summary(document: Mapping[str, t.Any]) -> str:
    """Return one line for people: state, and each role with its state and VMs."""
    roles = [
        f"{role.get('name')} {role_state(role)} {len(as_list(role.get('nodes')))}/{to_int(role.get('cardinality'), 0)}"
        for role in roles_of(document)
    ]
    return f"{state_of(document)} ({', '.join(roles)})" if roles else state_of(document)


def failure(document: Mapping[str, t.Any], since: Iterable[Mapping[str, t.Any]] = ()) -> str | None:
    """Return why a service has failed, with the roles and the log lines since then, or None when it has not."""
    state = state_of(document)
    if state not in FAILED_STATES:
        return None
    roles = [f"{role.get('name')} ({role_state(role)})" for role in roles_of(document) if role_state(role) in FAILED_STATES]
    lines = [entry["message"] for entry in _new(log_of(document), list(since)) if entry["severity"] == "E"]
    text = f"is in state {state}"
    if roles:
        text += f", role {', '.join(roles)}"
    if lines:
        text += ": " + " | ".join(lines)
    else:
        text += "; its log names no reason (a VM did not boot, or could not be shut down)"
    return text


def _new(log: list[dict[str, t.Any]], old: list[Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return what follows the old entries; a log loses its oldest ones, and the same error may come twice in a second."""
    for kept in range(min(len(old), len(log)), 0, -1):
        if log[:kept] == old[len(old) - kept :]:
            return log[kept:]
    return log


def driver_errors(vms: Mapping[int, Mapping[str, t.Any]]) -> str:
    """Return what oned wrote into the VMs' ERROR when a driver failed, "; VM 7: ..." each; a service's log has none of it."""
    said = {vm_id: as_dict(vm.get("USER_TEMPLATE")).get("ERROR") for vm_id, vm in vms.items()}
    return "".join(f"; VM {vm_id}: {text}" for vm_id, text in said.items() if text)


def is_stale(document: Mapping[str, t.Any], log_before: list[dict[str, t.Any]]) -> bool:
    """Tell whether a failed state is the one from before `recover`: nothing was logged since."""
    return log_of(document) == log_before


def short_of_vms(document: Mapping[str, t.Any]) -> list[str]:
    """Return the roles that run with fewer VMs than their cardinality ("web: 0 of 2").

    A VM that dies before its READY leaves its service RUNNING without it.
    """
    return [
        f"{role.get('name')}: {len(as_list(role.get('nodes')))} of {to_int(role.get('cardinality'), 0)}"
        for role in roles_of(document)
        if len(as_list(role.get("nodes"))) < to_int(role.get("cardinality"), 0)
    ]


def input_drift(document: Mapping[str, t.Any], values: Mapping[str, t.Any], roles: list[Mapping[str, t.Any]]) -> list[str]:
    """Return the names of inputs whose given values are not those the service was made with."""
    body = canonical(body_of(document))
    names = [
        str(k) for k, v in values.items() if v is not None and _text(as_dict(body.get("user_inputs_values")).get(k)) != _text(v)
    ]
    existing = {role.get("name"): as_dict(role.get("user_inputs_values")) for role in body.get("roles") or []}
    for role in roles:
        if role["name"] in existing and role.get("state") != "absent":
            given = role.get("user_inputs_values") or {}
            have = existing[role["name"]]
            names += [f"{role['name']}.{k}" for k, v in given.items() if v is not None and _text(have.get(k)) != _text(v)]
    return names


def _text(value: t.Any) -> str:
    text = "" if value is None else str(value).strip()
    return {"true": "YES", "false": "NO"}.get(text.lower(), text)
