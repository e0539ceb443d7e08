# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table of one federation on its gateway, and the unit that loads it. Pure.

Everything goes by the name of the tunnel's interface, so that several federations can share a gateway. No rule matches a packet of
another federation: each names its interface, or addresses that are this federation's alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

RULES_FOLDER = "/etc/oneflower"


def fingerprint(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal digits; empty for none."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def table(interface: str) -> str:
    """Return the name of the table in the family inet."""
    return f"oneflower_{interface}"


def rules_path(interface: str) -> str:
    """Return the file that `nft` loads."""
    return f"{RULES_FOLDER}/{interface}.nft"


def service(interface: str) -> str:
    """Return the name of the unit."""
    return f"oneflower-gateway@{interface}.service"


def unit_path(interface: str) -> str:
    """Return the file of the unit."""
    return f"/etc/systemd/system/{service(interface)}"


def _set(networks: Iterable[ipaddress.IPv4Network]) -> str:
    """Return an anonymous set of networks; what lies in another one is left out, because nft refuses intervals that overlap."""
    return "{ " + ", ".join(str(network) for network in ipaddress.collapse_addresses(networks)) + " }"


def rules(
    *, interface: str, role: str, address: str, lan: str, superlink_address: str, fleet_port: int, allowed_ips: Iterable[str]
) -> str:
    """Return what `nft --file` reads: it replaces this federation's table and touches no other.

    `role` is "hub" or "spoke", `address` the tunnel address with its prefix, `allowed_ips` are all networks behind all peers, in
    any order. Only what concerns the tunnel is matched; every other packet passes on to the host's own rules.
    """
    name, superlink = table(interface), superlink_address
    tunnel_in, tunnel_out = f'iifname "{interface}"', f'oifname "{interface}"'
    overlay = ipaddress.IPv4Interface(address).network
    networks = [ipaddress.IPv4Network(network) for network in allowed_ips]
    inside = [network for network in networks if network.subnet_of(overlay)]
    lans = [network for network in networks if network not in inside]
    forward, output = [], []
    if role == "hub":
        forward.append(f"{tunnel_in} {tunnel_out} drop")
        if networks:
            forward.append(f"{tunnel_in} ip saddr {_set(networks)} ip daddr {superlink} tcp dport {fleet_port} accept")
    forward += [f"{tunnel_in} ct state established,related accept", f"{tunnel_in} drop"]
    if role == "spoke":
        forward.append(f"{tunnel_out} ip saddr {lan} ip daddr {superlink} tcp dport {fleet_port} accept")
    forward += [f"{tunnel_out} ct state established,related accept", f"{tunnel_out} drop"]
    # What belongs in the tunnel never leaves by another way. Another federation's hub on this gateway has the same sites behind
    # it; its packets have another SuperLink's address.
    if role == "hub" and lans:
        forward.append(f"ip saddr {superlink} ip daddr {_set(lans)} drop")
    own = inside if role == "hub" else networks
    if own:
        forward.append(f"ip daddr {_set(own)} drop")
        output.append(f'oifname != "{interface}" ip daddr {_set(own)} drop')
    clamp = [f"{way} tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu" for way in (tunnel_in, tunnel_out)]
    arriving = [
        f"{tunnel_in} ct state established,related accept",
        f"{tunnel_in} icmp type echo-request accept",
        f"{tunnel_in} drop",
    ]
    lines = [
        "# Managed by oneflower.federation.gateway. Only what concerns the tunnel stands here; every other packet passes on to the",
        "# host's own rules.",
        f"table inet {name}",
        f"delete table inet {name}",
        f"table inet {name} {{",
    ]
    for chain, hook, priority, statements in (
        ("forward", "forward", "filter - 5", forward),
        ("clamp", "forward", "mangle", clamp),
        ("input", "input", "filter - 5", arriving),
        ("output", "output", "filter - 5", output),
    ):
        lines += [f"  chain {chain} {{", f"    type filter hook {hook} priority {priority}; policy accept;"]
        lines += [f"    {statement}" for statement in statements] + ["  }"]
    return "\n".join([*lines, "}"]) + "\n"


def unit(interface: str) -> str:
    """Return the systemd unit that has the rules in force before the tunnel comes up, and turns forwarding on after that."""
    load = f"nft --file {rules_path(interface)}"
    forward = "sysctl --quiet --write net.ipv4.ip_forward=1"
    return f"""\
# Managed by oneflower.federation.gateway
[Unit]
Description=Firewall and forwarding of the federation on {interface}
Before=network-pre.target wg-quick@{interface}.service
Wants=network-pre.target
DefaultDependencies=no
After=local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
# Forwarding is turned on only when the rules are in force.
ExecStart={load}
ExecStart={forward}
ExecReload={load}
ExecReload={forward}

[Install]
WantedBy=multi-user.target
RequiredBy=wg-quick@{interface}.service
"""
