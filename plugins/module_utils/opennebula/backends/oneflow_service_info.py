# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service_info: read services, with their VMs."""

from __future__ import annotations

import typing as t

from ..errors import NotFound
from ..services import Service
from ..session import Session

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str"},
    "id": {"type": "int"},
    "vms": {"type": "bool", "default": True},
}
RULES: dict[str, t.Any] = {"mutually_exclusive": [("name", "id")]}


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, services}, ordered by id; services in state DONE are left out."""
    if params["id"] is not None:
        try:
            documents = [session.flow.service(params["id"])]
        except NotFound:
            documents = []
    else:
        documents = [d for d in session.flow.services() if params["name"] in (None, d.get("NAME"))]
    services = [Service.from_document(document) for document in documents]
    services = sorted((service for service in services if service.state != "DONE"), key=lambda service: service.number)
    for service in services:
        session.learn(service.body)
    vms = session.vms(number for service in services for number in service.vm_ids) if params["vms"] else {}
    return {"changed": False, "services": [service.to_result(vms) for service in services]}
