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
    documents = [document for document in documents if state_of(document) != "DONE"]
    ids = [number for document in documents for number in vm_ids(document)]
    vms = session.vms_by_id(ids) if params["vms"] else {}
    for document in documents:
        session.secrets |= secret_values(body_of(document))
    services = sorted((describe(document, vms) for document in documents), key=lambda entry: entry["id"])
    return {"changed": False, "services": services}
