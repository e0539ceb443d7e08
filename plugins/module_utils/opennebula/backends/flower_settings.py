# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_settings: live settings into the VMs of a service, and proof that they are in force."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes

from .. import live_settings, services
from ..errors import OpenNebulaError, Refused, WaitFailed, WaitTimedOut
from ..live_settings import FlowerVm
from ..services import Service
from ..session import Session
from ..template_text import equal, render_template
from ..waiting import FIRST_PAUSE, Complaints, Telling, failures_before

ARGUMENTS: dict[str, t.Any] = {
    "service": {"type": "str", "required": True},
    "values": {"type": "dict", "required": True},
    "partitions": {"type": "str"},
    "failures_before": {"type": "dict", "default": {}},
    "settling": {"type": "float", "default": 0.0},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "float", "default": 300.0},
}
RULES: dict[str, t.Any] = {}

INTERVAL = 1.0

Differences = Mapping[int, Mapping[str, tuple[str, str]]]


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, vms: [{vm_id, name, role, differing, in_force}], diff}.

    Everything is written before anything is waited for: the VMs of a service put it in force side by side.
    """
    values = live_settings.check(params["values"], params["partitions"])
    before = failures_before(params)
    service = services.find(session, params["service"])
    session.learn(service.body)
    machines = live_settings.read(session, service)
    for role in sorted({machine.role for machine in machines}):
        live_settings.check_role(role, values)
    differing = {machine.vm.id: machine.differing(values, params["partitions"]) for machine in machines}
    changed = any(differing.values())
    if not session.check_mode:
        # What a VM complained of before it is written to is older than that.
        written = {machine.vm.id: _error(machine) for machine in machines if differing[machine.vm.id]}
        for number, names in differing.items():
            if names:
                session.oned.vm_update(number, render_template({name: new for name, (_old, new) in names.items()}))
        if params["wait"]:
            complaints = Complaints(attributes.ERROR, {**before, **written}, session.deadline(params["settling"]))
            machines = _wait(params, session, service, values, differing, complaints)
    return {"changed": changed, "vms": _shown(machines, values, differing), "diff": _diff(machines, differing)}


def _error(machine: FlowerVm) -> str:
    return str(machine.vm.attributes.get(attributes.ERROR) or "")


def _wait(
    params: Mapping[str, t.Any],
    session: Session,
    service: Service,
    values: Mapping[str, str],
    differing: Differences,
    complaints: Complaints,
) -> list[FlowerVm]:
    """Return the VMs once all of them work with the settings. Raises WaitFailed, and WaitTimedOut at the deadline."""
    telling, machines, late = Telling(session), list[FlowerVm](), list[FlowerVm]()
    for _left in session.ticks(session.deadline(params["wait_timeout"]), FIRST_PAUSE, INTERVAL):
        machines = live_settings.read(session, service)
        vms = {machine.vm.id: machine.vm for machine in machines}
        _check_written(vms, differing)
        new = complaints.new(vms)
        bad = [f"VM {vm.id} ({vm.name}) is {vm.condition}" for vm in vms.values() if vm.down]
        bad += [f"VM {number} is gone" for number in differing if number not in vms]
        if new or bad:
            error = WaitFailed(f"{service.title} {new}" if new else f"{service.title}: {', '.join(bad)}")
            raise _with(error, session, _shown(machines, values, differing))
        late = [machine for machine in machines if not machine.in_force(values)]
        if not late:
            return machines
        names = ", ".join(f"VM {machine.vm.id}" for machine in late)
        line = f"service {service.name} (id {service.id}): settings in force in {len(machines) - len(late)}/{len(machines)} VMs"
        telling.tell(f"{line}, waits for {names}{complaints.old(vms)}")
    raise _with(_too_late(params, service, late, complaints), session, _shown(machines, values, differing))


def _with(error: OpenNebulaError, session: Session, vms: list[dict[str, t.Any]]) -> OpenNebulaError:
    """Return the error with the endpoint and what is known of the VMs."""
    error.endpoint, error.result["vms"] = session.oned.endpoint, vms
    return error


def _check_written(vms: Mapping[int, t.Any], differing: Differences) -> None:
    """Raise Refused for what was accepted and is not there."""
    for number, names in differing.items():
        if number in vms:
            have = vms[number].attributes
            lost = [name for name, (_old, new) in names.items() if not equal(str(have.get(name, "")), new)]
            if lost:
                raise Refused(f"VM {number} does not have {', '.join(lost)}, although the server reported success")


def _too_late(params: Mapping[str, t.Any], service: Service, late: list[FlowerVm], complaints: Complaints) -> OpenNebulaError:
    said = complaints.old({machine.vm.id: machine.vm for machine in late})
    waited = "; ".join(f"VM {machine.vm.id} ({machine.vm.name}) {_state(machine)}" for machine in late)
    text = f"{service.title}: the settings were not in force within {params['wait_timeout']:g} s: {waited}{said}"
    return WaitTimedOut(text, hint="See wait_timeout; the journal of the VM's appliance says more.")


def _state(machine: FlowerVm) -> str:
    """Return what keeps a VM from being counted, for people."""
    if not machine.digest:
        return "is putting settings in force" if machine.ready else "is not ready"
    return "works with other settings" if machine.ready else "has settings in force and is not ready"


def _shown(machines: list[FlowerVm], values: Mapping[str, str], differing: Differences) -> list[dict[str, t.Any]]:
    return [
        {
            "vm_id": machine.vm.id,
            "name": machine.vm.name,
            "role": machine.role,
            "differing": live_settings.shown_differences(differing.get(machine.vm.id, {})),
            "in_force": machine.in_force(values),
        }
        for machine in machines
    ]


def _diff(machines: list[FlowerVm], differing: Differences) -> dict[str, t.Any]:
    changes = {
        machine.vm.name: live_settings.shown_differences(differing[machine.vm.id])
        for machine in machines
        if differing.get(machine.vm.id)
    }
    return {
        side: {vm: {name: change[side] for name, change in names.items()} for vm, names in changes.items()}
        for side in ("before", "after")
    }
