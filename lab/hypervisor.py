# SPDX-License-Identifier: GPL-3.0-or-later
"""The hypervisor of the lab zones: a VM is a lab host on its zone's LAN, with its CONTEXT at /context.

Called from the zone servers' threads. VMs are no children of the zone server: they outlive it and are found again.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping

from lab import disks, hosts, network, topology
from lab.zone.hypervisor import Machine


def host(zone: str, vm_id: int) -> str:
    return topology.vm(zone.removeprefix("zone-"), vm_id)


class NspawnHypervisor:
    """Every call blocks, may be repeated, and may come from several threads at once."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def _lock(self, name: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())

    def start(self, machine: Machine) -> None:
        """Boot a VM; returns when its init was started."""
        name = host(machine.zone, machine.vm_id)
        site = topology.site(machine.zone.removeprefix("zone-"))
        with self._lock(name):
            if hosts.running(name):
                return
            network.add(name)
            for number, nic in enumerate(machine.nics):
                network.plug(name, f"eth{number}", network.switch(site), nic.bridge, f"v{machine.vm_id}n{number}", nic.mac)
            self._write_context(name, machine.context)
            (hosts.folder(name) / "disks").write_text("".join(f"{disk.image}\n" for disk in machine.disks))
            devices = {disk.target: disks.attach(machine.zone, disk.image, disk.size) for disk in machine.disks}
            hosts.start(name, machine.image, binds=((hosts.folder(name) / "context", "/context"),), devices=devices)

    def _write_context(self, name: str, files: Mapping[str, bytes]) -> None:
        place = hosts.folder(name) / "context"
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file, content in files.items():
            target = place / os.path.basename(file)
            temporary = target.with_name(f".{target.name}.new")
            temporary.write_bytes(content)
            temporary.chmod(0o600)
            temporary.rename(target)

    def _detach(self, zone: str, name: str) -> None:
        """Let go of the persistent images of a VM that is off; they stay."""
        used = hosts.folder(name) / "disks"
        for image in used.read_text().splitlines() if used.exists() else []:
            disks.detach(zone, image)

    def stop(self, zone: str, vm_id: int, *, hard: bool = False) -> None:
        """Power a VM off; its disk stays."""
        name = host(zone, vm_id)
        with self._lock(name):
            hosts.stop(name, hard=hard)
            self._detach(zone, name)

    def destroy(self, zone: str, vm_id: int) -> None:
        """Switch a VM off and drop its disk and its network."""
        name = host(zone, vm_id)
        with self._lock(name):
            hosts.stop(name, hard=True)
            self._detach(zone, name)
            hosts.destroy(name)
            shutil.rmtree(hosts.folder(name), ignore_errors=True)

    def running(self, zone: str, vm_id: int) -> bool:
        return hosts.running(host(zone, vm_id))
