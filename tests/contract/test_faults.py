# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone that is slow, silent, cut off, broken, or somebody else: each task says so clearly, in time, and repeats no write."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import transport

from tests.contract.contract_run import clients, until
from tests.fixtures.stub import Stub, http, slowly

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("clean")]
TIMEOUT = 0.3
NOWHERE = "http://127.0.0.1:1/RPC2"
# A task of each module, and the server that it asks first.
TASKS = {
    "oneflow_template": ("oneflow", {"name": "x", "template": {"roles": []}}),
    "oneflow_template_info": ("oneflow", {}),
    "oneflow_service": ("oneflow", {"name": "x", "template_name": "x"}),
    "oneflow_service_info": ("oneflow", {}),
    "onezone": ("oned", {"name": "x", "zone_endpoint": NOWHERE}),
    "onezone_info": ("oned", {}),
    "one_vm_info": ("oned", {}),
    "one_vm_attributes": ("oned", {"vm_id": 0, "attributes": {"A": 1}}),
    "one_resource_info": ("oned", {"vm_templates": ["x"]}),
}
# Rule, kind of the error, what it must say.
FAULTS = {
    "silent": ({"kind": "silent"}, "unreachable", "no complete answer within 0.3 s"),
    "slow": ({"kind": "slow", "seconds": 5}, "unreachable", "no complete answer within 0.3 s"),
    "cut": ({"kind": "cut"}, "unreachable", "cut before the answer was complete"),
    "500": ({"kind": "status", "status": 500, "body": "out of cheese"}, None, "out of cheese"),
    "503": ({"kind": "status", "status": 503, "body": "come back later"}, "unreachable", "come back later"),
    "404": ({"kind": "status", "status": 404, "body": "File not found"}, "bad_answer", "File not found"),
    "html": ({"kind": "html", "status": 200, "body": "<html><title>Welcome</title></html>"}, "bad_answer", "Welcome"),
    "gateway": ({"kind": "html"}, "unreachable", "502"),
    "garbage": ({"kind": "garbage"}, "bad_answer", "garbage"),
    "redirect": ({"kind": "redirect", "location": "https://elsewhere.example/"}, "bad_answer", "https://elsewhere.example/"),
}


@pytest.fixture
def fault(target, monkeypatch):
    """Adds a fault to zone a; all are taken away afterwards. The pauses between attempts are short."""
    monkeypatch.setattr(transport, "PAUSE", 0.02)
    yield lambda **rule: target.a.lab.faults.add(rule)
    target.a.lab.faults.rules.clear()


@pytest.mark.parametrize("which", FAULTS)
@pytest.mark.parametrize("module", TASKS)
def test_every_module_says_what_is_wrong(run, target, fault, module, which):
    rule, kind, text = FAULTS[which]
    api, options = TASKS[module]
    endpoint = target.a.oneflow if api == "oneflow" else target.a.endpoint
    fault(api=api, **rule)
    begin = time.monotonic()
    result = run(module, fails=True, timeout=TIMEOUT if which in ("silent", "slow") else 10, **options)
    assert time.monotonic() - begin < TIMEOUT + 3
    error = result["error"]
    assert error["kind"] == (kind or ("refused" if api == "oneflow" else "bad_answer"))
    assert text in result["msg"] and endpoint in result["msg"] and error["endpoint"] == endpoint and error["method"]
    assert error["hint"] or kind is None, error
    assert result["changed"] is False
    assert target.a.password not in result["msg"]


def test_slow_is_not_broken(run, fault):
    fault(api="oneflow", kind="slow", seconds=0.2)
    fault(api="oned", kind="slow", seconds=0.2)
    assert run("oneflow_service_info", timeout=5)["services"] is not None
    assert run("onezone_info", timeout=5)["zones"]


@pytest.mark.parametrize("kind", ["cut", "html"])
@pytest.mark.parametrize("api", ["oneflow", "oned"])
def test_reading_is_repeated(run, fault, api, kind):
    fault(api=api, kind=kind, times=2)
    assert run("oneflow_service_info" if api == "oneflow" else "onezone_info")["changed"] is False


def test_a_server_that_dribbles(run, target):
    """A byte now and then keeps every read alive; the time-out is for the whole call."""
    answer = http(200, b'{"DOCUMENT_POOL": {}}' + b" " * 500)
    with Stub(slowly(answer, 0.02)) as server:
        begin = time.monotonic()
        result = run(
            "oneflow_service_info", fails=True, oneflow_endpoint=server.url(), endpoint=server.url("/RPC2"), timeout=TIMEOUT
        )
        assert time.monotonic() - begin < TIMEOUT + 3 and "within 0.3 s" in result["msg"]


def test_redirects_do_not_carry_credentials_away(run, target, fault):
    with Stub(http(200, b"{}")) as elsewhere:
        fault(api="oneflow", kind="redirect", location=elsewhere.url("/service"))
        result = run("oneflow_service_info", fails=True)
        assert elsewhere.url("/service") in result["msg"] and "credentials would go along" in result["error"]["hint"]
        assert elsewhere.requests == []


# Each writing call cut off after it was done: (api, match, prepare, task that writes). The rule fires once: a repeated write would
# succeed, and the task would not fail.
def _template(run, name):
    return run("oneflow_template", name=name("t"), template={"roles": []})


def _service(run, name, target):
    run(
        "oneflow_template",
        name=name("t"),
        template={"roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 1}]},
    )
    return run("oneflow_service", name=name("s"), template_name=name("t"))["service"]


CUTS = {
    "create template": ("oneflow", "^POST /service_template$", "oneflow_template", {"name": "t", "template": {"roles": []}}),
    "replace template": ("oneflow", "^PUT", "oneflow_template", {"name": "t", "template": {"roles": [], "description": "x"}}),
    "chmod template": ("oned", "document.chmod", "oneflow_template", {"name": "t", "mode": "644"}),
    "delete template": ("oneflow", "^DELETE", "oneflow_template", {"name": "t", "state": "absent"}),
    "scale": ("oneflow", "/scale$", "oneflow_service", {"name": "s", "roles": [{"name": "app", "cardinality": 2}]}),
    "rename service": ("oned", "document.rename", "oneflow_service", {"name": "s", "new_name": "s2"}),
    "add role": ("oneflow", "/role_action", "oneflow_service", {"name": "s", "roles": [{"name": "b", "template_id": 0}]}),
    "create zone": ("oned", "zone.allocate", "onezone", {"name": "z", "zone_endpoint": NOWHERE}),
    "merge attributes": ("oned", "vm.update", "one_vm_attributes", {"attributes": {"A": "1"}}),
}


@pytest.mark.parametrize("which", CUTS)
def test_no_write_is_repeated(run, target, fault, name, which):
    api, match, module, options = CUTS[which]
    options = {key: name(value) if key in ("name", "new_name") else value for key, value in options.items()}
    if which not in ("create template", "create zone"):
        service = _service(run, name, target) if module in ("oneflow_service", "one_vm_attributes") else _template(run, name)
        if module == "one_vm_attributes":
            options["vm_id"] = service["roles"][0]["nodes"][0]["vm_id"]
    fault(api=api, match=match, kind="cut", times=1)
    cut = run(module, fails=True, **options)
    assert cut["error"]["kind"] == "unreachable" and cut["changed"] is True, "it may have happened, and it has"
    assert target.a.lab.faults.rules == []
    if module == "oneflow_service":
        until(lambda: not _changing(run, name), "the service has settled")
    assert run(module, **options)["changed"] is False, "running the task again finds it done"


def _changing(run, name):
    states = [s["state"] for s in run("oneflow_service_info")["services"] if s["name"].startswith(name("s"))]
    return [state for state in states if state != "RUNNING"]


def test_a_lost_answer_to_instantiate_makes_one_service(run, target, fault, name):
    run("oneflow_template", name=name("t"), template={"roles": []})
    fault(api="oneflow", match="^POST .*/action", kind="cut", times=1)
    made = run("oneflow_service", name=name("s"), template_name=name("t"))
    assert made["changed"] and "was lost" in made["_warnings"][0]
    assert len(run("oneflow_service_info", name=name("s"))["services"]) == 1


def test_the_deadline_of_a_wait_holds_against_a_silent_server(run, target, fault, name):
    run("oneflow_template", name=name("t"), template={"roles": []})
    fault(api="oneflow", match=r"^GET /service/\d+$", kind="silent", seconds=30)
    begin = time.monotonic()
    late = run("oneflow_service", name=name("s"), template_name=name("t"), wait_timeout=1, timeout=30, fails=True)
    assert time.monotonic() - begin < 6 and late["error"]["kind"] == "timeout" and late["changed"] is True
    assert "the last attempt to read it failed" in late["msg"] and "no complete answer" in late["msg"]


@pytest.mark.parametrize("component", ["oned", "oneflow"])
def test_a_wait_outlives_a_restart(run, target, name, component):
    """With oned down OneFlow says "Invalid credentials": that must not end a wait that had begun well."""
    zone = target.a.lab
    run(
        "oneflow_template",
        name=name("t"),
        template={"ready_status_gate": True, "roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 1}]},
    )
    run("oneflow_service", name=name("s"), template_name=name("t"), wait=False)
    vm = until(lambda: _first_vm(run, name), "it has a VM")
    loop = zone.one.federation._session._loop

    def component_is(running):
        import asyncio

        asyncio.run_coroutine_threadsafe(zone.set_component(component, running), loop).result(10)

    def restart():
        time.sleep(0.2)
        component_is(False)
        time.sleep(0.5)
        component_is(True)
        clients(target.a)[0].vm_update(vm, 'READY="YES"')

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        done = run("oneflow_service", name=name("s"), wait_timeout=15)
    finally:
        thread.join()
    assert done["service"]["state"] == "RUNNING" and any("waiting on" in line for line in done["_progress"])


def _gated_body(target):
    return {"roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 1}]}


def test_recover_brings_a_service_up(run, target, vm_fault, name):
    run("oneflow_template", name=name("t"), template=_gated_body(target))
    vm_fault("boot")
    failed = run("oneflow_service", name=name("s"), template_name=name("t"), fails=True)
    assert failed["error"]["kind"] == "failed_state" and "role app (FAILED_DEPLOYING)" in failed["msg"]
    up = run("oneflow_service", name=name("s"), on_failed="recover")
    assert up["changed"] and up["service"]["state"] == "RUNNING" and up["service"]["id"] == failed["service"]["id"]
    assert run("oneflow_service", name=name("s"), on_failed="recover")["changed"] is False


def test_a_failed_scaling_recovers(run, target, vm_fault, name):
    run("oneflow_template", name=name("t"), template=_gated_body(target))
    run("oneflow_service", name=name("s"), template_name=name("t"))
    vm_fault("boot")
    failed = run("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 2}], fails=True)
    assert "FAILED_SCALING" in failed["msg"] and failed["changed"] is True
    up = run("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 2}], on_failed="recover")
    assert up["service"]["state"] == "RUNNING" and len(up["service"]["roles"][0]["nodes"]) == 2


def test_a_vm_that_does_not_go(run, target, vm_fault, name):
    """OneFlow waits for it for ever, and a second DELETE would forget it: the task names it and sends nothing more."""
    run("oneflow_template", name=name("t"), template=_gated_body(target))
    vm = run("oneflow_service", name=name("s"), template_name=name("t"))["service"]["roles"][0]["nodes"][0]["vm_id"]
    vm_fault("terminate", times=100)
    stuck = run("oneflow_service", name=name("s"), state="absent", wait_timeout=2, fails=True)
    assert stuck["changed"] is True and stuck["service"]["id"] is not None and "UNDEPLOYING" in stuck["msg"]
    assert f"these VMs do not go: {vm} (ACTIVE)" in stuck["msg"] and "Terminate" in stuck["error"]["hint"]
    again = run("oneflow_service", name=name("s"), state="absent", wait_timeout=0.5, fails=True)
    assert again["changed"] is False and again["error"]["kind"] == "timeout"
    target.a.lab.one.vms.failures.clear()
    clients(target.a)[0].call("vm.action", "terminate-hard", vm)
    assert run("oneflow_service", name=name("s"), state="absent")["service"] is None
    assert run("oneflow_service_info", name=name("s"))["services"] == []


def _first_vm(run, name):
    nodes = [n for s in run("oneflow_service_info", name=name("s"))["services"] for role in s["roles"] for n in role["nodes"]]
    return nodes[0]["vm_id"] if nodes else None


def test_dead_oned_and_wrong_password_are_told_apart(run, target, fault):
    wrong = run("oneflow_service_info", password="wrong", fails=True)["error"]
    assert wrong["kind"] == "authentication" and "refuses them too" in wrong["hint"]
    fault(api="oneflow", kind="status", status=401, body="Invalid credentials")
    fault(api="oned", kind="silent")
    dead = run("oneflow_service_info", timeout=TIMEOUT, fails=True)["error"]
    assert dead["kind"] == "authentication" and "does not answer" in dead["hint"] and "oned is down" in dead["hint"]


def test_nobody_listens(run, target):
    result = run("onezone_info", endpoint="http://127.0.0.1:1/RPC2", timeout=5, fails=True)
    assert "Connection refused" in result["msg"] and "127.0.0.1:1" in result["msg"] and "running" in result["error"]["hint"]
    name = run("onezone_info", endpoint="http://no-such-host.invalid:2633/RPC2", timeout=5, fails=True)
    assert "cannot be resolved" in name["msg"]
