# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab zone asks of lab.hypervisor, seen from a stand-in for that module."""

from __future__ import annotations

import sys
import threading
import types

import pytest

from lab.zone import harness as zones
from lab.zone.hypervisor import Disk, Nic


class FakeHypervisor:
    def __init__(self):
        self.calls, self.alive, self.machines, self.broken = [], set(), {}, False

    def start(self, machine):
        assert threading.current_thread() is not threading.main_thread()
        if self.broken:
            raise OSError("no such image")
        self.calls.append(("start", machine.vm_id))
        self.machines[machine.vm_id] = machine
        self.alive.add(machine.vm_id)

    def stop(self, zone, vm_id, *, hard=False):
        self.calls.append(("stop", vm_id, hard))
        self.alive.discard(vm_id)

    def destroy(self, zone, vm_id):
        self.calls.append(("destroy", vm_id))
        self.alive.discard(vm_id)

    def running(self, zone, vm_id):
        return vm_id in self.alive


@pytest.fixture
def setup(tmp_path, monkeypatch):
    module = types.ModuleType("lab.hypervisor")
    module.NspawnHypervisor = FakeHypervisor
    monkeypatch.setitem(sys.modules, "lab.hypervisor", module)
    settings = zones.config(tmp_path, "zone-b", hypervisor="nspawn", timings={**zones.FAST, "reconcile": 5})
    with zones.running(settings) as (runner, (zone,)):
        yield runner, settings, zone, zone.one.vms.hypervisor


def test_life_of_a_guest(setup):
    _, _, zone, hypervisor = setup
    number = zones.one(zone, "one.template.instantiate", 0, "guest")
    zones.until(lambda: zones.vm(zone, number) == (3, 3), "it runs")
    machine = hypervisor.machines[number]
    assert (machine.zone, machine.name, machine.image) == ("zone-b", "guest", "base")
    assert machine.nics == (Nic("02:00:0a:00:00:64", "lan"),)
    assert set(machine.context) == {"context.sh", "token.txt"}
    for action, call, state in (
        ("poweroff", ("stop", number, False), (8, 0)),
        ("resume", ("start", number), (3, 3)),
        ("poweroff-hard", ("stop", number, True), (8, 0)),
        ("resume", ("start", number), (3, 3)),
        ("terminate-hard", ("destroy", number), (6, 0)),
    ):
        zones.one(zone, "one.vm.action", action, number)
        zones.until(lambda call=call: hypervisor.calls[-1] == call, f"{call}")
        zones.until(lambda state=state: zones.vm(zone, number) == state, f"{action}: {state}")
    with pytest.raises(AssertionError, match="This action is not available for state DONE"):
        zones.one(zone, "one.vm.action", "resume", number)


def test_a_guest_that_dies_is_powered_off(setup):
    _, _, zone, hypervisor = setup
    number = zones.one(zone, "one.template.instantiate", 0, "guest")
    zones.until(lambda: zones.vm(zone, number) == (3, 3), "it runs")
    hypervisor.alive.clear()
    zones.until(lambda: zones.vm(zone, number) == (8, 0), "POWEROFF")


def test_a_guest_that_cannot_start(setup):
    _, _, zone, hypervisor = setup
    hypervisor.broken = True
    number = zones.one(zone, "one.template.instantiate", 0, "guest")
    zones.until(lambda: zones.vm(zone, number) == (3, 36), "BOOT_FAILURE")
    assert "no such image" in zones.one(zone, "one.vm.info", number)
    hypervisor.broken = False
    zones.one(zone, "one.vm.recover", number, 2)
    zones.until(lambda: zones.vm(zone, number) == (3, 3), "it runs")


def test_guests_outlive_the_zone(setup):
    runner, settings, zone, hypervisor = setup
    number = zones.one(zone, "one.template.instantiate", 0, "guest")
    zones.until(lambda: zones.vm(zone, number) == (3, 3), "it runs")
    runner.stop(zone)
    assert number in hypervisor.alive
    assert hypervisor.calls == [("start", number)]


def test_a_persistent_image_is_one_vms_alone(tmp_path, monkeypatch):
    """Words and states are those of OpenNebula's sources; there is no recording."""
    module = types.ModuleType("lab.hypervisor")
    module.NspawnHypervisor = FakeHypervisor
    monkeypatch.setitem(sys.modules, "lab.hypervisor", module)
    plain = zones.config(tmp_path, "zone-a", hypervisor="nspawn")
    seed = {
        **plain.seed,
        "images": [{"name": "state", "size": 64}],
        "vm_templates": [{"name": "base", "image": "base", "nic": "lan", "disks": {"vdb": "state"}}],
    }
    settings = zones.config(tmp_path, "zone-a", hypervisor="nspawn", seed=seed)
    with zones.running(settings) as (_runner, (zone,)):
        number = zones.one(zone, "one.template.instantiate", 0, "first")
        zones.until(lambda: zones.vm(zone, number) == (3, 3), "it runs")
        machine = zone.one.vms.hypervisor.machines[number]
        assert (machine.image, machine.disks) == ("base", (Disk("state", "vdb", 64),))
        assert "<PERSISTENT><![CDATA[YES]]></PERSISTENT>" in zones.one(zone, "one.vm.info", number)
        with pytest.raises(AssertionError, match="it is persistent and already in use"):
            zones.one(zone, "one.template.instantiate", 0, "second")
        zones.one(zone, "one.vm.action", "terminate-hard", number)
        zones.until(lambda: zones.vm(zone, number) == (6, 0), "DONE")
        after = zones.one(zone, "one.template.instantiate", 0, "second")
        zones.until(lambda: zones.vm(zone, after) == (3, 3), "it runs")
