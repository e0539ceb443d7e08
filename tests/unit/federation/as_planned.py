# SPDX-License-Identifier: GPL-3.0-or-later
"""A federation exactly as planned, in the words of federation_observe, made from a plan: tests then break one thing of it.

Gateways get their keys from their names and VMs their partitions from the plan, so two calls with the same plan are equal.
"""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import ipaddress
import typing as t

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.appliance.attributes import Keepalive
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import differences, firewall, wireguard
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import bodies
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import changes, observation, plan, services
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.gateways import OPTIONS, PREFIX
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.kept import kept

from tests.unit.federation import certificates_of_tests as certs

Results = dict[str, dict[str, t.Any]]
VM_TEMPLATE, NETWORK = 7, 3


def key(name: str) -> str:
    """Return the public key of a gateway."""
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


def preshared(one: str, other: str) -> str:
    """Return the digest of the key that two gateways share."""
    return hashlib.sha256("-".join(sorted((one, other))).encode()).hexdigest()[:16]


def results(made: t.Mapping[str, t.Any], ca: str = certs.CA, leaf: bytes = certs.LEAF) -> Results:
    """Return {host: {service, ...} or {gateway}} of a federation that is as `made` plans it."""
    ids = iter(range(1, 100_000))
    found: Results = {}
    nodes: dict[str, bool] = {}
    superlink = {attributes.CA_CERTIFICATE: ca}
    entries = {**made["leaving"]["zones"], **made["zones"]}
    for name, entry in entries.items():
        if entry["role"] == "training_site":
            vms = [_supernode(made, entry, number, superlink, leaf) for number in entry["partitions"][: entry["supernodes"]]]
            nodes |= {vm[attributes.NODE_ID]: True for vm in vms}
            found[name] = zone(entry, vms, next(ids), {**entry["service"]["inputs"], **carried(entry, superlink)})
    for name, entry in entries.items():
        if entry["role"] == "coordinator":
            vm = _superlink(made, entry, nodes, ca, leaf)
            found[name] = zone(entry, [vm], next(ids), entry["service"]["inputs"])
    ends = {**made["leaving"]["gateways"], **made["gateways"]}
    for name, planned in ends.items():
        found[name] = {"gateway": gateway(name, planned, leaf)}
    return {name: found[name] for name in [*entries, *ends]}


def carried(entry: t.Mapping[str, t.Any], superlink: t.Mapping[str, str]) -> dict[str, str]:
    """Return what a site has of the SuperLink."""
    return {name: superlink[attribute] for name, attribute in entry["service"]["from_superlink"].items()}


def zone(entry: t.Mapping[str, t.Any], vms: list[dict[str, str]], number: int, inputs: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Return what federation_zone_info returns of a zone whose service has these VMs."""
    service = entry["service"]
    body = services.service_template(service, VM_TEMPLATE, NETWORK)
    (role,) = body["roles"]
    made_of = {"template_id": VM_TEMPLATE, "contents": role["template_contents"], "inputs": dict(inputs)}
    shown = [
        {"vm_id": index, "name": f"vm-{index}", "state": "ACTIVE", "lcm_state": "RUNNING", "addresses": [], "attributes": vm}
        for index, vm in enumerate(vms)
    ]
    roles = [{"name": service["role"], "state": "RUNNING", "cardinality": len(vms), "nodes": shown, **made_of}]
    return copy.deepcopy(
        {
            "service": {"id": number, "name": service["name"], "state": "RUNNING", "roles": roles, "failure": ""},
            "services_found": 1,
            "template": {"id": number, "body": bodies.as_kept(body, "7.0.0")},
            "vm_template_id": VM_TEMPLATE,
            "network_id": NETWORK,
            "federations": [service["name"]],
            "lock": {},
            "faults": {},
        }
    )


def empty_zone() -> dict[str, t.Any]:
    """Return what federation_zone_info returns of a zone that has nothing of the federation."""
    return {
        "service": {},
        "services_found": 0,
        "template": {},
        "vm_template_id": VM_TEMPLATE,
        "network_id": NETWORK,
        "federations": [],
        "lock": {},
        "faults": {},
    }


def _works(entry: t.Mapping[str, t.Any], more: t.Mapping[str, str], made: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the inputs that land in a VM's attributes, and what it publishes about them."""
    service = entry["service"]
    inputs = {**service["inputs"], **more}
    seconds = made["keepalive"]["time_s"], made["keepalive"]["timeout_s"]
    return {
        **inputs,
        attributes.READY: attributes.YES,
        attributes.PUBLISHED_VERSION: made["flower_version"],
        attributes.KEEPALIVE: Keepalive.planned(*seconds, server=service["role"] == settings.SUPERLINK).format(),
        attributes.SETTINGS_DIGEST: settings.digest(service["role"], inputs),
    }


def _superlink(
    made: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any], nodes: t.Mapping[str, bool], ca: str, leaf: bytes
) -> dict[str, str]:
    return {
        **_works(entry, {}, made),
        attributes.CA_CERTIFICATE: ca,
        attributes.CERTIFICATE_SANS: attributes.format_names(["DNS:localhost", *made["superlink"]["names"]]),
        attributes.CERTIFICATE_FINGERPRINT: hashlib.sha256(leaf).hexdigest(),
        attributes.NODES_ONLINE: str(len(nodes)),
        attributes.NODES: attributes.format_nodes(nodes),
        attributes.RUNS_ACTIVE: "0",
    }


def _supernode(
    made: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any], number: int, superlink: t.Mapping[str, str], leaf: bytes
) -> dict[str, str]:
    return {
        **_works(entry, carried(entry, superlink), made),
        attributes.PARTITION: str(number),
        attributes.NODE_ID: str(1000 + number),
        attributes.SUPERLINK_DIALLED: made["superlink"]["dialled"],
        attributes.PEER_FINGERPRINT: hashlib.sha256(leaf).hexdigest(),
    }


def gateway(name: str, planned: t.Mapping[str, t.Any], leaf: bytes = certs.LEAF) -> dict[str, t.Any]:
    """Return what gateway_info returns as `gateway` where the role has done its work."""
    asked = {option: planned[PREFIX + option] for option in OPTIONS}
    asked["peers"] = [{**peer, "name": peer["host"]} for peer in planned[PREFIX + "peers"]]
    peers = [
        wireguard.Peer(
            key(peer["host"]),
            peer["host"],
            preshared(name, peer["host"]),
            peer.get("endpoint", ""),
            tuple(sorted(peer["allowed_ips"])),
            peer.get("persistent_keepalive", 0),
        )
        for peer in planned[PREFIX + "peers"]
    ]
    wanted = wireguard.configuration(asked, peers)
    common = [
        {
            "public_key": peer.public_key,
            "endpoint": peer.endpoint,
            "allowed_ips": list(peer.allowed_ips),
            "persistent_keepalive": peer.persistent_keepalive,
            "preshared": peer.preshared_key,
        }
        for peer in wanted.peers
    ]
    is_spoke = planned[PREFIX + "role"] == "spoke"
    return {
        "tools": {"missing": []},
        "federation": planned[PREFIX + "federation"],
        "public_key": key(name),
        "foreign": False,
        "stored": {
            "address": wanted.address,
            "listen_port": wanted.listen_port,
            "mtu": wanted.mtu,
            "table": wanted.table,
            "source": wanted.source,
            "intact": True,
            "peers": [{**entry, "name": peer.name} for entry, peer in zip(common, wanted.peers, strict=True)],
        },
        "live": {
            "public_key": key(name),
            "listen_port": wanted.listen_port or 40_000,
            "mtu": wanted.mtu,
            "addresses": [wanted.address],
            "routes": [{"to": network, "table": table} for network, table in sorted(wireguard.wanted_routes(wanted))],
            "rules": [{"source": wanted.source, "table": wanted.table}] if wanted.table else [],
            "peers": [{**entry, "latest_handshake_age": 7, "received": 1000, "sent": 2000} for entry in common],
        },
        "enabled": True,
        "firewall": {
            "rules": firewall.fingerprint(differences.planned_rules(asked)),
            "unit": firewall.fingerprint(firewall.unit(asked["interface"])),
            "loaded": True,
            "forwarding": True,
            "forwarding_found": False,
            "enabled": True,
            "active": True,
        },
        "others": [],
        "probe": {"connected": True, "certificate": base64.b64encode(leaf).decode(), "seconds": 0.1, "error": ""}
        if is_spoke
        else {},
    }


def empty_gateway() -> dict[str, t.Any]:
    """Return what gateway_info returns of a gateway that has nothing of the federation."""
    return {
        "gateway": {
            "tools": {"missing": []},
            "federation": "",
            "public_key": "",
            "foreign": False,
            "stored": {},
            "live": {},
            "enabled": False,
            "firewall": {
                "rules": "",
                "unit": "",
                "loaded": False,
                "forwarding": False,
                "forwarding_found": False,
                "enabled": False,
                "active": False,
            },
            "others": [],
            "probe": {},
        }
    }


# -- what a test asks of them --------------------------------------------------------------------------------------------------


def observed(made: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> observation.Observation:
    return observation.observation(made, found)


def planned(found: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Any], hosts: t.Mapping[str, t.Any], **more: t.Any) -> dict:
    """Return the plan of an inventory for the federation that was found, as a run makes it: once more with what is kept."""
    first = plan.make_plan(groups, hosts, **more)
    return plan.again(first, kept(first, observed(first, found)))


def found_changes(made: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> list[changes.Change]:
    return changes.changes(made, observed(made, found))


def vm(found: Results, host: str, index: int = 0) -> dict[str, str]:
    """Return the attributes of a VM, to change them."""
    return t.cast(dict, role(found, host)["nodes"][index]["attributes"])


def role(found: Results, host: str) -> dict[str, t.Any]:
    return t.cast(dict, found[host]["service"]["roles"][0])


def run_with(found: Results, made: t.Mapping[str, t.Any], host: str, index: int, **attributes_: str) -> None:
    """Have a VM run with other live settings."""
    shown = vm(found, host, index)
    shown.update(attributes_)
    shown[attributes.SETTINGS_DIGEST] = settings.digest(made["zones"][host]["service"]["role"], shown)


@functools.cache
def networks(number: int) -> list[str]:
    """Return that many networks that do not overlap."""
    first = ipaddress.IPv4Network("10.64.0.0/24")
    return [str(ipaddress.IPv4Network((int(first.network_address) + 256 * index, 24))) for index in range(number)]
