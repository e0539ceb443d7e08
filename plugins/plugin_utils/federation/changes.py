# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes: every difference between the plan and the observation, with its reason and effect. Pure.

A run is this list, carried out in the order of `STEPS`. A federation that is as planned has none. What could not be read has no
change; the findings say so.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.bodies import comparable
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.states import (
    FAILED_STATES,
    GOING_STATES,
    STEADY_STATES,
)

from . import gateways, services, variables
from .findings import CODES, Finding
from .gateways import NOT_IN_THIS_RUN
from .observation import Observation, Vm, Zone

# In this order a run carries its changes out.
REMOVALS, LINKS, COORDINATOR, SITES, REPLACEMENTS, NODES = STEPS = (
    "removals",
    "links",
    "coordinator",
    "training_sites",
    "replacements",
    "nodes",
)
# What a change is. A run only waits for what is written already; that is no change.
CREATE, SCALE, SET, RESTART, REPLACE, REMOVE, WAIT = KINDS = ("create", "scale", "set", "restart", "replace", "remove", "wait")


@dataclass(frozen=True)
class Effect:
    """What a change stops, for how many seconds at most (0: for good, where it stops anything), and whether a training is hit."""

    stops: str = ""
    seconds: int = 0
    training: bool = False


NO_EFFECT = Effect()
# Upper bounds; benchmarks/follow measures them. EFFECTS has them all, for people.
SUPERLINK_RESTART = Effect("the SuperLink; its SuperNodes come back by themselves", 30, training=True)
SUPERNODE_RESTART = Effect("the site's SuperNodes", 30, training=True)
SUPERLINK_REPLACED = Effect("the SuperLink, until its new VM serves with the CA and the state of the old one", 600, training=True)
SUPERLINK_LOST = Effect(
    "the SuperLink, until its new VM serves; CA and state go with the old one, so every site gets a new CA", 600, training=True
)
SUPERNODE_REPLACED = Effect("one SuperNode after the other", 600, training=True)
SUPERLINK_GOES = Effect("the SuperLink", training=True)
SUPERNODES_GO = Effect("the SuperNodes that go", training=True)
SITE_CUT_OFF = Effect("what the site's SuperNodes and the SuperLink tell each other", training=True)
EFFECTS = (
    (f"`{RESTART}` of a setting of the coordinator", SUPERLINK_RESTART),
    (f"`{RESTART}` of a setting of a training site", SUPERNODE_RESTART),
    (f"`{REPLACE}` at the coordinator, with a state disk", SUPERLINK_REPLACED),
    (f"`{REPLACE}` at the coordinator, without one", SUPERLINK_LOST),
    (f"`{REPLACE}` at a training site", SUPERNODE_REPLACED),
    (f"`{SCALE}` down, `{REMOVE}` of a training site's service", SUPERNODES_GO),
    (f"`{REMOVE}` of the coordinator's service", SUPERLINK_GOES),
    (f"`{REMOVE}` of a site's tunnel, or of its peer at the hub", SITE_CUT_OFF),
)


@dataclass(frozen=True)
class Change:
    """One difference: where, in which step of a run, what is done to what, why, from what to what, and its effect."""

    host: str
    step: str
    kind: str
    subject: str
    reason: str
    old: str
    new: str
    effect: Effect = NO_EFFECT

    def to_result(self) -> dict[str, t.Any]:
        """Return {host, step, kind, subject, reason, old, new, effect: {stops, seconds, training}}."""
        return asdict(self)


def changes(plan: Mapping[str, t.Any], observed: Observation) -> list[Change]:
    """Return what a run would do, in its order."""
    found = [
        *_leaving(plan, observed),
        *_zones(plan, observed),
        *_gateways(plan, observed),
        *_nodes(plan, observed),
    ]
    return sorted(found, key=lambda change: STEPS.index(change.step))


def real(found: Iterable[Change]) -> list[Change]:
    """Return those that change anything."""
    return [change for change in found if change.kind != WAIT]


# -- zones ---------------------------------------------------------------------------------------------------------------


def _leaving(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Change]:
    reason = "leaves the federation"
    for name, entry in plan["leaving"]["zones"].items():
        zone = observed.zones[name]
        if zone.unread or entry.get("keep"):
            continue
        effect = SUPERLINK_GOES if entry["role"] == "coordinator" else SUPERNODES_GO
        if not zone.absent:
            yield Change(name, REMOVALS, REMOVE, "service", reason, f"{zone.state}, {len(zone.vms)} VM(s)", "", effect)
        if zone.template is not None:
            yield Change(name, REMOVALS, REMOVE, "service template", reason, entry["service"]["name"], "")


def _zones(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Change]:
    coordinator = observed.zones.get(plan["superlink"]["zone"], Zone())
    carried = _carried(plan, coordinator)
    for name, entry in plan["zones"].items():
        zone, step = observed.zones[name], COORDINATOR if entry["role"] == "coordinator" else SITES
        if zone.unread:
            continue
        service = entry["service"]
        if zone.absent:
            yield Change(name, step, CREATE, "service", "there is none", "", f"{service['cardinality']} VM(s)")
            continue
        replaced = _replacements(name, step, entry, zone)
        if replaced and step == SITES and (zone.successor is not None or not goes(zone)):
            # Whatever state it is in: no other step touches a service whose VMs are made anew.
            yield from replaced
            continue
        if zone.state in (*FAILED_STATES, *GOING_STATES):
            yield Change(name, step, RESTART, "service", zone.failure or "is not RUNNING", zone.state, "RUNNING")
            if goes(zone):
                continue
        elif zone.state not in STEADY_STATES:
            yield Change(name, step, WAIT, "service", zone.failure or "until it is RUNNING", zone.state, "RUNNING")
        yield from replaced
        if replaced:
            continue
        if template := _template(service, zone):
            yield Change(name, step, SET, "service template", "for new services", "", template)
        # OneFlow is making its VMs, or taking them away.
        under_way = zone.state not in (*STEADY_STATES, "WARNING") and zone.cardinality == service["cardinality"]
        if len(zone.vms) != service["cardinality"] and not under_way:
            yield _scaled(name, step, service, zone)
        yield from _settings(name, step, service, zone, carried)


def goes(zone: Zone) -> bool:
    """Tell whether a service is on its way out: it is made anew, and its VMs are lost already."""
    return "UNDEPLOYING" in zone.state


def keeps_state(entry: Mapping[str, t.Any], coordinator: Zone) -> bool:
    """Tell whether a new VM of the SuperLink has the CA and the state of the one there is."""
    vm, disk = coordinator.superlink, entry["service"]["inputs"].get(settings.STATE_DISK)
    return bool(disk) and vm is not None and vm.attributes.get(attributes.STATE) == attributes.ON_DISK


def _scaled(name: str, step: str, service: Mapping[str, t.Any], zone: Zone) -> Change:
    reason = variables.SUPERNODES.name if step == SITES and zone.cardinality == len(zone.vms) else "VMs were lost"
    effect = SUPERNODES_GO if len(zone.vms) > service["cardinality"] else NO_EFFECT
    return Change(name, step, SCALE, service["role"], reason, str(len(zone.vms)), str(service["cardinality"]), effect)


def _template(service: Mapping[str, t.Any], zone: Zone) -> str:
    """Return which parts of the service template differ; nothing where the zone lacks what it is made of."""
    if zone.template is None:
        return "everything"
    if zone.vm_template is None or zone.network is None:
        return ""
    wanted = services.service_template(service, zone.vm_template, zone.network)
    one, two = comparable(wanted, wanted), comparable(zone.template, wanted)
    return ", ".join(sorted(key for key in {*one, *two} if one.get(key) != two.get(key)))


def _replacements(name: str, step: str, entry: Mapping[str, t.Any], zone: Zone) -> list[Change]:
    """Return what of the service cannot be changed in place, each once; where a replacement is under way, at least that."""
    found = list(dict.fromkeys(change for part in zone.parts for change in _replaced(name, step, entry, part, zone)))
    if zone.successor is not None and not found:
        service = entry["service"]
        old, new = f"{len(zone.own.vms) if zone.own else 0} VM(s) left", f"{service['cardinality']} VM(s)"
        found = [Change(name, REPLACEMENTS, REPLACE, service["role"], "a replacement is under way", old, new, SUPERNODE_REPLACED)]
    return found


def _replaced(name: str, step: str, entry: Mapping[str, t.Any], part: Zone, zone: Zone) -> Iterator[Change]:
    """Return what of one service cannot be changed in place: everything that a VM is made of. The ids are those of its zone."""
    service = entry["service"]
    superlink = SUPERLINK_REPLACED if keeps_state(entry, zone) else SUPERLINK_LOST
    step, effect = (COORDINATOR, superlink) if step == COORDINATOR else (REPLACEMENTS, SUPERNODE_REPLACED)
    nic = _first(part.contents.get("NIC"))
    made: list[tuple[variables.Variable, t.Any, t.Any]] = [
        (variables.VM_TEMPLATE, part.role_template, zone.vm_template),
        (variables.NETWORK, nic.get("NETWORK_ID"), zone.network),
        (variables.FLOWER_VERSION, part.inputs.get(settings.VERSION), service["inputs"][settings.VERSION]),
    ]
    if step == COORDINATOR:
        made.append((variables.SUPERLINK_ADDRESS, nic.get("IP"), service["nic"].get("IP")))
        state = attributes.ON_DISK if service["inputs"].get(settings.STATE_DISK) else attributes.ON_IMAGE
        made.append((variables.STATE_DISK, zone.superlink.attributes.get(attributes.STATE) if zone.superlink else "", state))
    for variable, old, new in made:
        if old not in (None, "") and new not in (None, "") and str(old) != str(new):
            yield Change(name, step, REPLACE, service["role"], variable.name, str(old), str(new), effect)
    held = {int(number) for vm in part.vms if (number := vm.attributes.get(attributes.PARTITION, "")).isdigit()}
    if step == REPLACEMENTS and not held <= set(entry["partitions"]):
        old, new = settings.format_numbers(sorted(held)), settings.format_numbers(entry["partitions"])
        yield Change(name, step, REPLACE, service["role"], variables.PARTITION_OFFSET.name, old, new, effect)


def handovers(name: str, entry: Mapping[str, t.Any], zone: Zone) -> list[dict[str, t.Any]]:
    """Return how the VMs of a site get replaced: {source, target}, the id of the service that goes (None: it is gone), and the name
    of the one that stays.

    The one that stays is as planned. Where neither is, because the inventory changed again on the way, the VMs first go back.
    """
    service, own = entry["service"], zone.own if zone.successor else zone
    onward = {"source": own.id if own else None, "target": service["successor"]}
    if zone.successor is None or not (goes(zone.successor) or any(_replaced(name, SITES, entry, zone.successor, zone))):
        return [onward]
    back = {"source": zone.successor.id, "target": service["name"]}
    return [back, onward] if own and any(_replaced(name, SITES, entry, own, zone)) else [back]


def _first(value: t.Any) -> Mapping[str, t.Any]:
    found = value[0] if isinstance(value, (list, tuple)) and value else value
    return found if isinstance(found, Mapping) else {}


# -- settings ------------------------------------------------------------------------------------------------------------


def _carried(plan: Mapping[str, t.Any], coordinator: Zone) -> Mapping[str, str]:
    """Return what the sites are to have of the SuperLink's attributes, by attribute; empty values are not known yet.

    Nothing where the coordinator was not read: then nobody knows.
    """
    if coordinator.unread:
        return {}
    vm = coordinator.superlink
    wanted = {attribute for entry in plan["zones"].values() for attribute in entry["service"]["from_superlink"].values()}
    anew = coordinator.absent or any(
        goes(coordinator) or _replacements(name, COORDINATOR, entry, coordinator)
        for name, entry in plan["zones"].items()
        if entry["role"] == "coordinator" and not keeps_state(entry, coordinator)
    )
    return {attribute: "" if anew or vm is None else vm.attributes.get(attribute, "") for attribute in wanted}


def wanted_settings(service: Mapping[str, t.Any], carried: Mapping[str, str]) -> dict[str, str]:
    """Return the live settings that the VMs of a service are to run with; what is not known yet is left out."""
    from_superlink = {name: carried.get(attribute, "") for name, attribute in service["from_superlink"].items()}
    return {**service["live"], **{name: value for name, value in from_superlink.items() if value}}


def expected_digest(service: Mapping[str, t.Any], carried: Mapping[str, str], vm: Vm) -> str:
    """Return the digest that a VM of a service shows once its settings are in force; what is not known yet is taken from the VM."""
    own = {name: vm.attributes.get(name, "") for name in service["from_superlink"]}
    return settings.digest(service["role"], {**own, **wanted_settings(service, carried)})


def _settings(name: str, step: str, service: Mapping[str, t.Any], zone: Zone, carried: Mapping[str, str]) -> Iterator[Change]:
    wanted = wanted_settings(service, carried)
    unknown = [setting for setting, attribute in service["from_superlink"].items() if not carried.get(attribute)]
    effect = SUPERLINK_RESTART if step == COORDINATOR else SUPERNODE_RESTART
    behind: set[t.Any] = set()
    for setting in (entry for entry in settings.of_role(service["role"]) if entry.name in (*wanted, *unknown)):
        given = wanted.get(setting.name)
        have = {vm.id: vm.attributes.get(setting.name, "") or setting.default for vm in zone.vms}
        differing = {vm: value for vm, value in have.items() if value != given}
        if setting.name in unknown and not carried:
            continue
        if differing:
            behind |= set(differing)
            variable = variables.BY_SETTING.get(setting.name)
            yield Change(
                name,
                step,
                RESTART if setting.restarts else SET,
                setting.name,
                variable.name if variable else _REASONS.get(setting.name, ""),
                ", ".join(sorted({shown_setting(setting.name, value) for value in differing.values()})),
                shown_setting(setting.name, given) if given is not None else "known once the SuperLink runs",
                effect if setting.restarts else NO_EFFECT,
            )
    yield from _unnumbered(name, step, service, zone)
    for vm in zone.vms:
        stands = vm.state not in ("", "RUNNING")
        in_force = not stands and vm.attributes.get(attributes.SETTINGS_DIGEST) == expected_digest(service, carried, vm)
        if vm.id not in behind and not (in_force and vm.attributes.get(attributes.READY) == settings.YES):
            said = vm.state if stands else vm.attributes.get(attributes.ERROR) or "not in force yet"
            yield Change(name, step, WAIT, f"VM {vm.id}", "until it runs with its settings", said, "ready")


def _unnumbered(name: str, step: str, service: Mapping[str, t.Any], zone: Zone) -> Iterator[Change]:
    """Return the change for VMs that hold no partition and know of none that is free."""
    if step != SITES:
        return
    held = {vm.attributes.get(attributes.PARTITION, "") for vm in zone.vms}
    for vm in zone.vms:
        have = vm.attributes.get(settings.PARTITIONS, "")
        try:
            free = [number for number in settings.parse_numbers(have) if str(number) not in held]
        except ValueError:
            free = []
        if not vm.attributes.get(attributes.PARTITION) and not free:
            yield Change(name, step, SET, settings.PARTITIONS, f"VM {vm.id} holds none", have, service["partitions"])


_REASONS = {
    settings.ROUTES: "the zones' networks",
    settings.SUPERLINK_ADDRESS: "what the sites dial",
    settings.CA_CERTIFICATE: "the SuperLink's CA",
}


def shown_setting(name: str, value: str) -> str:
    """Return a value for people; a certificate as the beginning of its fingerprint."""
    if name != settings.CA_CERTIFICATE or not value:
        return value
    try:
        return f"SHA-256 {hashlib.sha256(base64.b64decode(value, validate=True)).hexdigest()[:16]} of the PEM"
    except (binascii.Error, ValueError):
        return "no certificate"


# -- gateways and nodes --------------------------------------------------------------------------------------------------


def _gateways(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Change]:
    for name, planned in plan["gateways"].items():
        gateway = observed.gateways[name]
        if gateway.unread or gateways.conflicts(planned, gateway):
            continue
        if not gateway.federation and not gateway.stored:
            # Nothing of the federation is there: one change stands for the dozen that make the tunnel's end.
            yield Change(name, LINKS, CREATE, "tunnel", "there is none", "", planned["wireguard_gateway_address"])
        else:
            for difference in gateways.differences(planned, gateway, observed.gateways):
                yield _of_gateway(name, difference, _reason(difference.subject))
    for name, planned in plan["leaving"]["gateways"].items():
        gateway = observed.gateways[name]
        if not gateway.unread:
            for difference in gateways.removals(planned, gateway):
                yield _of_gateway(name, difference, "leaves the federation")


def _of_gateway(name: str, difference: gateways.Difference, reason: str) -> Change:
    cuts = difference.kind == REMOVE and (difference.subject == "interface" or difference.subject.startswith("peer "))
    effect = SITE_CUT_OFF if cuts else NO_EFFECT
    return Change(name, LINKS, difference.kind, difference.subject, reason, difference.old, difference.new, effect)


# Which variable a gateway's difference follows from, where there is one.
_GATEWAY_REASONS = {
    "mtu": variables.UNDERLAY_MTU.name,
    "port": variables.WIREGUARD_PORT.name,
    "address": variables.OVERLAY.name,
}


def _reason(subject: str) -> str:
    if subject.startswith("peer "):
        return "the gateways of the federation"
    return _GATEWAY_REASONS.get(subject, "")


def unknown_nodes(plan: Mapping[str, t.Any], observed: Observation) -> list[str]:
    """Return the ids of the nodes that the SuperLink knows and no VM of the plan is.

    None as long as a VM or a zone does not tell which node is its own, or tells one that the SuperLink does not know: a SuperNode
    that was just started again is known to the SuperLink a moment before its VM says which one it is.
    """
    coordinator = observed.zones.get(plan["superlink"]["zone"])
    if coordinator is None or coordinator.superlink is None or not plan["zones"]:
        return []
    sites = [observed.zones[name] for name, entry in plan["zones"].items() if entry["role"] == "training_site"]
    own = [vm.attributes.get(attributes.NODE_ID, "") for zone in sites for vm in zone.vms]
    told = attributes.parse_nodes(coordinator.superlink.attributes.get(attributes.NODES, ""))
    if any(zone.unread for zone in sites) or not set(own) <= set(told):
        return []
    return sorted(node for node in told if node not in own)


def _nodes(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Change]:
    unknown = unknown_nodes(plan, observed)
    if unknown:
        text = f"{len(unknown)} node(s): {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
        yield Change(plan["superlink"]["zone"], NODES, REMOVE, "SuperNodes", "no VM of the federation is this node", text, "")
    coordinator = observed.zones.get(plan["superlink"]["zone"])
    going = sum(
        max(0, len(zone.vms) - entry["service"]["cardinality"])
        for name, entry in plan["zones"].items()
        if entry["role"] == "training_site" and not (zone := observed.zones[name]).unread
    )
    if going and coordinator is not None and coordinator.superlink is not None:
        yield Change(plan["superlink"]["zone"], NODES, REMOVE, "SuperNodes", "their VMs go", f"{going} node(s)", "")


# -- findings ------------------------------------------------------------------------------------------------------------


def findings(plan: Mapping[str, t.Any], observed: Observation, found: Iterable[Change]) -> list[Finding]:
    """Return what stands in the way of the changes, and what of the federation is left over."""
    told: list[Finding] = []
    for name, entry in {**plan["zones"], **plan["leaving"]["zones"]}.items():
        zone, service = observed.zones[name], entry["service"]
        if zone.unread:
            if zone.unread != NOT_IN_THIS_RUN:
                told.append(Finding(zone.code, name, CODES[zone.code].mend, zone.unread))
            continue
        if "template" in zone.faults:
            told.append(Finding("zone.object", name, "", zone.faults["template"]))
        if name in plan["zones"]:
            for variable, option, number, what in (
                (variables.VM_TEMPLATE, "vm_template", zone.vm_template, "VM template"),
                (variables.NETWORK, "network", zone.network, "virtual network"),
            ):
                if number is None:
                    text = zone.faults.get(option) or f"there is no {what} {service[option]!r} that its user may use"
                    told.append(Finding("zone.object", name, variable.name, text))
    for name in (*plan["gateways"], *plan["leaving"]["gateways"]):
        gateway = observed.gateways[name]
        if gateway.unread and gateway.unread != NOT_IN_THIS_RUN:
            told.append(Finding(gateway.code, name, CODES[gateway.code].mend, gateway.unread))
    told += _taken_or_left(plan, observed)
    told += _unnumberable(plan, observed)
    if not plan["run"]["allow_replace"]:
        for change in found:
            if change.kind == REPLACE:
                text = f"{change.reason} {change.old} -> {change.new} needs new VMs, which this run may not make"
                told.append(Finding("change.replace", change.host, variables.ALLOW_REPLACE.name, text))
    return told


def replaced(plan: Mapping[str, t.Any], observed: Observation, found: Iterable[Change]) -> list[str]:
    """Return the zones whose services a run makes anew: what cannot be changed in place, and what is on its way out already."""
    going = {name for name in plan["zones"] if not observed.zones[name].unread and goes(observed.zones[name])}
    return sorted(going | {change.host for change in found if change.kind == REPLACE})


def refuses_all(plan: Mapping[str, t.Any], told: Iterable[Finding]) -> bool:
    """Tell whether nothing may be changed.

    Gateways and sites would follow a SuperLink that stays where it is; and where the coordinator could not be read, nobody knows
    whether a training is under way.
    """
    reasons = ("change.replace", "zone.unread")
    return any(finding.code in reasons and finding.host == plan["superlink"]["zone"] for finding in told)


def drift(found: Iterable[Change]) -> list[Finding]:
    """Return a finding for every host that is not as planned."""
    hosts = dict.fromkeys(change.host for change in real(found))
    return [Finding("change.pending", host, CODES["change.pending"].mend, "a run would change it") for host in hosts]


def _taken_or_left(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Finding]:
    """Yield the gateways whose interface is somebody else's, and what the hub and the SuperLink know of sites that are gone."""
    for name, planned in plan["gateways"].items():
        gateway = observed.gateways[name]
        if gateway.unread:
            continue
        conflicts = gateways.conflicts(planned, gateway)
        yield from (Finding("gateway.taken", name, variables.WIREGUARD_INTERFACE.name, text) for text in conflicts)
        if planned["wireguard_gateway_role"] == "hub" and not conflicts:
            known = {*plan["gateways"], *plan["leaving"]["gateways"]}
            for peer, networks in gateway.peers:
                if peer not in known and not any(_same_peer(networks, entry) for entry in planned["wireguard_gateway_peers"]):
                    text = f"its peer {peer} ({', '.join(networks)}) is no gateway of the inventory; a run takes it off"
                    yield Finding("site.orphan", name, "remove_site.yml", text)


def _same_peer(networks: Iterable[str], planned: Mapping[str, t.Any]) -> bool:
    """Tell whether a peer is a planned one under another name."""
    return set(networks) == set(planned["allowed_ips"])


def _unnumberable(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Finding]:
    """Yield the sites whose new SuperNodes cannot be numbered: another site's numbers could not be read."""
    unread = [name for name, entry in plan["zones"].items() if entry["role"] == "training_site" and observed.zones[name].unread]
    for name, entry in plan["zones"].items():
        if entry["fresh"] and not entry["pinned"] and unread and not observed.zones[name].unread:
            text = f"{', '.join(unread)} could not be read, so it is not known which partition numbers are free"
            yield Finding("partition.unknown", name, variables.PARTITION_OFFSET.name, text)


def reference() -> str:
    """Return the effects as a Markdown table; it stands in docs/changes.md."""
    lines = ["| change | stops | how long | hits a training |", "|---|---|---|---|"]
    for change, effect in EFFECTS:
        how_long = f"at most {effect.seconds} s" if effect.seconds else "for good"
        lines.append(f"| {change} | {effect.stops} | {how_long} | {'yes' if effect.training else 'no'} |")
    return "\n".join(lines) + "\n"
