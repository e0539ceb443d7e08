# SPDX-License-Identifier: GPL-3.0-or-later
"""A SuperLink that needs a new VM: what is announced of its CA and state, and that nothing moves without leave."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import settings
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import changes, plan
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.gateways import NOT_IN_THIS_RUN, Gateway
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.observation import Observation, Vm, Zone

from .test_plan import GROUPS, HOSTS, PEM

ADDRESS, DISK, VERSION = "federation_superlink_address", "federation_state_disk", "federation_flower_version"


def made(**variables):
    hosts = copy.deepcopy(HOSTS)
    hosts["zone-a"].update(variables)
    return plan.make_plan(GROUPS, hosts)


def observed(before, *, state: str, service: str = "RUNNING") -> Observation:
    """Return a federation that is as the plan `before` has it; `state` is what the SuperLink's VM says of its state."""
    zones = {}
    for name, entry in before["zones"].items():
        wanted, superlink = entry["service"], entry["role"] == "coordinator"
        live = {**wanted["live"], **({} if superlink else {settings.CA_CERTIFICATE: PEM})}
        shown = {
            **live,
            "FL_READY": "YES",
            "FL_SETTINGS": settings.digest(wanted["role"], live),
            **({"FL_CA_CERT": PEM, **({"FL_STATE": state} if state else {})} if superlink else {}),
        }
        vms = tuple(Vm(number, attributes=shown) for number in range(wanted["cardinality"]))
        if not superlink:
            vms = tuple(
                Vm(vm.id, attributes={**vm.attributes, "FL_PARTITION_ID": str(number)})
                for vm, number in zip(vms, entry["partitions"], strict=True)
            )
        contents = {"CONTEXT": wanted["context"], "NIC": [{"NETWORK_ID": "0", **wanted["nic"]}]}
        inputs = {key: str(value) for key, value in wanted["inputs"].items()}
        zones[name] = Zone(
            id=1,
            state=service if superlink else "RUNNING",
            vms=vms,
            cardinality=len(vms),
            role_template=0,
            vm_template=0,
            network=0,
            inputs=inputs,
            contents=contents,
        )
    return Observation(zones, {name: Gateway(unread=NOT_IN_THIS_RUN) for name in before["gateways"]})


def of_coordinator(after, seen):
    found = changes.changes(after, seen)
    return [change for change in found if change.host == "zone-a" and change.kind != changes.WAIT], found


def test_an_address_that_moves_is_a_new_vm_with_the_same_ca():
    before, after = made(**{DISK: "vdb"}), made(**{DISK: "vdb", ADDRESS: "10.10.10.6"})
    seen = observed(before, state="disk")
    (change,), found = of_coordinator(after, seen)
    assert (change.kind, change.reason, change.old, change.new) == ("replace", ADDRESS, "10.10.10.5", "10.10.10.6")
    assert change.effect == changes.SUPERLINK_REPLACED and "CA" in change.effect.stops
    assert changes.replaced(after, seen, found) == ["zone-a"]
    # The sites follow with a live setting, and keep the CA that they have.
    moved = {(entry.host, entry.subject) for entry in found if entry.host in GROUPS["training_sites"] and entry.kind == "restart"}
    assert moved == {(site, settings.SUPERLINK_ADDRESS) for site in GROUPS["training_sites"]}


@pytest.mark.parametrize(("disk", "state"), [("", "image"), ("", ""), ("vdb", ""), ("vdb", "image")])
def test_without_the_disk_a_new_vm_means_a_new_ca(disk, state):
    given = {DISK: disk} if disk else {}
    after = made(**given, **{ADDRESS: "10.10.10.6"})
    of_superlink, found = of_coordinator(after, observed(made(**given), state=state))
    assert {change.effect for change in of_superlink} == {changes.SUPERLINK_LOST}
    told = [entry for entry in found if entry.subject == settings.CA_CERTIFICATE]
    assert {entry.host for entry in told} == set(GROUPS["training_sites"])
    assert all(entry.new == "known once the SuperLink runs" for entry in told)


@pytest.mark.parametrize(("before", "after", "state"), [({}, {DISK: "vdb"}, "image"), ({DISK: "vdb"}, {}, "disk")])
def test_a_disk_that_comes_or_goes_in_the_inventory_needs_a_new_vm(before, after, state):
    (change,), _found = of_coordinator(made(**after), observed(made(**before), state=state))
    assert (change.kind, change.reason, change.old, change.effect) == ("replace", DISK, state, changes.SUPERLINK_LOST)


def test_a_disk_that_the_vm_has_got_since_is_as_planned():
    """Somebody attached the disk to the running VM, so the service was made without it."""
    after = made(**{DISK: "vdb"})
    assert of_coordinator(after, observed(made(), state="disk"))[0][0].subject == "service template"
    assert changes.replaced(after, observed(made(), state="disk"), []) == []


def test_another_flower_version_is_a_new_vm():
    before = made(**{DISK: "vdb"})
    seen = observed(before, state="disk")
    seen.zones["zone-a"].inputs[settings.VERSION] = "1.38.0"
    (change,), _found = of_coordinator(before, seen)
    assert (change.kind, change.reason, change.old, change.new) == (
        "replace",
        VERSION,
        "1.38.0",
        before["zones"]["zone-a"]["service"]["inputs"][settings.VERSION],
    )
    assert change.effect == changes.SUPERLINK_REPLACED


def test_without_leave_nothing_at_all_is_changed():
    """Else gateways and sites would go to an address where no SuperLink is."""
    after, seen = made(**{DISK: "vdb", ADDRESS: "10.10.10.6"}), observed(made(**{DISK: "vdb"}), state="disk")
    found = changes.changes(after, seen)
    told = changes.findings(after, seen, found)
    assert [(finding.code, finding.host) for finding in told] == [("change.replace", "zone-a")]
    assert changes.refuses_all(after, told)
    after = {**after, "run": {**after["run"], "allow_replace": True}}
    assert not changes.refuses_all(after, changes.findings(after, seen, found))


def test_a_removal_that_was_killed_needs_no_leave_and_is_finished():
    after = made(**{DISK: "vdb", ADDRESS: "10.10.10.6"})
    seen = observed(made(**{DISK: "vdb"}), state="disk", service="UNDEPLOYING")
    (change,), found = of_coordinator(after, seen)
    assert (change.kind, change.subject, change.old) == ("restart", "service", "UNDEPLOYING")
    assert changes.replaced(after, seen, found) == ["zone-a"]
    assert changes.findings(after, seen, found) == []
