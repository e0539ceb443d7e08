# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_vm_info: read VMs, by service, by id or by filter."""

from __future__ import annotations

import contextlib
import fnmatch
import typing as t

from .. import services
from ..errors import NotFound, OpenNebulaError
from ..services import Service
from ..session import Session
from ..template_text import check_id, scalar
from ..vms import Vm

ARGUMENTS: dict[str, t.Any] = {
    "service": {"type": "str"},
    "role": {"type": "str"},
    "vm_ids": {"type": "list", "elements": "int"},
    "name": {"type": "str"},
    "attributes": {"type": "dict"},
}
RULES: dict[str, t.Any] = {"mutually_exclusive": [("service", "vm_ids")]}


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, vms}, ordered by id."""
    for number in params["vm_ids"] or []:
        check_id("vm_ids", number)
    if params["service"] is not None:
        service = services.find(session, params["service"])
        session.learn(service.body)
        vms = list(session.vms(service.vm_ids).values())
    elif params["vm_ids"] is not None:
        found = session.vms(params["vm_ids"])
        missing = sorted(set(params["vm_ids"]) - set(found))
        if missing:
            raise NotFound(f"there is no VM {', '.join(map(str, missing))}", endpoint=session.oned.endpoint)
        vms = list(found.values())
    else:
        vms = [Vm.from_document(document) for document in session.oned.vms()]
    vms = [vm for vm in vms if _matches(vm, params)]
    if params["service"] is None:
        _learn_services(vms, session)
    return {"changed": False, "vms": [_result(vm, session) for vm in sorted(vms, key=lambda vm: vm.id)]}


def _learn_services(vms: list[Vm], session: Session) -> None:
    """Learn which inputs of the VMs' services are secret; of services that the user may not read, none."""
    ids = {vm.service_id for vm in vms if vm.service_id is not None}
    if not ids:
        return
    with contextlib.suppress(OpenNebulaError):
        documents = [session.flow.service(next(iter(ids)))] if len(ids) == 1 else session.flow.services()
        for service in map(Service.from_document, documents):
            if service.id in ids:
                session.learn(service.body)


def _result(vm: Vm, session: Session) -> dict[str, t.Any]:
    """Return Vm.to_result with service_id (None outside a service) and role."""
    return {**vm.to_result(session.hidden_inputs), "service_id": vm.service_id, "role": vm.role}


def _matches(vm: Vm, params: dict[str, t.Any]) -> bool:
    if params["role"] is not None and vm.role != params["role"]:
        return False
    if params["name"] is not None and not fnmatch.fnmatchcase(vm.name, params["name"]):
        return False
    return all(vm.attributes.get(str(key).upper()) == scalar(value) for key, value in (params["attributes"] or {}).items())
