# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service against the fake zone."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.template_text import parse_template

TEMPLATE = {
    "name": "shop",
    "user_inputs": {"REGION": "O|text|Where| |north"},
    "roles": [
        {
            "name": "db",
            "type": "vm",
            "template_id": 0,
            "cardinality": 1,
            "user_inputs": {"DB_NAME": "M|text|Name", "DB_PASSWORD": "M|password|Secret", "DB_PORT": "O|number|Port||5432"},
        },
        {"name": "web", "type": "vm", "template_id": 0, "cardinality": 2, "max_vms": 4},
    ],
}
DB = {"name": "db", "user_inputs_values": {"DB_NAME": "n", "DB_PASSWORD": "s3cret-value"}}


@pytest.fixture
def template(zone):
    return zone.add_template(TEMPLATE)


def service_body(**extra):
    return {"name": "shop", "roles": [{"name": "web", "type": "vm", "template_id": 0, "cardinality": 1, **extra}]}


def test_instantiates_template_0_and_waits(zone, run, template):
    assert template == 0
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB, {"name": "web", "cardinality": 3}])
    assert result["changed"] is True, result
    service = result["service"]
    assert (service["name"], service["state"], service["state_id"]) == ("shop", "RUNNING", 2)
    assert [(r["name"], r["state"], r["cardinality"], len(r["nodes"])) for r in service["roles"]] == [
        ("db", "RUNNING", 1, 1),
        ("web", "RUNNING", 3, 3),
    ]
    node = service["roles"][0]["nodes"][0]
    assert node["vm_id"] == 0 and node["addresses"] == ["10.0.0.1"] and node["state"] == "ACTIVE"
    assert node["attributes"]["DB_PORT"] == "5432" and node["attributes"]["REGION"] == "north"
    assert node["attributes"]["DB_PASSWORD"] == "********"
    assert "s3cret-value" in result["_secrets"]
    assert any("DEPLOYING_NETS" in line for line in result["_progress"])
    again = run("oneflow_service", name="shop", template_id=0, roles=[DB, {"name": "web", "cardinality": 3}])
    assert again["changed"] is False and again["input_drift"] == [] and again["_warnings"] == []
    assert again["service"] == service


def test_names_every_missing_and_wrong_input(zone, run, template):
    values = {"DB_NMAE": "x", "DB_PORT": "abc"}
    result = run("oneflow_service", name="shop", template_name="shop", roles=[{"name": "db", "user_inputs_values": values}])
    assert result["failed"] and result["changed"] is False
    for text in ("DB_NAME: is mandatory", "DB_PASSWORD: is mandatory", "did you mean DB_NAME?", "'abc' is no number"):
        assert text in result["msg"], result["msg"]
    assert zone.writes() == []


def test_failure_stops_at_once_with_log_and_role(zone, run, template):
    zone.way_up = ["DEPLOYING_NETS", "FAILED_DEPLOYING: Role db : Instantiate failed for template 999", "RUNNING"]
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert result["failed"] and result["changed"] is True
    assert "FAILED_DEPLOYING" in result["msg"] and "Instantiate failed for template 999" in result["msg"]
    assert "role db (FAILED_DEPLOYING)" in result["msg"]
    assert result["service"]["state"] == "FAILED_DEPLOYING" and result["error"]["kind"] == "failed_state"


@pytest.mark.parametrize("state", ["FAILED_DEPLOYING_NETS", "FAILED_UNDEPLOYING_NETS", "FAILED_SCALING"])
def test_every_failed_state_ends_the_wait(zone, run, template, state):
    zone.way_up = [state]
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert result["failed"] and state in result["msg"]


def test_failure_attribute_of_a_vm(zone, run, template):
    zone.way_up = ["DEPLOYING"] * 1000
    zone.on_state["DEPLOYING"] = lambda number: zone.vms[1]["USER_TEMPLATE"].update(FL_ERROR="no route to SuperLink")
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB], failure_attribute="FL_ERROR")
    assert result["failed"] and "FL_ERROR: no route to SuperLink" in result["msg"] and "id 1" in result["msg"]


def test_deadline_covers_the_whole_wait(zone, run, template):
    zone.way_up = ["DEPLOYING"] * 10000
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB], wait_timeout=60)
    assert result["failed"] and result["error"]["kind"] == "timeout" and "60 s" in result["msg"]
    assert 20 < len([call for call in zone.calls if call.startswith("GET /service/")]) < 60


def test_waits_through_a_dead_oned(zone, run, template):
    def die(_number):
        zone.oned_down = True

    zone.on_state["DEPLOYING"] = die
    seen = []
    original = zone.oneflow

    def oneflow(verb, path, body, auth):
        if zone.oned_down:
            seen.append(path)
            zone.oned_down = len(seen) < 4
            if zone.oned_down:
                return 401, "Invalid credentials"
        return original(verb, path, body, auth)

    zone.oneflow = oneflow
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert result["service"]["state"] == "RUNNING"
    assert any("waiting on" in line for line in result["_progress"])


def test_running_without_its_vms_is_a_failure(zone, run, template):
    zone.on_state["RUNNING"] = lambda number: zone.body(number)["roles"][1]["nodes"].clear()
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert result["failed"] and "web: 0 of 2" in result["msg"]


def test_an_id_is_read_not_looked_for(zone, run):
    """Neither the pool before nor the pool after a change, however many services there are."""
    number = zone.add_service(service_body())
    for options in ({}, {"mode": "640"}, {"roles": [{"name": "web", "cardinality": 2}]}, {"state": "absent"}):
        run("oneflow_service", id=number, **options)
    run("oneflow_service_info", id=number)
    run("oneflow_template", id=7, state="absent")
    assert not {"GET /service", "GET /service_template"} & set(zone.calls)


def test_every_line_of_the_log_is_told(zone, run, template):
    def two(number):
        zone.body(number)["log"].insert(0, {"timestamp": 1, "severity": "E", "message": "the first reason"})

    zone.on_state["FAILED_DEPLOYING"] = two
    zone.way_up = ["FAILED_DEPLOYING: the second reason"]
    failed = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert "the first reason | the second reason" in failed["msg"]


def test_scaling_by_name_and_force(zone, run):
    number = zone.add_service(service_body(max_vms=2))
    result = run("oneflow_service", id=number, roles=[{"name": "web", "cardinality": 2}])
    assert result["changed"] and len(result["service"]["roles"][0]["nodes"]) == 2
    assert run("oneflow_service", name="shop", roles=[{"name": "web", "cardinality": 2}])["changed"] is False
    refused = run("oneflow_service", name="shop", roles=[{"name": "web", "cardinality": 5}])
    assert refused["failed"] and "Maximum cardinality" in refused["msg"]
    assert run("oneflow_service", name="shop", force_scale=True, roles=[{"name": "web", "cardinality": 5}])["changed"]
    unknown = run("oneflow_service", name="shop", roles=[{"name": "wbe", "cardinality": 5}])
    assert unknown["failed"] and "only web" in unknown["msg"]


def test_scale_in_check_mode_has_the_real_shape(zone, run):
    number = zone.add_service(service_body())
    plan = run("oneflow_service", id=number, check=True, roles=[{"name": "web", "cardinality": 2}])
    real = run("oneflow_service", id=number, roles=[{"name": "web", "cardinality": 2}])
    assert plan["changed"] and plan["service"]["roles"][0]["cardinality"] == 2
    assert plan["service"].keys() == real["service"].keys() and plan["diff"] == real["diff"]


def test_create_in_check_mode(zone, run, template):
    plan = run("oneflow_service", name="shop", template_id=0, roles=[DB], check=True)
    assert zone.writes() == []
    real = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert plan["changed"] and plan["service"].keys() == real["service"].keys() and plan["service"]["id"] is None
    assert plan["diff"]["after"].keys() == real["diff"]["after"].keys()
    assert plan["diff"]["after"]["roles"] == real["diff"]["after"]["roles"]


def test_done_does_not_count(zone, run, template):
    zone.add_service(service_body(), "DONE")
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert result["changed"] and result["service"]["id"] == 2


def test_ambiguity_names_the_ids(zone, run):
    zone.add_service(service_body())
    zone.add_service(service_body())
    result = run("oneflow_service", name="shop")
    assert result["failed"] and "ids 0, 1" in result["msg"]
    assert run("oneflow_service", id=0)["service"]["id"] == 0


def test_of_several_others_none_is_taken_unasked(zone, run, template):
    zone.add_service(service_body(), owner="alice")
    zone.add_service(service_body(), owner="bob")
    both = run("oneflow_service", name="shop")
    assert both["error"]["kind"] == "ambiguous" and "1 belongs to alice; 2 belongs to bob" in both["msg"]
    assert run("oneflow_service", name="shop", owner="alice")["service"]["id"] == 1
    assert run("oneflow_service", name="shop", owner="oneadmin", template_id=0, roles=[DB])["service"]["id"] == 3


def test_failed_service(zone, run, template):
    number = zone.add_service(service_body(), "FAILED_DEPLOYING")
    failed = run("oneflow_service", name="shop")
    assert failed["failed"] and failed["changed"] is False and "on_failed=recover" in failed["msg"]
    assert run("oneflow_service", name="shop", on_failed="recover", check=True)["changed"]
    result = run("oneflow_service", name="shop", on_failed="recover")
    assert result["changed"] and result["service"]["id"] == number and result["service"]["state"] == "RUNNING"
    zone.set_state(number, "FAILED_SCALING")
    result = run("oneflow_service", name="shop", on_failed="recreate", template_id=template, roles=[DB])
    assert result["service"]["id"] == number + 1 and number not in zone.documents


def test_recovery_without_waiting_ends_once_the_server_took_it_on(zone, run):
    """A next task would take the old failure, which the first readings still show, for a new one."""
    zone.add_service(service_body(), "FAILED_DEPLOYING")
    result = run("oneflow_service", name="shop", on_failed="recover", wait=False)
    assert result["changed"] and result["service"]["state"] == "DEPLOYING"
    assert run("oneflow_service", name="shop")["service"]["state"] == "RUNNING"


def test_a_driver_failure_is_told_in_the_words_of_oned(zone, run):
    number = zone.add_service(service_body())
    zone.set_state(number, "FAILED_DEPLOYING")
    vm_id = zone.body(number)["roles"][0]["nodes"][0]["deploy_id"]
    zone.vms[vm_id]["LCM_STATE"] = "36"
    zone.vms[vm_id]["USER_TEMPLATE"]["ERROR"] = "DEPLOY: no such kernel"
    assert f"; VM {vm_id}: DEPLOY: no such kernel" in run("oneflow_service", name="shop")["msg"]


def test_release_rename_and_mode(zone, run):
    number = zone.add_service(service_body(), "HOLD")
    assert run("oneflow_service", name="shop")["service"]["state"] == "HOLD"
    result = run("oneflow_service", name="shop", release=True, new_name="store", mode="0644", owner="alice", group="users")
    service = result["service"]
    assert (service["state"], service["name"], service["mode"], service["uname"], service["gname"]) == (
        "RUNNING",
        "store",
        "644",
        "alice",
        "users",
    )
    again = run("oneflow_service", id=number, release=True, new_name="store", mode="0644", owner="alice", group="users")
    assert again["changed"] is False


def test_roles_come_and_go(zone, run):
    zone.add_service(service_body())
    result = run("oneflow_service", name="shop", roles=[{"name": "extra", "template_id": 0, "cardinality": 1}])
    assert result["changed"] and [role["name"] for role in result["service"]["roles"]] == ["web", "extra"]
    result = run("oneflow_service", name="shop", roles=[{"name": "extra", "state": "absent"}])
    assert result["changed"] and [role["name"] for role in result["service"]["roles"]] == ["web"]
    assert run("oneflow_service", name="shop", roles=[{"name": "extra", "state": "absent"}])["changed"] is False


@pytest.mark.parametrize(
    "state", ["RUNNING", "WARNING", "HOLD", "PENDING", "COOLDOWN", "DEPLOYING", "FAILED_DEPLOYING", "FAILED_UNDEPLOYING_NETS"]
)
def test_absent_from_every_state(zone, run, state):
    number = zone.add_service(service_body(), state)
    assert run("oneflow_service", name="shop", state="absent", check=True)["changed"] and number in zone.documents
    result = run("oneflow_service", name="shop", state="absent")
    assert result["changed"] and result["service"] is None and number not in zone.documents
    assert len(zone.writes()) == 1
    assert run("oneflow_service", name="shop", state="absent")["changed"] is False
    assert run("oneflow_service", id=number, state="absent")["changed"] is False


def test_absent_does_not_delete_twice(zone, run):
    """A second DELETE would remove the service and leave its VMs running."""
    number = zone.add_service(service_body(), "UNDEPLOYING")
    zone.queue[number] = ["UNDEPLOYING", "UNDEPLOYING", "GONE"]
    result = run("oneflow_service", name="shop", state="absent")
    assert result["changed"] and zone.writes() == []


def test_absent_reports_leaked_vms(zone, run):
    number = zone.add_service(service_body())
    zone.on_state["UNDEPLOYING"] = lambda n: zone.body(n)["roles"][0]["nodes"].clear()
    result = run("oneflow_service", id=number, state="absent")
    assert result["changed"] and "VMs of it still exist: 0" in result["_warnings"][0]


def test_lost_answer_does_not_make_a_second_service(zone, run, template):
    zone.lies.add("lost instantiate")
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert result["service"]["id"] == 1 and "was lost" in result["_warnings"][0]
    assert len([d for d in zone.documents.values() if d["TYPE"] == "100"]) == 1


def test_refused_but_created(zone, run, template):
    zone.lies.add("bad network")
    result = run("oneflow_service", name="shop", template_id=0, roles=[DB])
    assert result["failed"] and "service 1 was created" in result["msg"] and result["service"]["id"] == 1


def test_drift_of_inputs_is_named_without_values(zone, run, template):
    run("oneflow_service", name="shop", template_id=0, roles=[DB])
    other = {"name": "db", "user_inputs_values": {"DB_NAME": "other", "DB_PASSWORD": "s3cret-value"}}
    result = run("oneflow_service", name="shop", template_id=0, roles=[other])
    assert result["changed"] is False and result["input_drift"] == ["db.DB_NAME"]
    assert "other values for db.DB_NAME" in result["_warnings"][0]


def test_lying_rename(zone, run):
    number = zone.add_service(service_body())
    zone.lies.add("rename")
    result = run("oneflow_service", id=number, new_name="store")
    assert result["failed"] and "still has name 'shop'" in result["msg"]


def test_six_point_x_gets_its_own_names(run, zone):
    zone.version = "6.10.0"
    zone.add_document(
        101,
        {
            "name": "old",
            "custom_attrs": {"REGION": "M|text|Where"},
            "roles": [{"name": "web", "vm_template": 0, "cardinality": 1, "custom_attrs": {"X": "O|text|x||1"}}],
        },
    )
    result = run("oneflow_service", name="new", template_name="old", user_inputs_values={"REGION": "south"})
    assert result.get("failed") is None, result
    assert zone.body(1)["custom_attrs_values"] == {"REGION": "south"}
    assert zone.body(1)["roles"][0]["custom_attrs_values"] == {"X": "1"}
    text = parse_template(zone.body(1)["roles"][0]["vm_template_contents"])
    values = {"REGION": "south", "X": "1"}
    assert text == {**values, "CONTEXT": {"TOKEN": "YES", **values}}, "6.x puts no value into a VM by itself"
