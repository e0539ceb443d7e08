# SPDX-License-Identifier: GPL-3.0-or-later
"""Which partition a SuperNode holds. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from .appliance import attributes


def siblings(service: Mapping[str, t.Any], vm_id: str) -> tuple[dict[str, str], int] | None:
    """Return the VMs of the own role in a OneGate /service answer: {vm id: published partition or ""}, and the cardinality.

    None while the service does not list this VM, or not yet all of its role's VMs.
    """
    roles = (service.get("SERVICE") or {}).get("roles") or []
    for role in roles:
        found: dict[str, str] = {}
        for node in role.get("nodes") or []:
            vm = (node.get("vm_info") or {}).get("VM") or {}
            number = str(vm.get("ID") or node.get("deploy_id") or "")
            published = (vm.get("USER_TEMPLATE") or {}).get(attributes.PARTITION) or ""
            if number.isdigit():
                found[number] = str(published)
        if vm_id in found:
            cardinality = int(role.get("cardinality") or 0)
            return (found, cardinality) if len(found) >= cardinality else None
    return None


def choose(nodes: Mapping[str, str], vm_id: str, numbers: Sequence[int]) -> int | None:
    """Return the partition of this VM: its rank among the VMs without one, counted over the numbers still free; None: all taken.

    All VMs of a fresh role so get their rank by VM id; a VM added later gets the lowest free number. `nodes` is what
    `siblings` found, `numbers` are the site's partitions, ascending.
    """
    taken = {int(published) for vm, published in nodes.items() if vm != vm_id and published.isdigit()}
    waiting = sorted(int(vm) for vm, published in nodes.items() if vm == vm_id or not published.isdigit())
    free = [number for number in numbers if number not in taken]
    rank = waiting.index(int(vm_id))
    return free[rank] if rank < len(free) else None
