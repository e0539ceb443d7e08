# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""federation_zone_info: everything about one zone of a federation, in as few calls as can be."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from .. import lookup, services
from ..answers import as_dict, as_list, to_int
from ..documents import ServiceTemplate
from ..errors import Ambiguous, NotFound
from ..locks import find_lock
from ..names import of_federations
from ..secrets import masked
from ..services import Service
from ..session import Session
from ..vms import Vm
from ..waiting import Telling, awaited, in_warning

ARGUMENTS: dict[str, t.Any] = {
    "service": {"type": "str", "required": True},
    "template": {"type": "str"},
    "successor": {"type": "str"},
    "vm_template": {"type": "str"},
    "network": {"type": "str"},
    "lock": {"type": "str"},
    "wait_attributes": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "float", "default": 0.0},
}
RULES: dict[str, t.Any] = {}

# Seconds between two readings while no VM shows the attributes yet.
INTERVAL = 1.0
_Found = t.TypeVar("_Found")


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, service, services_found, successor, template, vm_template_id, network_id, federations, lock, faults}.

    One call for each pool that is asked for, and one for the VMs. What is not there, or not unique, is data: {} or None, and a
    sentence in faults under the option's name.
    """
    faults: dict[str, str] = {}
    documents = session.flow.services()
    named = [document for document in documents if document.get("NAME") == params["service"]]
    alive = [document for document in named if services.state_of(document) != "DONE"]
    found = _or_fault(lambda: services.by_name(alive, params["service"], caller=session.username), "service", faults)
    next_one = _successor(documents, params["successor"], session, faults)
    result: dict[str, t.Any] = {
        "changed": False,
        "service": {},
        "services_found": len(alive),
        "successor": {},
        "template": _template(params["template"] or params["service"], session, faults),
        "vm_template_id": None,
        "network_id": None,
        "federations": of_federations(str(document.get("NAME")) for document in documents),
        "lock": {},
    }
    vm_templates = _pool(session, "templatepool.info", "VMTEMPLATE") if params["vm_template"] or params["lock"] else []
    if params["vm_template"]:
        result["vm_template_id"] = _id(session, vm_templates, params["vm_template"], "vm_template", faults)
    if params["lock"]:
        lock = find_lock(vm_templates, params["lock"])
        result["lock"] = {} if lock is None else lock.to_result()
    if params["network"]:
        networks = _pool(session, "vnpool.info", "VNET")
        result["network_id"] = _id(session, networks, params["network"], "network", faults)
    if found is not None:
        result["service"] = _service(found, params, session)
    if next_one is not None:
        result["successor"] = _service(next_one, {"wait_attributes": {}, "wait_timeout": 0.0}, session)
    return {**result, "faults": faults}


def _or_fault(find: Callable[[], _Found | None], option: str, faults: dict[str, str]) -> _Found | None:
    """Return what is found; None, and the reason in faults, for a name that is not unique or that nothing has."""
    try:
        return find()
    except (Ambiguous, NotFound) as error:
        faults[option] = f"{error.text}. {error.hint}" if error.hint else error.text
        return None


def _successor(
    documents: list[dict[str, t.Any]], name: str | None, session: Session, faults: dict[str, str]
) -> Mapping[str, t.Any] | None:
    if not name:
        return None
    return _or_fault(lambda: services.by_name(documents, name, caller=session.username), "successor", faults)


def _pool(session: Session, method: str, element: str) -> list[dict[str, t.Any]]:
    """Return all entries of a pool that the user may see."""
    return [as_dict(entry) for entry in as_list(as_dict(session.oned.call(method, -2, -1, -1)).get(element))]


_KINDS = {"vm_template": "VM template", "network": "virtual network"}


def _id(session: Session, pool: list[dict[str, t.Any]], asked: str, option: str, faults: dict[str, str]) -> int | None:
    """Return the id of the entry that has the name, else the one that has it as its id."""

    def find() -> dict[str, t.Any]:
        entry = lookup.in_pool(pool, asked.strip(), _KINDS[option], caller=session.username, endpoint=session.oned.endpoint)
        return t.cast(dict, entry)

    entry = _or_fault(find, option, faults)
    return None if entry is None else to_int(entry.get("ID"))


def _template(name: str, session: Session, faults: dict[str, str]) -> dict[str, t.Any]:
    """Return {id, body} of the service template of that name, {} when there is none."""
    documents = session.flow.templates()
    found = _or_fault(lambda: lookup.by_name(documents, name, "service template", caller=session.username), "template", faults)
    if found is None:
        return {}
    template = ServiceTemplate.from_document(found)
    session.learn(template.body)
    return {"id": template.id, "body": template.to_diff()["body"]}


def _service(found: Mapping[str, t.Any], params: Mapping[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return the service with its VMs, once one of them shows what is waited for or the time is over."""
    service, vms = _waited(Service.from_document(found), params, session)
    session.learn(service.body)
    bodies = {role.get("name"): role for role in service.body.get("roles") or []}
    shown = service.to_result(vms)
    return {
        "id": service.id,
        "name": service.name,
        "state": service.state,
        "roles": [{**role, **_made_of(service, bodies.get(role["name"]) or {})} for role in shown["roles"]],
        "failure": _failure(service, vms),
    }


def _waited(service: Service, params: Mapping[str, t.Any], session: Session) -> tuple[Service, dict[int, Vm]]:
    """Return the service and its VMs as they were read last."""
    wanted, telling = params["wait_attributes"], Telling(session)
    vms: dict[int, Vm] = {}
    for number, left in enumerate(session.ticks(session.deadline(params["wait_timeout"]), INTERVAL, INTERVAL)):
        if number:
            try:
                service = Service.from_document(session.flow.service(service.number))
            except NotFound:
                break
        vms = session.vms(service.vm_ids)
        if service.shows(vms, wanted):
            break
        if left > 0:
            telling.tell(awaited(service, wanted))
    return service, vms


def _made_of(service: Service, body: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what the role's VMs are made of: {template_id, contents, inputs}, without secrets."""
    contents = as_dict(body.get("template_contents"))
    inputs = {**as_dict(service.body.get("user_inputs_values")), **as_dict(body.get("user_inputs_values"))}
    return {
        "template_id": to_int(body.get("template_id")),
        "contents": masked(masked(contents, service.hidden_inputs), by_name=True),
        "inputs": masked(masked(inputs, service.hidden_inputs), by_name=True),
    }


def _failure(service: Service, vms: Mapping[int, Vm]) -> str:
    """Return what is wrong with the service, "" when nothing is."""
    if service.going:
        return f"is being removed ({service.state})"
    reason = service.failure() or (in_warning(vms) if service.state == "WARNING" else None)
    return "" if reason is None else reason + service.driver_errors(vms)
