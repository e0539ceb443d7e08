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
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.names import lock_name

from . import kinds, links, trust, variables
from .addresses import addresses, partitions
from .findings import Finding
from .inventory import Inventory
from .kept import NOTHING_KEPT, Kept
from .services import services
from .topology import GROUPS, Topology, topology

# The one of each kind so far; an inventory variable chooses among the modules of links/ and trust/ once there are more.
LINK, TRUST = "wireguard", "superlink_ca"


class PlanError(ValueError):
    """The inventory does not describe a federation that can work; `findings` lists everything found."""

    def __init__(self, findings: Iterable[Finding]):
        self.findings = list(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


def make_plan(
    groups: Mapping[str, Iterable[str]],
    hosts: Mapping[str, Mapping[str, t.Any]],
    kept: Kept = NOTHING_KEPT,
    leaving: Iterable[str] = (),
    *,
    keep_services: bool = False,
) -> dict[str, t.Any]:
    """Compute the plan of one federation.

    `groups` maps the inventory's groups to host names in inventory order; `hosts` maps the hosts of `coordinator`,
    `training_sites` and `gateways` to their variables; `kept` are the numbers that the live federation has; `leaving` are zones
    that are to be taken out of it, all of them or sites; their services stay where `keep_services` is true. Result:

    - `name`, `flower_version`, `total_supernodes`, `total_partitions` (int), `keepalive` {time_s, timeout_s, enabled};
    - `superlink` {zone, host, port, dialled ("host:port"), names (["IP:..."]), service (its name), online (attributes of its VM
      once all SuperNodes are online), idle (once no run is under way)}, `lock` (name of the lock that a run takes);
    - `zones` {host: {role ("coordinator" | "training_site"), supernodes, partitions ([numbers]), pinned
      and fresh (whether the inventory says them, and whether any is new), wait_timeout (seconds), service
      (see services.py)}};
    - `gateways` {host: variables of the role wireguard_gateway}, `served` {gateway: zone};
    - `leaving` {zones: {host: {role, wait_timeout, service}}, gateways: {host: variables of the role wireguard_gateway}};
    - `training` {rounds, again, timeout (seconds)}, `run` {variable of a run without its prefix: value};
    - `inventory` {host: {variable: value as text}} that all of this follows from, without secrets;
    - `source` {groups, hosts, leaving, keep_services}: what `again` makes the plan from once more.

    Raises `PlanError` with every finding.
    """
    gone = set(leaving)
    whole = _make(groups, hosts, kept)
    whole["source"] = {
        "groups": {group: list(groups.get(group, ())) for group in GROUPS},
        "hosts": {host: _open(given) for host, given in hosts.items()},
        "leaving": sorted(gone),
        "keep_services": keep_services,
    }
    if not gone:
        return whole
    unknown = sorted(gone - set(whole["zones"]))
    if unknown:
        known = ", ".join(whole["zones"])
        raise PlanError(
            [
                Finding("site.unknown", zone, "", f"is no zone of the federation {whole['name']!r}; it has {known}")
                for zone in unknown
            ]
        )
    served = whole["served"]
    left = {
        "zones": {zone: {**entry, "keep": keep_services} for zone, entry in whole["zones"].items() if zone in gone},
        "gateways": {
            gateway: {**given, "wireguard_gateway_state": "absent"}
            for gateway, given in whole["gateways"].items()
            if served[gateway] in gone
        },
    }
    if gone == set(whole["zones"]):
        return {**whole, "total_supernodes": 0, "zones": {}, "gateways": {}, "leaving": left}
    if whole["superlink"]["zone"] in gone:
        text = "is the coordinator, which leaves last; teardown.yml takes the whole federation away"
        raise PlanError([Finding("site.unknown", whole["superlink"]["zone"], "", text)])
    staying = {
        group: [host for host in members if host not in gone and served.get(host) not in gone] for group, members in groups.items()
    }
    names = {host for members in staying.values() for host in members}
    rest = _make(staying, {host: given for host, given in hosts.items() if host in names}, kept)
    return {**rest, "inventory": whole["inventory"], "source": whole["source"], "leaving": left}


def again(plan: Mapping[str, t.Any], kept: Kept) -> dict[str, t.Any]:
    """Return the plan of the same inventory with the numbers that are kept. Raises `PlanError`."""
    return make_plan(**plan["source"], kept=kept)


def confirm(plan: Mapping[str, t.Any]) -> None:
    """Raise `PlanError` unless the run was given the name of the federation that it takes away."""
    if plan["run"]["confirm"] != plan["name"]:
        text = f"takes away the federation {plan['name']!r}; give {variables.CONFIRM.name}={plan['name']} to say that it may"
        raise PlanError([Finding("teardown.unconfirmed", plan["superlink"]["zone"], variables.CONFIRM.name, text)])


def _open(given: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a host's variables without those that say how it is reached, which may be secret and change nothing of the plan."""
    closed = {variable.name for variable in variables.VARIABLES if variable.access or variable.secret}
    return {name: value for name, value in given.items() if name not in closed}


def _make(groups: Mapping[str, Iterable[str]], hosts: Mapping[str, Mapping[str, t.Any]], kept: Kept) -> dict[str, t.Any]:
    """Return the plan of all that the inventory has."""
    found: list[Finding] = []
    chosen = links.named(LINK)
    known = topology(groups, hosts, found, gateways_needed=chosen.NEEDS_GATEWAYS)
    inventory = Inventory(known, hosts, found)
    _endpoints(inventory, known, found)
    release = _release(inventory, known, found)
    _keepalive(inventory, known, found)
    placed = addresses(inventory, known, kept, found)
    numbered = partitions(inventory, known, kept, found)
    link = chosen.link(inventory, known, placed, release, found) if known.coordinator else None
    if found or link is None:
        raise PlanError(found)
    more = attributes.parse_names(inventory.federation(variables.CERTIFICATE_NAMES) or "")
    names = list(dict.fromkeys([*link.names, *more]))
    trusted = trust.named(TRUST).trust(names)
    service = services(inventory, known, numbered, link, trusted, release)
    return {
        "name": inventory.federation(variables.NAME),
        "lock": lock_name(inventory.federation(variables.NAME)),
        "flower_version": release.version,
        "total_supernodes": sum(numbered.supernodes.values()),
        "total_partitions": numbered.total,
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
            "names": names,
            "service": service[known.coordinator]["name"],
            "online": {attributes.NODES_ONLINE: str(sum(numbered.supernodes.values()))},
            "idle": {attributes.RUNS_ACTIVE: "0"},
        },
        "zones": {
            zone: {
                "role": "coordinator" if zone == known.coordinator else "training_site",
                "supernodes": numbered.supernodes.get(zone, 0),
                "partitions": list(numbered.numbers.get(zone, ())),
                "pinned": zone in numbered.pinned,
                "fresh": zone in numbered.fresh,
                "wait_timeout": inventory.get(zone, variables.WAIT_TIMEOUT),
                "service": service[zone],
            }
            for zone in known.zones
        },
        "gateways": {gateway: dict(given) for gateway, given in link.gateways.items()},
        "served": {gateway: zone for zone, gateway in known.gateways.items()},
        "leaving": {"zones": {}, "gateways": {}},
        "training": {
            "rounds": inventory.federation(variables.ROUNDS),
            "again": inventory.federation(variables.TRAIN),
            "timeout": inventory.federation(variables.TRAINING_TIMEOUT),
        },
        "run": {
            variable.name.removeprefix(variables.PREFIX): inventory.federation(variable)
            for variable in variables.VARIABLES
            if variable.scope == variables.RUN
        },
        "inventory": inventory.shown(),
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
