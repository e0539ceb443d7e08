# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses: LANs, tunnel addresses and partition numbers, each its own and none twice. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from . import variables
from .findings import Finding
from .inventory import Inventory
from .topology import Topology


@dataclass(frozen=True)
class Addresses:
    """Every zone's LAN, its gateway's address there and in the overlay, and the SuperLink's address; what is wrong is missing."""

    superlink: ipaddress.IPv4Address | None
    lans: Mapping[str, ipaddress.IPv4Network]
    gateways: Mapping[str, ipaddress.IPv4Address]
    tunnels: Mapping[str, ipaddress.IPv4Interface]


@dataclass(frozen=True)
class Partitions:
    """The number of SuperNodes and of the first partition of every training site, and of partitions in the federation."""

    supernodes: Mapping[str, int]
    offsets: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return the number of partitions, gaps included: the highest number and one."""
        return max((offset + self.supernodes[site] for site, offset in self.offsets.items()), default=0)


def addresses(inventory: Inventory, topology: Topology, found: list[Finding]) -> Addresses:
    """Return all addresses, and add to `found` what overlaps, collides or stands outside of its network."""
    lans = _lans(inventory, topology, found)
    gateways = {
        zone: address
        for zone, gateway in topology.gateways.items()
        if (address := _within(inventory, gateway, variables.LAN_ADDRESS, lans.get(zone), found))
    }
    hub_zone = topology.coordinator
    superlink = _within(inventory, hub_zone, variables.SUPERLINK_ADDRESS, lans.get(hub_zone), found)
    if superlink is not None and superlink == gateways.get(hub_zone):
        text = f"is {superlink}, the address of its own gateway"
        found.append(Finding("inventory.conflict", hub_zone, variables.SUPERLINK_ADDRESS.name, text))
    return Addresses(superlink, lans, gateways, _tunnels(inventory, topology, found))


def _within(
    inventory: Inventory,
    host: str,
    variable: variables.Variable,
    network: ipaddress.IPv4Network | None,
    found: list[Finding],
) -> ipaddress.IPv4Address | None:
    address: ipaddress.IPv4Address | None = inventory.get(host, variable)
    if address is None or network is None:
        return address
    if address not in network or address in (network.network_address, network.broadcast_address):
        text = f"is {address}, which is not a host address of {network}"
        found.append(Finding("inventory.conflict", host, variable.name, text))
        return None
    return address


def _lans(inventory: Inventory, topology: Topology, found: list[Finding]) -> dict[str, ipaddress.IPv4Network]:
    taken: list[tuple[str, str, ipaddress.IPv4Network]] = []
    overlay = inventory.federation(variables.OVERLAY)
    if overlay is not None:
        taken.append((topology.coordinator, variables.OVERLAY.name, overlay))
    lans = {}
    for zone in topology.zones:
        lan = inventory.get(zone, variables.LAN)
        if lan is None:
            continue
        overlapping = [
            f"{lan} overlaps {variable} {network} of {other}" for other, variable, network in taken if lan.overlaps(network)
        ]
        found += [Finding("inventory.conflict", zone, variables.LAN.name, text) for text in overlapping]
        if not overlapping:  # what stands outside of a network that is wrong is no fault of its own
            lans[zone] = lan
        taken.append((zone, variables.LAN.name, lan))
    return lans


def _tunnels(inventory: Inventory, topology: Topology, found: list[Finding]) -> dict[str, ipaddress.IPv4Interface]:
    """Return every gateway's address in the overlay, by zone: the hub's is the first, pins stay, others are the next free."""
    overlay = inventory.federation(variables.OVERLAY)
    if overlay is None:
        return {}
    if overlay.num_addresses - 2 < len(topology.sites) + 1:
        text = f"{overlay} has no room for {len(topology.sites) + 1} gateways; take a larger network"
        found.append(Finding("inventory.conflict", topology.coordinator, variables.OVERLAY.name, text))
        return {}
    tunnels = {topology.coordinator: overlay.network_address + 1}
    owner = {tunnels[topology.coordinator]: topology.coordinator}
    for site in topology.sites:
        gateway = topology.gateways.get(site, "")
        address = _within(inventory, gateway, variables.TUNNEL_ADDRESS, overlay, found)
        if address is None:
            continue
        if address in owner:
            text = f"is {address}, which {owner[address]} has already"
            found.append(Finding("inventory.conflict", gateway, variables.TUNNEL_ADDRESS.name, text))
            continue
        tunnels[site] = address
        owner[address] = site
    free = (address for address in overlay.hosts() if address not in owner)
    for site in topology.sites:
        if site not in tunnels:
            tunnels[site] = next(free)
    return {zone: ipaddress.IPv4Interface(f"{address}/{overlay.prefixlen}") for zone, address in tunnels.items()}


def partitions(inventory: Inventory, topology: Topology, found: list[Finding]) -> Partitions:
    """Return the sites' ranges of partition numbers: pinned ones stay, the others follow after the highest of them."""
    supernodes = {site: number for site in topology.sites if (number := inventory.get(site, variables.SUPERNODES)) is not None}
    offsets: dict[str, int] = {
        site: offset for site in supernodes if (offset := inventory.get(site, variables.PARTITION_OFFSET)) is not None
    }
    next_free = max((offset + supernodes[site] for site, offset in offsets.items()), default=0)
    for site, number in supernodes.items():
        if site not in offsets:
            offsets[site] = next_free
            next_free += number
    ordered = sorted(offsets, key=lambda site: offsets[site])
    for before, after in zip(ordered, ordered[1:], strict=False):
        last = offsets[before] + supernodes[before] - 1
        if last >= offsets[after]:
            text = f"is {offsets[after]}, but {before} numbers its SuperNodes {offsets[before]} to {last}"
            found.append(Finding("inventory.conflict", after, variables.PARTITION_OFFSET.name, text))
    return Partitions(supernodes, offsets)
