# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation: what was read of the live federation, and what could not be read. Pure.

Everything in it comes from zones, VMs and gateways, so it is compared as text and never evaluated.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes

from .findings import KINDS, UNREAD
from .gateways import NOT_IN_THIS_RUN, Gateway


@dataclass(frozen=True)
class Vm:
    """One VM of a service: its id, the role that it belongs to, and the user attributes that it shows."""

    id: int | str
    name: str = ""
    addresses: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    state: str = ""

    @classmethod
    def from_node(cls, node: Mapping[str, t.Any], role: str = "") -> Vm:
        """Read a node of a service as federation_zone_info returns it."""
        shown = {str(key): str(value) for key, value in (node.get("attributes") or {}).items()}
        addresses = tuple(str(address) for address in node.get("addresses") or ())
        state = str(node.get("lcm_state") if node.get("state") == "ACTIVE" else node.get("state") or "")
        return cls(node.get("vm_id", "?"), str(node.get("name", "")), addresses, shown, role, state)


@dataclass(frozen=True)
class Zone:
    """A zone's service as it was read. `unread` says why nothing is known of it, `code` as a finding; `absent` that there is none.

    `failure` is why a failed service failed. `inputs` and `contents` are what the role was made with, `vm_template` and `network`
    the ids that the zone has for the names of the plan (None: there is none). `template` is the service template's body, None where
    there is none. `federations` are the names of all federations that have a service in the zone, `faults` what is not there or
    not unique, by option of federation_zone_info.

    While the VMs are being replaced there are two services: `own`, None where it is gone already, and `successor`. The zone then
    has the VMs of both, and all else of the first of them.
    """

    unread: str = ""
    code: str = ""
    absent: bool = False
    id: int | None = None
    state: str = ""
    failure: str = ""
    vms: tuple[Vm, ...] = ()
    cardinality: int = 0
    role_template: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, t.Any] = field(default_factory=dict)
    template: Mapping[str, t.Any] | None = None
    vm_template: int | None = None
    network: int | None = None
    federations: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    own: Zone | None = None
    successor: Zone | None = None

    @classmethod
    def from_result(cls, result: Mapping[str, t.Any] | None) -> Zone:
        """Read a result of federation_zone_info; None where there is none."""
        if result is None:
            return cls(unread=NOT_IN_THIS_RUN, code="zone.unread")
        service = result.get("service")
        if not isinstance(service, Mapping):
            return cls(unread=str(result.get("unread") or "it gave no answer"), code=_code(result.get("error")))
        template = result.get("template") or {}
        known: dict[str, t.Any] = {
            "template": template.get("body") or None,
            "vm_template": result.get("vm_template_id"),
            "network": result.get("network_id"),
            "federations": tuple(str(name) for name in result.get("federations") or ()),
            "faults": {str(option): str(text) for option, text in (result.get("faults") or {}).items()},
        }
        if int(result.get("services_found") or 0) > 1:
            return cls(
                code="zone.unread",
                unread=f"it has {result['services_found']} services of that name; remove those that are not the federation's",
                **known,
            )
        if twice := (result.get("faults") or {}).get("successor"):
            return cls(unread=str(twice), code="zone.unread", **known)
        own = cls._of(service) if service else None
        successor = cls._of(result["successor"]) if result.get("successor") else None
        if successor is None:
            return replace(own or cls(absent=True), **known)
        first = own or successor
        parts = [part for part in (own, successor) if part is not None]
        return replace(
            first,
            **known,
            state=next((part.state for part in parts if part.state != "RUNNING"), first.state),
            failure="; ".join(part.failure for part in parts if part.failure),
            vms=tuple(vm for part in parts for vm in part.vms),
            cardinality=sum(part.cardinality for part in parts),
            own=own,
            successor=successor,
        )

    @classmethod
    def _of(cls, service: Mapping[str, t.Any]) -> Zone:
        """Read what federation_zone_info tells of one service."""
        roles = service.get("roles") or ()
        first: Mapping[str, t.Any] = roles[0] if roles else {}
        return cls(
            id=service.get("id"),
            state=str(service.get("state", "")),
            failure=str(service.get("failure") or ""),
            vms=tuple(Vm.from_node(node, str(role.get("name", ""))) for role in roles for node in role.get("nodes") or ()),
            cardinality=sum(int(role.get("cardinality") or 0) for role in roles),
            role_template=first.get("template_id"),
            inputs={str(name): str(value) for name, value in (first.get("inputs") or {}).items()},
            contents=first.get("contents") or {},
        )

    @property
    def parts(self) -> tuple[Zone, ...]:
        """Return the services one by one, the one that was first first."""
        if self.successor is not None:
            return (self.successor,) if self.own is None else (self.own, self.successor)
        return () if self.unread or self.absent else (self,)

    @property
    def superlink(self) -> Vm | None:
        """Return the VM of a coordinator's service."""
        return self.vms[0] if self.vms else None

    @property
    def runs_active(self) -> int:
        """Return the number of runs under way that the SuperLink tells of."""
        told = self.vms[0].attributes.get(attributes.RUNS_ACTIVE, "") if self.vms else ""
        return int(told) if told.isdigit() else 0


def _code(error: t.Any) -> str:
    """Return the code for an error that kept a zone from being read."""
    code = KINDS.get(str(error.get("kind")), "") if isinstance(error, Mapping) else ""
    return code if code in UNREAD else "zone.unread"


@dataclass(frozen=True)
class Observation:
    """All zones and gateways of the plan, those that leave as well, by name."""

    zones: Mapping[str, Zone]
    gateways: Mapping[str, Gateway]


def observation(plan: Mapping[str, t.Any], results: Mapping[str, Mapping[str, t.Any]]) -> Observation:
    """Return the observation that the hosts' `results` make, {host: what federation_observe returned}."""
    zones = {**plan["zones"], **plan["leaving"]["zones"]}
    gateways = {**plan["gateways"], **plan["leaving"]["gateways"]}
    return Observation(
        {zone: Zone.from_result(results.get(zone)) for zone in zones},
        {gateway: Gateway.from_result(results.get(gateway)) for gateway in gateways},
    )


# What a host's task federation_observe registers its result as.
REGISTERED = "observe_result"


def observed(plan: Mapping[str, t.Any], hostvars: t.Any) -> Observation:
    """Return the observation of this run, from Ansible's `hostvars`: what each host registered."""
    hosts = [*plan["zones"], *plan["gateways"], *plan["leaving"]["zones"], *plan["leaving"]["gateways"]]
    # The raw value is not templated: a zone's text is never evaluated, and a hundred hosts cost nothing.
    registered = {host: (hostvars.raw_get(host) or {}).get(REGISTERED) for host in hosts if host in hostvars}
    return observation(
        plan, {host: found["observed"] for host, found in registered.items() if isinstance(found, Mapping) and "observed" in found}
    )
