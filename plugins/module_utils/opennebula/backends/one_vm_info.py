# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_vm_info: read VMs, by service, by id or by filter."""

from __future__ import annotations

import contextlib
import fnmatch
import typing as t

from ..answers import as_dict, to_int
from ..documents import body_of, identity
from ..errors import Ambiguous, NotFound, OpenNebulaError
from ..generation6 import canonical
from ..secrets import masked, secret_inputs, secret_values
from ..services import state_of, vm_ids
from ..session import Session
from ..template_text import scalar
from ..vms import vm_node

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
    secret: set[str] = set()
    if params["service"] is not None:
        document = find_service(params["service"], session)
        body = canonical(body_of(document))
        secret = secret_inputs(body)
        session.secrets |= secret_values(body)
        documents = list(session.vms_by_id(vm_ids(document)).values())
    elif params["vm_ids"] is not None:
        found = session.vms_by_id(params["vm_ids"])
        missing = sorted(set(params["vm_ids"]) - set(found))
        if missing:
            raise NotFound(f"there is no VM {', '.join(map(str, missing))}", endpoint=session.oned.endpoint)
        documents = list(found.values())
    else:
        documents = session.oned.vms()
    documents = [document for document in documents if _matches(document, params)]
    if params["service"] is None:
        secret = _declared_secrets(documents, session)
    vms = [describe(document, secret) for document in documents]
    return {"changed": False, "vms": sorted(vms, key=lambda entry: entry["vm_id"])}


def _declared_secrets(documents: list[dict], session: Session) -> set[str]:
    """Return the names of the password inputs of the VMs' services; of those that the user may not read, none."""
    ids = {to_int(as_dict(document.get("USER_TEMPLATE")).get("SERVICE_ID")) for document in documents} - {-1}
    found: set[str] = set()
    if not ids:
        return found
    with contextlib.suppress(OpenNebulaError):
        services = [session.flow.service(next(iter(ids)))] if len(ids) == 1 else session.flow.services()
        for service in services:
            if identity(service)["id"] in ids:
                body = canonical(body_of(service))
                found |= secret_inputs(body)
                session.secrets |= secret_values(body)
    return found


def describe(document: dict, secret: t.Container[str] = ()) -> dict[str, t.Any]:
    """Return vms.vm_node with service_id (None outside a service) and role."""
    node = vm_node(document)
    attributes = as_dict(document.get("USER_TEMPLATE"))
    service_id = to_int(attributes.get("SERVICE_ID"))
    node["attributes"] = masked(node["attributes"], secret, by_name=True)
    return {**node, "service_id": service_id if service_id >= 0 else None, "role": attributes.get("ROLE_NAME")}


def find_service(service: str, session: Session) -> dict:
    """Return the service of that id (digits) or name. Raises NotFound or Ambiguous."""
    if service.isdigit():
        return session.flow.service(int(service))
    documents = [d for d in session.flow.services() if d.get("NAME") == service and state_of(d) != "DONE"]
    mine = [document for document in documents if document.get("UNAME") == session.username] or documents
    if len(mine) > 1:
        ids = ", ".join(str(number) for number in sorted(identity(document)["id"] for document in mine))
        raise Ambiguous(f"{len(mine)} services are named {service!r}: ids {ids}", hint="Give the id instead.")
    if not mine:
        raise NotFound(f"there is no service {service!r}", endpoint=session.flow.endpoint)
    return mine[0]


def _matches(document: dict, params: dict[str, t.Any]) -> bool:
    attributes = as_dict(document.get("USER_TEMPLATE"))
    if params["role"] is not None and attributes.get("ROLE_NAME") != params["role"]:
        return False
    if params["name"] is not None and not fnmatch.fnmatchcase(str(document.get("NAME", "")), params["name"]):
        return False
    return all(attributes.get(str(key).upper()) == scalar(value) for key, value in (params["attributes"] or {}).items())
