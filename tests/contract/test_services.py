# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service and oneflow_service_info: every parameter, every way up and down."""

from __future__ import annotations

import json
import threading
import time

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import waiting

from tests.contract.contract_run import clients, until

pytestmark = pytest.mark.usefixtures("clean")
NO_SUCH_TEMPLATE = 987654
SECRET = "s3cret-of-the-service"


@pytest.fixture
def with_inputs(template):
    return template(
        user_inputs={"REGION": "O|text|Where| |north", "DEBUG": "M|boolean|Verbose"},
        roles=[
            {"name": "plain", "cardinality": 1},
            {
                "name": "db",
                "cardinality": 1,
                "user_inputs": {
                    "DB_NAME": "M|text|Name",
                    "DB_PASSWORD": "M|password|Secret",
                    "DB_PORT": "O|number|Port| |5432",
                    "DB_MODES": "O|list-multiple|Modes|a,b,c|a",
                },
            },
        ],
    )


def node(result, role="app", place=0):
    return next(entry for entry in result["service"]["roles"] if entry["name"] == role)["nodes"][place]


def test_inputs_arrive(run, twice, name, with_inputs):
    values = {"DB_NAME": 'my "db", ünï\nsecond line', "DB_PASSWORD": SECRET, "DB_MODES": ["a", "c"]}
    task = {
        "name": name("s"),
        "template_id": with_inputs,
        "user_inputs_values": {"DEBUG": True},
        "roles": [{"name": "db", "user_inputs_values": values}],
    }
    made = twice("oneflow_service", **task)
    service = made["service"]
    assert (service["name"], service["state"], service["state_id"]) == (name("s"), "RUNNING", 2)
    assert [(role["name"], role["state"], role["cardinality"], len(role["nodes"])) for role in service["roles"]] == [
        ("plain", "RUNNING", 1, 1),
        ("db", "RUNNING", 1, 1),
    ]
    found = node(made, "db")
    assert found["state"] == "ACTIVE" and found["lcm_state"] == "RUNNING"
    have = {key: found["attributes"].get(key) for key in ("DB_NAME", "DB_PORT", "DB_MODES", "REGION", "DEBUG", "ROLE_NAME")}
    assert have == {
        "DB_NAME": values["DB_NAME"],
        "DB_PORT": "5432",
        "DB_MODES": "a,c",
        "REGION": "north",
        "DEBUG": "YES",
        "ROLE_NAME": "db",
    }
    plain = node(made, "plain")["attributes"]
    assert plain["REGION"] == "north" and "DB_NAME" not in plain and plain["ROLE_NAME"] == "plain"
    assert found["attributes"]["DB_PASSWORD"] == "********" and SECRET in made["_secrets"]
    assert SECRET not in json.dumps({key: value for key, value in made.items() if key != "_secrets"})
    assert any("DEPLOYING" in line for line in made["_progress"])


def test_values_and_context_in_the_vm(run, name, with_inputs, oned):
    """What a guest reads at its first boot: the inputs and the VM template's own CONTEXT."""
    roles = [{"name": "db", "user_inputs_values": {"DB_NAME": 'a "b"', "DB_PASSWORD": "x"}}]
    made = run("oneflow_service", name=name("s"), template_id=with_inputs, user_inputs_values={"DEBUG": False}, roles=roles)
    vm = oned.vm(node(made, "db")["vm_id"])
    context = vm["TEMPLATE"]["CONTEXT"]
    assert {key: context.get(key) for key in ("DB_NAME", "DB_PORT", "REGION", "DEBUG")} == {
        "DB_NAME": 'a "b"',
        "DB_PORT": "5432",
        "REGION": "north",
        "DEBUG": "NO",
    }
    own = oned.call("template.info", int(vm["TEMPLATE"]["TEMPLATE_ID"]), False, False)["TEMPLATE"].get("CONTEXT") or {}
    assert set(own) <= set(context), "the CONTEXT of the VM template is still there"


def test_missing_and_wrong_inputs_are_named_at_once(run, name, with_inputs, flow):
    before = flow.services()
    roles = [{"name": "db", "user_inputs_values": {"DB_NMAE": "x", "DB_PORT": "abc", "DB_MODES": "d"}}, {"name": "dbb"}]
    for check in (True, False):
        text = run("oneflow_service", name=name("s"), template_id=with_inputs, roles=roles, check=check, fails=True)["msg"]
        for part in (
            "DEBUG: is mandatory",
            "DB_NAME: is mandatory",
            "DB_PASSWORD: is mandatory",
            "did you mean DB_NAME?",
            "'abc' is no number",
            "'d' is not one of a, b, c",
            "no role 'dbb'",
        ):
            assert part in text, text
    assert flow.services() == before


def test_inputs_of_a_service_cannot_change_and_that_is_said(run, name, with_inputs):
    roles = [{"name": "db", "user_inputs_values": {"DB_NAME": "one", "DB_PASSWORD": SECRET}}]
    task = {"name": name("s"), "template_id": with_inputs, "user_inputs_values": {"DEBUG": "YES"}}
    assert run("oneflow_service", **task, roles=roles)["input_drift"] == []
    roles[0]["user_inputs_values"]["DB_NAME"] = "two"
    again = run("oneflow_service", **task, roles=roles)
    assert again["changed"] is False and again["input_drift"] == ["db.DB_NAME"] and "db.DB_NAME" in again["_warnings"][0]
    assert SECRET not in again["_warnings"][0]


def test_by_the_templates_name_and_overridden(run, twice, name, template, target):
    template("by name", roles=[{"name": "app", "cardinality": 0}, {"name": "other", "cardinality": 0}])
    roles = [{"name": "app", "cardinality": 1, "template_contents": {"NOTE": 'över"ridden', "MEMORY": 80}}]
    made = twice("oneflow_service", name=name("s"), template_name=name("by name"), roles=roles)
    assert node(made)["attributes"]["NOTE"] == 'över"ridden'
    info = run("oneflow_service_info", name=name("s"))["services"]
    assert [service["id"] for service in info] == [made["service"]["id"]] and info[0]["roles"] == made["service"]["roles"]
    bare = run("oneflow_service_info", id=made["service"]["id"], vms=False)["services"][0]
    assert bare["roles"][0]["nodes"][0]["state"] is None and bare["roles"][0]["nodes"][0]["vm_id"] == node(made)["vm_id"]
    assert "no service template" in run("oneflow_service", name=name("n"), template_name="never-there", fails=True)["msg"]


def test_reading_waits_for_what_a_vm_shows(run, name, template, oned):
    made = run("oneflow_service", name=name("s"), template_id=template(roles=[{"name": "app", "cardinality": 1}]))
    read = {"name": name("s"), "wait_attributes": {"COLOUR": "blue"}}
    assert "COLOUR" not in run("oneflow_service_info", **read)["services"][0]["roles"][0]["nodes"][0]["attributes"]
    timer = threading.Timer(0.3, oned.vm_update, (node(made)["vm_id"], 'COLOUR="blue"'))
    timer.start()
    found = run("oneflow_service_info", **read, wait_timeout=30)
    timer.join()
    assert found["services"][0]["roles"][0]["nodes"][0]["attributes"]["COLOUR"] == "blue"


def test_reading_says_which_service_of_a_name_is_meant(run, name, template, second, target):
    number = template(roles=[{"name": "app", "cardinality": 0}])
    assert run("oneflow_service_info", name=name("s"))["selected"] is None
    first, other = (run("oneflow_service", name=name(what), template_id=number)["service"]["id"] for what in ("s", "o"))
    assert run("oneflow_service_info", name=name("s"))["selected"] == first
    run("oneflow_service", id=other, name=name("o"), owner=second["username"])
    clients(target.a)[1].service_action(other, "rename", {"name": name("s")})
    assert len(run("oneflow_service_info", name=name("s"))["services"]) == 2
    assert run("oneflow_service_info", name=name("s"))["selected"] == first, "the user's own"
    assert run("oneflow_service_info", name=name("s"), owner=second["username"])["selected"] == other
    run("oneflow_service", id=first, state="absent")
    assert run("oneflow_service_info", name=name("s"))["selected"] == other, "the only one"


def test_networks(run, name, template, target):
    if target.a.network is None:
        pytest.skip("needs CONTRACT_A_NETWORK")
    number = template(
        networks={"net": f"M|network| | |id:{target.a.network}"},
        roles=[{"name": "app", "cardinality": 1, "template_contents": {"NIC": [{"NETWORK_ID": "$net"}]}}],
    )
    made = run("oneflow_service", name=name("default"), template_id=number)
    assert len(node(made)["addresses"]) >= 1
    given = run("oneflow_service", name=name("given"), template_id=number, networks_values=[{"net": {"id": target.a.network}}])
    assert len(node(given)["addresses"]) >= 1
    wrong = run("oneflow_service", name=name("x"), template_id=number, networks_values=[{"nte": {"id": 0}}], fails=True)
    assert "network nte: the template declares no such network" in wrong["msg"]


def test_a_network_of_its_own(run, name, template, target):
    """A part of a network, reserved when the service is made and given back with it."""
    if target.a.network is None:
        pytest.skip("needs CONTRACT_A_NETWORK")
    number = template(
        networks={"net": f"M|network| | |reserve_from:{target.a.network}"},
        roles=[{"name": "app", "cardinality": 1, "template_contents": {"NIC": [{"NETWORK_ID": "$net"}]}}],
    )
    values = [{"net": {"reserve_from": target.a.network, "extra": "SIZE=2"}}]
    made = run("oneflow_service", name=name("s"), template_id=number, networks_values=values)
    assert len(node(made)["addresses"]) == 1
    networks = run("one_resource_info", virtual_networks=[f"net-{made['service']['id']}"])["virtual_networks"]
    assert run("oneflow_service", name=name("s"), state="absent")["changed"]
    gone = run("one_resource_info", virtual_networks=[f"net-{made['service']['id']}"], fails=True)
    assert networks and gone["error"]["kind"] == "not_found"


def test_without_waiting(run, name, template, target):
    made = run("oneflow_service", name=name("s"), template_id=template(), wait=False, wait_interval=0.1)
    assert made["changed"] and made["service"]["state"] in ("PENDING", "DEPLOYING_NETS", "DEPLOYING", "RUNNING")
    later = run("oneflow_service", name=name("s"))
    assert later["changed"] is False and later["service"]["state"] == "RUNNING", "a later task waits for it"


def test_the_gate_and_the_deadline(run, name, template, target):
    """READY is set the way a controller speaks to an appliance; until then the service does not run."""
    number = template(ready_status_gate=True)
    begin = time.monotonic()
    late = run("oneflow_service", name=name("s"), template_id=number, wait_timeout=0.6, fails=True)
    assert time.monotonic() - begin < 0.6 + 2 and late["error"]["kind"] == "timeout" and late["changed"] is True
    assert late["service"]["state"] in ("DEPLOYING", "DEPLOYING_NETS") and "wait_timeout" in late["error"]["hint"]
    until(lambda: node_or_none(run("oneflow_service_info", name=name("s"))), "it has its VM", target.wait)
    vm = node_or_none(run("oneflow_service_info", name=name("s")))["vm_id"]
    run("one_vm_attributes", vm_id=vm, attributes={"APP_ERROR": "no licence"})
    begin = time.monotonic()
    failed = run("oneflow_service", name=name("s"), failure_attribute="APP_ERROR", fails=True)
    assert "APP_ERROR: no licence" in failed["msg"] and failed["changed"] is False
    assert time.monotonic() - begin < target.wait / 4, "at once, not at the deadline"
    run("one_vm_attributes", vm_id=vm, attributes={"APP_ERROR": None}, state="absent")
    run("one_vm_attributes", vm_id=vm, attributes={"READY": True})
    assert run("oneflow_service", name=name("s"), failure_attribute="APP_ERROR")["service"]["state"] == "RUNNING"


def node_or_none(info):
    nodes = [entry for service in info["services"] for role in service["roles"] for entry in role["nodes"]]
    return nodes[0] if nodes else None


def test_a_failed_service(run, name, template, target):
    number = template("bad", roles=[{"name": "app", "cardinality": 1, "template_id": NO_SUCH_TEMPLATE}])
    begin = time.monotonic()
    failed = run("oneflow_service", name=name("s"), template_id=number, fails=True)
    assert time.monotonic() - begin < target.wait / 2 and failed["changed"] is True
    assert failed["error"]["kind"] == "failed_state" and failed["error"]["endpoint"] == target.a.oneflow
    for part in ("FAILED_DEPLOYING", "role app", f"Error getting virtual machine template [{NO_SUCH_TEMPLATE}]"):
        assert part in failed["msg"], failed["msg"]
    assert failed["service"]["state"] == "FAILED_DEPLOYING" and failed["service"]["log"]
    again = run("oneflow_service", name=name("s"), template_id=number, fails=True)
    assert again["changed"] is False and "on_failed=recover" in again["error"]["hint"]
    assert run("oneflow_service", name=name("s"), on_failed="recover", check=True)["changed"]
    retried = run("oneflow_service", name=name("s"), on_failed="recover", fails=True)
    assert retried["changed"] is True and f"[{NO_SUCH_TEMPLATE}]" in retried["msg"], "the new reason, not the old one"
    good = template("good")
    plan = run("oneflow_service", name=name("s"), template_id=good, on_failed="recreate", check=True)
    new = run("oneflow_service", name=name("s"), template_id=good, on_failed="recreate")
    assert plan["changed"] and new["service"]["state"] == "RUNNING" and new["service"]["id"] != failed["service"]["id"]
    assert run("oneflow_service_info", id=failed["service"]["id"])["services"] == []


def test_absent_out_of_a_failed_state(run, name, template, flow):
    number = template("bad", roles=[{"name": "app", "cardinality": 1, "template_id": NO_SUCH_TEMPLATE}])
    failed = run("oneflow_service", name=name("s"), template_id=number, fails=True)["service"]
    plan = run("oneflow_service", name=name("s"), state="absent", check=True)
    assert plan["changed"] and plan["service"] is None and flow.service(failed["id"])
    gone = run("oneflow_service", name=name("s"), state="absent")
    assert gone["changed"] and gone["service"] is None and gone["diff"]["after"] == {}
    assert run("oneflow_service", name=name("s"), state="absent")["changed"] is False


def test_absent_waits_until_the_vms_are_gone(run, name, template, oned):
    made = run("oneflow_service", name=name("s"), template_id=template())
    vm = node(made)["vm_id"]
    assert run("oneflow_service", id=made["service"]["id"], state="absent")["changed"]
    assert oned.vm(vm)["STATE"] == "6" and run("oneflow_service_info", name=name("s"))["services"] == []
    new = run("oneflow_service", name=name("s"), template_name=name("t"))
    assert new["changed"] and new["service"]["id"] != made["service"]["id"], "what is gone does not count"
    assert run("oneflow_service", name=name("s"), state="absent", wait=False)["changed"]
    until(lambda: not run("oneflow_service_info", name=name("s"))["services"], "it goes by itself", 30)


def test_scaling_by_name(run, twice, name, template):
    run(
        "oneflow_service",
        name=name("s"),
        template_id=template(roles=[{"name": "other", "cardinality": 0}, {"name": "app", "cardinality": 1, "max_vms": 2}]),
    )
    up = twice("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 2}])
    assert len(up["service"]["roles"][1]["nodes"]) == 2 and up["service"]["state"] == "RUNNING"
    assert (up["diff"]["before"]["roles"]["app"], up["diff"]["after"]["roles"]["app"]) == (1, 2)
    refused = run("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 3}], fails=True)
    assert "Maximum cardinality is 2" in refused["msg"] and "force_scale" in refused["error"]["hint"]
    assert (
        len(
            twice("oneflow_service", name=name("s"), force_scale=True, roles=[{"name": "app", "cardinality": 3}])["service"][
                "roles"
            ][1]["nodes"]
        )
        == 3
    )
    down = twice("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 0}])
    assert down["service"]["roles"][1]["nodes"] == [] and down["service"]["state"] == "RUNNING"
    unknown = run("oneflow_service", name=name("s"), roles=[{"name": "ap", "cardinality": 1}], fails=True)
    assert "no role 'ap', only other, app" in unknown["msg"] and unknown["changed"] is False


def test_scaling_without_waiting_lists_the_new_vms(run, name, template, oned, target):
    """The gate keeps the service SCALING until the new VM is READY; the task is over as soon as the VM is made."""
    number = template(ready_status_gate=True, roles=[{"name": "app", "cardinality": 1}])
    run("oneflow_service", name=name("s"), template_id=number, wait=False)
    until(lambda: node_or_none(run("oneflow_service_info", name=name("s"))), "it has its VM", target.wait)
    first = node_or_none(run("oneflow_service_info", name=name("s")))["vm_id"]
    oned.vm_update(first, 'READY="YES"')
    run("oneflow_service", name=name("s"))
    roles = [{"name": "app", "cardinality": 3}]
    begin = time.monotonic()
    scaled = run("oneflow_service", name=name("s"), roles=roles, wait=False)
    assert scaled["changed"] and scaled["service"]["state"] == "SCALING" and time.monotonic() - begin < target.wait / 2
    ids = [entry["vm_id"] for entry in scaled["service"]["roles"][0]["nodes"]]
    assert len(ids) == 3 and ids[0] == first
    assert run("oneflow_service", name=name("s"), roles=roles, wait=False)["changed"] is False
    for vm in ids[1:]:
        oned.vm_update(vm, 'READY="YES"')
    assert run("oneflow_service", name=name("s"), roles=roles)["service"]["state"] == "RUNNING"


def test_scaling_down_takes_the_oldest(run, name, template):
    """OneFlow shuts down the first nodes of its list (flow/lib/models/role.rb, shutdown_nodes)."""
    number = template(roles=[{"name": "app", "cardinality": 3}])
    made = run("oneflow_service", name=name("s"), template_id=number)["service"]["roles"][0]["nodes"]
    left = run("oneflow_service", name=name("s"), roles=[{"name": "app", "cardinality": 1}])["service"]["roles"][0]["nodes"]
    assert [entry["vm_id"] for entry in left] == [made[2]["vm_id"]]


def test_an_old_complaint_is_overlooked_until_it_changes(run, name, template, target, monkeypatch):
    monkeypatch.setattr(waiting, "REPEAT", 0.1)
    number = template(ready_status_gate=True)
    run("oneflow_service", name=name("s"), template_id=number, wait=False)
    until(lambda: node_or_none(run("oneflow_service_info", name=name("s"))), "it has its VM", target.wait)
    vm = node_or_none(run("oneflow_service_info", name=name("s")))["vm_id"]
    run("one_vm_attributes", vm_id=vm, attributes={"APP_ERROR": "no licence"})
    task = {"name": name("s"), "failure_attribute": "APP_ERROR"}
    late = run("oneflow_service", **task, failures_before={str(vm): "no licence"}, wait_timeout=1, fails=True)
    assert late["error"]["kind"] == "timeout" and f"VM {vm} says: no licence" in late["msg"]
    lines = [line for line in late["_progress"] if f"VM {vm} says: no licence" in line]
    assert "since" not in lines[0] and ", since " in lines[-1] and lines[-1].endswith(" s)")
    new = run("oneflow_service", **task, failures_before={vm: "no address"}, fails=True)
    assert new["error"]["kind"] == "failed_state" and "APP_ERROR: no licence" in new["msg"]
    assert "no id" in run("oneflow_service", **task, failures_before={"x": "y"}, fails=True)["msg"]
    settling = run("oneflow_service", **task, settling=60, wait_timeout=1, fails=True)
    assert settling["error"]["kind"] == "timeout", "what it complains of is being changed, so that ends no wait"
    run("one_vm_attributes", vm_id=vm, attributes={"READY": True})
    up = run("oneflow_service", **task, failures_before={str(vm): "no licence"})
    assert up["service"]["state"] == "RUNNING", "it is up, whatever it said before"


def test_hold_and_release(run, twice, name, template):
    number = template(on_hold=True)
    held = run("oneflow_service", name=name("s"), template_id=number)
    assert held["service"]["state"] == "HOLD" and node(held)["state"] == "HOLD"
    assert run("oneflow_service", name=name("s"))["changed"] is False
    free = twice("oneflow_service", name=name("s"), release=True)
    assert free["service"]["state"] == "RUNNING" and node(free)["lcm_state"] == "RUNNING"


def test_rename_owner_and_mode(run, twice, name, template, second):
    number = run("oneflow_service", name=name("one"), template_id=template())["service"]["id"]
    renamed = twice("oneflow_service", name=name("one"), new_name=name("two"), mode="0600")["service"]
    assert (renamed["id"], renamed["name"], renamed["mode"]) == (number, name("two"), "600")
    assert run("oneflow_service", id=number, mode="600")["changed"] is False
    theirs = twice("oneflow_service", id=number, name=name("one"), owner=second["username"], mode="640")["service"]
    assert (theirs["uname"], theirs["name"], theirs["mode"]) == (second["username"], name("one"), "640")
    back = twice("oneflow_service", id=number, owner="0", group="0")["service"]
    assert (back["uid"], back["gid"]) == (0, 0)


def test_roles_come_and_go(run, twice, name, template, target):
    run("oneflow_service", name=name("s"), template_id=template())
    extra = {
        "name": "extra",
        "template_id": target.a.vm_template,
        "cardinality": 1,
        "parents": ["app"],
        "user_inputs_values": {"EXTRA_MODE": "blue"},
        "template_contents": {"NOTE": "added"},
    }
    added = twice("oneflow_service", name=name("s"), roles=[extra])
    assert [role["name"] for role in added["service"]["roles"]] == ["app", "extra"]
    assert node(added, "extra")["attributes"]["EXTRA_MODE"] == "********" and node(added, "extra")["attributes"]["NOTE"] == "added"
    gone = twice("oneflow_service", name=name("s"), roles=[{"name": "extra", "state": "absent"}])
    assert [role["name"] for role in gone["service"]["roles"]] == ["app"] and gone["service"]["state"] == "RUNNING"


def test_one_name_twice(run, name, template, flow):
    number = template(roles=[{"name": "app", "cardinality": 0}])
    first = run("oneflow_service", name=name("s"), template_id=number)["service"]["id"]
    other = int(flow.instantiate(number, {"name": name("s")})["ID"])
    both = run("oneflow_service", name=name("s"), fails=True)
    assert both["error"]["kind"] == "ambiguous" and f"ids {first}, {other}" in both["msg"]
    until(lambda: run("oneflow_service", id=other)["service"]["state"] == "RUNNING", "it runs")
    assert run("oneflow_service", id=first)["service"]["id"] == first


def test_anothers_service_is_not_touched(run, name, template, second):
    number = run("oneflow_service", name=name("s"), template_id=template(), mode="644")["service"]["id"]
    refused = run("oneflow_service", name=name("s"), state="absent", fails=True, **second)
    assert refused["error"]["kind"] == "ambiguous" and f"{number} of" in refused["msg"] and refused["changed"] is False
    denied = run("oneflow_service", id=number, new_name=name("stolen"), fails=True, **second)
    assert denied["error"]["kind"] == "authorization" and denied["error"]["hint"] and denied["changed"] is False
    assert run("oneflow_service", id=number)["service"]["name"] == name("s")


@pytest.mark.parametrize("strange", ["a \"b\" 'c' ünï ☃ (x) > [y], z=1 $HOME"])
def test_strange_names(run, twice, name, template, strange):
    number = template(roles=[{"name": "app", "cardinality": 0}])
    made = twice("oneflow_service", name=name(strange), template_id=number)["service"]
    assert made["name"] == name(strange)
    assert run("oneflow_service", name=name(strange), state="absent")["changed"]
    for bad in ("a<b", "a&b", "x]]>y"):
        refused = run("oneflow_service", name=name(bad), template_id=number, fails=True)
        assert refused["error"]["kind"] == "invalid_request" and "XML" in refused["msg"]
    long = run("oneflow_service", name="ü" * 65, template_id=number, fails=True, check=True)
    assert long["error"]["kind"] == "invalid_request" and "130 bytes" in long["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_what_is_refused_before_anything_is_sent(run, name, template, check):
    made = run("oneflow_service", name=name("s"), template_id=template(roles=[{"name": "app", "cardinality": 0}]))["service"]
    for options in ({"new_name": name("a/b")}, {"new_name": name("tab\t")}, {"mode": 440}, {"new_name": "n" * 129}):
        refused = run("oneflow_service", name=name("s"), check=check, fails=True, **options)
        assert refused["error"]["kind"] == "invalid_request" and refused["changed"] is False, refused
    for state in ("present", "absent"):
        assert run("oneflow_service", id=2**31, state=state, check=check, fails=True)["error"]["kind"] == "invalid_request"
    assert run("oneflow_service_info", id=made["id"])["services"] == [made]


def test_two_hundred_services(run, name, template, target):
    """Listing and finding by name stay right and quick."""
    number = template("many", roles=[{"name": "app", "cardinality": 0}])
    _, flow = clients(target.a)
    for count in range(target.many):
        flow.instantiate(number, {"name": name(f"many-{count:03}")})
    begin = time.monotonic()
    found = [s for s in run("oneflow_service_info")["services"] if s["name"].startswith(name("many-"))]
    listed = time.monotonic() - begin
    assert len(found) == len({service["name"] for service in found}) == target.many
    begin = time.monotonic()
    one = run("oneflow_service", name=name(f"many-{target.many // 2:03}"), mode="640")
    by_name = time.monotonic() - begin
    assert one["service"]["name"] == name(f"many-{target.many // 2:03}") and one["changed"]
    assert sum(s["mode"] == "640" for s in run("oneflow_service_info")["services"] if s["name"].startswith(name("many-"))) == 1
    if target.is_lab:
        assert listed < 2 and by_name < 2, (listed, by_name)
    for service in found:
        if service["state"] != "RUNNING":
            run("oneflow_service", id=service["id"])
        flow.delete_service(service["id"])
    until(lambda: not [s for s in flow.services() if s["NAME"].startswith(name("many-"))], "they are gone", 120)
