# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the versions of OpenNebula that a lab zone plays: one table, asked by all of its parts.

7.4 is held to recordings; the others follow published source and OpenNebula's issues.
"""

from __future__ import annotations

import dataclasses

FAMILIES = ((6, 10), (7, 0), (7, 2), (7, 4))


@dataclasses.dataclass(frozen=True)
class Facts:
    """What one version does.

    `generation`: 6 or 7, the names and the merging of OneFlow (lab.zone.oneflow.generation6 has those of 6). In 6 a role's CONTEXT
    takes the place of the VM template's; in 7 it is merged into it. In 7 a role has a type, "vm" or "vr"; a
    "vr" role is deployed like the other here, as no virtual router was recorded.
    `vm_template`: the key of a role that names its VM template.
    `routes_from_nics`: whether a guest gets ETHx_ROUTES from the ROUTES of a NIC or its network (OpenNebula issue 7348).
    """

    generation: int
    vm_template: str
    routes_from_nics: bool


def facts(version: str) -> Facts:
    """Return the facts of a version such as "7.4.0". Raises ValueError for one that the lab zone does not play."""
    try:
        family = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        family = ()
    if family not in FAMILIES:
        known = ", ".join(f"{major}.{minor}" for major, minor in FAMILIES)
        raise ValueError(f"version {version!r}: a lab zone plays {known}")
    return Facts(
        generation=family[0],
        vm_template="template_id" if family >= (7, 0) else "vm_template",
        routes_from_nics=family >= (7, 2),
    )
