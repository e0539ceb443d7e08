# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WireGuard state and configuration: read what `wg` and `wg-quick` say, and find what must change. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

KEY_BYTES = 32
# Seconds after which a session without a new handshake is dead (REJECT-AFTER-TIME, section 6.1 of the WireGuard paper).
SESSION_LIMIT_S = 180
FOLDER = "/etc/wireguard"
HEADER = "# Managed by oneflower.federation.gateway"
# A hub's routes to the sites stand in a table of their own, one for each UDP port, which no two interfaces share. Only packets from
# the SuperLink use it, so that a second SuperLink behind the same gateway can have the same sites in another tunnel. Numbers below
# 256 are the system's, those around 51820 the ones that wg-quick takes for default routes.
TABLES = 100_000
# Before the main table (32766) and before what wg-quick adds for default routes (32764).
RULE_PRIORITY = 10_000
# What wg-quick and systemd take as the name of an interface; the kernel's limit is 15 characters (IFNAMSIZ - 1).
_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")


@dataclass
class Peer:
    """One peer. Empty text and 0 mean "not set".

    What compares peers takes digests for preshared keys as well, if all that it is given are digests.
    """

    public_key: str
    name: str = ""
    preshared_key: str = field(default="", repr=False)
    endpoint: str = ""
    allowed_ips: tuple[str, ...] = ()
    persistent_keepalive: int = 0
    latest_handshake: int = 0
    received: int = 0
    sent: int = 0


@dataclass
class Interface:
    """What `wg show IF dump` says."""

    public_key: str
    listen_port: int
    peers: dict[str, Peer]


@dataclass
class Configuration:
    """What a configuration of wg-quick says. `table` 0 is the main table; otherwise packets from `source` use the table."""

    address: str
    listen_port: int
    mtu: int
    table: int = 0
    source: str = ""
    peers: tuple[Peer, ...] = ()
    private_key: str = field(default="", repr=False)


def is_key(text: str) -> bool:
    """Tell whether `text` is a WireGuard key: base64 of 32 bytes."""
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def is_interface_name(text: str) -> bool:
    """Tell whether `text` can be the name of an interface that wg-quick brings up as a unit of systemd."""
    return bool(_INTERFACE.fullmatch(text)) and text not in (".", "..")


def digest(key: str) -> str:
    """Return 16 hexadecimal digits that tell whether two preshared keys are the same one; empty for none."""
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""


def conf_path(interface: str) -> str:
    """Return the configuration's file."""
    return f"{FOLDER}/{interface}.conf"


def key_path(interface: str) -> str:
    """Return the private key's file."""
    return f"{FOLDER}/{interface}.key"


def service(interface: str) -> str:
    """Return the name of the unit."""
    return f"wg-quick@{interface}.service"


def parse_dump(text: str) -> Interface:
    """Read the tab-separated output of `wg show IF dump`; raise ValueError for anything else."""
    lines = [line.split("\t") for line in text.splitlines() if line.strip()]
    if not lines or len(lines[0]) != 4:
        raise ValueError(f"not the output of wg show dump: {text[:80]!r}")
    peers = {}
    for fields in lines[1:]:
        if len(fields) != 8:
            raise ValueError(f"not a peer of wg show dump: {len(fields)} fields")
        key, preshared, endpoint, allowed, handshake, received, sent, keepalive = fields
        peers[key] = Peer(
            key,
            preshared_key="" if preshared == "(none)" else preshared,
            endpoint="" if endpoint == "(none)" else endpoint,
            allowed_ips=() if allowed == "(none)" else tuple(sorted(allowed.split(","))),
            persistent_keepalive=0 if keepalive == "off" else int(keepalive),
            latest_handshake=int(handshake),
            received=int(received),
            sent=int(sent),
        )
    return Interface(lines[0][1], int(lines[0][2]), peers)


def is_ours(text: str) -> bool:
    """Tell whether `render` wrote the configuration; one that is not there is nobody's, and may be written."""
    return not text or text.startswith(HEADER + "\n")


def parse_configuration(text: str) -> Configuration | None:
    """Read a configuration that `render` wrote; None where it is another one or there is none."""
    if not text or not is_ours(text):
        return None
    head, *sections = re.split(r"^\[Peer\]$", text, flags=re.MULTILINE)
    values = _values(head)
    peers = []
    for section in sections:
        given = _values(section)
        name = re.search(r"^# (\S+)$", section, flags=re.MULTILINE)
        if name and is_key(given.get("PublicKey", "")):
            peers.append(
                Peer(
                    given["PublicKey"],
                    name[1],
                    given.get("PresharedKey", ""),
                    given.get("Endpoint", ""),
                    tuple(sorted(part.strip() for part in given.get("AllowedIPs", "").split(",") if part.strip())),
                    _number(given.get("PersistentKeepalive")),
                )
            )
    rule = re.search(r"ip rule add from (\S+) ", values.get("PostUp", ""))
    return Configuration(
        values.get("Address", ""),
        _number(values.get("ListenPort")),
        _number(values.get("MTU")),
        _number(values.get("Table")),
        rule[1] if rule else "",
        tuple(peers),
        values.get("PrivateKey", ""),
    )


def _values(section: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+) = (.*)$", section, flags=re.MULTILINE))


def _number(text: str | None) -> int:
    """Return a number of a file that somebody may have changed by hand; what is none is 0."""
    return int(text) if text and text.isdecimal() else 0


def configuration(asked: Mapping[str, t.Any], peers: Iterable[Peer] = (), private_key: str = "") -> Configuration:
    """Return the configuration that follows from the module's options, with the peers whose keys are known."""
    hub = asked["role"] == "hub"
    return Configuration(
        asked["address"],
        int(asked["listen_port"]),
        int(asked["mtu"]),
        TABLES + int(asked["listen_port"]) if hub else 0,
        asked["superlink_address"] if hub else "",
        tuple(sorted(peers, key=lambda peer: peer.name)),
        private_key,
    )


def same_end(name: str, allowed_ips: Iterable[str], stored: Sequence[Peer], asked_names: Iterable[str]) -> Peer | None:
    """Return the stored peer that is meant by one without a known key.

    It is the one of that name; of a host that was renamed it is the one with its tunnel address, whose name nobody has any more.
    """
    names = set(asked_names)
    hosts = {network for network in allowed_ips if network.endswith("/32")}
    by_name = next((peer for peer in stored if peer.name == name), None)
    return by_name or next((peer for peer in stored if peer.name not in names and hosts & set(peer.allowed_ips)), None)


def wanted_peers(asked: Sequence[Mapping[str, t.Any]], stored: Sequence[Peer]) -> tuple[list[Peer], list[str]]:
    """Return the peers to configure, and the names of those whose key nobody knows yet.

    A peer asked for without a public key (its host is not in the play) keeps the keys stored on this host. One asked for without a
    preshared key keeps the one that is stored with its public key, whatever its name was.
    """
    wanted, unknown = [], []
    names = [entry["name"] for entry in asked]
    by_key = {peer.public_key: peer for peer in stored}
    for entry in asked:
        name, key = entry["name"], entry.get("public_key") or ""
        known = by_key.get(key) if key else same_end(name, entry["allowed_ips"], stored, names)
        if not key and known is None:
            unknown.append(name)
            continue
        wanted.append(
            Peer(
                key or (known.public_key if known else ""),
                name,
                entry.get("preshared_key") or (known.preshared_key if known else ""),
                entry.get("endpoint") or "",
                tuple(sorted(entry["allowed_ips"])),
                int(entry.get("persistent_keepalive") or 0),
            )
        )
    return wanted, unknown


def faults(asked: Mapping[str, t.Any]) -> list[str]:
    """Return what is wrong with the module's options, one sentence each."""
    found = []
    if asked["role"] == "hub" and not asked["listen_port"]:
        found.append("a hub needs a listen_port")
    for option, kind in (
        ("address", ipaddress.IPv4Interface),
        ("lan", ipaddress.IPv4Network),
        ("superlink_address", ipaddress.IPv4Address),
    ):
        try:
            kind(asked[option])
        except ValueError as error:
            found.append(f"{option}: {error}")
    owner: dict[str, str] = {}
    for entry in asked["peers"]:
        if not re.fullmatch(r"\S+", entry["name"]):
            found.append(f"{entry['name']!r} cannot be the name of a peer")
        for option in ("public_key", "preshared_key"):
            if entry.get(option) and not is_key(entry[option]):
                found.append(f"{entry['name']}: {option} is no WireGuard key (base64 of 32 bytes)")
        for network in entry["allowed_ips"]:
            try:
                ipaddress.IPv4Network(network)
            except ValueError as error:
                found.append(f"{entry['name']}: allowed_ips: {error}")
                continue
            if network in owner:
                found.append(f"{entry['name']}: allowed_ips: {network} belongs to {owner[network]} already")
            owner.setdefault(network, entry["name"])
    return found


def rule_arguments(source: str, table: int) -> list[str]:
    """Return what `ip rule add` and `ip rule del` are told."""
    return ["from", source, "lookup", str(table), "priority", str(RULE_PRIORITY)]


def render(wanted: Configuration, *, mask: bool = False) -> str:
    """Return the text of the configuration; with `mask`, without any secret.

    The private key stands in the file (mode 0600) because `systemctl reload` of wg-quick replaces the running configuration
    by the file, and would take the key away from the interface if the file had none.
    """
    lines = [HEADER, "[Interface]", f"Address = {wanted.address}"]
    if wanted.listen_port:
        lines.append(f"ListenPort = {wanted.listen_port}")
    lines += [f"MTU = {wanted.mtu}", f"PrivateKey = {'********' if mask else wanted.private_key}"]
    if wanted.table:
        rule = " ".join(rule_arguments(wanted.source, wanted.table))
        # A rule outlives an interface that somebody deleted, and adding it again would fail then.
        lines += [
            f"Table = {wanted.table}",
            f"PostUp = ip rule del {rule} 2>/dev/null || true; ip rule add {rule}",
            f"PreDown = ip rule del {rule} || true",
        ]
    for peer in wanted.peers:
        lines += ["", "[Peer]", f"# {peer.name}", f"PublicKey = {peer.public_key}"]
        if peer.preshared_key:
            lines.append(f"PresharedKey = {'********' if mask else peer.preshared_key}")
        if peer.endpoint:
            lines.append(f"Endpoint = {peer.endpoint}")
        lines.append(f"AllowedIPs = {', '.join(peer.allowed_ips)}")
        if peer.persistent_keepalive:
            lines.append(f"PersistentKeepalive = {peer.persistent_keepalive}")
    return "\n".join(lines) + "\n"


def masked(found: Configuration) -> Configuration:
    """Return the configuration with digests for the preshared keys, and without the private key."""
    return replace(
        found,
        private_key="",
        peers=tuple(replace(peer, preshared_key=digest(peer.preshared_key)) for peer in found.peers),
    )


def peer_changes(
    live: Mapping[str, Peer], wanted: Sequence[Peer], stored: Sequence[Peer]
) -> tuple[list[tuple[Peer, tuple[str, ...]]], list[str]]:
    """Return the peers to set, each with the names of what differs, and the public keys to remove, of the running interface.

    A peer's endpoint follows the peer when it roams, so it is set only when the wish changed or there is none.
    """
    to_set = []
    by_key = {peer.public_key: peer for peer in stored}
    for peer in wanted:
        now, before = live.get(peer.public_key), by_key.get(peer.public_key)
        differing = [
            name
            for name in ("preshared_key", "allowed_ips", "persistent_keepalive")
            if now is None or getattr(now, name) != getattr(peer, name)
        ]
        if peer.endpoint and (now is None or not now.endpoint or before is None or before.endpoint != peer.endpoint):
            differing.append("endpoint")
        if differing:
            to_set.append((peer, tuple(differing)))
    keys = {peer.public_key for peer in wanted}
    return to_set, [key for key in live if key not in keys]


def wanted_routes(wanted: Configuration) -> set[tuple[str, int]]:
    """Return the routes (network, table) that wg-quick makes for the peers; table 0 is the main one.

    In the main table the interface's own network covers the peers' tunnel addresses.
    """
    own = ipaddress.IPv4Interface(wanted.address).network
    networks = {ipaddress.IPv4Network(network) for peer in wanted.peers for network in peer.allowed_ips}
    return {
        (str(network), wanted.table)
        for network in networks
        if wanted.table or not (network.network_address in own and network.prefixlen >= own.prefixlen)
    }
