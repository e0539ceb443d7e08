# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the lab: `python -m lab COMMAND`, as root."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import build, disks, frontends, hosts, image, network, processes, shell, topology
from lab.topology import SITES


def up(arguments: argparse.Namespace) -> None:
    """Start what is not running, also where a lab of this name was killed."""
    started = time.monotonic()
    topology.STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    network.build()
    hosts.keys()
    cold = [site for site in SITES if not hosts.running(site.gateway)]
    for site in cold:
        hosts.start_managed(site.gateway, site.gateway_management, "base")
    fresh = []
    versions = dict(entry.split("=", 1) for entry in arguments.version)
    if not arguments.no_zones:
        with ThreadPoolExecutor(len(SITES)) as pool:
            # The master first: the slaves replicate from it.
            fresh = [topology.HUB] if frontends.start(topology.HUB, versions.get(topology.HUB.letter, "")) else []
            others = SITES[1:]
            new = pool.map(lambda site: frontends.start(site, versions.get(site.letter, "")), others)
            fresh += [site for site, started_now in zip(others, new, strict=True) if started_now]
    with ThreadPoolExecutor(len(SITES)) as pool:
        list(pool.map(lambda site: hosts.wait_for_port(site.gateway, 22), SITES))
    what = [*(site.gateway for site in cold), *(site.front_end for site in fresh)]
    shell.say(f"started {', '.join(what)} in {time.monotonic() - started:.1f} s" if what else "everything is running already")


def down(_arguments: argparse.Namespace) -> None:
    """Leave nothing behind, however far `up` came and whatever was killed since."""
    for connection in (topology.STATE / "ssh" / "connections").glob("*"):
        shell.run("ssh", "-F", "none", "-S", connection, "-O", "exit", "lab", check=False)
    for site in SITES:
        frontends.stop(site)
    names = {path.name for path in (topology.STATE / "hosts").glob("*")} | hosts.with_groups()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hosts.destroy, sorted(names)))
    # All at once first: a process in one namespace may hold another's.
    processes.kill(processes.in_namespaces(network.place(name) for name in network.all_hosts() if network.exists(name)))
    for name in network.all_hosts():
        network.remove(name)
    for place in sorted(_mounts(), key=len, reverse=True):
        hosts.unmount(Path(place))
    disks.detach()
    shutil.rmtree(topology.STATE, ignore_errors=True)
    left = [str(path) for path in (topology.STATE, *hosts.groups()) if path.exists()] + network.all_hosts()
    if left:
        raise shell.LabError(f"still there: {', '.join(left)}")
    shell.say("down")


def _mounts() -> set[str]:
    """Return what is mounted below the lab's state."""
    targets = (row.split()[1] for row in Path("/proc/mounts").read_text().splitlines())
    return {target for target in targets if target.startswith(f"{topology.STATE}/")}


def status(_arguments: argparse.Namespace) -> None:
    rows = [(site.front_end, site.front_end_management, "running" if frontends.running(site) else "stopped", "") for site in SITES]
    for path in sorted((topology.STATE / "hosts").glob("*")):
        name = path.name
        address = next((site.gateway_management for site in SITES if site.gateway == name), "")
        rows.append((name, address, "running" if hosts.running(name) else "stopped", str(hosts.leader(name) or "")))
    for row in rows:
        print("{:<16}{:<16}{:<10}{}".format(*row).rstrip())


def _way_into(host: str) -> list[str]:
    """Return what runs the rest of a command line in a host. Router, controller, lines and LANs are namespaces and nothing more."""
    init = hosts.leader(host)
    if init:
        return ["nsenter", "-t", str(init), "-a"]
    if network.exists(host) and not hosts.folder(host).exists():
        return ["nsenter", f"--net={network.place(host)}"]
    raise shell.LabError(f"{host} is not running")


def execute(arguments: argparse.Namespace) -> None:
    command = [*_way_into(arguments.host), *arguments.command]
    os.execvp(command[0], command)


def console(arguments: argparse.Namespace) -> None:
    """Open a root shell with a terminal of the host's own, as a login on its console gives."""
    way = _way_into(arguments.host)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise shell.LabError(f"console needs a terminal; for one command: python -m lab exec {arguments.host} COMMAND")
    command = [*way, "bash"]
    if hosts.leader(arguments.host):
        terminal = f"--setenv=TERM={os.environ.get('TERM', 'linux')}"
        command = [
            *way,
            "systemd-run",
            "--quiet",
            "--collect",
            "--pty",
            terminal,
            "--setenv=HOME=/root",
            "--working-directory=/root",
            "/bin/bash",
            "--login",
        ]
    os.execvp(command[0], command)


def reboot(arguments: argparse.Namespace) -> None:
    before = hosts.leader(arguments.host)
    hosts.enter(arguments.host, "systemctl", "reboot", check=False)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and hosts.leader(arguments.host) in (0, before):
        time.sleep(0.1)
    if any(site.gateway == arguments.host for site in SITES):
        hosts.wait_for_port(arguments.host, 22)
    shell.say(f"{arguments.host} rebooted")


def host(arguments: argparse.Namespace) -> None:
    topology.STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    if arguments.action == "stop":
        hosts.destroy(arguments.name)
        return
    binds = [(Path(source), target) for source, _colon, target in (bind.partition(":") for bind in arguments.bind_ro)]
    suite = image.suite_of(arguments.image)
    if arguments.image.startswith("base"):
        image.ensure_base(suite)
    if arguments.wheels:
        binds.append((image.wheels_path(suite), "/wheelhouse"))
    print(hosts.start_scratch(arguments.name, arguments.image, binds=binds, number=arguments.number))


def frontend(arguments: argparse.Namespace) -> None:
    site = topology.site(arguments.site)
    if arguments.action in ("stop", "restart"):
        frontends.stop(site)
    if arguments.action in ("start", "restart"):
        frontends.start(site)


def wan(arguments: argparse.Namespace) -> None:
    network.fault(arguments.site, cut=arguments.cut, loss_percent=arguments.loss, delay_ms=arguments.delay)


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = main_parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, function, text):
        sub = commands.add_parser(name, help=text)
        sub.set_defaults(function=function)
        return sub

    command("deps", lambda _a: image.install_packages(), "install the Debian packages that the lab needs")
    command("image", lambda _a: build.build(), "build the images that are missing")
    command("clean", lambda _a: image.clean(), "remove the image cache")
    sub = command("up", up, "start the lab")
    sub.add_argument("--no-zones", action="store_true", help="gateways and networks only")
    sub.add_argument("--version", action="append", default=[], metavar="SITE=VERSION", help="OpenNebula that a site's zone plays")
    command("down", down, "stop the lab and leave nothing behind")
    command("status", status, "list hosts")
    sub = command("exec", execute, "run a command in a host")
    sub.add_argument("host")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    command("console", console, "open a root shell on a host's console").add_argument("host")
    command("reboot", reboot, "reboot a host from the inside").add_argument("host")
    sub = command("host", host, "start or stop a scratch host on the management link")
    sub.add_argument("action", choices=("start", "stop"))
    sub.add_argument("name")
    sub.add_argument("--image", default="base", help="base, base-SUITE for another Debian release, or flower-appliance")
    sub.add_argument("--wheels", action="store_true", help="show it Flower's wheels at /wheelhouse")
    sub.add_argument("--bind-ro", action="append", default=[], metavar="SOURCE:TARGET")
    sub.add_argument("--number", type=int, help="last byte of its management address; the first free one from 100 on if not given")
    sub = command("frontend", frontend, "stop, start or restart a zone's front-end")
    sub.add_argument("action", choices=("stop", "start", "restart"))
    sub.add_argument("site")
    sub = command("wan", wan, "cut a site's WAN link, make it lose or delay packets, or heal it; what is not given is off")
    sub.add_argument("--site", required=True)
    sub.add_argument("--cut", action="store_true")
    sub.add_argument("--heal", action="store_true")
    sub.add_argument("--loss", type=int, default=0, metavar="PERCENT", help="in each direction")
    sub.add_argument("--delay", type=float, default=0, metavar="MS", help="in each direction")
    renew = command("renew", lambda a: shell.say(f"zone {a.site} is now {network.renew(a.site)}"), "change a dynamic address")
    renew.add_argument("site")
    return main_parser


def main() -> int:
    arguments = parser().parse_args()
    if not re.fullmatch(r"[a-z0-9]{1,12}", topology.NAME):
        return shell.fail(f"ONEFLOWER_LAB is {topology.NAME!r}; lower-case letters and digits are needed, at most 12")
    if os.geteuid():
        return shell.fail("the lab needs root: network namespaces and systemd-nspawn")
    os.umask(0o022)
    try:
        arguments.function(arguments)
    except shell.LabError as error:
        return shell.fail(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
