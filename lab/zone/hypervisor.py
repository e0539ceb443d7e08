# SPDX-License-Identifier: GPL-3.0-or-later
"""The hypervisor under a lab zone: lab.hypervisor's, or none at all."""

from __future__ import annotations

import dataclasses
import importlib
import typing as t
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class NullNic:
    mac: str
    bridge: str


@dataclasses.dataclass(frozen=True)
class NullMachine:
    zone: str
    vm_id: int
    name: str
    image: str
    nics: tuple[t.Any, ...]
    context: Mapping[str, bytes]


class NullHypervisor:
    """No guest ever boots, as with the dummy drivers of the recordings; it only remembers what should run."""

    Nic = NullNic
    Machine = NullMachine

    def __init__(self) -> None:
        self.machines: dict[tuple[str, int], NullMachine] = {}

    def start(self, machine: NullMachine) -> None:
        self.machines[machine.zone, machine.vm_id] = machine

    def stop(self, zone: str, vm_id: int, *, hard: bool = False) -> None:
        self.machines.pop((zone, vm_id), None)

    def reboot(self, zone: str, vm_id: int, *, hard: bool = False) -> None:
        pass

    def destroy(self, zone: str, vm_id: int) -> None:
        self.machines.pop((zone, vm_id), None)

    def running(self, zone: str, vm_id: int) -> bool:
        return True

    def update_context(self, machine: NullMachine) -> None:
        self.machines[machine.zone, machine.vm_id] = machine


def load(name: str) -> t.Any:
    """The hypervisor with its Nic and Machine classes as attributes; "nspawn" is imported only when it is asked for."""
    if name == "none":
        return NullHypervisor()
    module = importlib.import_module("lab.hypervisor")
    hypervisor = module.NspawnHypervisor()
    hypervisor.Nic, hypervisor.Machine = module.Nic, module.Machine
    return hypervisor
