# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the lab: `python -m lab COMMAND`, as root."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import frontends, hosts, image, network, shell, topology
from lab.topology import SITES


def up(arguments: argparse.Namespace) -> None:
    """Start what is not running."""
    started = time.monotonic()
    topology.STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    network.build()
    hosts.keys()
    cold = [site for site in SITES if not hosts.running(site.gateway)]
    for site in cold:
        hosts.start_managed(site.gateway, site.gateway_management, "base")
    fresh = []
    if not arguments.no_zones:
        with ThreadPoolExecutor(len(SITES)) as pool:
            # The master first: the slaves replicate from it.
            fresh = [topology.HUB] if frontends.start(topology.HUB) else []
            others = SITES[1:]
            fresh += [site for site, new in zip(others, pool.map(frontends.start, others), strict=True) if new]
    with ThreadPoolExecutor(len(SITES)) as pool:
        list(pool.map(lambda site: hosts.wait_for_port(site.gateway, 22), SITES))
    what = [*(site.gateway for site in cold), *(site.front_end for site in fresh)]
    shell.say(
        f"started {', '.join(what)} in {time.monotonic() - started:.1f} s" if what else "everything is running already"
    )


def down(_arguments: argparse.Namespace) -> None:
    """Leave nothing behind, however far `up` came."""
    for connection in (topology.STATE / "ssh" / "connections").glob("*"):
        shell.run("ssh", "-F", "none", "-S", connection, "-O", "exit", "lab", check=False)
    for site in SITES:
        frontends.stop(site)
    names = {path.name for path in (topology.STATE / "hosts").glob("*")}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hosts.destroy, sorted(names)))
    for host in network.all_hosts():
        network.remove(host)
    shutil.rmtree(topology.STATE, ignore_errors=True)
    shell.say("down")


def status(_arguments: argparse.Namespace) -> None:
    rows = [(site.front_end, site.front_end_management, "running" if frontends.running(site) else "stopped", "") for site in SITES]
    for path in sorted((topology.STATE / "hosts").glob("*")):
        name = path.name
        address = next((site.gateway_management for site in SITES if site.gateway == name), "")
        rows.append((name, address, "running" if hosts.running(name) else "stopped", str(hosts.leader(name) or "")))
    for row in rows:
        print("{:<16}{:<16}{:<10}{}".format(*row).rstrip())


def execute(arguments: argparse.Namespace) -> None:
    if arguments.host in (network.ROUTER, network.CONTROLLER) or arguments.host.startswith(("lan-", "fe-")):
        path = f"/run/netns/{topology.namespace(arguments.host)}"
        os.execvp("nsenter", ["nsenter", f"--net={path}", *arguments.command])
    init = hosts.leader(arguments.host)
    if not init:
        raise shell.LabError(f"{arguments.host} is not running")
    os.execvp("nsenter", ["nsenter", "-t", str(init), "-a", *arguments.command])


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
    print(hosts.start_scratch(arguments.name, arguments.image, binds=binds, number=arguments.number))


def frontend(arguments: argparse.Namespace) -> None:
    site = topology.site(arguments.site)
    if arguments.action in ("stop", "restart"):
        frontends.stop(site)
    if arguments.action in ("start", "restart"):
        frontends.start(site)


def wan(arguments: argparse.Namespace) -> None:
    network.fault(arguments.site, cut=arguments.cut, loss_percent=arguments.loss)


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = main_parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, function, text):
        sub = commands.add_parser(name, help=text)
        sub.set_defaults(function=function)
        return sub

    command("deps", lambda _a: image.install_packages(), "install the Debian packages that the lab needs")
    command("image", lambda _a: image.build(), "build the images that are missing")
    command("clean", lambda _a: image.clean(), "remove the image cache")
    command("up", up, "start the lab").add_argument("--no-zones", action="store_true", help="gateways and networks only")
    command("down", down, "stop the lab and leave nothing behind")
    command("status", status, "list hosts")
    sub = command("exec", execute, "run a command in a host")
    sub.add_argument("host")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    command("reboot", reboot, "reboot a host from the inside").add_argument("host")
    sub = command("host", host, "start or stop a scratch host on the management link")
    sub.add_argument("action", choices=("start", "stop"))
    sub.add_argument("name")
    sub.add_argument("--image", default="base")
    sub.add_argument("--bind-ro", action="append", default=[], metavar="SOURCE:TARGET")
    sub.add_argument("--number", type=int, default=100, help="last byte of its management address")
    sub = command("frontend", frontend, "stop, start or restart a zone's front-end")
    sub.add_argument("action", choices=("stop", "start", "restart"))
    sub.add_argument("site")
    sub = command("wan", wan, "cut a site's WAN link, make it lose packets, or heal it")
    sub.add_argument("--site", required=True)
    sub.add_argument("--cut", action="store_true")
    sub.add_argument("--heal", action="store_true")
    sub.add_argument("--loss", type=int, default=0, metavar="PERCENT")
    renew = command("renew", lambda a: shell.say(f"zone {a.site} is now {network.renew(a.site)}"), "change a dynamic address")
    renew.add_argument("site")
    return main_parser


def main() -> int:
    arguments = parser().parse_args()
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
