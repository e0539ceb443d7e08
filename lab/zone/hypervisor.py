# SPDX-License-Identifier: GPL-3.0-or-later
"""The hypervisor under a lab zone: lab.hypervisor's, or none at all."""

from __future__ import annotations

import dataclasses
import importlib
import typing as t
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Nic:
    """A network card: its MAC address and the bridge (the virtual network's BRIDGE) it is plugged into."""

    mac: str
    bridge: str


@dataclasses.dataclass(frozen=True)
class Disk:
    """A persistent image as a disk of a VM: the image's name, the name of the disk (vdb) and its size in MiB."""

    image: str
    target: str
    size: int


@dataclasses.dataclass(frozen=True)
class Machine:
    """A VM as the zone wants it: `zone` is its name (zone-b), `context` the files of the CONTEXT disk.

    It boots from `image`, a copy of its own; `disks` are the persistent images beside it.
    """

    zone: str
    vm_id: int
    name: str
    image: str
    nics: tuple[Nic, ...]
    context: Mapping[str, bytes]
    disks: tuple[Disk, ...] = ()


class Hypervisor(t.Protocol):
    """What boots the VMs. Every call blocks, may be repeated, and may come from several threads at once."""

    def start(self, machine: Machine) -> None: ...

    def stop(self, zone: str, vm_id: int, *, hard: bool = False) -> None: ...

    def destroy(self, zone: str, vm_id: int) -> None: ...

    def running(self, zone: str, vm_id: int) -> bool: ...


class NullHypervisor:
    """No guest ever boots, as with the dummy drivers of the recordings; it only remembers what should run."""

    def __init__(self) -> None:
        self.machines: dict[tuple[str, int], Machine] = {}

    def start(self, machine: Machine) -> None:
        self.machines[machine.zone, machine.vm_id] = machine

    def stop(self, zone: str, vm_id: int, *, hard: bool = False) -> None:
        self.machines.pop((zone, vm_id), None)

    def destroy(self, zone: str, vm_id: int) -> None:
        self.machines.pop((zone, vm_id), None)

    def running(self, zone: str, vm_id: int) -> bool:
        return True


def load(name: str) -> Hypervisor:
    """Return the hypervisor of that name; "nspawn" is imported only when it is asked for."""
    if name == "none":
        return NullHypervisor()
    hypervisor: Hypervisor = importlib.import_module("lab.hypervisor").NspawnHypervisor()
    return hypervisor
