# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that are kept: what exists never moves because something else comes, goes or is listed in another order. Pure.

A pin in the inventory comes first, then what is kept here, then the next free number.
"""

from __future__ import annotations

import contextlib
import ipaddress
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings

from .gateways import Gateway
from .observation import Observation, Zone


@dataclass(frozen=True)
class Kept:
    """What the live federation holds.

    `partitions` are the numbers of each site: those its VMs hold, and those its service was made with. `tunnels` are the addresses
    of gateways in the overlay, by gateway, `taken` those that somebody has whom the inventory does not know.
    """

    partitions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tunnels: Mapping[str, ipaddress.IPv4Address] = field(default_factory=dict)
    taken: frozenset[ipaddress.IPv4Address] = frozenset()


NOTHING_KEPT = Kept()


def kept(plan: Mapping[str, t.Any], observed: Observation) -> Kept:
    """Return what is kept of the live federation that `observed` shows. The plan tells the hosts and the hub."""
    hub = next((name for name, given in plan["gateways"].items() if given["wireguard_gateway_role"] == "hub"), "")
    known = _peers(observed.gateways[hub], plan["gateways"][hub]["wireguard_gateway_peers"]) if hub in observed.gateways else {}
    # What a gateway has itself comes before what the hub has of it.
    tunnels = {name: address for name, address in known.items() if name in observed.gateways}
    tunnels |= {name: address for name, gateway in observed.gateways.items() if (address := _interface(gateway.address))}
    return Kept(
        partitions={zone: numbers for zone, found in observed.zones.items() if (numbers := _partitions(found))},
        tunnels=tunnels,
        taken=frozenset(set(known.values()) - set(tunnels.values())),
    )


def _partitions(zone: Zone) -> tuple[int, ...]:
    held = {int(number) for vm in zone.vms if (number := vm.attributes.get(attributes.PARTITION, "")).isdigit()}
    for part in zone.parts:
        with contextlib.suppress(ValueError):  # what a zone tells is input; a list that makes no sense reserves nothing
            held |= set(settings.parse_numbers(part.inputs.get(settings.PARTITIONS, "")))
    return tuple(sorted(held))


def _interface(address: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Interface(address).ip
    except ValueError:
        return None


def _peers(hub: Gateway, planned: Iterable[Mapping[str, t.Any]]) -> dict[str, ipaddress.IPv4Address]:
    """Return the tunnel addresses of the peers that the hub knows, by host; one that was renamed is known by its site's LAN."""
    planned = list(planned)
    hosts = {peer["host"] for peer in planned}
    by_lan = {network: peer["host"] for peer in planned for network in peer["allowed_ips"] if not network.endswith("/32")}
    found = {}
    for name, networks in hub.peers:
        renamed = next((by_lan[network] for network in networks if network in by_lan), name)
        for network in networks:
            if network.endswith("/32") and (address := _interface(network)):
                found[name if name in hosts else renamed] = address
    return found
