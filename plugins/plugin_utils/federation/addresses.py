# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses: LANs, tunnel addresses and partition numbers, each its own and none twice. Pure."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import settings

from . import variables
from .findings import Finding
from .inventory import Inventory
from .kept import Kept
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
    """The number of SuperNodes and the partition numbers of every training site.

    A site may have more numbers than SuperNodes: those of VMs that it had before stay its own. `pinned` are the sites whose numbers
    all stand in the inventory, `fresh` the sites that get numbers they did not have.
    """

    supernodes: Mapping[str, int]
    numbers: Mapping[str, tuple[int, ...]]
    pinned: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()

    @property
    def total(self) -> int:
        """Return the number of partitions, gaps included: the highest number and one."""
        return max((number for numbers in self.numbers.values() for number in numbers), default=-1) + 1


def addresses(inventory: Inventory, topology: Topology, kept: Kept, found: list[Finding]) -> Addresses:
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
    return Addresses(superlink, lans, gateways, _tunnels(inventory, topology, kept, found))


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


def _tunnels(inventory: Inventory, topology: Topology, kept: Kept, found: list[Finding]) -> dict[str, ipaddress.IPv4Interface]:
    """Return every gateway's address in the overlay, by zone.

    The hub's is the first. Of the others, pins come first, then what gateways have already, then the next free ones.
    """
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
    ends = (overlay.network_address, overlay.broadcast_address)
    for site in topology.sites:
        has = kept.tunnels.get(topology.gateways.get(site, ""))
        if site not in tunnels and has is not None and has in overlay and has not in ends and has not in owner:
            tunnels[site] = has
            owner[has] = site
    free = (address for address in overlay.hosts() if address not in owner and address not in kept.taken)
    for site in topology.sites:
        if site not in tunnels:
            address = next(free, None)
            if address is None:
                text = f"{overlay} has no address left for {site}; take a larger network"
                found.append(Finding("inventory.conflict", topology.coordinator, variables.OVERLAY.name, text))
                return {}
            tunnels[site] = address
    return {zone: ipaddress.IPv4Interface(f"{address}/{overlay.prefixlen}") for zone, address in tunnels.items()}


def partitions(inventory: Inventory, topology: Topology, kept: Kept, found: list[Finding]) -> Partitions:
    """Return the sites' partition numbers: pinned ones, then what a site has already, then the lowest free ones.

    A pinned site keeps what it has from its pin on, so that it can be scaled without a VM being made anew.
    """
    supernodes = {site: number for site in topology.sites if (number := inventory.get(site, variables.SUPERNODES)) is not None}
    numbers: dict[str, tuple[int, ...]] = {}
    owner: dict[int, str] = {}

    def give(site: str, given: Iterable[int]) -> None:
        numbers[site] = tuple(sorted(given))
        owner.update(dict.fromkeys(numbers[site], site))

    pins: dict[str, range] = {}
    for site, number in supernodes.items():
        offset = inventory.get(site, variables.PARTITION_OFFSET)
        if offset is None:
            continue
        pin = range(offset, offset + number)
        other = next((name for name, taken in pins.items() if taken.start < pin.stop and pin.start < taken.stop), None)
        if other is not None:
            text = f"is {offset}, but {other} numbers its SuperNodes {settings.format_numbers(pins[other])}"
            found.append(Finding("inventory.conflict", site, variables.PARTITION_OFFSET.name, text))
        pins[site] = pin
    for site, pin in pins.items():
        others = {number for other, taken in pins.items() if other != site for number in taken} | set(owner)
        own = [number for number in kept.partitions.get(site, ()) if number >= pin.start and number not in others]
        if own:
            others |= {number for other, has in kept.partitions.items() if other != site for number in has}
            more = (number for number in itertools.count(pin.start) if number not in own and number not in others)
            own = [*own, *itertools.islice(more, max(0, len(pin) - len(own)))]
        give(site, own or pin)
    for site in supernodes:
        left = [number for number in kept.partitions.get(site, ()) if number not in owner]
        if site not in numbers and left:
            give(site, left)
    free = (number for number in itertools.count() if number not in owner)
    short = {site: number - len(numbers.get(site, ())) for site, number in supernodes.items()}
    for site, missing in short.items():
        if missing > 0:
            give(site, [*numbers.get(site, ()), *itertools.islice(free, missing)])
    pinned = frozenset(site for site, pin in pins.items() if set(numbers[site]) <= set(pin))
    fresh = frozenset(site for site in supernodes if not set(numbers[site]) <= set(kept.partitions.get(site, ())))
    return Partitions(supernodes, numbers, pinned, fresh)
