# SPDX-License-Identifier: GPL-3.0-or-later
"""The ready gate and the waits of OneFlow as the lab zone plays them, and OneGate's ways to the gate."""

from __future__ import annotations

import time

import pytest

from lab.zone import harness as zones

ROLE = {"name": "app", "type": "vm", "cardinality": 1, "template_id": 0}


@pytest.fixture
def zone(tmp_path):
    with zones.running(zones.config(tmp_path, "gate")) as (_, (zone,)):
        yield zone


def deploy(zone, *, gate=True, roles=(ROLE,), deployment="none", **more):
    body = {"name": "s", "ready_status_gate": gate, "deployment": deployment, "roles": list(roles), **more}
    status, answer = zones.flow(zone, "POST", "/service_template", body)
    assert status == 201, answer
    path = f"/service_template/{answer['DOCUMENT']['ID']}/action"
    status, answer = zones.flow(zone, "POST", path, {"action": {"perform": "instantiate"}})
    assert status == 201, answer
    return int(answer["DOCUMENT"]["ID"])


def nodes(zone, service, role=0):
    return [node["deploy_id"] for node in zones.body(zone, service)["roles"][role].get("nodes", [])]


def waiting(zone, service):
    """Return the service's first VM, once it runs and OneFlow waits for it."""
    vm = zones.until(lambda: nodes(zone, service), "a node")[0]
    zones.until(lambda: zones.vm(zone, vm) == (3, 3), "the VM runs")
    time.sleep(0.1)  # several steps of the life cycle at this speed
    return vm


def state(zone, service):
    return zones.body(zone, service)["state"]


def test_gate_stays_shut_without_ready(zone):
    service = deploy(zone)
    vm = waiting(zone, service)
    for text in ("READY=NO", 'READY="yes"', "OTHER=YES", "<T><READY>NO</READY></T>"):
        zones.one(zone, "one.vm.update", vm, text, 1)
    time.sleep(0.8)  # more than one poll (30 s at this speed)
    assert state(zone, service) == 1


@pytest.mark.parametrize("text", ["READY=YES", 'READY = "YES"', 'X="1"\nREADY="YES"', 'FL_READY="YES"', "READY=YESSIR"])
def test_gate_opens_on_the_text(zone, text):
    service = deploy(zone)
    zones.one(zone, "one.vm.update", waiting(zone, service), text, 1)
    start = time.monotonic()
    zones.until(lambda: state(zone, service) == 2, "RUNNING")
    assert time.monotonic() - start < 0.5, "it was the poll that opened it"


def test_ready_before_the_vm_runs_opens_the_gate(zone):
    role = {**ROLE, "template_contents": {"READY": "YES"}}
    service = deploy(zone, roles=[role])
    body = zones.until(lambda: (body := zones.body(zone, service))["state"] == 2 and body, "RUNNING")
    assert zones.vm(zone, body["roles"][0]["nodes"][0]["deploy_id"]) != (3, 3)


def test_dropping_ready_afterwards_changes_nothing(zone):
    service = deploy(zone)
    vm = waiting(zone, service)
    zones.one(zone, "one.vm.update", vm, "READY=YES", 1)
    zones.until(lambda: state(zone, service) == 2, "RUNNING")
    zones.one(zone, "one.vm.update", vm, "X=1", 0)
    time.sleep(0.2)
    assert state(zone, service) == 2


def test_ungated_service_ignores_ready(zone):
    service = deploy(zone, gate=False)
    zones.until(lambda: state(zone, service) == 2, "RUNNING")


def test_killed_gated_vm_leaves_a_running_service_without_nodes(zone):
    service = deploy(zone)
    vm = waiting(zone, service)
    zones.one(zone, "one.vm.action", "terminate-hard", vm)
    zones.until(lambda: state(zone, service) == 2, "RUNNING")
    zones.until(lambda: nodes(zone, service) == [], "the node is gone")


def test_gated_vm_powered_off_makes_a_warning(zone):
    service = deploy(zone)
    zones.one(zone, "one.vm.action", "poweroff-hard", waiting(zone, service))
    zones.until(lambda: state(zone, service) == 4, "WARNING")


def test_children_wait_for_their_parents_ready(zone):
    child = {**ROLE, "name": "child", "parents": ["app"]}
    service = deploy(zone, roles=[ROLE, child], deployment="straight")
    vm = waiting(zone, service)
    assert nodes(zone, service, 1) == []
    zones.one(zone, "one.vm.update", vm, "READY=YES", 1)
    zones.until(lambda: nodes(zone, service, 1), "the child is deployed")
    assert state(zone, service) == 1


def test_onegate_opens_the_gate(zone):
    service = deploy(zone)
    vm = waiting(zone, service)
    token = zones.token(zone, vm)
    assert zones.gate(zone, "PUT", "/vm", vm, token, "FL_ENDPOINT=10.0.0.5:9092\nFL_CA_CERT=LS0tLQ==") == (200, "")
    assert state(zone, service) == 1
    assert zones.gate(zone, "PUT", "/vm", vm, token, "READY=YES") == (200, "")
    zones.until(lambda: state(zone, service) == 2, "RUNNING")
    shown = zones.gate(zone, "GET", "/vm", vm, token)[1]["VM"]["USER_TEMPLATE"]
    assert (shown["FL_ENDPOINT"], shown["FL_CA_CERT"]) == ("10.0.0.5:9092", "LS0tLQ==")
    assert shown["READY"] == "YES"


@pytest.mark.parametrize("text", ["X=a,b", 'X="a,b"', "X=a]b"])
def test_onegate_rewrites_text_and_breaks_it(zone, text):
    """It puts quotes around commas and brackets wherever they stand (source of OneGate, not recorded)."""
    vm = waiting(zone, deploy(zone))
    token = zones.token(zone, vm)
    assert zones.gate(zone, "PUT", "/vm", vm, token, text) == (500, "Internal server error")
    assert zones.gate(zone, "PUT", "/vm", vm, token, "<T><X>a&#44;b&#61;&#93;</X></T>") == (200, "")
    assert zones.gate(zone, "GET", "/vm", vm, token)[1]["VM"]["USER_TEMPLATE"]["X"] == "a,b=]"


def test_onegate_delete_and_restrictions(zone):
    service = deploy(zone)
    vm = waiting(zone, service)
    token = zones.token(zone, vm)
    zones.gate(zone, "PUT", "/vm", vm, token, 'FL_ERROR="no CA"')
    assert zones.gate(zone, "PUT", "/vm?type=2", vm, token, "FL_ERROR") == (200, "")
    assert "FL_ERROR" not in zones.gate(zone, "GET", "/vm", vm, token)[1]["VM"]["USER_TEMPLATE"]
    assert zones.gate(zone, "PUT", "/vm?type=2", vm, token, "FL_ERROR") == (500, "Internal server error")
    for name in ("SERVICE_ID", "ROLE_NAME", "SCHED_REQUIREMENTS"):
        assert zones.gate(zone, "PUT", "/vm", vm, token, f"{name}=1")[0] == 403
    assert zones.gate(zone, "GET", "/service", vm, token)[1]["SERVICE"]["roles"][0]["nodes"][0]["deploy_id"] == vm


def test_nic_attributes_reach_the_guest(zone):
    nic = {"NETWORK": "lan", "IP": "10.0.0.5", "ROUTES": "10.10.9.0/24 via 10.0.0.1", "METRIC": "5"}
    role = {**ROLE, "template_contents": {"NIC": [nic], "CONTEXT": {"ETH0_ROUTES": "lost", "SET_HOSTNAME": "superlink"}}}
    service = deploy(zone, gate=False, roles=[role])
    vm = waiting(zone, service)
    text = zones.until(lambda: zone.one.vms.hypervisor.machines["gate", vm]).context["context.sh"].decode()
    for line in (
        "ETH0_IP='10.0.0.5'",
        "ETH0_ROUTES='10.10.9.0/24 via 10.0.0.1'",
        "ETH0_METRIC='5'",
        "ETH0_MASK='255.255.255.0'",
        "ETH0_MAC='02:00:0a:00:00:05'",
        "ETH0_NETWORK='10.0.0.0'",
        "SET_HOSTNAME='superlink'",
    ):
        assert f"\n{line}\n" in text


def test_an_address_is_leased_once_and_given_back(zone):
    role = {**ROLE, "template_contents": {"NIC": [{"NETWORK": "lan", "IP": "10.0.0.5"}]}}
    first = deploy(zone, gate=False, roles=[role])
    zones.until(lambda: state(zone, first) == 2, "RUNNING")
    second = deploy(zone, gate=False, roles=[role])
    zones.until(lambda: state(zone, second) == 7, "FAILED_DEPLOYING")
    assert "Cannot get IP/MAC lease from virtual network 0." in zones.body(zone, second)["log"][-2]["message"]
    assert zones.flow(zone, "DELETE", f"/service/{first}")[0] == 204
    zones.until(lambda: zones.body(zone, first) is None, "it is gone")
    assert zones.flow(zone, "POST", f"/service/{second}/action", {"action": {"perform": "recover"}})[0] == 204
    zones.until(lambda: state(zone, second) == 2, "RUNNING")


def test_missing_vm_template_with_contents_hangs(zone):
    """The real server trips over its own error: such a service stays in DEPLOYING_NETS (source only, not recorded)."""
    service = deploy(zone, roles=[{**ROLE, "template_id": 77, "template_contents": {"MEMORY": "64"}}])
    time.sleep(0.3)
    assert state(zone, service) == 11
