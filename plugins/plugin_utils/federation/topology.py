# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topology: which zone is the coordinator, which are training sites, and which gateway serves which zone. Pure."""

from __future__ import annotations

import difflib
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import variables
from .findings import Finding

COORDINATOR, TRAINING_SITES, GATEWAYS = GROUPS = ("coordinator", "training_sites", "gateways")


@dataclass(frozen=True)
class Topology:
    """The zones of the federation, in inventory order, the gateway of each, by zone, and the groups' hosts as they stand.

    `coordinator` is empty and gateways are missing where the inventory does not tell; the findings say so.
    """

    coordinator: str
    sites: tuple[str, ...]
    gateways: Mapping[str, str]
    members: Mapping[str, tuple[str, ...]]

    @property
    def zones(self) -> tuple[str, ...]:
        """Return all zones, the coordinator first."""
        return (self.coordinator, *self.sites) if self.coordinator else self.sites

    @property
    def hub(self) -> str:
        """Return the coordinator's gateway, empty where there is none."""
        return self.gateways.get(self.coordinator, "")


def topology(
    groups: Mapping[str, Iterable[str]], hosts: Mapping[str, Mapping[str, t.Any]], found: list[Finding], *, gateways_needed: bool
) -> Topology:
    """Return the topology that the inventory's groups describe, and add to `found` what is wrong with them.

    `groups` maps every group of the inventory to its hosts, `hosts` every host to its variables.
    """
    members = {group: tuple(groups.get(group, ())) for group in GROUPS}
    coordinator, sites = members[COORDINATOR], members[TRAINING_SITES]
    if len(coordinator) != 1:
        held = ", ".join(coordinator) or "none"
        found.append(_group(COORDINATOR, f"must hold exactly one zone, it holds {held}{_near(COORDINATOR, groups)}"))
    if not sites:
        found.append(_group(TRAINING_SITES, f"must hold at least one zone, it holds none{_near(TRAINING_SITES, groups)}"))
    for zone in (zone for zone in sites if zone in coordinator):
        found.append(_group(TRAINING_SITES, "is also the coordinator; a zone is one or the other", zone))
    for gateway in members[GATEWAYS]:
        for group in (group for group in (COORDINATOR, TRAINING_SITES) if gateway in members[group]):
            found.append(_group(GATEWAYS, f"is also in {group}; a zone host is an API endpoint, a gateway is a host", gateway))
    zones = tuple(dict.fromkeys([*coordinator, *sites]))
    served: dict[str, str] = {}
    for gateway in members[GATEWAYS]:
        zone = str(hosts[gateway].get(variables.GATEWAY_ZONE.name) or "")
        if not zone:
            continue  # told as missing
        if zone not in zones:
            near = difflib.get_close_matches(zone, zones, n=1)
            text = f"is {zone!r}, which is in neither {COORDINATOR} nor {TRAINING_SITES}" + (f"; is it {near[0]}?" if near else "")
            found.append(Finding("inventory.value", gateway, variables.GATEWAY_ZONE.name, text))
        elif zone in served:
            text = f"is {zone}, which {served[zone]} serves already"
            found.append(Finding("inventory.conflict", gateway, variables.GATEWAY_ZONE.name, text))
        else:
            served[zone] = gateway
    for zone in zones if gateways_needed else ():
        if zone not in served:
            text = f"no gateway has {variables.GATEWAY_ZONE.name}: {zone}{_near(GATEWAYS, groups) if not members[GATEWAYS] else ''}"
            found.append(_group(GATEWAYS, text, zone))
    return Topology(
        coordinator=coordinator[0] if len(coordinator) == 1 else "",
        sites=tuple(zone for zone in dict.fromkeys(sites) if zone not in coordinator[:1]),
        gateways=served,
        members=members,
    )


def _group(group: str, text: str, host: str = "inventory") -> Finding:
    return Finding("inventory.groups", host, f"group {group}", text)


def _near(group: str, groups: Mapping[str, t.Any]) -> str:
    """Return a hint at a group whose name is nearly that one."""
    others = [name for name in groups if name not in (*GROUPS, "all", "ungrouped")]
    near = difflib.get_close_matches(group, others, n=1, cutoff=0.6) or [name for name in others if name in group]
    return f"; is the group {near[0]} meant?" if near else ""
