# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways for the tests: options of the module, and what gateway_info returns of one that is as asked for."""

from __future__ import annotations

import base64
import copy
import typing as t

from ansible_collections.oneflower.federation.plugins.module_utils.gateway import differences, firewall, wireguard


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


PSK = wireguard.digest(key(9))


def asked(role: str, **more: t.Any) -> dict[str, t.Any]:
    """Return the module's options for the hub gw-a or the spoke gw-b, without keys."""
    hub = role == "hub"
    peers = (
        [{"name": "gw-b", "allowed_ips": ["10.10.9.2/32", "10.10.11.0/24"]}]
        if hub
        else [
            {
                "name": "gw-a",
                "allowed_ips": ["10.10.9.1/32", "10.10.10.5/32"],
                "endpoint": "203.0.113.2:51820",
                "persistent_keepalive": 25,
            }
        ]
    )
    return {
        "interface": "wg0",
        "federation": "flower",
        "role": role,
        "address": "10.10.9.1/24" if hub else "10.10.9.2/24",
        "listen_port": 51820 if hub else 0,
        "mtu": 1420,
        "lan": "10.10.10.0/24" if hub else "10.10.11.0/24",
        "superlink_address": "10.10.10.5",
        "fleet_port": 9092,
        "peers": peers,
        **more,
    }


def observed(role: str, **more: t.Any) -> dict[str, t.Any]:
    """Return what gateway_info returns of a gateway that is as `asked` says; the hub's key is key(1), the spoke's key(2)."""
    options = asked(role, **more)
    own, other = (key(1), key(2)) if role == "hub" else (key(2), key(1))
    peers, _unknown = wireguard.wanted_peers([{**peer, "public_key": other} for peer in options["peers"]], [])
    wanted = wireguard.configuration(options, peers)
    stored_peers = [
        {
            "name": peer.name,
            "public_key": peer.public_key,
            "endpoint": peer.endpoint,
            "allowed_ips": list(peer.allowed_ips),
            "persistent_keepalive": peer.persistent_keepalive,
            "preshared": PSK,
        }
        for peer in peers
    ]
    live_peers = copy.deepcopy(stored_peers)
    for peer in live_peers:
        del peer["name"]
        peer.update(latest_handshake_age=7, received=1, sent=1)
        peer["endpoint"] = peer["endpoint"] or "203.0.113.6:40000"
    return {
        "tools": {"missing": []},
        "federation": "flower",
        "public_key": own,
        "foreign": False,
        "stored": {
            "address": wanted.address,
            "listen_port": wanted.listen_port,
            "mtu": wanted.mtu,
            "table": wanted.table,
            "source": wanted.source,
            "peers": stored_peers,
            "intact": True,
        },
        "live": {
            "public_key": own,
            "listen_port": wanted.listen_port or 40001,
            "mtu": wanted.mtu,
            "addresses": [wanted.address],
            "routes": [{"to": network, "table": table} for network, table in sorted(wireguard.wanted_routes(wanted))],
            "rules": [{"source": wanted.source, "table": wanted.table}] if wanted.table else [],
            "peers": live_peers,
        },
        "enabled": True,
        "firewall": {
            "rules": firewall.fingerprint(differences.planned_rules(options)),
            "unit": firewall.fingerprint(firewall.unit(options["interface"])),
            "loaded": True,
            "forwarding": True,
            "forwarding_found": False,
            "enabled": True,
            "active": True,
        },
        "others": [],
        "probe": {},
    }


def fresh() -> dict[str, t.Any]:
    """Return what gateway_info returns of a host on which nothing is yet."""
    off = dict.fromkeys(("loaded", "forwarding", "enabled", "active"), False)
    return {
        "tools": {"missing": ["nft", "wg", "wg-quick"]},
        "federation": "",
        "public_key": "",
        "foreign": False,
        "stored": {},
        "live": {},
        "enabled": False,
        "firewall": {"rules": "", "unit": "", "forwarding_found": True, **off},
        "others": [],
        "probe": {},
    }
