# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_resource_info: find VM templates and virtual networks of a zone by name or id."""

from __future__ import annotations

import typing as t

from ..answers import as_dict, as_list, to_int
from ..lookup import in_pool
from ..session import Session

ARGUMENTS: dict[str, t.Any] = {
    "vm_templates": {"type": "list", "elements": "str", "default": []},
    "virtual_networks": {"type": "list", "elements": "str", "default": []},
}
RULES: dict[str, t.Any] = {}

# Option: pool method, element of the pool, what a person calls it. Pool arguments: all that the user may see, all ids.
POOLS = {
    "vm_templates": ("templatepool.info", "VMTEMPLATE", "VM template", (-2, -1, -1)),
    "virtual_networks": ("vnpool.info", "VNET", "virtual network", (-2, -1, -1)),
}


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, vm_templates, virtual_networks}, each a list of {id, name, attributes} in the order asked for."""
    result: dict[str, t.Any] = {"changed": False}
    for option, (method, element, kind, arguments) in POOLS.items():
        asked = params[option]
        pool = [as_dict(entry) for entry in as_list(as_dict(session.oned.call(method, *arguments)).get(element))] if asked else []
        result[option] = [_find(pool, str(name).strip(), kind, session) for name in asked]
    return result


def _find(pool: list[dict[str, t.Any]], asked: str, kind: str, session: Session) -> dict[str, t.Any]:
    entry = in_pool(pool, asked, kind, caller=session.username, endpoint=session.oned.endpoint)
    return {"id": to_int(entry.get("ID")), "name": entry.get("NAME"), "attributes": as_dict(entry.get("TEMPLATE"))}
