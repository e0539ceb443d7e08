# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the hosts of a fleet are, and its inventory. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

LARGEST = 200  # the management link is a /24
PORT = 9092  # of the Fleet API of the default Flower release
OVERLAY = "10.19.0.0/24"


@dataclass(frozen=True)
class Place:
    """Zone number `number` of a fleet, and its gateway; number 0 is the coordinator's."""

    number: int

    @property
    def zone(self) -> str:
        return f"zone-{self.number:03}"

    @property
    def gateway(self) -> str:
        return f"gw-{self.number:03}"

    @property
    def lan(self) -> str:
        """The first three bytes of the /24."""
        return f"10.20.{self.number}"

    @property
    def management(self) -> str:
        """The gateway's address on the lab's management link."""
        return f"192.0.2.{10 + self.number}"

    @property
    def wan(self) -> str:
        """The gateway's address on the one network that plays the Internet (RFC 2544)."""
        return f"198.18.0.{1 + self.number}"

    @property
    def superlink(self) -> str:
        """The SuperLink's address, if this is the coordinator's zone."""
        return f"{self.lan}.5"


def places(count: int) -> list[Place]:
    """Return the zones of a fleet. Raises ValueError for a number that cannot be."""
    if not 2 <= count <= LARGEST:
        raise ValueError(f"a fleet has 2 to {LARGEST} zones, not {count}")
    return [Place(number) for number in range(count)]


def inventory(count: int, ports: Mapping[str, Mapping[str, int]], state: str) -> dict[str, t.Any]:
    """Return the inventory of a fleet; `ports` are each zone's by its name, `state` is the lab's folder with the SSH keys."""
    hub, *sites = places(count)

    def zone(place: Place) -> dict[str, t.Any]:
        given = ports[place.zone]
        return {
            "federation_endpoint": f"http://127.0.0.1:{given['xmlrpc']}/RPC2",
            "federation_oneflow_endpoint": f"http://127.0.0.1:{given['oneflow']}",
            "federation_lan": f"{place.lan}.0/24",
        }

    def gateway(place: Place) -> dict[str, t.Any]:
        return {
            "ansible_host": place.management,
            "federation_zone": place.zone,
            "federation_lan_address": f"{place.lan}.1",
            **({"federation_wan_address": place.wan} if place == hub else {}),
        }

    return {
        "all": {
            "vars": {
                "federation_name": "fleet",
                "federation_auth_file": f"{state}/one_auth",
                "federation_overlay": OVERLAY,
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            },
            "children": {
                "coordinator": {"hosts": {hub.zone: {**zone(hub), "federation_superlink_address": hub.superlink}}},
                "training_sites": {"vars": {"federation_supernodes": 1}, "hosts": {site.zone: zone(site) for site in sites}},
                "gateways": {
                    "vars": {
                        "ansible_user": "ansible",
                        "ansible_python_interpreter": "/usr/bin/python3",
                        "ansible_ssh_private_key_file": f"{state}/ssh/id_ed25519",
                        "ansible_control_path_dir": f"{state}/ssh/connections",
                        "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={state}/ssh/known_hosts "
                        "-o StrictHostKeyChecking=yes -o ControlMaster=auto -o ControlPersist=60s",
                    },
                    "hosts": {place.gateway: gateway(place) for place in (hub, *sites)},
                },
            },
        }
    }


def growth(figures: Mapping[int, float]) -> float:
    """Return how the cost of one more zone grows: that of the last step between sizes over that of the steps before; 1 is linear.

    `figures` are costs by the number of zones, three sizes at least. Raises ValueError for fewer, or where costs do not grow.
    """
    sizes = sorted(figures)
    if len(sizes) < 3:
        raise ValueError(f"three sizes are needed, not {len(sizes)}")
    first, middle, last = sizes[0], sizes[-2], sizes[-1]
    before = (figures[middle] - figures[first]) / (middle - first)
    if before <= 0:
        raise ValueError(f"{middle} zones cost no more than {first}")
    return (figures[last] - figures[middle]) / (last - middle) / before
