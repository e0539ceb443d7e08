# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults that tests inject into a lab zone over its admin API."""

from __future__ import annotations

import http.client
import urllib.error

import pytest

from lab.zone import harness as zones

ROLE = {"name": "app", "type": "vm", "cardinality": 1, "template_id": 0}


@pytest.fixture
def zone(tmp_path):
    with zones.running(zones.config(tmp_path, "faults")) as (_, (zone,)):
        yield zone


def fault(zone, **rule):
    status, answer = zones.admin(zone, "POST", "/faults", rule)
    assert status == 200, answer


def perform(zone, path, action, **params):
    return zones.flow(zone, "POST", f"{path}/action", {"action": {"perform": action, "params": params}})


@pytest.fixture
def template(zone):
    return f"/service_template/{zones.flow(zone, 'POST', '/service_template', {'name': 's', 'roles': [ROLE]})[1]['DOCUMENT']['ID']}"


@pytest.fixture
def service(zone, template):
    number = int(perform(zone, template, "instantiate")[1]["DOCUMENT"]["ID"])
    zones.until(lambda: zones.body(zone, number)["state"] == 2, "RUNNING")
    return number


@pytest.mark.parametrize(
    ("action", "params"), [("rename", {"name": "new"}), ("chmod", {"octet": "666"}), ("chown", {"owner_id": 1})]
)
@pytest.mark.parametrize("kind", ["template", "service"])
def test_a_lie_of_oneflow_changes_nothing(zone, template, service, kind, action, params):
    path = template if kind == "template" else f"/service/{service}"
    before = zones.flow(zone, "GET", path)[1]
    fault(zone, api="oneflow", kind="lie", match=f"action {action}$", times=1)
    assert perform(zone, path, action, **params) == (204, "")
    assert zones.flow(zone, "GET", path)[1] == before
    assert perform(zone, path, action, **params)[0] == 204
    assert zones.flow(zone, "GET", path)[1] != before


def test_a_lie_of_oned_changes_nothing(zone):
    vm = zones.one(zone, "one.template.instantiate", 0, "x")
    fault(zone, api="oned", kind="lie", match="^one.vm.update$")
    assert zones.one(zone, "one.vm.update", vm, "A=1", 1) == vm
    assert "<A>" not in zones.one(zone, "one.vm.info", vm)


def test_a_lost_answer_leaves_what_was_done(zone, template):
    fault(zone, api="oneflow", kind="lost", match="instantiate", times=1)
    with pytest.raises((http.client.RemoteDisconnected, urllib.error.URLError)):
        perform(zone, template, "instantiate")
    assert len(zones.flow(zone, "GET", "/service")[1]["DOCUMENT_POOL"]["DOCUMENT"]) == 1


def test_a_driver_error_stands_in_the_vm(zone):
    zones.admin(zone, "POST", "/vm-faults", {"step": "boot", "error": "no such kernel"})
    vm = zones.one(zone, "one.template.instantiate", 0, "x")
    zones.until(lambda: zones.vm(zone, vm) == (3, 36), "BOOT_FAILURE")
    assert ": DEPLOY: no such kernel]]></ERROR>" in zones.one(zone, "one.vm.info", vm)


def test_a_vm_leaks_when_its_service_is_removed(zone, service):
    vm = zones.body(zone, service)["roles"][0]["nodes"][0]["deploy_id"]
    zones.admin(zone, "POST", "/vm-faults", {"step": "leak"})
    assert zones.flow(zone, "DELETE", f"/service/{service}")[0] == 204
    zones.until(lambda: zones.body(zone, service) is None, "the service is gone")
    assert zones.vm(zone, vm) == (3, 3)


def test_a_vm_dies_before_it_is_ready(zone):
    zones.admin(zone, "POST", "/vm-faults", {"step": "die"})
    vm = zones.one(zone, "one.template.instantiate", 0, "x")
    zones.until(lambda: zones.vm(zone, vm) == (6, 0), "DONE")


@pytest.mark.parametrize("state", [13, 9, 15, 1])
def test_a_service_stays_in_the_state_it_is_put_into(zone, service, state):
    names = {13: "FAILED_DEPLOYING_NETS", 9: "FAILED_SCALING", 15: "HOLD", 1: "DEPLOYING"}
    body = {"id": service, "state": names[state], "errors": ["the first reason", "the second"]}
    assert zones.admin(zone, "POST", "/service-state", body)[0] == 200
    found = zones.body(zone, service)
    assert found["state"] == state
    assert [entry["message"] for entry in found["log"] if entry["severity"] == "E"] == ["the first reason", "the second"]


def test_what_was_asked_is_listed(zone, template):
    zones.admin(zone, "DELETE", "/requests")
    perform(zone, template, "rename", name="x")
    zones.one(zone, "one.system.version")
    assert zones.admin(zone, "GET", "/requests")[1] == [f"oneflow POST {template}/action rename", "oned one.system.version"]


def test_what_is_no_fault_is_refused(zone):
    for path, body in (
        ("/faults", {"api": "oned", "kind": "boom"}),
        ("/vm-faults", {"step": "sing"}),
        ("/service-state", {"id": 99, "state": "RUNNING"}),
        ("/service-state", {"id": 0, "state": "NOWHERE"}),
    ):
        assert zones.admin(zone, "POST", path, body)[0] == 400
