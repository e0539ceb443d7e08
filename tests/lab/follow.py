# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of a changing federation share: inventories as variants of the lab's, and what really is there before and after."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lab.topology import PORTS, SITES
from tests.lab.conftest import NAME, ROOT, Lab, changes

LAB_INVENTORY = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())
NOTHING = "Nothing to change: the federation is as planned."
Inventory = dict[str, t.Any]
# Short trainings, and a dead peer that is soon noticed.
QUICK = {"federation_rounds": 2, "federation_keepalive_time": 15, "federation_keepalive_timeout": 5}
# (CLOCK_MONOTONIC in seconds, attributes by VM).
Samples = list[tuple[float, dict[str, dict[str, str]]]]
# systemd's message that a unit is being stopped (systemd.journal-fields(7), sd-messages.h).
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"

# Every VM of every zone with its user attributes, as JSON lines; with a pause it repeats until it is ended.
_READ = """
import json, sys, time, xmlrpc.client, xml.etree.ElementTree as tree
session, pause, zones = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
while True:
    begin, found = time.monotonic(), {}
    for zone in zones:
        letter, url = zone.split("=")
        answer = xmlrpc.client.ServerProxy(url).one.vmpool.infoextended(session, -2, -1, -1, -1)
        for vm in tree.fromstring(answer[1]).findall("VM"):
            found[f"vm-{letter}-{vm.findtext('ID')}"] = {entry.tag: entry.text or "" for entry in vm.find("USER_TEMPLATE")}
    print(json.dumps([begin, found]), flush=True)
    if not pause:
        break
    time.sleep(pause)
"""
# In a VM: its Flower unit's start and stop, the streams to or from the Fleet API, its routes, and the SuperLink's registered nodes.
_VM = r"""
for unit in flower-superlink flower-supernode; do
  systemctl show -p Id,ActiveState,ActiveEnterTimestampMonotonic,InvocationID $unit | tr '\n' ' '; echo
done
echo routes $(ip -4 route | grep via)
own=$(cat /sys/fs/cgroup/system.slice/flower-*.service/cgroup.procs 2>/dev/null | sed 's/.*/pid=&,/' | paste -sd '|')
echo streams $(ss -tnpH state established '( sport = :9092 or dport = :9092 )' | grep -E "${own:-none}" | awk '{print $3 ">" $4}')
test -f /var/lib/flower/home/state.db && python3 -c "
import sqlite3
rows = sqlite3.connect('file:/var/lib/flower/home/state.db?mode=ro', uri=True).execute(\"SELECT node_id FROM node WHERE status != 'unregistered'\")
print('nodes', *sorted(str(row[0] & (2**64 - 1)) for row in rows))"
true
"""
_GATEWAY = r"""
for path in /etc/wireguard/*.conf; do
  test -f $path || continue
  name=$(basename $path .conf)
  for unit in wg-quick@$name oneflower-gateway@$name; do
    echo unit $unit $(systemctl show --value -p ActiveState,ActiveEnterTimestampMonotonic $unit)
  done
  echo key $name $(wg show $name public-key) $(ip -4 -o address show $name | awk '{print $4}')
  echo settings $name mtu $(cat /sys/class/net/$name/mtu) port $(wg show $name listen-port)
  echo peers $name $(wg show $name peers | sort)
done
"""


@dataclass
class VmState:
    """One VM: its attributes, the invocation of its Flower unit and when that began (CLOCK_MONOTONIC, s)."""

    attributes: dict[str, str]
    invocation: str = ""
    started: float = 0
    routes: str = ""
    streams: frozenset[str] = frozenset()
    nodes: tuple[str, ...] | None = None

    @property
    def site(self) -> str:
        return self.attributes.get("FL_ROLE", "")

    @property
    def partition(self) -> str:
        return self.attributes.get("FL_PARTITION_ID", "")

    @property
    def federation(self) -> str:
        return self.attributes.get("SERVICE_NAME", "")


@dataclass
class World:
    """All VMs by their lab host, and the lines that each gateway tells of its tunnels."""

    vms: dict[str, VmState] = field(default_factory=dict)
    gateways: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def of_site(self, letter: str) -> dict[str, VmState]:
        return {name: vm for name, vm in self.vms.items() if name.startswith(f"vm-{letter}-")}

    def tunnels(self, gateway: str, kind: str) -> tuple[str, ...]:
        return tuple(line for line in self.gateways[gateway] if line.startswith(f"{kind} "))


class Follow:
    """The lab, driven by inventories that change."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.changes_path = folder / "changes.json"
        self.printed = folder / "background.log"
        self._written = self._runs = 0

    # -- inventories ------------------------------------------------------------------------------------------------------

    def write(self, inventory: Inventory) -> Path:
        """Write an inventory, and return where it is."""
        self._written += 1
        path = self.folder / f"hosts-{self._written}.yml"
        path.write_text(yaml.safe_dump(inventory, sort_keys=False))
        return path

    # -- runs -------------------------------------------------------------------------------------------------------------

    def command(self, playbook: str, inventory: Path, *arguments: str) -> list[str]:
        command = self.lab.playbook_command(playbook, "-e", f"federation_changes_path={self.changes_path}", *arguments)
        return [str(inventory) if word == "inventories/lab" else word for word in command]

    def run(self, playbook: str, inventory: Path, *arguments: str, check: bool | None = True) -> str:
        """Return what a run prints; it is also kept in the folder, for whoever looks for the cause of a failure."""
        self._runs += 1
        log = self.folder / f"run-{self._runs}-{playbook}.log"
        with log.open("w") as stream:
            done = subprocess.run(
                self.command(playbook, inventory, *arguments),
                cwd=ROOT,
                env=self.lab.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=600,
                check=False,
            )
        output = log.read_text()
        assert check is None or (done.returncode == 0) is check, f"{playbook} -> {done.returncode}, {log}\n{output[-6000:]}"
        return output

    def plan(self, inventory: Path, *arguments: str, check: bool | None = True) -> dict[str, t.Any]:
        """Return what plan.yml has written."""
        self.changes_path.unlink(missing_ok=True)
        output = self.run("plan", inventory, *arguments, check=check)
        document = json.loads(self.changes_path.read_text())
        for change in document["changes"]:
            assert re.search(rf"^{re.escape(change['host'])} .*{re.escape(change['subject'][:40])}", output, flags=re.MULTILINE), (
                output
            )
        return document

    def background(self, playbook: str, inventory: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a run in a process group of its own; what it prints goes to `printed`."""
        with self.printed.open("w") as stream:
            return subprocess.Popen(
                self.command(playbook, inventory, *arguments),
                cwd=ROOT,
                env=self.lab.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    # -- what is there ----------------------------------------------------------------------------------------------------

    def _reader(self, pause: float) -> list[str]:
        session = (self.lab.state / "one_auth").read_text().strip()
        zones = [f"{site.letter}=http://{site.front_end_management}:{PORTS['xmlrpc']}/RPC2" for site in SITES]
        return ["nsenter", f"--net=/run/netns/{NAME}-mgmt", sys.executable, "-c", _READ, session, str(pause), *zones]

    def attributes(self) -> dict[str, dict[str, str]]:
        """Return the user attributes of every VM, by its lab host."""
        return json.loads(self.lab.run(*self._reader(0)))[1]

    def world(self) -> World:
        """Return what is there now."""
        vms = {name: VmState(shown) for name, shown in self.attributes().items()}
        gateways = [site.gateway for site in SITES]
        with ThreadPoolExecutor(4) as pool:
            told = dict(zip(vms, pool.map(lambda name: self.lab.inside(name, "bash", "-c", _VM), vms), strict=True))
            lines = pool.map(lambda name: self.lab.inside(name, "bash", "-c", _GATEWAY).splitlines(), gateways)
            known = {name: tuple(line.strip() for line in entry) for name, entry in zip(gateways, lines, strict=True)}
        for name, vm in vms.items():
            _tell(vm, told[name])
        return World(vms, known)

    def interruptions(self, samples: Samples, before: World, after: World) -> dict[str, float]:
        """Return for how many seconds each VM whose Flower was restarted did not do its work.

        It begins when systemd stops the unit, and ends when the VM says again that it works, with its settings in force.
        """
        found = {}
        for name, vm in after.vms.items():
            if name in before.vms and before.vms[name].invocation != vm.invocation:
                unit = f"flower-{vm.attributes['FL_ROLE']}.service"
                told = self.lab.inside(name, "journalctl", f"MESSAGE_ID={STOPPING}", f"UNIT={unit}", "-o", "json", "-n", "1")
                stopped = int(json.loads(told)["__MONOTONIC_TIMESTAMP"]) / 1e6
                works = (at for at, shown in samples if at > vm.started and _works(shown.get(name, {})))
                found[name] = next(works, time.monotonic()) - stopped
        return found

    @contextmanager
    def sampled(self) -> Iterator[Samples]:
        """Read the VMs' attributes all the time."""
        samples: Samples = []
        process = subprocess.Popen(self._reader(0.2), stdout=subprocess.PIPE, text=True)

        def collect() -> None:
            samples.extend((at, found) for at, found in (json.loads(line) for line in process.stdout))

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            yield samples
            time.sleep(0.5)
        finally:
            process.terminate()
            thread.join()
            process.wait()


def _works(shown: dict[str, str]) -> bool:
    return shown.get("FL_READY") == "YES" and "FL_SETTINGS" in shown


def _tell(vm: VmState, output: str) -> None:
    for line in output.splitlines():
        word, _blank, rest = line.partition(" ")
        if line.startswith("Id=") or "ActiveState=" in line:
            shown = dict(entry.split("=", 1) for entry in line.split() if "=" in entry)
            if shown.get("ActiveState") in ("active", "activating"):
                vm.invocation = shown["InvocationID"]
                vm.started = int(shown["ActiveEnterTimestampMonotonic"]) / 1e6
        elif word == "routes":
            vm.routes = rest
        elif word == "streams":
            vm.streams = frozenset(rest.split())
        elif word == "nodes":
            vm.nodes = tuple(rest.split())


def variant(change: Callable[[Inventory], None] | None = None, *, without: str = "", **federation: t.Any) -> Inventory:
    """Return the lab's inventory without the sites `without` (letters), changed by `change`.

    It has one SuperNode a site, what `QUICK` says, and the SuperLink's state on its image. `federation` are variables of the
    federation.
    """
    inventory = copy.deepcopy(LAB_INVENTORY)
    for letter in without:
        children(inventory, "training_sites").pop(f"zone-{letter}")
        children(inventory, "gateways").pop(f"gw-{letter}")
    for given in children(inventory, "training_sites").values():
        given["federation_supernodes"] = 1
    # A coordinator that is made anew has another CA, and a second one fits beside it; test_replace_superlink.py has the disk.
    for name in ("federation_state_disk", "federation_vm_template"):
        del children(inventory, "coordinator")["zone-a"][name]
    for name in ("federation_state_disk", "federation_vm_template"):
        children(inventory, "coordinator")["zone-a"].pop(name, None)
    inventory["all"]["vars"].update({**QUICK, **federation})
    if change:
        change(inventory)
    return inventory


def children(inventory: Inventory, group: str) -> dict[str, dict[str, t.Any]]:
    """Return the hosts of a group."""
    return inventory["all"]["children"][group]["hosts"]


def announced(document: dict[str, t.Any]) -> dict[str, list[dict[str, t.Any]]]:
    """Return the changes that a plan announces, by host; what a run only waits for is none."""
    found: dict[str, list[dict[str, t.Any]]] = {}
    for change in document["changes"]:
        if change["kind"] != "wait":
            found.setdefault(change["host"], []).append(change)
    return found


def differing(output: str) -> set[str]:
    """Return the hosts that a run changed, from its recap."""
    return {host for host, count in changes(output).items() if count}


def letter_of(host: str) -> str:
    return host.rsplit("-", 1)[1]


def compare(
    told: dict[str, list[dict[str, t.Any]]], before: World, after: World, *, names: dict[str, str] | None = None, cured: str = ""
) -> None:
    """Hold what was announced against what is really different.

    `names` maps hosts of the inventory to the letter of the site that they are, where their names do not end with it; `cured`
    is one whose SuperNodes come back to a SuperLink that had forgotten them, for which they may start anew by themselves.
    """
    letters = names or {}
    restarting: dict[str, bool] = {}
    for host, entries in told.items():
        letter = letters.get(host, letter_of(host))
        restarting[letter] = restarting.get(letter, False) or any(entry["effect"]["stops"] for entry in entries)
    moving = {
        letters.get(host, letter_of(host))
        for host, entries in told.items()
        if any(entry["kind"] in ("create", "scale", "remove", "replace") and entry["step"] != "links" for entry in entries)
    }
    for site in SITES:
        had, has = before.of_site(site.letter), after.of_site(site.letter)
        if site.letter not in moving:
            assert set(had) == set(has), f"VMs of zone {site.letter} came or went, and nothing said so"
        for name in set(had) & set(has):
            restarted = had[name].invocation != has[name].invocation
            resettled = any(
                entry["kind"] == "restart"
                for host, entries in told.items()
                if letters.get(host, letter_of(host)) == site.letter
                for entry in entries
            )
            assert restarted == resettled or site.letter == cured, (
                f"Flower of {name} was {'' if restarted else 'not '}restarted; announced: {told}"
            )
            assert had[name].partition in ("", has[name].partition), f"{name} got another partition"
        gateway = site.gateway
        said = [
            entry
            for host, entries in told.items()
            if host.startswith("gw-") and letters.get(host, letter_of(host)) == site.letter
            for entry in entries
        ]
        if not said:
            assert before.gateways[gateway] == after.gateways[gateway]
        if not any(entry["kind"] in ("create", "remove") and entry["subject"] in ("tunnel", "interface") for entry in said):
            assert before.tunnels(gateway, "unit") == after.tunnels(gateway, "unit"), f"a unit of {gateway} was started anew"
            assert [line.split()[2] for line in before.tunnels(gateway, "key")] == [
                line.split()[2] for line in after.tunnels(gateway, "key")
            ]
    superlinks = [vm for vm in after.vms.values() if vm.nodes is not None]
    for superlink in superlinks:
        known = {vm.attributes.get("FL_NODE_ID") for vm in after.vms.values() if vm.nodes is None}
        assert set(superlink.nodes or ()) <= known, "the SuperLink knows nodes that no VM is"


def compare_settled(before: World, after: World, *, gone: str) -> None:
    """See that what a killed run and the next one left is whole: VMs, numbers and tunnels that were there are the same.

    `gone` is the letter of a site that was removed.
    """
    for name, vm in before.vms.items():
        if not (gone and name.startswith(f"vm-{gone}-")):
            assert name in after.vms and vm.partition == after.vms[name].partition, name
    for gateway in before.gateways:
        if gateway == f"gw-{gone}":
            assert not after.gateways[gateway]
        else:
            assert before.tunnels(gateway, "unit") == after.tunnels(gateway, "unit")
    numbers = [vm.partition for vm in after.vms.values() if vm.nodes is None]
    assert "" not in numbers and len(numbers) == len(set(numbers))
    (superlink,) = (vm for vm in after.vms.values() if vm.nodes is not None)
    assert sorted(superlink.nodes or ()) == sorted(vm.attributes["FL_NODE_ID"] for vm in after.vms.values() if vm.nodes is None)
