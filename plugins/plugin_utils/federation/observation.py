# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation: what was read of the live federation, and what could not be read. Pure.

Everything in it comes from zones, VMs and gateways, so it is compared as text and never evaluated.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NOT_IN_THIS_RUN = "it was not in this run"


@dataclass(frozen=True)
class Vm:
    """One VM of a service: its id and the user attributes that it shows."""

    id: int | str
    name: str = ""
    addresses: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_node(cls, node: Mapping[str, t.Any]) -> Vm:
        """Read a node of a service as oneflow_service_info returns it."""
        attributes = {str(key): str(value) for key, value in (node.get("attributes") or {}).items()}
        addresses = tuple(str(address) for address in node.get("addresses") or ())
        return cls(node.get("vm_id", "?"), str(node.get("name", "")), addresses, attributes)


@dataclass(frozen=True)
class Zone:
    """A zone's service as it was read. `unread` says why nothing is known of it; `absent` that there is no service."""

    unread: str = ""
    absent: bool = False
    id: int | None = None
    state: str = ""
    vms: tuple[Vm, ...] = ()

    @classmethod
    def from_result(cls, result: Mapping[str, t.Any] | None) -> Zone:
        """Read a result of oneflow_service_info; None where there is none."""
        if result is None:
            return cls(unread=NOT_IN_THIS_RUN)
        services = result.get("services")
        if not isinstance(services, (list, tuple)):
            return cls(unread=str(result.get("msg") or "it gave no answer"))
        if not services:
            return cls(absent=True)
        if len(services) > 1:
            ids = ", ".join(str(service.get("id")) for service in services)
            return cls(
                unread=f"it has {len(services)} services of that name (ids {ids}); remove those that are not the federation's"
            )
        (service,) = services
        nodes = [node for role in service.get("roles") or () for node in role.get("nodes") or ()]
        return cls(id=service.get("id"), state=str(service.get("state", "")), vms=tuple(Vm.from_node(node) for node in nodes))


@dataclass(frozen=True)
class Gateway:
    """A gateway's tunnel as it was read: seconds since the last handshake of each peer (None: never), and the TLS probe."""

    unread: str = ""
    running: bool = False
    ages: tuple[int | None, ...] = ()
    probe: Mapping[str, t.Any] = field(default_factory=dict)

    @classmethod
    def from_results(cls, tunnel: Mapping[str, t.Any] | None, probe: Mapping[str, t.Any] | None) -> Gateway:
        """Read a result of gateway_info and one of tls_probe; None where there is none."""
        if tunnel is None:
            return cls(unread=NOT_IN_THIS_RUN)
        gateway = tunnel.get("gateway")
        if tunnel.get("unreachable") or not isinstance(gateway, Mapping):
            return cls(unread=" ".join(str(tunnel.get("msg") or "it gave no answer").split()))
        interface = gateway.get("live") or {}
        peers = interface.get("peers") or ()
        return cls(
            running=bool(interface),
            ages=tuple(peer.get("latest_handshake_age") for peer in peers),
            probe=probe or {},
        )

    @property
    def age(self) -> int | None:
        """Return the seconds since the latest handshake of any peer, None where there was none."""
        return min((age for age in self.ages if age is not None), default=None)


@dataclass(frozen=True)
class Observation:
    """All zones and gateways of the plan, by name."""

    zones: Mapping[str, Zone]
    gateways: Mapping[str, Gateway]


def observation(zones: Iterable[str], gateways: Iterable[str], results: Mapping[str, Mapping[str, t.Any]]) -> Observation:
    """Return the observation that the hosts' `results` {host: {service, tunnel, probe}} make, each as its module returned it."""
    return Observation(
        {zone: Zone.from_result(results.get(zone, {}).get("service")) for zone in zones},
        {
            gateway: Gateway.from_results(results.get(gateway, {}).get("tunnel"), results.get(gateway, {}).get("probe"))
            for gateway in gateways
        },
    )
