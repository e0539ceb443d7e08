# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway as it is: what one federation has on it, in files and in force."""

from __future__ import annotations

import base64
import glob
import json
import os
import socket
import ssl
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from . import files, firewall, tools, wireguard

TOOLS = ("nft", "wg", "wg-quick", "ip", "systemctl", "sysctl")
FORWARDING = "/proc/sys/net/ipv4/ip_forward"
# Modes of files: those with a secret, and the others.
SECRET, OPEN = 0o600, 0o644


def record_path(interface: str) -> str:
    """Return the file that says whose the interface is, what forwarding was before, and how the kernel lists the rules."""
    return f"{firewall.RULES_FOLDER}/{interface}.json"


def record(interface: str) -> dict[str, t.Any]:
    """Return {federation, superlink_address, ip_forward ("0" or "1"), listing (SHA-256)}; empty where nothing can be read."""
    try:
        found = json.loads(files.read(record_path(interface)))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def recorded() -> list[str]:
    """Return the interfaces of all federations on this host."""
    return sorted(os.path.basename(path)[: -len(".json")] for path in glob.glob(record_path("*")))


class Host:
    """The commands of the host, for one interface."""

    def __init__(self, module: AnsibleModule, interface: str):
        self.module = module
        self.name = interface
        self.tools, self.missing = tools.find(module, *TOOLS)

    def run(self, tool: str, *arguments: str, data: str | None = None) -> str:
        """Return what the tool writes; where it fails, the module does."""
        code, output, errors = self.module.run_command([self.tools[tool], *arguments], data=data)
        if code:
            self.module.fail_json(msg=f"{tool} {' '.join(arguments)} failed: {errors.strip() or output.strip()}", missing=[])
        return output

    def ask(self, tool: str, *arguments: str) -> str:
        """Return what the tool writes; empty where it fails or is not installed."""
        if tool not in self.tools:
            return ""
        code, output, _errors = self.module.run_command([self.tools[tool], *arguments])
        return output if code == 0 else ""

    # -- WireGuard -------------------------------------------------------------------------------------------------------
    def private_key(self) -> str:
        """Return the private key, empty where there is none."""
        return files.read(wireguard.key_path(self.name)).strip()

    def public_key(self, private_key: str) -> str:
        """Return the public half, empty where there is no key or no `wg`."""
        return self.run("wg", "pubkey", data=private_key).strip() if private_key and "wg" in self.tools else ""

    def interface(self) -> wireguard.Interface | None:
        """Return the running interface, or None."""
        dump = self.ask("wg", "show", self.name, "dump")
        return wireguard.parse_dump(dump) if dump else None

    def link(self) -> tuple[int, list[str]]:
        """Return (MTU, addresses with prefix) of the running interface."""
        (entry, *_more) = json.loads(self.ask("ip", "-json", "-4", "addr", "show", "dev", self.name) or "[{}]") or [{}]
        addresses = [f"{found['local']}/{found['prefixlen']}" for found in entry.get("addr_info", [])]
        return entry.get("mtu", 0), sorted(addresses)

    def routes(self) -> list[tuple[str, int]]:
        """Return the routes (network, table) through the running interface, without those that its addresses bring."""
        found = set()
        for route in json.loads(self.ask("ip", "-json", "-4", "route", "show", "table", "all", "dev", self.name) or "[]"):
            table = str(route.get("table", "main"))
            if route.get("protocol") == "kernel" or not (table == "main" or table.isdecimal()):
                continue
            network = "0.0.0.0/0" if route["dst"] == "default" else route["dst"]
            found.add((network if "/" in network else f"{network}/32", 0 if table == "main" else int(table)))
        return sorted(found)

    def rules(self, tables: t.Iterable[int]) -> list[tuple[str, int]]:
        """Return the rules (source, table) of ours that lead into one of the tables."""
        wanted = {str(table) for table in tables if table}
        found = json.loads(self.ask("ip", "-json", "-4", "rule", "show") or "[]") if wanted else []
        return sorted(
            (str(rule.get("src")), int(rule["table"]))
            for rule in found
            if rule.get("priority") == wireguard.RULE_PRIORITY and str(rule.get("table")) in wanted
        )

    # -- firewall and units ----------------------------------------------------------------------------------------------
    def listing(self) -> str:
        """Return the table as the kernel lists it, without counters; empty where there is none."""
        return self.ask("nft", "--stateless", "list", "table", "inet", firewall.table(self.name))

    @staticmethod
    def forwarding() -> str:
        """Return "1" where the kernel forwards IPv4 packets, otherwise "0"."""
        return files.read(FORWARDING).strip() or "0"

    def units(self) -> list[tuple[bool, bool]]:
        """Return (enabled, active) of the firewall's unit and of the tunnel's."""
        states = []
        text = self.ask(
            "systemctl",
            "show",
            "--property=UnitFileState,ActiveState",
            firewall.service(self.name),
            wireguard.service(self.name),
        )
        for block in text.strip().split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            states.append((values.get("UnitFileState") == "enabled", values.get("ActiveState") == "active"))
        return states if len(states) == 2 else [(False, False)] * 2


def _peers(peers: t.Iterable[wireguard.Peer]) -> list[dict[str, t.Any]]:
    return [
        {
            "name": peer.name,
            "public_key": peer.public_key,
            "endpoint": peer.endpoint,
            "allowed_ips": list(peer.allowed_ips),
            "persistent_keepalive": peer.persistent_keepalive,
            "preshared": wireguard.digest(peer.preshared_key),
        }
        for peer in peers
    ]


def _stored(host: Host, private_key: str) -> dict[str, t.Any]:
    """Return the stored configuration without secrets; empty where there is none of ours."""
    path, key_path = wireguard.conf_path(host.name), wireguard.key_path(host.name)
    found = wireguard.parse_configuration(files.read(path))
    if found is None:
        return {}
    found.private_key = private_key
    return {
        "address": found.address,
        "listen_port": found.listen_port,
        "mtu": found.mtu,
        "table": found.table,
        "source": found.source,
        "peers": _peers(found.peers),
        "intact": not files.differs(path, wireguard.render(found), SECRET)
        and not files.differs(key_path, private_key + "\n", SECRET),
    }


def _live(host: Host, tables: t.Iterable[int]) -> dict[str, t.Any]:
    """Return the running interface without secrets; empty where it does not run."""
    found = host.interface()
    if found is None:
        return {}
    now = time.time()
    mtu, addresses = host.link()
    routes = host.routes()
    peers = []
    for peer, entry in zip(found.peers.values(), _peers(found.peers.values())):
        entry.pop("name")
        age = max(0, int(now - peer.latest_handshake)) if peer.latest_handshake else None
        peers.append({**entry, "latest_handshake_age": age, "received": peer.received, "sent": peer.sent})
    return {
        "public_key": found.public_key,
        "listen_port": found.listen_port,
        "mtu": mtu,
        "addresses": addresses,
        "routes": [{"to": network, "table": table} for network, table in routes],
        "rules": [
            {"source": source, "table": table} for source, table in host.rules({*tables, *(table for _network, table in routes)})
        ],
        "peers": peers,
    }


def _others(interface: str) -> list[dict[str, t.Any]]:
    found = []
    for name in recorded():
        stored, kept = wireguard.parse_configuration(files.read(wireguard.conf_path(name))), record(name)
        if name != interface:
            found.append(
                {
                    "interface": name,
                    "federation": str(kept.get("federation", "")),
                    "superlink_address": str(kept.get("superlink_address", "")),
                    "listen_port": stored.listen_port if stored else 0,
                    "address": stored.address if stored else "",
                }
            )
    return found


def observe(host: Host, table: int = 0) -> dict[str, t.Any]:
    """Return what the module `gateway_info` documents as `gateway`, without its probe. It holds no secret.

    `table` is one more table of routes to which rules are looked for, besides the stored one and those in use.
    """
    name = host.name
    private_key = host.private_key()
    stored = _stored(host, private_key)
    (firewall_enabled, firewall_active), (enabled, _active) = host.units()
    kept = record(name)
    listing = host.listing()
    rules, unit = files.read(firewall.rules_path(name)), files.read(firewall.unit_path(name))
    return {
        "tools": {"missing": host.missing},
        "federation": str(kept.get("federation", "")),
        "public_key": host.public_key(private_key),
        "foreign": not wireguard.is_ours(files.read(wireguard.conf_path(name))),
        "stored": stored,
        "live": _live(host, {table, stored.get("table", 0)}),
        "enabled": enabled,
        "firewall": {
            # A file with another owner or mode counts as none.
            "rules": "" if files.differs(firewall.rules_path(name), rules, OPEN) else firewall.fingerprint(rules),
            "unit": "" if files.differs(firewall.unit_path(name), unit, OPEN) else firewall.fingerprint(unit),
            "loaded": bool(listing) and firewall.fingerprint(listing) == kept.get("listing"),
            "forwarding": host.forwarding() == "1",
            "forwarding_found": kept.get("ip_forward") != "0",
            "enabled": firewall_enabled,
            "active": firewall_active,
        },
        "others": _others(name),
    }


def probe(host: str, port: int, timeout: float) -> dict[str, t.Any]:
    """Make one TLS handshake and return {connected, certificate (base64 of DER), seconds, error}.

    Nothing is verified: whoever asks compares the certificate with the one that he expects.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    started = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=timeout) as tcp, context.wrap_socket(tcp, server_hostname=host) as tls:
            certificate = tls.getpeercert(binary_form=True) or b""
    except OSError as error:
        return {"connected": False, "certificate": "", "seconds": 0.0, "error": str(error)}
    seconds = round(time.monotonic() - started, 3)
    return {"connected": True, "certificate": base64.b64encode(certificate).decode(), "seconds": seconds, "error": ""}
