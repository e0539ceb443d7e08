# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service where a service is not as it should be: lost VMs, hanging removals, warnings, changes that are refused."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import removal, service_steps, waiting

from tests.contract.contract_run import clients, until

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("clean")]
NO_SUCH_TEMPLATE = 987654


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Let a removal hang after a fraction of a second, at this speed."""
    monkeypatch.setattr(removal, "HANGS_AFTER", 0.3)
    monkeypatch.setattr(waiting, "RECOVER_GRACE", 0.3)


def nodes(result, role=0):
    return result["service"]["roles"][role]["nodes"]


def service_of(run, name):
    found = run("oneflow_service_info", name=name("s"))["services"]
    return found[0] if found else None


def vm_of(run, name, target):
    """Wait for the first VM of the service and return its id."""
    until(lambda: [n for role in service_of(run, name)["roles"] for n in role["nodes"]], "it has a VM", target.wait)
    return service_of(run, name)["roles"][0]["nodes"][0]["vm_id"]


def alive(target, ids):
    return [i for i in ids if clients(target.a)[0].vm(i)["STATE"] != "6"]


# -- lost VMs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noticed", [True, False])
def test_vms_that_were_lost_are_missed(run, name, template, target, oned, noticed):
    """OneFlow takes dead VMs off the cardinality: 1 of 1 is not the 2 that were asked."""
    number = template(ready_status_gate=True, roles=[{"name": "app", "cardinality": 2}])
    asked = [{"name": "app", "cardinality": 2}]
    run("oneflow_service", name=name("s"), template_id=number, wait=False)
    until(lambda: len(up(run, name)) == 2, "both run", target.wait)
    lost, other = (node["vm_id"] for node in up(run, name))
    oned.call("vm.action", "terminate-hard", lost)
    if noticed:  # it is up before the next task looks: that task restores the cardinality
        oned.vm_update(other, 'READY="YES"')
    else:  # it comes up while the task waits for it
        timer = threading.Timer(0.3, oned.vm_update, (other, 'READY="YES"'))
        timer.start()
        failed = run("oneflow_service", name=name("s"), roles=asked, fails=True)
        timer.join()
        assert "without all of its VMs" in failed["msg"] and f"app_0_(service_{failed['service']['id']})" in failed["msg"]
        assert failed["error"]["kind"] == "failed_state" and "cardinality" in failed["error"]["hint"]
    until(lambda: service_of(run, name)["roles"][0]["cardinality"] == 1, "it is up, and one is missed")
    assert run("oneflow_service", name=name("s"), roles=asked, wait=False)["changed"]
    until(lambda: len(up(run, name)) == 2, "the cardinality is restored", target.wait)
    for node in up(run, name):
        oned.vm_update(node["vm_id"], 'READY="YES"')
    assert len(nodes(run("oneflow_service", name=name("s"), roles=asked))) == 2


def up(run, name):
    return [node for node in service_of(run, name)["roles"][0]["nodes"] if node["lcm_state"] == "RUNNING"]


def test_a_service_whose_only_vm_died_is_not_up(run, name, template, target, vm_fault):
    vm_fault("die")
    number = template(ready_status_gate=True)
    failed = run("oneflow_service", name=name("s"), template_id=number, fails=True)
    assert failed["error"]["kind"] == "failed_state" and failed["changed"] is True
    assert f"app_0_(service_{failed['service']['id']})" in failed["msg"], failed["msg"]
    until(lambda: service_of(run, name)["roles"][0]["cardinality"] == 0, "OneFlow noticed")
    healed = run("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 1}], wait=False)
    assert healed["changed"]
    until(lambda: service_of(run, name)["roles"][0]["nodes"], "there is a VM again")


# -- removals -----------------------------------------------------------------------------------------------------------


def test_a_removal_that_waits_for_vms_is_moved_on(run, name, template, target, vm_fault):
    """The driver refuses once: OneFlow waits for ever, a plain recover asks again, and no VM stays behind."""
    made = run("oneflow_service", name=name("s"), template_id=template())
    vm_fault("terminate")
    gone = run("oneflow_service", name=name("s"), state="absent")
    assert gone["changed"] and service_of(run, name) is None and gone["_warnings"] == []
    assert alive(target, [node["vm_id"] for node in nodes(made)]) == []


def test_a_removal_that_waits_for_a_network_is_moved_on(run, name, template, target, flow):
    """What somebody else's client made: a network that could not be reserved is waited for in the removal."""
    number = template(
        networks={"net": "M|network| | |id:"},
        roles=[{"name": "app", "cardinality": 1, "template_contents": {"NIC": [{"NETWORK_ID": "$net"}]}}],
    )
    run_into = {"name": name("s"), "networks_values": [{"net": {"reserve_from": str(target.a.network)}}]}
    with pytest.raises(Exception, match="500"):
        flow.instantiate(number, run_into)
    assert service_of(run, name) is not None
    begin = time.monotonic()
    assert run("oneflow_service", name=name("s"), state="absent")["changed"]
    assert service_of(run, name) is None and time.monotonic() - begin < target.wait / 2


def test_removing_the_last_role_is_refused(run, name, template):
    run("oneflow_service", name=name("s"), template_id=template(roles=[{"name": "app", "cardinality": 0}]))
    for check in (True, False):
        refused = run("oneflow_service", name=name("s"), roles=[{"name": "app", "state": "absent"}], check=check, fails=True)
        assert "state: absent" in refused["msg"] and refused["changed"] is False
    new = {"name": "new", "template_id": 0, "cardinality": 0}
    moved = run("oneflow_service", name=name("s"), roles=[{"name": "app", "state": "absent"}, new])
    assert [role["name"] for role in moved["service"]["roles"]] == ["new"]


# -- hold, warning, no host -------------------------------------------------------------------------------------------


def test_one_role_on_hold_is_up(run, name, template, target):
    """OneFlow stays DEPLOYING for ever under deployment: none."""
    roles = [{"name": "app", "cardinality": 1}, {"name": "held", "cardinality": 1, "on_hold": True}]
    begin = time.monotonic()
    made = run("oneflow_service", name=name("s"), template_id=template(roles=roles))
    assert time.monotonic() - begin < target.wait / 2
    assert [role["state"] for role in made["service"]["roles"]] == ["RUNNING", "HOLD"]
    assert run("oneflow_service", name=name("s"))["changed"] is False
    free = run("oneflow_service", name=name("s"), release=True)
    assert free["service"]["state"] == "RUNNING" and nodes(free, 1)[0]["lcm_state"] == "RUNNING"


def test_a_warning_names_its_vm_at_once(run, name, template, target, oned):
    made = run("oneflow_service", name=name("s"), template_id=template())
    vm = nodes(made)[0]["vm_id"]
    oned.call("vm.action", "poweroff-hard", vm)
    until(lambda: service_of(run, name)["state"] == "WARNING", "OneFlow noticed")
    begin = time.monotonic()
    failed = run("oneflow_service", name=name("s"), fails=True)
    assert time.monotonic() - begin < target.wait / 4 and failed["error"]["kind"] == "failed_state"
    assert f"VM {vm} (app_0_(service_{made['service']['id']})) is POWEROFF" in failed["msg"]
    assert run("oneflow_service", name=name("s"), on_failed="recover", check=True)["changed"] is True
    cured = run("oneflow_service", name=name("s"), on_failed="recover")
    assert cured["changed"] and cured["service"]["state"] == "RUNNING" and nodes(cured)[0]["vm_id"] == vm
    assert run("oneflow_service", name=name("s"), on_failed="recover")["changed"] is False


def test_a_vm_without_a_host_says_why(run, name, template, vm_fault):
    vm_fault("schedule", times=100_000)
    late = run("oneflow_service", name=name("s"), template_id=template(), wait_timeout=1.5, fails=True)
    assert late["error"]["kind"] == "timeout" and "Cannot dispatch VM to any Host" in late["msg"], late["msg"]


def test_an_error_of_a_vm_that_runs_again_is_history(run, name, template, vm_fault, oned):
    number = template(roles=[{"name": "app", "cardinality": 1}, {"name": "more", "cardinality": 0}])
    made = run("oneflow_service", name=name("s"), template_id=number)
    oned.vm_update(nodes(made)[0]["vm_id"], 'ERROR="Mon Jan  1 00:00:00 2024: DEPLOY: old trouble"')
    vm_fault("boot", error="no such kernel")
    failed = run("oneflow_service", name=name("s"), roles=[{"name": "more", "cardinality": 1}], fails=True)
    assert "no such kernel" in failed["msg"] and "old trouble" not in failed["msg"]


# -- changes that are refused -------------------------------------------------------------------------------------------


def test_a_role_whose_vm_template_is_not_there_is_refused(run, name, template, flow):
    """OneFlow would answer 500, keep the role, and have no way back."""
    made = run("oneflow_service", name=name("s"), template_id=template())
    for check in (True, False):
        roles = [{"name": "more", "template_id": NO_SUCH_TEMPLATE, "cardinality": 1}]
        refused = run("oneflow_service", name=name("s"), roles=roles, check=check, fails=True)
        assert refused["error"]["kind"] == "not_found" and str(NO_SUCH_TEMPLATE) in refused["msg"] and refused["changed"] is False
    assert service_of(run, name) == {**made["service"], "log": service_of(run, name)["log"]}


def test_a_change_of_roles_that_fails_is_told_as_it_is(run, name, template, monkeypatch):
    """The VM template goes after it was looked up: the answer is an error, and the role is there."""
    run("oneflow_service", name=name("s"), template_id=template())
    monkeypatch.setattr(service_steps, "vm_templates", lambda session, ids: dict.fromkeys(ids, {}))
    roles = [{"name": "more", "template_id": NO_SUCH_TEMPLATE, "cardinality": 1}]
    failed = run("oneflow_service", name=name("s"), roles=roles, fails=True)
    assert failed["changed"] is True and "yet the service is FAILED_DEPLOYING" in failed["msg"], failed["msg"]
    assert [role["name"] for role in failed["service"]["roles"]] == ["app", "more"]


@pytest.mark.parametrize("role", [{"name": "rôle"}, {"name": "more", "parents": ["nobody"]}, {"name": "more", "parents": ["more"]}])
def test_a_role_that_would_never_run_is_refused(run, name, template, role):
    run("oneflow_service", name=name("s"), template_id=template(roles=[{"name": "app", "cardinality": 0}]))
    for check in (True, False):
        refused = run("oneflow_service", name=name("s"), roles=[{"template_id": 0, **role}], check=check, fails=True)
        assert refused["error"]["kind"] == "invalid_request" and refused["changed"] is False, refused["msg"]


def test_a_cardinality_beyond_the_limits_is_refused_before_anything_is_made(run, name, template, flow):
    number = template(roles=[{"name": "app", "cardinality": 1, "min_vms": 1, "max_vms": 2}])
    before = flow.services()
    for check in (True, False):
        for count in (0, 3):
            roles = [{"name": "app", "cardinality": count}]
            refused = run("oneflow_service", name=name("s"), template_id=number, roles=roles, check=check, fails=True)
            assert refused["error"]["kind"] == "invalid_request" and "cardinality is" in refused["msg"]
    assert flow.services() == before
    run("oneflow_service", name=name("s"), template_id=number)
    plan = run("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 3}], check=True, fails=True)
    assert "Maximum cardinality is 2" in plan["msg"] and "force_scale" in plan["error"]["hint"]


def test_refused_changes_changed_nothing(run, name, template, second):
    number = run("oneflow_service", name=name("s"), template_id=template(), mode="644")["service"]["id"]
    for options in ({"new_name": name("stolen")}, {"mode": "666"}, {"owner": second["username"]}):
        refused = run("oneflow_service", id=number, fails=True, **second, **options)
        assert refused["error"]["kind"] == "authorization" and refused["changed"] is False, refused
    bad = run("oneflow_service", id=number, new_name=name("a/b"), fails=True)
    assert bad["changed"] is False and service_of(run, name)["mode"] == "644"


def test_a_success_that_did_nothing_is_no_change(run, name, template, target):
    """oned has said yes and done nothing: told, and not called a change."""
    number = run("oneflow_service", name=name("s"), template_id=template(), mode="644")["service"]["id"]
    for method, options in (("document.rename", {"new_name": name("x")}), ("document.chmod", {"mode": "600"})):
        target.a.lab.faults.add({"api": "oned", "match": method, "kind": "lie", "times": 1})
        refused = run("oneflow_service", id=number, fails=True, **options)
        assert "although the server reported success" in refused["msg"] and refused["changed"] is False, refused


def test_a_recovery_that_fails_again_is_told_without_waiting(run, name, template):
    number = template("bad", roles=[{"name": "app", "cardinality": 1, "template_id": NO_SUCH_TEMPLATE}])
    run("oneflow_service", name=name("s"), template_id=number, fails=True)
    again = run("oneflow_service", name=name("s"), on_failed="recover", wait=False, fails=True)
    assert again["changed"] is True and again["error"]["kind"] == "failed_state" and f"[{NO_SUCH_TEMPLATE}]" in again["msg"]


def test_other_spellings_of_an_input_are_no_drift(run, name, template):
    number = template(
        user_inputs={"MODES": "O|list-multiple|Modes|a,b,c|a", "DEBUG": "O|boolean|Verbose| |NO", "COUNT": "O|number|N| |1"}
    )
    values = {"MODES": ["a", "c"], "DEBUG": "yes", "COUNT": 5}
    task = {"name": name("s"), "template_id": number, "user_inputs_values": values}
    run("oneflow_service", **task)
    again = run("oneflow_service", **task)
    assert again["changed"] is False and again["input_drift"] == [] and again["_warnings"] == []
    other = run("oneflow_service", **{**task, "user_inputs_values": {**values, "MODES": ["a"], "DEBUG": "no"}})
    assert other["input_drift"] == ["MODES", "DEBUG"]
