# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone that is slow, silent, cut off, broken, or somebody else: each task says so clearly, in time, and repeats no write."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import transport

from lab.zone import harness as lab
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
    "federation_zone_info": ("oneflow", {"service": "x"}),
    "federation_lock": ("oned", {"name": "x", "state": "absent"}),
    "flower_settings": ("oneflow", {"service": "x", "values": {}}),
    "flower_settings_info": ("oneflow", {"service": "x"}),
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
    """Add a fault to zone a; all are taken away afterwards. The pauses between attempts are short."""
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
    until(lambda: _first_vm(run, name) is not None, "it has a VM")  # its id may be 0
    vm = _first_vm(run, name)
    loop = zone.one.federation._session._loop

    def component_is(running):
        import asyncio

        asyncio.run_coroutine_threadsafe(zone.set_component(component, running), loop).result(10)

    def restart():
        time.sleep(0.2)
        component_is(False)
        time.sleep(1.5)  # longer than a reading call is repeated
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


def test_a_oneflow_of_another_oned_is_told_apart(run, fault):
    fault(api="oneflow", kind="status", status=401, body="Invalid credentials")
    refused = run("oneflow_service_info", fails=True)["error"]
    assert refused["kind"] == "authentication" and "accepts them" in refused["hint"]


# -- what was asked, and how often -----------------------------------------------------------------------------------------


@pytest.fixture
def asked(target):
    """Return what zone a was asked since the last call, or since the test's beginning."""
    requests = target.a.lab.faults.requests
    requests.clear()

    def read():
        found = list(requests)
        requests.clear()
        return found

    return read


def _writes(requests):
    reads = (".info", ".infoextended", ".version", ".raftstatus")
    return [what for what in requests if not what.endswith(reads) and not what.startswith("oneflow GET")]


def test_an_id_is_read_not_looked_for(run, target, name, asked):
    """Neither the pool before nor the pool after a change, however many services there are."""
    _template(run, name)
    service = _service(run, name, target)
    asked()
    for options in ({}, {"mode": "640"}, {"roles": [{"name": "app", "cardinality": 2}]}, {"state": "absent"}):
        run("oneflow_service", id=service["id"], **options)
    run("oneflow_service_info", id=service["id"])
    run("oneflow_template", id=987654, state="absent")
    assert not {"oneflow GET /service", "oneflow GET /service_template"} & set(asked())


def test_many_vms_take_few_calls(run, target, name, asked):
    body = {"roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 12}]}
    run("oneflow_template", name=name("t"), template=body)
    run("oneflow_service", name=name("s"), template_name=name("t"))
    asked()
    assert len(run("one_vm_info", service=name("s"))["vms"]) == 12
    assert len(asked()) < 5


def test_each_call_of_a_zone_goes_where_it_is_accepted(run, target, asked):
    """Asked of the slave: writes of the pool go to the master, enabling to the zone itself."""
    slave = target.b.lab.faults.requests
    number = next(zone["id"] for zone in run("onezone_info", status=False)["zones"] if zone["endpoint"] == target.b.endpoint)
    slave.clear()
    assert run("onezone", zone=target.b, id=number, attributes={"A": 1})["changed"]
    assert "oned one.zone.update" in asked() and "oned one.zone.update" not in slave
    assert run("onezone", zone=target.b, id=number, enabled=False)["changed"]
    assert run("onezone", zone=target.b, id=number, enabled=True)["changed"]
    assert "oned one.zone.enable" in slave and "oned one.zone.enable" not in asked()


@pytest.mark.parametrize("module", ["oneflow_template", "oneflow_service"])
@pytest.mark.parametrize(
    ("call", "option"), [("rename", {"new_name": "x"}), ("chmod", {"mode": "604"}), ("chown", {"owner": "alice"})]
)
def test_a_success_that_changed_nothing_is_an_error(run, target, fault, name, module, call, option):
    number = _template(run, name)["template"]["id"] if module == "oneflow_template" else _service(run, name, target)["id"]
    option = {key: name(value) if key == "new_name" else value for key, value in option.items()}
    fault(api="oned", match=f"document.{call}", kind="lie")
    lied = run(module, id=number, fails=True, **option)
    assert "although the server reported success" in lied["msg"] and lied["changed"] is False
    target.a.lab.faults.rules.clear()
    assert run(module, id=number, **option)["changed"]
    assert run(module, id=number, **option)["changed"] is False


def test_attributes_that_were_not_written(run, target, fault, name):
    vm = _service(run, name, target)["roles"][0]["nodes"][0]["vm_id"]
    fault(api="oned", match="vm.update", kind="lie")
    assert "although the server reported success" in run("one_vm_attributes", vm_id=vm, attributes={"A": "x"}, fails=True)["msg"]


# -- states of a service ---------------------------------------------------------------------------------------------------


@pytest.fixture
def force(target):
    """Put a service into a state in which it stays."""

    def put(number, state, *errors):
        status, answer = lab.admin(target.a.lab, "POST", "/service-state", {"id": number, "state": state, "errors": errors})
        assert status < 300, answer

    return put


@pytest.mark.parametrize("state", ["FAILED_DEPLOYING_NETS", "FAILED_UNDEPLOYING_NETS", "FAILED_SCALING"])
def test_every_failed_state_ends_the_wait(run, target, name, force, state):
    number = _service(run, name, target)["id"]
    force(number, state, "the first reason", "the second reason")
    failed = run("oneflow_service", id=number, fails=True)
    assert failed["error"]["kind"] == "failed_state" and state in failed["msg"]
    assert "the first reason | the second reason" in failed["msg"], "every line of the log"


@pytest.mark.parametrize(
    "state", ["RUNNING", "WARNING", "HOLD", "COOLDOWN", "DEPLOYING", "SCALING", "FAILED_DEPLOYING", "FAILED_UNDEPLOYING_NETS"]
)
def test_absent_from_every_state(run, target, name, force, asked, state):
    number = _service(run, name, target)["id"]
    force(number, state)
    assert run("oneflow_service", id=number, state="absent", check=True)["changed"]
    asked()
    gone = run("oneflow_service", id=number, state="absent")
    assert gone["changed"] and gone["service"] is None and len(_writes(asked())) == 1
    assert run("oneflow_service", id=number, state="absent")["changed"] is False


def test_what_is_done_counts_as_none(run, target, name, force):
    number = _service(run, name, target)["id"]
    force(number, "DONE")
    new = run("oneflow_service", name=name("s"), template_name=name("t"))
    assert new["changed"] and new["service"]["id"] != number
    force(number, "RUNNING")


def test_vms_that_a_removal_left_are_named(run, target, vm_fault, name):
    service = _service(run, name, target)
    vm = service["roles"][0]["nodes"][0]["vm_id"]
    vm_fault("leak")
    gone = run("oneflow_service", id=service["id"], state="absent")
    assert gone["changed"] and f"VMs of it still exist: {vm}" in gone["_warnings"][0]
    clients(target.a)[0].call("vm.action", "terminate-hard", vm)


def test_a_driver_failure_is_told_in_the_words_of_oned(run, target, name):
    run("oneflow_template", name=name("t"), template=_gated_body(target))
    failures = target.a.lab.one.vms.failures
    failures.append({"step": "boot", "match": "", "times": 1, "error": "DEPLOY: no such kernel"})
    assert "DEPLOY: no such kernel" in run("oneflow_service", name=name("s"), template_name=name("t"), fails=True)["msg"]
    failures.clear()


def test_recovery_without_waiting_ends_once_the_server_took_it_on(run, target, vm_fault, name):
    """The next task would take the old failure, which the first readings still show, for a new one."""
    run("oneflow_template", name=name("t"), template=_gated_body(target))
    vm_fault("boot")
    run("oneflow_service", name=name("s"), template_name=name("t"), fails=True)
    begun = run("oneflow_service", name=name("s"), on_failed="recover", wait=False)
    assert begun["changed"] and not begun["service"]["state"].startswith("FAILED")
    assert run("oneflow_service", name=name("s"))["service"]["state"] == "RUNNING"


def test_nobody_listens(run, target):
    result = run("onezone_info", endpoint="http://127.0.0.1:1/RPC2", timeout=5, fails=True)
    assert "Connection refused" in result["msg"] and "127.0.0.1:1" in result["msg"] and "running" in result["error"]["hint"]
    name = run("onezone_info", endpoint="http://no-such-host.invalid:2633/RPC2", timeout=5, fails=True)
    assert "cannot be resolved" in name["msg"]
