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
from ..vms import Vm
from ..waiting import Telling, awaited

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
    """Return {changed, services, selected, shown}; services are ordered by id, those in state DONE are left out.

    `selected` is the id of the service that a task with this name works with, None where there is none or more than one. Reads
    again until every service that has VMs has one that shows `wait_attributes`, and for `wait_timeout` at most; `shown` tells
    whether they do.
    """
    services: list[Service] = []
    vms: dict[int, Vm] = {}
    selected, late, telling = None, [], Telling(session)
    for left in session.ticks(session.deadline(params["wait_timeout"]), INTERVAL, INTERVAL):
        services, vms, selected = _read(params, session)
        late = [service for service in services if not service.shows(vms, params["wait_attributes"])]
        if not late:
            break
        if left > 0:
            telling.tell("; ".join(awaited(service, params["wait_attributes"]) for service in late))
    results = [service.to_result(vms) for service in services]
    return {"changed": False, "services": results, "selected": selected, "shown": not late}


def _read(params: dict[str, t.Any], session: Session) -> tuple[list[Service], dict[int, Vm], int | None]:
    """Return the services, their VMs, and the id of the one that is meant."""
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
    return services, vms, selected
