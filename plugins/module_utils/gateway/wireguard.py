# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WireGuard state and configuration: read what `wg` and `wg-quick` say, and find what must change. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

KEY_BYTES = 32
# Seconds after which a session without a new handshake is dead (REJECT-AFTER-TIME, section 6.1 of the WireGuard paper).
SESSION_LIMIT_S = 180
# What wg-quick takes as the name of an interface; the kernel's limit is 15 characters (IFNAMSIZ - 1).
_INTERFACE = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")


@dataclass
class Peer:
    """One peer. Empty text and 0 mean "not set"."""

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


def is_key(text: str) -> bool:
    """Tell whether `text` is a WireGuard key: base64 of 32 bytes."""
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def is_interface_name(text: str) -> bool:
    """Tell whether `text` can be the name of an interface that wg-quick brings up."""
    return bool(_INTERFACE.fullmatch(text)) and text not in (".", "..")


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


def parse_configuration(text: str) -> dict[str, Peer]:
    """Return the peers of a configuration that `render` wrote, by name."""
    peers: dict[str, Peer] = {}
    for section in re.split(r"^\[Peer\]$", text, flags=re.MULTILINE)[1:]:
        values = dict(re.findall(r"^(\w+) = (.*)$", section, flags=re.MULTILINE))
        name = re.search(r"^# (\S+)$", section, flags=re.MULTILINE)
        if name and is_key(values.get("PublicKey", "")):
            peers[name[1]] = Peer(
                values["PublicKey"],
                name[1],
                values.get("PresharedKey", ""),
                values.get("Endpoint", ""),
                tuple(sorted(part.strip() for part in values.get("AllowedIPs", "").split(",") if part.strip())),
                int(values.get("PersistentKeepalive", "0")),
            )
    return peers


def wanted_peers(asked: Iterable[Mapping[str, t.Any]], stored: Mapping[str, Peer]) -> tuple[list[Peer], list[str]]:
    """Return the peers to configure, and the names of those whose key nobody knows yet.

    A peer asked for without a public key (its host is not in the play) keeps the keys stored on this host.
    """
    wanted, unknown = [], []
    for entry in asked:
        name = entry["name"]
        known = stored.get(name)
        key = entry.get("public_key") or (known.public_key if known else "")
        if not key:
            unknown.append(name)
            continue
        wanted.append(
            Peer(
                key,
                name,
                entry.get("preshared_key") or (known.preshared_key if known else ""),
                entry.get("endpoint") or "",
                tuple(sorted(entry["allowed_ips"])),
                int(entry.get("persistent_keepalive") or 0),
            )
        )
    return wanted, unknown


def faults(asked: Sequence[Mapping[str, t.Any]]) -> list[str]:
    """Return what is wrong with the peers asked for, one sentence each."""
    found = []
    owner: dict[str, str] = {}
    for entry in asked:
        for option in ("public_key", "preshared_key"):
            if entry.get(option) and not is_key(entry[option]):
                found.append(f"{entry['name']}: {option} is no WireGuard key (base64 of 32 bytes)")
        for network in entry["allowed_ips"]:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                found.append(f"{entry['name']}: allowed_ips: {error}")
                continue
            if network in owner:
                found.append(f"{entry['name']}: allowed_ips: {network} belongs to {owner[network]} already")
            owner.setdefault(network, entry["name"])
    return found


def render(*, private_key: str, address: str, listen_port: int, mtu: int, peers: Sequence[Peer], mask: bool = False) -> str:
    """Return the wg-quick configuration; with `mask`, without any secret.

    The private key stands in the file (mode 0600) because `systemctl reload` of wg-quick replaces the running configuration
    by the file, and would take the key away from the interface if the file had none.
    """
    lines = ["# Managed by oneflower.federation.wireguard_interface", "[Interface]", f"Address = {address}"]
    if listen_port:
        lines.append(f"ListenPort = {listen_port}")
    lines += [f"MTU = {mtu}", f"PrivateKey = {'********' if mask else private_key}"]
    for peer in peers:
        lines += ["", "[Peer]", f"# {peer.name}", f"PublicKey = {peer.public_key}"]
        if peer.preshared_key:
            lines.append(f"PresharedKey = {'********' if mask else peer.preshared_key}")
        if peer.endpoint:
            lines.append(f"Endpoint = {peer.endpoint}")
        lines.append(f"AllowedIPs = {', '.join(peer.allowed_ips)}")
        if peer.persistent_keepalive:
            lines.append(f"PersistentKeepalive = {peer.persistent_keepalive}")
    return "\n".join(lines) + "\n"


def peer_changes(live: Mapping[str, Peer], wanted: Sequence[Peer], stored: Mapping[str, Peer]) -> tuple[list[Peer], list[str]]:
    """Return the peers to set and the public keys to remove so that the running interface is as wanted.

    A peer's endpoint follows the peer when it roams, so it is set only when the wish changed or there is none.
    """
    to_set = []
    for peer in wanted:
        now = live.get(peer.public_key)
        before = stored.get(peer.name)
        endpoint_differs = bool(peer.endpoint) and (
            now is None or not now.endpoint or before is None or before.endpoint != peer.endpoint
        )
        if (
            now is None
            or endpoint_differs
            or now.preshared_key != peer.preshared_key
            or now.allowed_ips != peer.allowed_ips
            or now.persistent_keepalive != peer.persistent_keepalive
        ):
            to_set.append(peer)
    keys = {peer.public_key for peer in wanted}
    return to_set, [key for key in live if key not in keys]


def wanted_routes(address: str, peers: Sequence[Peer]) -> set[str]:
    """Return the routes that the interface needs: every AllowedIP that its own network does not cover."""
    own = ipaddress.ip_interface(address).network
    networks = {ipaddress.ip_network(network) for peer in peers for network in peer.allowed_ips}
    return {str(network) for network in networks if not (network.network_address in own and network.prefixlen >= own.prefixlen)}
