# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service_info: read services, with their VMs."""

from __future__ import annotations

import contextlib
import typing as t

from ..answers import to_int
from ..errors import Ambiguous, NotFound
from ..services import Service, by_name
from ..session import Session

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str"},
    "id": {"type": "int"},
    "owner": {"type": "str"},
    "vms": {"type": "bool", "default": True},
    "wait_attributes": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "float", "default": 0.0},
}
RULES: dict[str, t.Any] = {"mutually_exclusive": [("name", "id")]}

# Seconds between two readings while VMs do not show the attributes yet.
INTERVAL = 1.0


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, services, selected}; services are ordered by id, those in state DONE are left out.

    `selected` is the id of the service that a task with this name works with, None where there is none or more than one. Reads
    again until every service that has VMs has one that shows `wait_attributes`, and for `wait_timeout` at most.
    """
    result: dict[str, t.Any] = {}
    for _left in session.ticks(session.deadline(params["wait_timeout"]), INTERVAL, INTERVAL):
        result = _read(params, session)
        if all(_shows(service, params["wait_attributes"]) for service in result["services"]):
            break
    return result


def _shows(service: dict[str, t.Any], wanted: dict[str, t.Any]) -> bool:
    """Tell whether a VM shows what is wanted; where there is no VM, there is nobody to wait for."""
    shown = [node["attributes"] for role in service["roles"] for node in role["nodes"]]
    return not (wanted and shown) or any(all(entry.get(name) == str(value) for name, value in wanted.items()) for entry in shown)


def _read(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    selected = params["id"]
    if params["id"] is not None:
        try:
            documents = [session.flow.service(params["id"])]
        except NotFound:
            documents, selected = [], None
    else:
        documents = [d for d in session.flow.services() if params["name"] in (None, d.get("NAME"))]
        if params["name"] is not None:
            with contextlib.suppress(Ambiguous):
                found = by_name(documents, params["name"], caller=session.username, owner=params["owner"])
                selected = None if found is None else to_int(found.get("ID"))
    services = [Service.from_document(document) for document in documents]
    services = sorted((service for service in services if service.state != "DONE"), key=lambda service: service.number)
    for service in services:
        session.learn(service.body)
    vms = session.vms(number for service in services for number in service.vm_ids) if params["vms"] else {}
    return {"changed": False, "services": [service.to_result(vms) for service in services], "selected": selected}
