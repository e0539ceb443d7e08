# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WireGuard, hub and spoke: the coordinator's gateway is the hub, every training site's gateway is a spoke. Pure.

Sites dial the SuperLink's LAN address, which is routed through the tunnel; they reach that address and nothing else.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oneflower.federation.plugins.module_utils.appliance.flower_releases import FlowerRelease

from .. import kinds, variables
from ..addresses import Addresses
from ..findings import Finding
from ..inventory import Inventory
from ..topology import Topology
from . import Link

NEEDS_GATEWAYS = True
# Half of the shortest idle time in common stateful firewalls (UDP mappings: 30 s), with margin. Seconds.
PERSISTENT_KEEPALIVE = 25


def link(
    inventory: Inventory, topology: Topology, addresses: Addresses, release: FlowerRelease, found: list[Finding]
) -> Link | None:
    """Return the link, None where something that it needs is wrong; whoever found that has told it."""
    zones, superlink = topology.zones, addresses.superlink
    by_zone = (topology.gateways, addresses.lans, addresses.gateways, addresses.tunnels)
    mtus = {zone: inventory.get(topology.gateways.get(zone, ""), variables.UNDERLAY_MTU) for zone in zones}
    wan = inventory.get(topology.hub, variables.WAN_ADDRESS)
    port = inventory.federation(variables.WIREGUARD_PORT)
    interface = inventory.federation(variables.WIREGUARD_INTERFACE)
    name = inventory.federation(variables.NAME)
    if not all(zone in mapping for zone in zones for mapping in by_zone) or None in (
        superlink,
        wan,
        port,
        interface,
        name,
        *mtus.values(),
    ):
        return None
    hub_zone, tunnels, lans = topology.coordinator, addresses.tunnels, addresses.lans
    hub = {
        "host": topology.hub,
        "endpoint": kinds.host_port(wan, port),
        "allowed_ips": [f"{tunnels[hub_zone].ip}/32", f"{superlink}/32"],
        "persistent_keepalive": PERSISTENT_KEEPALIVE,
    }
    spokes = [
        {"host": topology.gateways[site], "allowed_ips": [f"{tunnels[site].ip}/32", str(lans[site])]} for site in topology.sites
    ]

    def gateway(zone: str) -> dict[str, t.Any]:
        is_hub = zone == hub_zone
        return {
            "wireguard_gateway_interface": interface,
            "wireguard_gateway_federation": name,
            "wireguard_gateway_role": "hub" if is_hub else "spoke",
            "wireguard_gateway_address": str(tunnels[zone]),
            "wireguard_gateway_listen_port": port if is_hub else 0,
            "wireguard_gateway_mtu": mtus[zone] - variables.WIREGUARD_OVERHEAD,
            "wireguard_gateway_lan": str(lans[zone]),
            "wireguard_gateway_superlink_address": str(superlink),
            "wireguard_gateway_fleet_port": release.fleet_port,
            "wireguard_gateway_peers": spokes if is_hub else [hub],
        }

    def routes(zone: str) -> str:
        """Return what the zone's VMs reach through their gateway, whatever the order of the inventory."""
        reached = [tunnels[zone].network, *sorted(lans[site] for site in topology.sites)]
        return ", ".join(
            f"{network} via {addresses.gateways[zone]}" for network in (reached if zone == hub_zone else [f"{superlink}/32"])
        )

    return Link(
        host=str(superlink),
        port=release.fleet_port,
        names=(f"IP:{superlink}",),
        nics={zone: {"IP": str(superlink)} if zone == hub_zone else {} for zone in zones},
        routes={zone: routes(zone) for zone in zones},
        gateways={topology.gateways[zone]: gateway(zone) for zone in zones},
    )
