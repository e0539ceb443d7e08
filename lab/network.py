# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces, links, and the router that plays the Internet. Everything here may be called again: what is there stays."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from lab import processes, shell, topology
from lab.topology import SITES, Site, namespace

ROUTER, CONTROLLER = "inet", "mgmt"
STATE = topology.STATE / "router"
LINE_ENDS = ("gw", "inet")
LINK_TIMEOUT_S = 20.0


def place(host: str) -> Path:
    return Path("/run/netns", namespace(host))


def exists(host: str) -> bool:
    """Tell whether a host has a namespace. What a killed `ip netns add` leaves is an ordinary file, and none."""
    try:
        return place(host).stat().st_dev != place(host).parent.stat().st_dev
    except OSError:
        return False


def add(host: str) -> None:
    """Make a host's namespace, unless it is there, with its loopback up."""
    if not exists(host):
        place(host).unlink(missing_ok=True)
        shell.run("ip", "netns", "add", namespace(host))
    shell.batch(host, ["link set lo up"])


def interfaces(host: str) -> set[str]:
    """Return the names of a host's network interfaces."""
    lines = shell.run("ip", "-n", namespace(host), "-o", "link").splitlines()
    return {line.split(": ")[1].split("@")[0] for line in lines}


def passing(host: str) -> set[str]:
    """Return the names of a host's interfaces that pass frames: up, with a queue, and forwarding where they are a bridge's port."""
    rows = json.loads(shell.run("ip", "-n", namespace(host), "-j", "-d", "link") or "[]")
    return {
        row["ifname"]
        for row in rows
        if row.get("operstate") == "UP"
        and row.get("qdisc") != "noop"
        and row.get("linkinfo", {}).get("info_slave_data", {}).get("state", "forwarding") == "forwarding"
    }


def wait_for_links(wanted: Mapping[str, Collection[str]]) -> None:
    """Wait until the given interfaces of each host pass frames; raises LabError when one does not in time.

    The kernel takes a cable into service some time after the command that switched it on. It drops what is sent before: the
    loss of a first ARP request alone makes everything behind it wait for the next one, a second later.
    """
    deadline = time.monotonic() + LINK_TIMEOUT_S
    for host, names in wanted.items():
        while missing := set(names) - passing(host):
            if time.monotonic() > deadline:
                raise shell.LabError(f"{host} has no link on {', '.join(sorted(missing))} after {LINK_TIMEOUT_S:.0f} s")
            time.sleep(0.01)


def link(host: str, interface: str, other: str, other_interface: str, mac: str = "") -> None:
    """Join two hosts with a cable."""
    address = ["address", mac] if mac else []
    shell.run(
        "ip",
        "link",
        "add",
        interface,
        "netns",
        namespace(host),
        *address,
        "type",
        "veth",
        "peer",
        "name",
        other_interface,
        "netns",
        namespace(other),
    )


def switch(site: Site) -> str:
    """Return the host that is nothing but the switch of a site's LAN."""
    return f"lan-{site.letter}"


def line(site: Site) -> str:
    """Return the host that is nothing but a site's WAN line, between gateway and router; it can be made slow."""
    return f"line-{site.letter}"


def add_bridge(host: str, bridge: str, *commands: str) -> None:
    add(host)
    if bridge not in interfaces(host):
        shell.batch(host, [f"link add {bridge} type bridge forward_delay 0"])
    shell.batch(host, [f"link set {bridge} up", *commands])


def plug(host: str, interface: str, switch_host: str, bridge: str, port: str, mac: str = "", *commands: str) -> None:
    """Plug a host's interface into a switch, unless it is, and run lines of `ip` on it."""
    if interface not in interfaces(host):
        if port in interfaces(switch_host):  # a cable whose other end was in a namespace that is gone
            shell.batch(switch_host, [f"link del {port}"])
        link(host, interface, switch_host, port, mac)
    if bridge:
        shell.batch(switch_host, [f"link set {port} master {bridge} up"])
    shell.batch(host, [f"link set {interface} up", *commands])


def join_management(host: str, address: str, interface: str = "mgmt0") -> None:
    """Put a host on the management link, from which the controller reaches it."""
    plug(host, interface, CONTROLLER, "management", host, "", f"addr replace {address}/24 dev {interface}")


def build() -> None:
    """Build the router, the controller, the lines, the LANs, and the links of gateways and front-ends; all pass frames then."""
    add_bridge(CONTROLLER, "management", f"addr replace {topology.MANAGEMENT}.1/24 dev management")
    add(ROUTER)
    shell.inside(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")
    links: dict[str, set[str]] = {CONTROLLER: {"management"}, ROUTER: set()}
    for site in SITES:
        add_bridge(switch(site), "lan")
        add_bridge(line(site), "line")
        shell.inside(line(site), "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        for host in (site.gateway, site.front_end):
            add(host)
        join_management(site.gateway, site.gateway_management)
        join_management(site.front_end, site.front_end_management)
        plug(site.gateway, "lan", switch(site), "lan", "gw", "", f"addr replace {site.lan}.1/24 dev lan")
        plug(site.front_end, "lan", switch(site), "lan", "fe", "", f"addr replace {site.lan}.2/24 dev lan")
        wan = f"wan-{site.letter}"
        plug(ROUTER, wan, line(site), "", "inet", "", f"addr replace {site.wan_router}/30 dev {wan}")
        plug(
            site.gateway,
            "wan",
            line(site),
            "",
            "gw",
            "",
            f"addr replace {site.wan_address}/30 dev wan",
            f"route replace default via {site.wan_router}",
        )
        run_line(site)
        links[CONTROLLER] |= {site.gateway, site.front_end}
        links[ROUTER].add(wan)
        links[switch(site)] = {"gw", "fe"}
        links[site.gateway] = {"mgmt0", "lan", "wan"}
        links[site.front_end] = {"mgmt0", "lan"}
    wait_for_links(links)
    if not (STATE / "dynamic").exists():  # written last
        load_router(topology.DYNAMIC_ADDRESSES[0])


def run_line(site: Site) -> None:
    """Make a site's WAN line as slow as it is meant to be; what was killed runs again."""
    state = STATE / f"delay-{site.letter}"
    milliseconds = float(state.read_text()) if state.exists() else 0.0
    if set(LINE_ENDS) - interfaces(line(site)):
        raise shell.LabError(f"zone {site.letter} has no line of its own: take the lab down and up again")
    if netem(line(site)):
        _line_with_netem(line(site), milliseconds)
    else:
        _line_without_netem(line(site), milliseconds, STATE / f"delay-{site.letter}.process")
    wait_for_links({line(site): LINE_ENDS})


def _join(host: str) -> None:
    shell.batch(host, [f"link set {end} master line up" for end in LINE_ENDS])


def _line_with_netem(host: str, milliseconds: float) -> None:
    """Let each end delay what leaves by it, so both directions are slow. No test here runs this: the kernels at hand lack netem."""
    _join(host)
    for end in LINE_ENDS:
        if milliseconds:
            shell.inside(host, "tc", "qdisc", "replace", "dev", end, "root", "netem", "limit", 20000, "delay", f"{milliseconds}ms")
        else:
            shell.inside(host, "tc", "qdisc", "del", "dev", end, "root", check=False)


def _line_without_netem(host: str, milliseconds: float, file: Path) -> None:
    """Join the two ends with a bridge, or with a process of ours that delays."""
    held = processes.recall(file)
    if held and milliseconds == _delayed(held):
        return
    processes.kill([held])
    file.unlink(missing_ok=True)
    if not milliseconds:
        _join(host)
        return
    shell.batch(host, [f"link set {end} nomaster up" for end in LINE_ENDS])
    program = topology.REPOSITORY / "lab/delay.py"
    worker = subprocess.Popen(
        ["nsenter", f"--net={place(host)}", sys.executable, str(program), *LINE_ENDS, str(milliseconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    processes.remember(file, worker.pid)
    if not worker.stdout or worker.stdout.readline().strip() != b"ready":
        raise shell.LabError(f"{host} cannot be delayed")
    processes.reap(worker)


def _delayed(pid: int) -> float:
    """Return the delay in milliseconds that a process of ours makes, or 0 where it has ended."""
    try:
        return float(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2])
    except (OSError, IndexError, ValueError):
        return 0.0


def netem(host: str) -> bool:
    """Tell whether this kernel can delay packets itself."""
    if not shutil.which("tc"):
        return False
    shell.inside(host, "tc", "qdisc", "add", "dev", "lo", "root", "netem", check=False)
    found = "netem" in shell.inside(host, "tc", "qdisc", "show", "dev", "lo", check=False)
    if found:
        shell.inside(host, "tc", "qdisc", "del", "dev", "lo", "root", check=False)
    return found


def load_router(dynamic_address: str) -> None:
    """Load the router's rules, with the faults that are in force."""
    STATE.mkdir(parents=True, exist_ok=True)
    rules = tuple(rule for file in sorted(STATE.glob("fault-*")) for rule in file.read_text().splitlines())
    shell.inside(ROUTER, "nft", "-f", "-", text_in=router_rules(dynamic_address, rules))
    shell.inside(
        ROUTER,
        "sysctl",
        "-qw",
        f"net.netfilter.nf_conntrack_tcp_timeout_established={topology.IDLE_TIMEOUT_S}",
        "net.netfilter.nf_conntrack_tcp_loose=0",
    )
    (STATE / "dynamic").write_text(dynamic_address)


def router_rules(dynamic_address: str, faults: tuple[str, ...] = ()) -> str:
    """Return the router's rules: stateful, forgetful, without private addresses, open only to the hub's tunnel ports."""
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
    ip daddr {hub.wan_address} udp dport {topology.WIREGUARD_PORTS} ct state new accept
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
    current = (STATE / "dynamic").read_text().strip()
    new = addresses[(addresses.index(current) + 1) % len(addresses)]
    load_router(new)
    shell.inside(ROUTER, "conntrack", "-D", "-s", site.wan_address, check=False)
    return new


def fault(letter: str, *, cut: bool = False, loss_percent: int = 0, delay_ms: float = 0) -> None:
    """Cut a site's WAN link, make it lose packets or hold each for a time, all in both directions; what is not given is off."""
    site = topology.site(letter)
    rules = []
    for direction in ("iifname", "oifname"):
        if cut:
            rules.append(f'{direction} "wan-{letter}" drop')
        elif loss_percent:
            rules.append(f'{direction} "wan-{letter}" numgen random mod 100 < {int(loss_percent)} drop')
    # One file per site, so that neither a fault elsewhere nor a new address heals this one.
    (STATE / f"fault-{letter}").write_text("\n".join(rules))
    (STATE / f"delay-{letter}").write_text(str(float(delay_ms)))
    load_router((STATE / "dynamic").read_text().strip())
    run_line(site)


def remove(host: str) -> None:
    """End what still runs in a host's namespace, and remove it."""
    if exists(host):
        processes.kill(processes.in_namespaces([place(host)]))
        shell.run("ip", "netns", "del", namespace(host))
    place(host).unlink(missing_ok=True)


def all_hosts() -> list[str]:
    """Return every lab host that has a namespace."""
    prefix = f"{topology.NAME}-"
    return sorted(path.name.removeprefix(prefix) for path in Path("/run/netns").glob(f"{prefix}*"))
