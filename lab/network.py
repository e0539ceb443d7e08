# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces, links, and the router that plays the Internet. Everything here may be called again: what is there stays."""

from __future__ import annotations

from pathlib import Path

from lab import shell, topology
from lab.topology import SITES, Site, namespace

ROUTER, CONTROLLER = "inet", "mgmt"


def exists(host: str) -> bool:
    return Path("/run/netns", namespace(host)).exists()


def add(host: str) -> bool:
    """Make a host's namespace with its loopback up; False where it was there."""
    if exists(host):
        return False
    shell.run("ip", "netns", "add", namespace(host))
    shell.batch(host, ["link set lo up"])
    return True


def interfaces(host: str) -> set[str]:
    """Names of a host's network interfaces."""
    lines = shell.run("ip", "-n", namespace(host), "-o", "link").splitlines()
    return {line.split(": ")[1].split("@")[0] for line in lines}


def link(host: str, interface: str, other: str, other_interface: str, mac: str = "") -> None:
    """Join two hosts with a cable."""
    address = ["address", mac] if mac else []
    shell.run(
        "ip", "link", "add", interface, "netns", namespace(host), *address, "type", "veth",
        "peer", "name", other_interface, "netns", namespace(other),
    )  # fmt: skip


def switch(site: Site) -> str:
    """The host that is nothing but the switch of a site's LAN."""
    return f"lan-{site.letter}"


def add_bridge(host: str, bridge: str, *commands: str) -> None:
    add(host)
    if bridge not in interfaces(host):
        shell.batch(host, [f"link add {bridge} type bridge forward_delay 0", f"link set {bridge} up", *commands])


def plug(host: str, interface: str, switch_host: str, bridge: str, port: str, mac: str = "") -> bool:
    """Plug a host's interface into a switch; False where it is plugged in already."""
    if interface in interfaces(host):
        return False
    if port in interfaces(switch_host):  # a cable whose other end was in a namespace that is gone
        shell.batch(switch_host, [f"link del {port}"])
    link(host, interface, switch_host, port, mac)
    shell.batch(switch_host, [f"link set {port} master {bridge} up"])
    shell.batch(host, [f"link set {interface} up"])
    return True


def join_management(host: str, address: str, interface: str = "mgmt0") -> None:
    """Put a host on the management link, from which the controller reaches it."""
    if plug(host, interface, CONTROLLER, "management", host):
        shell.batch(host, [f"addr replace {address}/24 dev {interface}"])


def build() -> None:
    """Router, controller, LANs, gateways' and front-ends' links."""
    add_bridge(CONTROLLER, "management", f"addr replace {topology.MANAGEMENT}.1/24 dev management")
    add(ROUTER)
    shell.inside(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")
    for site in SITES:
        add_bridge(switch(site), "lan")
        for host in (site.gateway, site.front_end):
            add(host)
        join_management(site.gateway, site.gateway_management)
        join_management(site.front_end, site.front_end_management)
        if plug(site.gateway, "lan", switch(site), "lan", "gw"):
            shell.batch(site.gateway, [f"addr replace {site.lan}.1/24 dev lan"])
        if plug(site.front_end, "lan", switch(site), "lan", "fe"):
            shell.batch(site.front_end, [f"addr replace {site.lan}.2/24 dev lan"])
        if "wan" not in interfaces(site.gateway):
            link(site.gateway, "wan", ROUTER, f"wan-{site.letter}")
            shell.batch(ROUTER, [f"addr replace {site.wan_router}/30 dev wan-{site.letter}", f"link set wan-{site.letter} up"])
            shell.batch(site.gateway, [f"addr replace {site.wan_address}/30 dev wan", "link set wan up"])
            shell.batch(site.gateway, [f"route replace default via {site.wan_router}"])
    if not shell.inside(ROUTER, "nft", "list", "tables").strip():
        load_router(topology.DYNAMIC_ADDRESSES[0])


def load_router(dynamic_address: str) -> None:
    """(Re)load the router's rules, with the faults that are in force."""
    state = topology.STATE / "router"
    state.mkdir(parents=True, exist_ok=True)
    rules = tuple(rule for file in sorted(state.glob("fault-*")) for rule in file.read_text().splitlines())
    shell.inside(ROUTER, "nft", "-f", "-", text_in=router_rules(dynamic_address, rules))
    shell.inside(
        ROUTER, "sysctl", "-qw", f"net.netfilter.nf_conntrack_tcp_timeout_established={topology.IDLE_TIMEOUT_S}",
        "net.netfilter.nf_conntrack_tcp_loose=0",
    )  # fmt: skip
    (state / "dynamic").write_text(dynamic_address)


def router_rules(dynamic_address: str, faults: tuple[str, ...] = ()) -> str:
    """The Internet between the sites: stateful, forgetful, without private addresses, open only to the hub's tunnel port."""
    hub = topology.HUB
    translated = ", ".join(f'"wan-{site.letter}"' for site in SITES if site.translated)
    fault_lines = "\n    ".join(faults)
    return f"""
table inet internet
delete table inet internet
table inet internet {{
  counter private {{ }}
  chain forwarding {{
    type filter hook forward priority 0; policy drop
    {fault_lines}
    ip saddr {{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 }} counter name private drop
    ip daddr {{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 }} counter name private drop
    ct state established,related accept
    ct state invalid drop
    ip daddr {hub.wan_address} udp dport {topology.WIREGUARD_PORT} ct state new accept
  }}
  chain translation {{
    type nat hook postrouting priority srcnat
    iifname {{ {translated} }} snat ip to {dynamic_address}
  }}
}}
"""


def renew(letter: str) -> str:
    """Give a translated site another public address, and forget its connections; returns the address."""
    site = topology.site(letter)
    if not site.translated:
        raise shell.LabError(f"zone {letter} has a static address")
    addresses = topology.DYNAMIC_ADDRESSES
    current = (topology.STATE / "router" / "dynamic").read_text().strip()
    new = addresses[(addresses.index(current) + 1) % len(addresses)]
    load_router(new)
    shell.inside(ROUTER, "conntrack", "-D", "-s", site.wan_address, check=False)
    return new


def fault(letter: str, *, cut: bool = False, loss_percent: int = 0) -> None:
    """Cut a site's WAN link, make it lose packets, or heal it (neither)."""
    device = f"wan-{topology.site(letter).letter}"
    rules = []
    for direction in ("iifname", "oifname"):
        if cut:
            rules.append(f'{direction} "{device}" drop')
        elif loss_percent:
            rules.append(f'{direction} "{device}" numgen random mod 100 < {int(loss_percent)} drop')
    state = topology.STATE / "router"
    # One file per site, so that neither a fault elsewhere nor a new address heals this one.
    (state / f"fault-{letter}").write_text("\n".join(rules))
    load_router((state / "dynamic").read_text().strip())


def remove(host: str) -> None:
    if exists(host):
        shell.run("ip", "netns", "del", namespace(host))


def all_hosts() -> list[str]:
    """Every lab host that has a namespace."""
    prefix = f"{topology.NAME}-"
    return sorted(path.name.removeprefix(prefix) for path in Path("/run/netns").glob(f"{prefix}*"))
