# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's addresses, names and places; the single definition of them. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

NAME = os.environ.get("ONEFLOWER_LAB", "oneflower")
STATE = Path(f"/run/{NAME}-lab")
CACHE = Path(os.environ.get("ONEFLOWER_LAB_CACHE", "/var/cache/oneflower-lab"))
REPOSITORY = Path(__file__).resolve().parent.parent

MANAGEMENT = "192.0.2"  # TEST-NET-1 (RFC 5737): controller .1, gateways .11-13, front-ends .21-23, scratch hosts .100-
# The hub's ports that the Internet lets through: one for each federation.
WIREGUARD_PORTS = "51820-51829"
# After this many seconds without a packet the routers forget a connection, as small firewalls on the Internet do.
IDLE_TIMEOUT_S = 60
# Public addresses that the provider of zone c hands out, one at a time.
DYNAMIC_ADDRESSES = tuple(f"203.0.113.{number}" for number in range(129, 139))
PORTS = {"xmlrpc": 2633, "oneflow": 2474, "onegate": 5030}
# Where lab.zone.faults listens, on loopback in the front-end's network namespace.
ADMIN_PORT = 9869


@dataclass(frozen=True)
class Site:
    """One zone: its letter, OpenNebula id, WAN link (/30, router and gateway address) and number in all other addresses."""

    letter: str
    zone_id: int
    number: int
    wan_router: str
    wan_address: str
    translated: bool

    @property
    def zone(self) -> str:
        return f"zone-{self.letter}"

    @property
    def gateway(self) -> str:
        return f"gw-{self.letter}"

    @property
    def front_end(self) -> str:
        return f"fe-{self.letter}"

    @property
    def lan(self) -> str:
        """The first three bytes of the /24."""
        return f"10.10.{9 + self.number}"

    @property
    def gateway_management(self) -> str:
        return f"{MANAGEMENT}.{10 + self.number}"

    @property
    def front_end_management(self) -> str:
        return f"{MANAGEMENT}.{20 + self.number}"

    @property
    def endpoint(self) -> str:
        return f"http://{self.front_end_management}:{PORTS['xmlrpc']}/RPC2"


SITES = (
    Site("a", 0, 1, "203.0.113.1", "203.0.113.2", False),
    Site("b", 100, 2, "203.0.113.5", "203.0.113.6", False),
    Site("c", 101, 3, "100.64.12.1", "100.64.12.2", True),
)
HUB = SITES[0]


def site(letter: str) -> Site:
    """Return the site of a letter; raises ValueError with the known ones."""
    for candidate in SITES:
        if candidate.letter == letter:
            return candidate
    raise ValueError(f"there is no site {letter!r}; there are {', '.join(s.letter for s in SITES)}")


def namespace(host: str) -> str:
    """Return the name of a host's network namespace."""
    return f"{NAME}-{host}"


def vm(letter: str, vm_id: int) -> str:
    """Return the lab host that is a VM of a zone."""
    return f"vm-{letter}-{vm_id}"
