# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet: lab zones without guests, one gateway each that is a real lab host, and something that answers as the SuperLink.

    python -m benchmarks.follow.fleet up 10     start one, and print its inventory and how to run a playbook on it
    python -m benchmarks.follow.fleet down      leave nothing behind, whatever was killed

Gateways are booted hosts with an SSH server, a network namespace and a disk of their own. Zones and guests (test doubles, see
`guests`) are one process in the controller's namespace. The SuperLink's port is a TLS server, in a namespace of its own on the
coordinator's LAN, so every tunnel has to carry. Runs as root, with a lab name of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAB = "ofleet"
os.environ["ONEFLOWER_LAB"] = LAB
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

import lab.__main__ as lab_command  # noqa: E402
from benchmarks.follow import layout  # noqa: E402
from benchmarks.follow.layout import Place  # noqa: E402
from lab import hosts, image, network, processes, shell, topology  # noqa: E402

SUPERLINK, WAN = "superlink", "inet"
FOLDER = topology.STATE / "fleet"
# systemd takes several, and all hosts of a fleet count as one user.
INOTIFY, INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances"), 8192
READY_TIMEOUT_S = 120.0


def _say(text: str) -> None:
    print(f"fleet: {text}", file=sys.stderr, flush=True)


def _network(count: int) -> None:
    hub = Place(0)
    network.add_bridge(network.CONTROLLER, "management", f"addr replace {topology.MANAGEMENT}.1/24 dev management")
    network.add_bridge(WAN, "wan")
    for place in layout.places(count):
        network.add(place.gateway)
        network.join_management(place.gateway, place.management)
        network.plug(place.gateway, "wan", WAN, "wan", place.gateway, "", f"addr replace {place.wan}/16 dev wan")
        if place == hub:
            network.add(SUPERLINK)
            address, route = f"addr replace {hub.superlink}/24 dev eth0", f"route replace default via {hub.lan}.1"
            network.plug(SUPERLINK, "eth0", place.gateway, "", "lan", "", address)
            shell.batch(place.gateway, ["link set lan up", f"addr replace {place.lan}.1/24 dev lan"])
            shell.batch(SUPERLINK, [route])
        else:
            network.add_bridge(place.gateway, "lan", f"addr replace {place.lan}.1/24 dev lan")


def _gateways(count: int) -> None:
    hosts.keys()
    before = INOTIFY.read_text().strip()
    if int(before) < INSTANCES:
        (FOLDER / "inotify").write_text(before)
        INOTIFY.write_text(str(INSTANCES))
    for place in layout.places(count):
        if not hosts.running(place.gateway):
            hosts.start_managed(place.gateway, place.management, "base")
    for place in layout.places(count):
        hosts.wait_for_port(place.gateway, 22, READY_TIMEOUT_S)


def _zones(count: int) -> int:
    """Start the zones' process; return its id."""
    command = ["nsenter", f"--net={network.place(SUPERLINK)}", sys.executable, "-m", "benchmarks.follow.fleet", "listen"]
    ready = FOLDER / "ports.json"
    ready.unlink(missing_ok=True)
    with (FOLDER / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, str(count)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    processes.remember(FOLDER / "process", process.pid)
    processes.reap(process)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise shell.LabError(f"the zones do not start; see {FOLDER / 'log'}")
        time.sleep(0.05)
    return process.pid


class Fleet:
    """A fleet that runs: its inventory, and how to run a playbook on it."""

    def __init__(self, count: int, zones: int) -> None:
        self.count, self.zones = count, zones
        self.inventory = FOLDER / "inventory.yml"
        ports = json.loads((FOLDER / "ports.json").read_text())
        self.inventory.write_text(yaml.safe_dump(layout.inventory(count, ports, str(topology.STATE)), sort_keys=False))

    def command(self, playbook: str, *more: str) -> list[str]:
        """Return a command line that runs a playbook of a checkout, in that checkout."""
        inside = ["nsenter", f"--net={network.place(network.CONTROLLER)}"]
        return [*inside, str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(self.inventory), playbook, *more]

    def gateway_cpu(self) -> float:
        """Return the seconds of CPU that all gateways' processes have used, ended ones of the same parent included."""
        return sum(_cpu(pid) for place in layout.places(self.count) for pid in processes.in_groups(hosts.groups(place.gateway)))

    def zones_cpu(self) -> float:
        """Return the seconds of CPU that zones and guests have used."""
        return _cpu(self.zones)

    def disconnect(self) -> None:
        """End the SSH connections that the last run left open."""
        for connection in (topology.STATE / "ssh" / "connections").glob("*"):
            shell.run("ssh", "-F", "none", "-S", connection, "-O", "exit", "fleet", check=False)


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0.0
    return sum(int(number) for number in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def up(count: int) -> Fleet:
    """Start a fleet; what a killed one left is cleared first."""
    down()
    started = time.monotonic()
    FOLDER.mkdir(mode=0o700, parents=True)
    image.ensure_base(image.SUITE)
    _network(count)
    _gateways(count)
    fleet = Fleet(count, _zones(count))
    _say(f"{count} zones and gateways in {time.monotonic() - started:.0f} s")
    return fleet


def down() -> None:
    """Leave nothing behind."""
    with contextlib.suppress(OSError, ValueError):
        INOTIFY.write_text((FOLDER / "inotify").read_text())
    with contextlib.redirect_stdout(sys.stderr):
        lab_command.down(argparse.Namespace())


@contextlib.contextmanager
def running(count: int) -> Iterator[Fleet]:
    """Yield a fleet; it is gone afterwards, also where the process is asked to end."""

    def end(*_signal: t.Any) -> None:
        sys.exit("ended by a signal")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield up(count)
    finally:
        down()
        signal.signal(signal.SIGTERM, before)


# --- the process of zones and guests -----------------------------------------------------------------------------------


def _serve(count: int, descriptor: int) -> None:
    import asyncio
    import logging
    import ssl

    from benchmarks.follow import guests
    from lab import frontends
    from lab.zone.config import ZoneConfig
    from lab.zone.server import serve

    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    hub = Place(0)
    made = guests.tls.ensure(FOLDER / "ca", FOLDER / "tls", [f"IP:{hub.superlink}"], "superlink", 0, guests.tls.utcnow())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(FOLDER / "tls" / "server.crt", FOLDER / "tls" / "server.key")
    context.set_alpn_protocols(["h2"])

    def zone(place: Place) -> ZoneConfig:
        (FOLDER / place.zone).mkdir(exist_ok=True)
        lan = {
            "name": "lan",
            "bridge": "lan",
            "first_ip": f"{place.lan}.100",
            "size": 100,
            "network": f"{place.lan}.0",
            "mask": "255.255.255.0",
            "gateway": "",
        }
        gate = 30000 + place.number
        return ZoneConfig.from_dict(
            {
                "name": place.zone,
                "zone_id": 0,
                "role": "standalone",
                "auth_file": str(frontends.credentials()),
                "database": str(FOLDER / place.zone / "one.db"),
                "listen": {**{api: ["127.0.0.1", 0] for api in ("xmlrpc", "oneflow")}, "onegate": ["127.0.0.1", gate]},
                "onegate_endpoint": f"http://127.0.0.1:{gate}",
                "timings": {"default_cooldown": 1, "reconcile": 0},
                "seed": {"vnets": [lan], "vm_templates": [{"name": "flower-appliance", "image": "flower-appliance"}]},
            }
        )

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end.set)
        listening = socket.socket(fileno=descriptor)
        server = await asyncio.start_server(greet, sock=listening, ssl=context)
        async with server, serve(*(zone(place) for place in layout.places(count))) as zones:
            played = guests.Guests(zones, guests.SuperLink(f"{hub.superlink}:{layout.PORT}", made))
            played.start()
            written = FOLDER / "ports.json.new"
            written.write_text(json.dumps({served.config.name: served.ports for served in zones}))
            written.rename(FOLDER / "ports.json")
            await end.wait()
            await asyncio.to_thread(played.stop)

    asyncio.run(main())


def _listen(count: int) -> None:
    """Listen as the SuperLink, in whose namespace this is, and become the process of the zones, in the controller's."""
    listening = socket.create_server((Place(0).superlink, layout.PORT), backlog=512)
    listening.set_inheritable(True)
    inside = f"--net={network.place(network.CONTROLLER)}"
    program = [sys.executable, "-m", "benchmarks.follow.fleet", "serve", str(count), str(listening.fileno())]
    os.execvp("nsenter", ["nsenter", inside, *program])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.follow.fleet", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=("up", "down", "listen", "serve"), help="the last two are the fleet's own")
    parser.add_argument("count", type=int, nargs="?", default=10, help="zones; the first is the coordinator's")
    parser.add_argument("descriptor", type=int, nargs="?", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.geteuid():
        return shell.fail("a fleet needs root: network namespaces and systemd-nspawn")
    os.umask(0o022)
    try:
        if arguments.action == "serve":
            _serve(arguments.count, arguments.descriptor)
        elif arguments.action == "listen":
            _listen(arguments.count)
        elif arguments.action == "down":
            down()
        else:
            print(" ".join(up(arguments.count).command("playbooks/deploy.yml")))
    except (shell.LabError, ValueError) as error:
        return shell.fail(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
