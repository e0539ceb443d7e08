# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks: hold an observation of the live federation against its plan. Pure.

A check that fails names a code of the table of findings. What could not be read fails as "not read", never as "absent".
"""

from __future__ import annotations

import datetime
import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.appliance.attributes import Keepalive
from ansible_collections.oneflower.federation.plugins.module_utils.gateway.wireguard import SESSION_LIMIT_S

from . import changes
from .findings import CODES, Finding
from .observation import Observation, Vm, Zone
from .trust import certificates


@dataclass(frozen=True)
class Check:
    """One row of the report: what was looked at, where, what the plan says, what was found, and whether that is right.

    `host` is the inventory host that it is about, `code` the finding that a failed check is.
    """

    check: str
    where: str
    expected: str
    found: str
    ok: bool
    host: str
    code: str

    def to_result(self) -> dict[str, t.Any]:
        """Return {check, where, expected, found, ok, code}; the code is empty where the check holds."""
        return {
            "check": self.check,
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "ok": self.ok,
            "code": "" if self.ok else self.code,
        }

    def finding(self) -> Finding:
        """Return the finding that a failed check is."""
        message = f"{self.check} ({self.where}): expected {self.expected}, found {self.found}"
        return Finding(self.code, self.host, CODES[self.code].mend, message)


def checks(plan: Mapping[str, t.Any], observed: Observation, now: datetime.datetime) -> list[Check]:
    """Return one check for everything that the plan says of the live federation. `now` is aware of its time zone."""
    rows = [*_services(plan, observed)]
    if plan["zones"]:
        coordinator = observed.zones[plan["superlink"]["zone"]]
        superlink = coordinator.superlink
        fingerprint = superlink.attributes.get(attributes.CERTIFICATE_FINGERPRINT, "") if superlink else ""
        rows += [
            *_superlink(plan, coordinator, superlink, now),
            *_tunnels(plan, observed),
            *_probes(plan, observed, superlink),
            *_supernodes(plan, observed, fingerprint),
        ]
    return [*rows, *_as_planned(plan, observed)]


def _as_planned(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Check]:
    """Yield a row for every host that a run would change or that was not read, or one that says that there is none."""
    check, expected = "as planned", "nothing to change"
    left: dict[str, list[changes.Change]] = {}
    for change in changes.real(changes.changes(plan, observed)):
        left.setdefault(change.host, []).append(change)
    for host, found in left.items():
        text = "; ".join(f"{change.kind} {change.subject}{change.reason and f' ({change.reason})'}" for change in found)
        yield Check(check, host, expected, text, False, host, "change.pending")
    unread = {
        **{name: (zone.code, zone.unread) for name, zone in observed.zones.items() if zone.unread},
        **{name: (gateway.code, gateway.unread) for name, gateway in observed.gateways.items() if gateway.unread},
    }
    for host, (code, reason) in unread.items():
        yield Check(check, host, expected, f"not read: {reason}", False, host, code)
    if not left and not unread:
        yield Check(check, "all hosts", expected, expected, True, plan["superlink"]["zone"], "change.pending")


def _services(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Check]:
    for name, entry in plan["zones"].items():
        zone, cardinality = observed.zones[name], entry["service"]["cardinality"]
        expected = f"RUNNING, {cardinality} VM(s)"
        if zone.unread:
            yield Check("OneFlow service", name, expected, f"not read: {zone.unread}", False, name, zone.code)
        elif zone.absent:
            yield Check("OneFlow service", name, expected, "absent", False, name, "service.absent")
        else:
            ok = zone.state == "RUNNING" and len(zone.vms) == cardinality
            found = f"{zone.state}, {len(zone.vms)} VM(s){'; ' + zone.failure if zone.failure else ''}"
            yield Check("OneFlow service", name, expected, found, ok, name, "service.state")


def _superlink(plan: Mapping[str, t.Any], zone: Zone, vm: Vm | None, now: datetime.datetime) -> Iterator[Check]:
    host = plan["superlink"]["zone"]
    published = vm.attributes if vm else {}

    def row(check: str, expected: str, found: str, ok: bool, code: str) -> Check:
        if vm is None:
            missing, code = _missing(zone)
            return Check(check, host, expected, missing, False, host, code)
        return Check(check, host, expected, found, ok, host, code)

    version = published.get(attributes.PUBLISHED_VERSION, "unknown")
    ready = published.get(attributes.READY) == attributes.YES
    yield row(
        "SuperLink serves",
        f"ready, Flower {plan['flower_version']}",
        f"{'ready' if ready else published.get(attributes.ERROR) or 'not ready'}, Flower {version}",
        ready and version == plan["flower_version"],
        "superlink.unready" if not ready else "superlink.release",
    )
    named = attributes.parse_names(published.get(attributes.CERTIFICATE_SANS, ""))
    for name in plan["superlink"]["names"]:
        ok = name in named
        yield row("certificate names what sites dial", name, "named" if ok else "missing", ok, "certificate.name")
    try:
        found, ok = f"valid until {certificates.authority(published.get(attributes.CA_CERTIFICATE, ''), now).not_after[:10]}", True
    except ValueError as error:
        found, ok = str(error), False
    yield row(
        "CA certificate fit to be trusted",
        f"valid for {certificates.MINIMUM_VALIDITY_DAYS} days more",
        found,
        ok,
        "certificate.authority",
    )
    if plan["keepalive"]["enabled"]:
        yield row("gRPC keepalive in force", *_keepalive(plan, published, server=True), "keepalive.differs")
    yield row("settings in force", *_settings(plan["zones"][host]["service"], {}, vm or Vm("?")), "settings.pending")
    total, online = str(plan["total_supernodes"]), published.get(attributes.NODES_ONLINE, "none")
    yield row("SuperNodes online in the SuperLink", total, online, online == total, "supernodes.offline")


def _settings(service: Mapping[str, t.Any], carried: Mapping[str, str], vm: Vm) -> tuple[str, str, bool]:
    """Return (expected, found, ok): the digest of all live settings, as the VM says that it runs with them."""
    expected = changes.expected_digest(service, carried, vm)
    found = vm.attributes.get(attributes.SETTINGS_DIGEST, "")
    return expected, found or "none", found == expected


def _missing(zone: Zone) -> tuple[str, str]:
    """Return what to say of a VM that is not there, and under which code."""
    if zone.unread:
        return "not read", zone.code
    return ("no service", "service.absent") if zone.absent else ("no VM", "service.state")


def _keepalive(plan: Mapping[str, t.Any], published: Mapping[str, str], *, server: bool) -> tuple[str, str, bool]:
    """Return (expected, found, ok): every option that the plan says, at this end."""
    time_s, timeout_s = plan["keepalive"]["time_s"], plan["keepalive"]["timeout_s"]
    expected = f"{time_s} s, {timeout_s} s"
    if not published.get(attributes.KEEPALIVE):
        return expected, "nothing", False
    planned, in_force = Keepalive.planned(time_s, timeout_s, server=server), Keepalive.parse(published[attributes.KEEPALIVE])
    differing = [
        f"{option.name} {'missing' if found is None else found}"
        for option in fields(Keepalive)
        if (wanted := getattr(planned, option.name)) is not None and (found := getattr(in_force, option.name)) != wanted
    ]
    return expected, ", ".join(differing) or expected, not differing


def _spokes(plan: Mapping[str, t.Any]) -> Iterator[str]:
    return (gateway for gateway, given in plan["gateways"].items() if given["wireguard_gateway_role"] == "spoke")


def _tunnels(plan: Mapping[str, t.Any], observed: Observation) -> Iterator[Check]:
    expected = f"handshake within {SESSION_LIMIT_S} s"
    for name in _spokes(plan):
        gateway = observed.gateways[name]
        if gateway.unread:
            yield Check("WireGuard tunnel", name, expected, f"not read: {gateway.unread}", False, name, gateway.code)
            continue
        age = gateway.age
        found = "no interface" if not gateway.running else "no handshake" if age is None else f"{age} s ago"
        yield Check("WireGuard tunnel", name, expected, found, age is not None and age <= SESSION_LIMIT_S, name, "tunnel.silent")


def _probes(plan: Mapping[str, t.Any], observed: Observation, superlink: Vm | None) -> Iterator[Check]:
    published = superlink.attributes if superlink else {}
    fingerprint = published.get(attributes.CERTIFICATE_FINGERPRINT, "")
    for name in _spokes(plan):
        gateway = observed.gateways[name]
        probe = gateway.probe
        try:
            seen = certificates.issued(str(probe.get("certificate") or ""), published.get(attributes.CA_CERTIFICATE, ""))
            found = f"verified, {seen[:16]}"
        except ValueError as error:
            seen, found = "", str(probe.get("error") or error)
        yield Check(
            "TLS handshake through the tunnel",
            name,
            f"verified, {fingerprint[:16] or 'a certificate'}",
            "not read" if gateway.unread else found,
            bool(fingerprint) and seen == fingerprint,
            name,
            gateway.code or "probe.failed",
        )


def _supernodes(plan: Mapping[str, t.Any], observed: Observation, fingerprint: str) -> Iterator[Check]:
    dialled = plan["superlink"]["dialled"]
    holder: dict[str, str] = {}
    for host, entry in plan["zones"].items():
        if entry["role"] != "training_site":
            continue
        own = settings.format_numbers(entry["partitions"])
        coordinator = observed.zones[plan["superlink"]["zone"]].superlink
        carried = coordinator.attributes if coordinator else {}
        for vm in observed.zones[host].vms:
            published, where = vm.attributes, f"{host} VM {vm.id}"
            ready = published.get(attributes.READY) == attributes.YES
            to = published.get(attributes.SUPERLINK_DIALLED, "nothing")
            yield Check(
                "SuperNode connected",
                where,
                f"to {dialled}",
                f"to {to}" if ready else published.get(attributes.ERROR) or "not ready",
                ready and to == dialled,
                host,
                "supernode.unready",
            )
            peer = published.get(attributes.PEER_FINGERPRINT, "")
            yield Check(
                "SuperNode verified the SuperLink",
                where,
                fingerprint[:16] or "a certificate",
                peer[:16] or "none",
                bool(fingerprint) and peer == fingerprint,
                host,
                "supernode.peer",
            )
            if plan["keepalive"]["enabled"]:
                expected, found, ok = _keepalive(plan, published, server=False)
                yield Check("gRPC keepalive in force", where, expected, found, ok, host, "keepalive.differs")
            expected, found, ok = _settings(entry["service"], carried, vm)
            yield Check("settings in force", where, expected, found, ok, host, "settings.pending")
            partition = published.get(attributes.PARTITION, "none")
            yield Check(
                "partition is its own",
                where,
                f"one of {own}",
                f"{partition}{', as ' + holder[partition] if partition in holder else ''}",
                partition.isdigit() and int(partition) in entry["partitions"] and partition not in holder,
                host,
                "partition.wrong",
            )
            holder.setdefault(partition, where)
