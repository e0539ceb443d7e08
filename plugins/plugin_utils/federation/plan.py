# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: everything that follows from the inventory, computed before anything is touched.

Pure: no I/O, no Ansible. `make_plan` takes the inventory's groups and variables and returns plain dicts, or raises
`PlanError` with every problem it found, each naming the host and the variable to change.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import flower_releases, settings

# A WireGuard packet costs at most 80 bytes: IPv6 header 40, UDP 8, WireGuard header and tag 32.
WIREGUARD_OVERHEAD = 80
# The smallest MTU an IPv6 link may have (RFC 8200, section 5).
MINIMUM_MTU = 1280
# Half of the shortest idle time in common stateful firewalls (UDP mappings: 30 s), with margin.
PERSISTENT_KEEPALIVE = 25

GROUPS = ("coordinator", "training_sites", "gateways")

DEFAULTS: dict[str, t.Any] = {
    "federation_name": "flower",
    "federation_flower_version": "1.39.0",
    "federation_overlay": "10.10.9.0/24",
    "federation_wireguard_interface": "wg0",
    "federation_wireguard_port": 51820,
    "federation_underlay_mtu": 1500,
    "federation_keepalive_time": 60,
    "federation_keepalive_timeout": 20,
    "federation_log_level": "INFO",
    "federation_vm_template": "flower-appliance",
    "federation_network": "lan",
    "federation_supernodes": 2,
}


@dataclass(frozen=True)
class Problem:
    """One thing in the inventory that cannot work: where it stands, which variable to change, and why."""

    host: str
    variable: str
    message: str

    def __str__(self) -> str:
        return f"{self.host}: {self.variable}: {self.message}"


class PlanError(ValueError):
    """The inventory does not describe a federation that can work; `problems` lists everything found."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class _Reader:
    """Reads typed variables of inventory hosts and collects problems instead of stopping at the first."""

    def __init__(self, hosts: Mapping[str, Mapping[str, t.Any]]):
        self.hosts = hosts
        self.problems: list[Problem] = []

    def problem(self, host: str, variable: str, message: str) -> None:
        self.problems.append(Problem(host, variable, message))

    def get(self, host: str, variable: str) -> t.Any:
        value = self.hosts[host].get(variable, DEFAULTS.get(variable))
        if isinstance(value, str):
            value = value.strip()
        return None if value == "" else value

    def required(self, host: str, variable: str, meaning: str) -> t.Any:
        value = self.get(host, variable)
        if value is None:
            self.problem(host, variable, f"is not set; it is {meaning}")
        return value

    def integer(self, host: str, variable: str, low: int, high: int) -> int:
        raw = self.get(host, variable)
        try:
            value = int(str(raw))
        except ValueError:
            value = low - 1
        if isinstance(raw, bool) or not low <= value <= high:
            self.problem(host, variable, f"is {raw!r}; a whole number from {low} to {high} is needed")
            return low
        return value

    def network(self, host: str, variable: str, meaning: str) -> ipaddress.IPv4Network | None:
        raw = self.required(host, variable, meaning)
        if raw is None:
            return None
        try:
            return ipaddress.IPv4Network(str(raw))
        except ValueError as error:
            self.problem(host, variable, f"is {raw!r}, not an IPv4 network such as 10.10.11.0/24 ({error})")
            return None

    def address(self, host: str, variable: str, meaning: str, within: ipaddress.IPv4Network | None) -> ipaddress.IPv4Address | None:
        raw = self.required(host, variable, meaning)
        if raw is None:
            return None
        try:
            address = ipaddress.IPv4Address(str(raw))
        except ValueError:
            self.problem(host, variable, f"is {raw!r}, not an IPv4 address")
            return None
        if within is not None and (address not in within or address in (within.network_address, within.broadcast_address)):
            self.problem(host, variable, f"is {address}, which is not a host address of {within}")
            return None
        return address


def make_plan(groups: Mapping[str, list[str]], hosts: Mapping[str, Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Compute the plan of one federation.

    `groups` maps `coordinator`, `training_sites` and `gateways` to inventory host names in inventory order; `hosts`
    maps each of those names to its variables. Result (all plain types):

    - `name`, `flower_version`, `fleet_transport`, `total_supernodes` (int), `keepalive` {time_s, timeout_s, enabled};
    - `superlink` {zone, address (LAN), port, dialled ("host:port"), sans (["IP:..."])};
    - `zones` {host: {role, site, lan, gateway, supernodes, partition_offset, service {name, role, cardinality, inputs,
      context, nic, vm_template, network, trusts_superlink}}};
    - `gateways` {host: variables of the role wireguard}, `wireguard` {interface, overlay, port}.

    Raises `PlanError` with every problem.
    """
    reader = _Reader(hosts)
    coordinator, sites = _zones(reader, groups)
    gateways = _gateways(reader, groups, [*coordinator, *sites])
    if reader.problems or not coordinator:
        raise PlanError(reader.problems)
    hub_zone = coordinator[0]

    version = _flower_version(reader, hub_zone)
    lans = _lans(reader, hub_zone, sites, gateways)
    superlink = reader.address(
        hub_zone,
        "federation_superlink_address",
        "the SuperLink's fixed address on the coordinator's LAN",
        lans.get(hub_zone),
    )
    lan_addresses = {
        zone: reader.address(gateway, "federation_lan_address", "the gateway's address on its zone's LAN", lans[zone])
        for zone, gateway in gateways.items()
        if zone in lans
    }
    if superlink is not None and superlink == lan_addresses.get(hub_zone):
        reader.problem(hub_zone, "federation_superlink_address", f"is {superlink}, the address of its own gateway")
    tunnel = _tunnel_addresses(reader, hub_zone, sites, gateways)
    keepalive = _keepalive(reader, hub_zone, version)
    supernodes = {site: reader.integer(site, "federation_supernodes", 1, 1000) for site in sites}
    offsets = _partition_offsets(reader, sites, supernodes)
    wireguard = _wireguard(reader, hub_zone, sites, gateways, lans, tunnel, superlink, version)
    if reader.problems:
        raise PlanError(reader.problems)

    dialled = f"{superlink}:{version.fleet_port}"
    partitions = max(offsets[site] + supernodes[site] for site in sites)
    name = str(reader.get(hub_zone, "federation_name"))
    common = {
        "FLOWER_VERSION": version.version,
        "FL_TLS_ENABLED": "YES",
        "FL_LOG_LEVEL": str(reader.get(hub_zone, "federation_log_level")),
        "FL_GRPC_KEEPALIVE_TIME": str(keepalive["time_s"]),
        "FL_GRPC_KEEPALIVE_TIMEOUT": str(keepalive["timeout_s"]),
    }
    zones: dict[str, t.Any] = {}
    for zone in [hub_zone, *sites]:
        is_hub = zone == hub_zone
        if is_hub:
            flower_role, cardinality = "superlink", 1
            inputs = {**common, "FL_CERT_EXTRA_SAN": f"IP:{superlink}"}
            reached = [str(tunnel[zone].network), *(str(lans[site]) for site in sites)]
        else:
            flower_role, cardinality = "supernode", supernodes[zone]
            inputs = {
                **common,
                "FL_SUPERLINK_ADDRESS": dialled,
                "FL_PARTITION_OFFSET": str(offsets[zone]),
                "FL_NUM_PARTITIONS": str(partitions),
            }
            reached = [f"{superlink}/32"]
        zones[zone] = {
            "role": "coordinator" if is_hub else "training_site",
            "lan": str(lans[zone]),
            "gateway": gateways[zone],
            "supernodes": 0 if is_hub else cardinality,
            "partition_offset": None if is_hub else offsets[zone],
            "service": {
                "name": f"{name} {'coordinator' if is_hub else 'training site'}",
                "role": flower_role,
                "cardinality": cardinality,
                "inputs": inputs,
                "context": {
                    "NETWORK": "YES",
                    "TOKEN": "YES",
                    "FL_ROLE": flower_role,
                },
                # oned makes ETH0_ROUTES of the NIC's ROUTES, and overwrites one that stands in CONTEXT.
                "nic": {
                    "ROUTES": ", ".join(f"{network} via {lan_addresses[zone]}" for network in reached),
                    **({"IP": str(superlink)} if is_hub else {}),
                },
                "vm_template": reader.get(zone, "federation_vm_template"),
                "network": reader.get(zone, "federation_network"),
                "trusts_superlink": not is_hub,
            },
        }
    _check_context(reader, zones)
    if reader.problems:
        raise PlanError(reader.problems)
    return {
        "name": name,
        "flower_version": version.version,
        "fleet_transport": version.fleet_transport,
        "total_supernodes": sum(supernodes.values()),
        "keepalive": keepalive,
        "superlink": {
            "zone": hub_zone,
            "address": str(superlink),
            "port": version.fleet_port,
            "dialled": dialled,
            "sans": [f"IP:{superlink}"],
        },
        "zones": zones,
        "gateways": wireguard,
        "wireguard": {
            "interface": reader.get(hub_zone, "federation_wireguard_interface"),
            "overlay": str(tunnel[hub_zone].network),
            "port": reader.get(hub_zone, "federation_wireguard_port"),
        },
    }


def service_template(service: Mapping[str, t.Any], template_id: int, network_id: int) -> dict[str, t.Any]:
    """Body of the OneFlow service template (7.x schema) for the `service` of a zone's plan.

    `template_id` and `network_id` are what the zone calls the VM template and the virtual network named in the plan.
    """
    return {
        "name": service["name"],
        "description": f"{service['role']} of a Flower federation; kept by oneflower.federation",
        "deployment": "straight",
        "ready_status_gate": True,
        "roles": [
            {
                "name": service["role"],
                "type": "vm",
                "template_id": int(template_id),
                "cardinality": service["cardinality"],
                "user_inputs": settings.user_inputs(service["role"]),
                "template_contents": {
                    "CONTEXT": dict(service["context"]),
                    "NIC": [{"NETWORK_ID": str(network_id), **service["nic"]}],
                },
            }
        ],
    }


def _zones(reader: _Reader, groups: Mapping[str, list[str]]) -> tuple[list[str], list[str]]:
    coordinator, sites = list(groups.get("coordinator", [])), list(groups.get("training_sites", []))
    if len(coordinator) != 1:
        named = ", ".join(coordinator) or "none"
        reader.problem("inventory", "group coordinator", f"must hold exactly one zone, it holds {named}")
    if not sites:
        reader.problem("inventory", "group training_sites", "must hold at least one zone, it holds none")
    for zone in sorted(set(coordinator) & set(sites)):
        reader.problem(zone, "group training_sites", "is also the coordinator; a zone is one or the other")
    for zone in dict.fromkeys([*coordinator, *sites]):
        endpoint = reader.required(zone, "federation_endpoint", "the URL of the zone's oned, http(s)://.../RPC2")
        if endpoint is not None and not re.match(r"^https?://[^/\s]+(/.*)?$", str(endpoint)):
            reader.problem(zone, "federation_endpoint", f"is {endpoint!r}, not an http(s) URL")
    return coordinator, sites


def _gateways(reader: _Reader, groups: Mapping[str, list[str]], zones: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for gateway in groups.get("gateways", []):
        zone = reader.required(gateway, "federation_zone", "the inventory name of the zone this gateway serves")
        if zone is None:
            continue
        if zone not in zones:
            reader.problem(gateway, "federation_zone", f"is {zone!r}, which is in neither coordinator nor training_sites")
        elif zone in found:
            reader.problem(gateway, "federation_zone", f"is {zone}, which {found[zone]} serves already")
        else:
            found[zone] = gateway
    for zone in dict.fromkeys(zones):
        if zone not in found:
            reader.problem(zone, "group gateways", f"no gateway has federation_zone: {zone}")
    return found


def _flower_version(reader: _Reader, hub_zone: str) -> flower_releases.FlowerRelease:
    wanted = str(reader.get(hub_zone, "federation_flower_version"))
    try:
        return flower_releases.lookup(wanted)
    except ValueError as error:
        reader.problem(hub_zone, "federation_flower_version", str(error))
        return flower_releases.lookup(DEFAULTS["federation_flower_version"])


def _lans(reader: _Reader, hub_zone: str, sites: list[str], gateways: Mapping[str, str]) -> dict[str, ipaddress.IPv4Network]:
    taken: list[tuple[str, str, ipaddress.IPv4Network]] = []
    overlay = reader.network(hub_zone, "federation_overlay", "the WireGuard overlay")
    if overlay is not None:
        taken.append((hub_zone, "federation_overlay", overlay))
    lans = {}
    for zone in [hub_zone, *sites]:
        lan = reader.network(zone, "federation_lan", "the network that the zone's VMs and its gateway share")
        if lan is None:
            continue
        lans[zone] = lan
        for other, variable, network in taken:
            if lan.overlaps(network):
                reader.problem(zone, "federation_lan", f"{lan} overlaps {variable} {network} of {other}")
        taken.append((zone, "federation_lan", lan))
    return lans


def _tunnel_addresses(
    reader: _Reader, hub_zone: str, sites: list[str], gateways: Mapping[str, str]
) -> dict[str, ipaddress.IPv4Interface]:
    try:
        overlay = ipaddress.IPv4Network(str(reader.get(hub_zone, "federation_overlay")))
    except ValueError:
        return {}  # reported by _lans
    if overlay.num_addresses - 2 < len(sites) + 1:
        reader.problem(
            hub_zone, "federation_overlay", f"{overlay} has no room for {len(sites) + 1} gateways; take a larger network"
        )
        return {}
    pinned: dict[ipaddress.IPv4Address, str] = {}
    addresses: dict[str, ipaddress.IPv4Address] = {hub_zone: overlay.network_address + 1}
    pinned[addresses[hub_zone]] = hub_zone
    for site in sites:
        if reader.get(gateways[site], "federation_tunnel_address") is None:
            continue
        address = reader.address(gateways[site], "federation_tunnel_address", "its tunnel address", overlay)
        if address is None:
            continue
        if address in pinned:
            reader.problem(gateways[site], "federation_tunnel_address", f"is {address}, which {pinned[address]} has already")
            continue
        addresses[site] = address
        pinned[address] = site
    free = (address for address in overlay.hosts() if address not in pinned)
    for site in sites:
        if site not in addresses:
            addresses[site] = next(free)
    return {zone: ipaddress.IPv4Interface(f"{address}/{overlay.prefixlen}") for zone, address in addresses.items()}


def _keepalive(reader: _Reader, hub_zone: str, version: flower_releases.FlowerRelease) -> dict[str, t.Any]:
    time_s = reader.integer(hub_zone, "federation_keepalive_time", 10, 7200)
    timeout_s = reader.integer(hub_zone, "federation_keepalive_timeout", 1, 7200)
    if timeout_s >= time_s:
        reader.problem(
            hub_zone, "federation_keepalive_timeout", f"is {timeout_s}; it must be less than federation_keepalive_time {time_s}"
        )
    return {"time_s": time_s, "timeout_s": timeout_s, "enabled": version.keepalive}


def _partition_offsets(reader: _Reader, sites: list[str], supernodes: Mapping[str, int]) -> dict[str, int]:
    offsets: dict[str, int] = {}
    for site in sites:
        if reader.get(site, "federation_partition_offset") is not None:
            offsets[site] = reader.integer(site, "federation_partition_offset", 0, 1_000_000)
    next_free = max((offsets[site] + supernodes[site] for site in offsets), default=0)
    for site in sites:
        if site not in offsets:
            offsets[site] = next_free
            next_free += supernodes[site]
    ordered = sorted(sites, key=lambda site: offsets[site])
    for before, after in zip(ordered, ordered[1:], strict=False):
        if offsets[before] + supernodes[before] > offsets[after]:
            reader.problem(
                after,
                "federation_partition_offset",
                f"is {offsets[after]}, but {before} numbers its SuperNodes "
                f"{offsets[before]} to {offsets[before] + supernodes[before] - 1}",
            )
    return offsets


def _wireguard(
    reader: _Reader,
    hub_zone: str,
    sites: list[str],
    gateways: Mapping[str, str],
    lans: Mapping[str, ipaddress.IPv4Network],
    tunnel: Mapping[str, ipaddress.IPv4Interface],
    superlink: ipaddress.IPv4Address | None,
    version: flower_releases.FlowerRelease,
) -> dict[str, t.Any]:
    """Variables of the role `wireguard` for every gateway."""
    hub = gateways[hub_zone]
    port = reader.integer(hub_zone, "federation_wireguard_port", 1, 65535)
    wan = reader.required(hub, "federation_wan_address", "the public address or name at which the sites reach the hub")
    mtus = {}
    for zone in [hub_zone, *sites]:
        gateway = gateways[zone]
        underlay = reader.integer(gateway, "federation_underlay_mtu", MINIMUM_MTU + WIREGUARD_OVERHEAD, 9216)
        mtus[zone] = underlay - WIREGUARD_OVERHEAD
    if reader.problems:
        return {}
    shared = {
        "wireguard_interface": str(reader.get(hub_zone, "federation_wireguard_interface")),
        "wireguard_superlink_address": str(superlink),
        "wireguard_fleet_port": version.fleet_port,
    }
    endpoint = f"{wan}:{port}"
    variables: dict[str, t.Any] = {}
    variables[hub] = {
        **shared,
        "wireguard_role": "hub",
        "wireguard_address": str(tunnel[hub_zone]),
        "wireguard_listen_port": port,
        "wireguard_mtu": mtus[hub_zone],
        "wireguard_lan": str(lans[hub_zone]),
        "wireguard_peers": [
            {
                "host": gateways[site],
                "allowed_ips": [f"{tunnel[site].ip}/32", str(lans[site])],
            }
            for site in sites
        ],
    }
    for site in sites:
        variables[gateways[site]] = {
            **shared,
            "wireguard_role": "spoke",
            "wireguard_address": str(tunnel[site]),
            "wireguard_listen_port": 0,
            "wireguard_mtu": mtus[site],
            "wireguard_lan": str(lans[site]),
            "wireguard_peers": [
                {
                    "host": hub,
                    "endpoint": endpoint,
                    "allowed_ips": [f"{tunnel[hub_zone].ip}/32", f"{superlink}/32"],
                    "persistent_keepalive": PERSISTENT_KEEPALIVE,
                }
            ],
        }
    return variables


def _check_context(reader: _Reader, zones: Mapping[str, t.Any]) -> None:
    """Hold every role's CONTEXT to the vocabulary, except what only the SuperLink can tell (its CA certificate)."""
    for zone, entry in zones.items():
        service = entry["service"]
        values = {**service["inputs"], "FL_ROLE": service["role"]}
        _clean, faults = settings.validate(service["role"], values)
        for fault in faults:
            if service["trusts_superlink"] and fault.startswith("FL_SSL_CA_CERTFILE"):
                continue
            reader.problem(zone, "CONTEXT", fault)
