# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between a gateway as it should be and as it is. Pure.

The module `gateway` finds with it what it has to do, and the controller what the module would do.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections.abc import Mapping, Sequence

from . import firewall, wireguard
from .wireguard import Peer

CREATE, SET, REMOVE = "create", "set", "remove"


class Difference(t.NamedTuple):
    """One thing that the module changes: what is done with it, what it is, and its value before and after, as text."""

    kind: str
    subject: str
    old: str
    new: str

    def __str__(self) -> str:
        """Return one line, such as "set mtu: 1420 -> 1370"."""
        values = f"{self.old} -> {self.new}" if self.old and self.new else self.new or self.old
        return f"{self.kind} {self.subject}" + (f": {values}" if values else "")


def planned_rules(asked: Mapping[str, t.Any]) -> str:
    """Return the text of the rules that follows from the module's options; peers count whether their keys are known or not."""
    return firewall.rules(
        interface=asked["interface"],
        role=asked["role"],
        address=asked["address"],
        lan=asked["lan"],
        superlink_address=asked["superlink_address"],
        fleet_port=int(asked["fleet_port"]),
        allowed_ips=[network for peer in asked["peers"] for network in peer["allowed_ips"]],
    )


def differences(asked: Mapping[str, t.Any], observed: Mapping[str, t.Any]) -> list[Difference]:
    """Return what the module `gateway` does, in the order in which it does it.

    `asked` are the module's options, with preshared keys or anything else that is no digest of the stored one for a new key, and
    `observed` what `gateway_info` returns as `gateway`.
    """
    found = [Difference(CREATE, "package", "", tool) for tool in observed["tools"]["missing"]]
    if observed["federation"] != asked["federation"]:
        found.append(_create_or_set("federation", observed["federation"], asked["federation"]))
    found += _firewall(asked, observed["firewall"])
    if not observed["public_key"]:
        found.append(Difference(CREATE, "key", "", ""))
    stored = peers_of(observed["stored"])
    peers, _unknown = wireguard.wanted_peers(_digested(asked["peers"]), stored)
    wanted = wireguard.configuration(asked, peers)
    found += _interface(wanted, observed)
    found += _peers(wanted, stored, observed["live"])
    if observed["live"]:
        found += _routes(wanted, observed["live"])
    return found


def removals(interface: str, observed: Mapping[str, t.Any]) -> list[Difference]:
    """Return what the module removes when nothing of the federation is to stay on the gateway.

    What neither it nor a run that was stopped half-way has made is not its own.
    """
    if observed["foreign"] or not (observed["federation"] or observed["stored"] or observed["firewall"]["unit"]):
        return []
    stored, live, rules = observed["stored"], observed["live"], observed["firewall"]
    there = {
        "interface": live,
        "interface at boot": observed["enabled"],
        "configuration": stored,
        "key": observed["public_key"],
        "firewall": rules["rules"] or rules["unit"] or rules["loaded"] or rules["active"] or rules["enabled"],
        "federation": observed["federation"],
    }
    values = {"interface": interface, "federation": observed["federation"]}
    found = [Difference(REMOVE, subject, values.get(subject, ""), "") for subject, value in there.items() if value]
    if found and rules["forwarding"] and not rules["forwarding_found"] and not observed["others"]:
        found.append(Difference(SET, "forwarding", "on", "off"))
    return found


def conflicts(asked: Mapping[str, t.Any], observed: Mapping[str, t.Any]) -> list[str]:
    """Return why the host cannot have this federation beside what it has, one sentence each."""
    name, found = asked["interface"], []
    if observed["federation"] not in ("", asked["federation"]):
        found.append(f"{name} belongs to the federation {observed['federation']!r}; take another interface")
    if observed["foreign"]:
        found.append(
            f"{wireguard.conf_path(name)} was made by somebody else, and would be lost; move it away or take another interface"
        )
    overlay = ipaddress.IPv4Interface(asked["address"]).network
    for other in observed["others"]:
        whose = f"the federation {other['federation']!r} on {other['interface']}"
        if asked["listen_port"] and int(asked["listen_port"]) == other["listen_port"]:
            found.append(f"port {asked['listen_port']} is that of {whose}; take another port")
        if other["address"] and overlay.overlaps(ipaddress.IPv4Interface(other["address"]).network):
            found.append(f"the overlay {overlay} overlaps that of {whose}, {other['address']}; take another overlay")
        if asked["superlink_address"] == other["superlink_address"]:
            found.append(f"the SuperLink's address {asked['superlink_address']} is that of {whose}; take another address")
    return found


def peers_of(stored: Mapping[str, t.Any]) -> list[Peer]:
    """Return the peers of `stored` or `live` as gateway_info returns them, with digests for their preshared keys."""
    return [
        Peer(
            peer["public_key"],
            peer.get("name", ""),
            peer["preshared"],
            peer["endpoint"],
            tuple(sorted(peer["allowed_ips"])),
            int(peer["persistent_keepalive"]),
        )
        for peer in stored.get("peers", ())
    ]


def _digested(peers: Sequence[Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    return [{**peer, "preshared_key": wireguard.digest(peer.get("preshared_key") or "")} for peer in peers]


def _create_or_set(subject: str, old: str, new: str) -> Difference:
    return Difference(SET if old else CREATE, subject, old, new)


def _firewall(asked: Mapping[str, t.Any], rules: Mapping[str, t.Any]) -> list[Difference]:
    found = []
    for subject, old, text in (
        ("firewall rules", rules["rules"], planned_rules(asked)),
        ("firewall unit", rules["unit"], firewall.unit(asked["interface"])),
    ):
        new = firewall.fingerprint(text)
        if old != new:
            found.append(_create_or_set(subject, old[:12], new[:12]))
    if not rules["loaded"]:
        found.append(Difference(SET if rules["rules"] else CREATE, "firewall in the kernel", "", ""))
    for subject, there in (
        ("forwarding", rules["forwarding"]),
        ("firewall at boot", rules["enabled"]),
        ("firewall service", rules["active"]),
    ):
        if not there:
            found.append(Difference(SET, subject, "off", "on"))
    return found


def _interface(wanted: wireguard.Configuration, observed: Mapping[str, t.Any]) -> list[Difference]:
    stored, live = observed["stored"], observed["live"]
    found = []
    if not stored:
        found.append(Difference(CREATE, "configuration", "", ""))
    elif not stored["intact"]:
        found.append(Difference(SET, "configuration files", "changed by somebody else", "as planned"))
    if not observed["enabled"]:
        found.append(Difference(SET, "interface at boot", "off", "on"))
    if not live:
        found.append(Difference(CREATE, "interface", "", wanted.address))
    elif observed["public_key"] and live["public_key"] != observed["public_key"]:
        found.append(Difference(SET, "key of the running interface", live["public_key"], observed["public_key"]))
    for subject, new, in_file, running in (
        ("address", wanted.address, stored.get("address"), ", ".join(live.get("addresses", ()))),
        ("port", wanted.listen_port, stored.get("listen_port"), live.get("listen_port") if wanted.listen_port else 0),
        ("mtu", wanted.mtu, stored.get("mtu"), live.get("mtu")),
        ("table", wanted.table, stored.get("table"), wanted.table),
        ("source of the table", wanted.source, stored.get("source"), wanted.source),
    ):
        old = [value for value, there in ((running, live), (in_file, stored)) if there and value != new]
        if old:
            found.append(Difference(SET, subject, str(old[0]), str(new)))
    return found


def _peers(wanted: wireguard.Configuration, stored: Sequence[Peer], live: Mapping[str, t.Any]) -> list[Difference]:
    found = []
    running = {peer.public_key: peer for peer in peers_of(live)}
    in_file = {peer.public_key: peer for peer in stored}
    to_set, to_remove = wireguard.peer_changes(running, wanted.peers, stored)
    # An interface that does not run gets its peers when it starts.
    differing = {peer.public_key: names for peer, names in to_set} if live else {}
    names = [peer.name for peer in wanted.peers]
    keys = {peer.public_key for peer in wanted.peers}
    replaced = set()
    for peer in wanted.peers:
        before, now = in_file.get(peer.public_key), running.get(peer.public_key)
        subject = f"peer {peer.name}"
        if before is None and now is None:
            other = wireguard.same_end(peer.name, peer.allowed_ips, stored, names)
            if other is None or other.public_key in keys:
                found.append(Difference(CREATE, subject, "", ", ".join(peer.allowed_ips)))
            else:
                replaced.add(other.public_key)
                found.append(Difference(SET, f"{subject}: public_key", other.public_key, peer.public_key))
            continue
        if live and now is None or before is None:
            found.append(Difference(SET, subject, "missing", "as planned"))
            continue
        for attribute in ("name", "endpoint", "allowed_ips", "persistent_keepalive", "preshared_key"):
            new = getattr(peer, attribute)
            old = [
                getattr(other, attribute)
                for other, differs in (
                    (now, attribute in differing.get(peer.public_key, ())),
                    (before, getattr(before, attribute) != new),
                )
                if other is not None and differs
            ]
            old.sort(key=lambda value, new=new: value == new)  # type: ignore[misc] # an endpoint is set where only the wish is new
            if old and attribute == "preshared_key":
                found.append(Difference(SET, f"{subject}: {attribute}", "another one" if old[0] else "", "shared by both ends"))
            elif old:
                found.append(Difference(SET, f"{subject}: {attribute}", _text(old[0]), _text(new)))
    gone = {**{key: running[key] for key in to_remove}, **{key: peer for key, peer in in_file.items() if key not in keys}}
    found += [Difference(REMOVE, f"peer {peer.name or key}", "", "") for key, peer in gone.items() if key not in replaced]
    return found


def _routes(wanted: wireguard.Configuration, live: Mapping[str, t.Any]) -> list[Difference]:
    routes = {(route["to"], route["table"]) for route in live["routes"]}
    rules = {(rule["source"], rule["table"]) for rule in live["rules"]}
    needed = wireguard.wanted_routes(wanted)
    needed_rules = {(wanted.source, wanted.table)} if wanted.table else set()
    found = []
    for kind, pairs, rule_pairs in (
        (CREATE, needed - routes, needed_rules - rules),
        (REMOVE, routes - needed, rules - needed_rules),
    ):
        found += [Difference(kind, f"route {network}", *_in_table(kind, table)) for network, table in sorted(pairs)]
        found += [Difference(kind, f"rule for {source}", *_in_table(kind, table)) for source, table in sorted(rule_pairs)]
    return found


def _in_table(kind: str, table: int) -> tuple[str, str]:
    text = f"table {table}" if table else "main table"
    return ("", text) if kind == CREATE else (text, "")


def _text(value: t.Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
