# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service_info: read services, with their VMs."""

from __future__ import annotations

import typing as t

from ..documents import body_of
from ..errors import NotFound
from ..secrets import secret_values
from ..services import describe, state_of, vm_ids
from ..session import Session

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str"},
    "id": {"type": "int"},
    "vms": {"type": "bool", "default": True},
    "wait_attributes": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "float", "default": 0.0},
}
RULES: dict[str, t.Any] = {"mutually_exclusive": [("name", "id")]}


# Seconds between two readings while VMs do not show the attributes yet.
INTERVAL = 1.0


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, services}, ordered by id; services in state DONE are left out.

    Reads again until every service has a VM that shows `wait_attributes`, and for `wait_timeout` at most.
    """
    deadline = session.deadline(params["wait_timeout"])
    while True:
        services = _services(params, session)
        if all(_shows(service, params["wait_attributes"]) for service in services) or not deadline.left():
            return {"changed": False, "services": services}
        session.sleep(min(INTERVAL, deadline.left()))


def _shows(service: dict[str, t.Any], wanted: dict[str, t.Any]) -> bool:
    shown = [node["attributes"] for role in service["roles"] for node in role["nodes"]]
    return not wanted or any(all(entry.get(name) == str(value) for name, value in wanted.items()) for entry in shown)


def _services(params: dict[str, t.Any], session: Session) -> list[dict[str, t.Any]]:
    if params["id"] is not None:
        try:
            documents = [session.flow.service(params["id"])]
        except NotFound:
            documents = []
    else:
        documents = [d for d in session.flow.services() if params["name"] in (None, d.get("NAME"))]
    documents = [document for document in documents if state_of(document) != "DONE"]
    ids = [number for document in documents for number in vm_ids(document)]
    vms = session.vms_by_id(ids) if params["vms"] else {}
    for document in documents:
        session.secrets |= secret_values(body_of(document))
    return sorted((describe(document, vms) for document in documents), key=lambda entry: entry["id"])
