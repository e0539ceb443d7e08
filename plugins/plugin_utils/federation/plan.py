# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: everything that follows from the inventory, computed before anything is touched.

Pure: no I/O, no Ansible. `make_plan` takes the inventory's groups and variables and returns plain dicts, or raises
`PlanError` with every finding, each naming the host and the variable to change.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, flower_releases, settings

from . import kinds, links, trust, variables
from .addresses import addresses, partitions
from .findings import Finding
from .inventory import Inventory
from .services import services
from .topology import Topology, topology

# The one of each kind so far; an inventory variable chooses among the modules of links/ and trust/ once there are more.
LINK, TRUST = "wireguard", "superlink_ca"


class PlanError(ValueError):
    """The inventory does not describe a federation that can work; `findings` lists everything found."""

    def __init__(self, findings: Iterable[Finding]):
        self.findings = list(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


def make_plan(groups: Mapping[str, Iterable[str]], hosts: Mapping[str, Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Compute the plan of one federation.

    `groups` maps the inventory's groups to host names in inventory order; `hosts` maps the hosts of `coordinator`,
    `training_sites` and `gateways` to their variables. Result (all plain types):

    - `name`, `flower_version`, `total_supernodes` (int), `keepalive` {time_s, timeout_s, enabled};
    - `superlink` {zone, host, port, dialled ("host:port"), names (["IP:..."]), online (attributes of its VM once all SuperNodes are
      online)};
    - `zones` {host: {role ("coordinator" | "training_site"), supernodes, partition_offset, wait_timeout (seconds), service (see
      services.py)}};
    - `gateways` {host: variables of the role wireguard_gateway};
    - `training` {rounds, again, timeout (seconds)}, `report_path` (None: not said).

    Raises `PlanError` with every finding.
    """
    found: list[Finding] = []
    chosen = links.named(LINK)
    known = topology(groups, hosts, found, gateways_needed=chosen.NEEDS_GATEWAYS)
    inventory = Inventory(known, hosts, found)
    _endpoints(inventory, known, found)
    release = _release(inventory, known, found)
    _keepalive(inventory, known, found)
    placed = addresses(inventory, known, found)
    numbered = partitions(inventory, known, found)
    link = chosen.link(inventory, known, placed, release, found) if known.coordinator else None
    if found or link is None:
        raise PlanError(found)
    trusted = trust.named(TRUST).trust(link.names)
    service = services(inventory, known, numbered, link, trusted, release)
    return {
        "name": inventory.federation(variables.NAME),
        "flower_version": release.version,
        "total_supernodes": sum(numbered.supernodes.values()),
        "keepalive": {
            "time_s": inventory.federation(variables.KEEPALIVE_TIME),
            "timeout_s": inventory.federation(variables.KEEPALIVE_TIMEOUT),
            "enabled": release.keepalive,
        },
        "superlink": {
            "zone": known.coordinator,
            "host": link.host,
            "port": link.port,
            "dialled": kinds.host_port(link.host, link.port),
            "names": list(link.names),
            "online": {attributes.NODES_ONLINE: str(sum(numbered.supernodes.values()))},
        },
        "zones": {
            zone: {
                "role": "coordinator" if zone == known.coordinator else "training_site",
                "supernodes": numbered.supernodes.get(zone, 0),
                "partition_offset": numbered.offsets.get(zone),
                "wait_timeout": inventory.get(zone, variables.WAIT_TIMEOUT),
                "service": service[zone],
            }
            for zone in known.zones
        },
        "gateways": {gateway: dict(given) for gateway, given in link.gateways.items()},
        "training": {
            "rounds": inventory.federation(variables.ROUNDS),
            "again": inventory.federation(variables.TRAIN),
            "timeout": inventory.federation(variables.TRAINING_TIMEOUT),
        },
        "report_path": inventory.federation(variables.REPORT_PATH),
    }


def _endpoints(inventory: Inventory, known: Topology, found: list[Finding]) -> None:
    """Refuse two zones with one oned: their services have the same names, and would be one."""
    owner: dict[str, str] = {}
    for zone in known.zones:
        endpoint = inventory.get(zone, variables.ENDPOINT)
        if endpoint is None:
            continue
        address = endpoint.lower().rstrip("/")
        if address in owner:
            text = f"is {endpoint}, the endpoint of {owner[address]} as well; every zone has an oned of its own"
            found.append(Finding("inventory.conflict", zone, variables.ENDPOINT.name, text))
        owner.setdefault(address, zone)


def _release(inventory: Inventory, known: Topology, found: list[Finding]) -> flower_releases.FlowerRelease:
    """Return the Flower release; an unknown one is told, and the default's facts stand in for it."""
    version = inventory.federation(variables.FLOWER_VERSION)
    try:
        return flower_releases.lookup(version) if version is not None else flower_releases.DEFAULT
    except ValueError as error:
        found.append(Finding("inventory.value", known.coordinator, variables.FLOWER_VERSION.name, str(error)))
        return flower_releases.DEFAULT


def _keepalive(inventory: Inventory, known: Topology, found: list[Finding]) -> None:
    time_s, timeout_s = inventory.federation(variables.KEEPALIVE_TIME), inventory.federation(variables.KEEPALIVE_TIMEOUT)
    if time_s is None or timeout_s is None:
        return
    given = {settings.KEEPALIVE_TIME: str(time_s), settings.KEEPALIVE_TIMEOUT: str(timeout_s)}
    for name in settings.contradictions(given):
        text = f"is {timeout_s}; it must be less than {variables.KEEPALIVE_TIME.name} {time_s}"
        found.append(Finding("inventory.conflict", known.coordinator, variables.BY_SETTING[name].name, text))
