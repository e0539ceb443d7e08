# SPDX-License-Identifier: GPL-3.0-or-later
"""A saved plan holds as long as nothing moved that its changes follow from; what moved is named."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import changes, plan, report, saved

from tests.unit.federation import as_planned
from tests.unit.federation.as_planned import vm
from tests.unit.federation.certificates_of_tests import OTHER_CA, OTHER_LEAF
from tests.unit.federation.test_changes import NEW, WIDER
from tests.unit.federation.test_plan import GROUPS, HOSTS, ROOT, changed

PLAN = plan.make_plan(GROUPS, HOSTS)
SCHEMA = json.loads((ROOT / "docs" / "changes.schema.json").read_text())


@pytest.fixture
def found():
    return as_planned.results(PLAN)


def document(found, hosts=HOSTS, groups=GROUPS, **more):
    """Return the document that plan.yml writes, through JSON as it is read again; it fits the schema."""
    made = as_planned.planned(found, groups, hosts, **more)
    observed = as_planned.observed(made, found)
    listed = changes.changes(made, observed)
    told = changes.findings(made, observed, listed)
    written = json.loads(json.dumps(saved.document(made, observed, listed, told, written="2026-05-01T00:00:00Z")))
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    return written


def moved(document_, found, hosts=HOSTS, groups=GROUPS, **more):
    made = as_planned.planned(found, groups, hosts, **more)
    return saved.moved(document_, made, as_planned.observed(made, found))


# -- the document ----------------------------------------------------------------------------------------------------------


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_names_what_the_code_knows():
    change = SCHEMA["$defs"]["change"]["properties"]
    assert change["kind"]["enum"] == list(changes.KINDS) and change["step"]["enum"] == list(changes.STEPS)
    assert SCHEMA["properties"]["format"]["const"] == saved.FORMAT


@pytest.mark.parametrize(
    "given",
    [
        ("zone-b", {"federation_supernodes": 3}),
        ("zone-a", {"federation_keepalive_time": 30}),
        ("zone-a", {"federation_superlink_address": "10.10.10.6"}),
        ("zone-a", {"federation_overlay": "10.99.0.0/24"}),
        ("gw-c", {"federation_underlay_mtu": 1450}),
    ],
)
def test_every_document_fits_the_schema(found, given):
    host, variables = given
    written = document(found, changed(host, **variables))
    assert written["changed"] is True and written["changes"]


def test_documents_of_what_is_missing_or_unread_fit_as_well(found):
    assert document(found)["changes"] == [] and document(found)["changed"] is False
    assert document({})["changes"] == []
    assert document({**found, "zone-b": {"unread": "timed out"}, "gw-b": {"unread": "timed out"}})["findings"]
    nothing = {
        host: as_planned.empty_zone() if "service" in result else as_planned.empty_gateway() for host, result in found.items()
    }
    assert document(nothing)["changed"] is True
    assert document(found, leaving=list(PLAN["zones"]))["changed"] is True
    assert document({**found, "zone-d": as_planned.empty_zone(), "gw-d": as_planned.empty_gateway()}, NEW, WIDER)["changed"] is True
    vm(found, "zone-b").pop("FL_SETTINGS")
    waits = document(found)
    assert [change["kind"] for change in waits["changes"]] == ["wait"] and waits["changed"] is False


@pytest.mark.parametrize(
    "break_it",
    [
        lambda d: d.pop("digest"),
        lambda d: d.update(digest="x"),
        lambda d: d.update(format=2),
        lambda d: d.update(more=1),
        lambda d: d["changes"][0].update(kind="destroy"),
        lambda d: d["changes"][0].pop("effect"),
        lambda d: d["changes"][0]["effect"].update(seconds=-1),
        lambda d: d["observed"]["zone-a"].update(network=3),
        lambda d: d.update(written="yesterday"),
    ],
)
def test_the_schema_refuses_what_is_no_document(found, break_it):
    written = document(found, changed("zone-b", federation_supernodes=3))
    break_it(written)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert list(validator.iter_errors(written))


def test_a_document_holds_no_secret_and_no_certificate(found):
    hosts = changed("zone-b", federation_password="hunter2", federation_username="ann")
    text = json.dumps(document(found, hosts))
    assert "hunter2" not in text and "ann" not in text
    assert vm(found, "zone-a")["FL_CA_CERT"] not in text and "SHA-256 " in text


# -- does it hold --------------------------------------------------------------------------------------------------------------


def test_it_holds_while_nothing_moved(found):
    hosts = changed("zone-b", federation_supernodes=3)
    assert moved(document(found, hosts), found, hosts) == []


def test_it_holds_in_another_order_of_the_inventory(found):
    groups = {group: list(reversed(members)) for group, members in GROUPS.items()}
    assert moved(document(found), found, {host: HOSTS[host] for host in reversed(HOSTS)}, groups) == []


def live(found, gateway):
    return found[gateway]["gateway"]["live"]


@pytest.mark.parametrize(
    "move",
    [
        lambda o: live(o, "gw-a")["peers"][0].update(latest_handshake_age=100, received=5, sent=6, endpoint="203.0.113.77:4444"),
        lambda o: live(o, "gw-b").update(listen_port=41_234),
        lambda o: o["gw-b"]["gateway"]["probe"].update(seconds=3.0),
        lambda o: o["gw-b"]["gateway"]["others"].append({"interface": "wg9"}),
        lambda o: vm(o, "zone-a").update(FL_NODES_ONLINE="3", FL_NODES=vm(o, "zone-a")["FL_NODES"].replace("online", "offline")),
        lambda o: vm(o, "zone-a").update(FL_RUNS_ACTIVE="1", FL_RUN_ROUND="2"),
        lambda o: vm(o, "zone-b").update(FL_ERROR="no route", FL_READY="NO"),
        lambda o: o["zone-b"]["lock"].update(holder="ann"),
    ],
)
def test_what_moves_by_itself_is_not_part_of_it(found, move):
    written = document(found)
    move(found)
    assert moved(written, found) == []


@pytest.mark.parametrize(
    ("move", "line"),
    [
        (lambda o: vm(o, "zone-b").update(FL_LOG_LEVEL="DEBUG"), "zone-b: VM 0 FL_LOG_LEVEL: INFO -> DEBUG"),
        (
            lambda o: vm(o, "zone-b", 1).update(FL_PARTITION_ID="7"),
            "zone-b: VM 1: role supernode, partition 1 -> role supernode, partition 7",
        ),
        (lambda o: o["zone-b"]["service"].update(id=77), "zone-b: service: id 1, RUNNING -> id 77, RUNNING"),
        (lambda o: o["zone-b"]["service"].update(state="WARNING"), "zone-b: service: id 1, RUNNING -> id 1, WARNING"),
        (lambda o: o["zone-b"].update(network_id=9), "zone-b: network: 3 -> 9"),
        (lambda o: o["zone-b"].update(vm_template_id=9), "zone-b: VM template: 7 -> 9"),
        (lambda o: o["gw-b"]["gateway"]["stored"].update(mtu=1380), "gw-b: stored mtu: 1420 -> 1380"),
        (lambda o: live(o, "gw-b").update(mtu=1380), "gw-b: live mtu: 1420 -> 1380"),
        (lambda o: live(o, "gw-a")["routes"].pop(0), "10.10.9.2/32 151820"),
        (lambda o: live(o, "gw-a")["rules"].clear(), "gw-a: live rules: 10.10.10.5 151820 -> "),
        (lambda o: live(o, "gw-a")["peers"].pop(), "allowed_ips: 10.10.12.0/24, 10.10.9.3/32 -> nothing"),
        (lambda o: o["gw-c"]["gateway"]["firewall"].update(loaded=False), "gw-c: firewall loaded: True -> False"),
        (lambda o: o["gw-c"]["gateway"]["tools"]["missing"].append("wg"), "gw-c: tools missing:  -> wg"),
        (lambda o: o.update({"zone-c": {"unread": "timed out"}}), "zone-c: unread: nothing -> yes"),
        (lambda o: vm(o, "zone-a").update(FL_NODES=vm(o, "zone-a")["FL_NODES"] + ",99:online"), "zone-a: FL_NODES: "),
        (lambda o: vm(o, "zone-b").update(FL_NODE_ID="99"), "zone-b: VM 0 FL_NODE_ID: 1000 -> 99"),
        (lambda o: vm(o, "zone-a").update(FL_CA_CERT=OTHER_CA), "zone-a: FL_CA_CERT: SHA-256 "),
    ],
)
def test_what_moved_is_named_with_host_attribute_old_and_new(found, move, line):
    written = document(found)
    move(found)
    lines = moved(written, found)
    assert any(line in told for told in lines), lines
    host = line.partition(":")[0]
    assert not line.startswith(("zone", "gw")) or all(told.startswith(f"{host}: ") for told in lines)


def test_a_service_that_is_gone_is_named(found):
    written = document(found)
    found["zone-c"] = as_planned.empty_zone()
    lines = moved(written, found)
    assert "zone-c: service: id 2, RUNNING -> none" in lines and "zone-c: VM 0 FL_LOG_LEVEL: INFO -> nothing" in lines


@pytest.mark.parametrize(
    ("host", "given", "line"),
    [
        ("zone-a", {"federation_keepalive_time": 30}, "zone-a: federation_keepalive_time: 60 -> 30"),
        ("zone-b", {"federation_node_config": "a=b"}, "zone-b: federation_node_config: nothing -> a=b"),
        ("gw-c", {"federation_underlay_mtu": 1450}, "gw-c: federation_underlay_mtu: 1500 -> 1450"),
    ],
)
def test_an_inventory_that_was_edited_is_named(found, host, given, line):
    assert moved(document(found), found, changed(host, **given)) == [line]


def test_how_a_zone_is_reached_and_what_a_run_may_do_is_no_part_of_it(found):
    written = document(found)
    hosts = changed("zone-b", federation_password="other", federation_api_timeout=5, federation_wait_timeout=5)
    hosts["zone-a"].update(federation_allow_replace=True, federation_plan_file="changes.json")
    assert moved(written, found, hosts) == []


def test_a_plan_for_a_deployment_removes_no_site(found):
    assert moved(document(found), found, leaving=["zone-c"]) == ["zone-c: leaves: nothing -> yes"]
    removal = document(found, leaving=["zone-c"])
    assert moved(removal, found, leaving=["zone-c"]) == []
    assert moved(removal, found, leaving=["zone-c"], keep_services=True) == ["zone-c: leaves: yes -> yes, its service stays"]


def test_a_file_that_was_edited_is_refused(found):
    written = document(found)
    assert moved({**written, "digest": "0" * 32}, found) == ["its digest does not fit its own facts; it was edited"]
    edited = copy.deepcopy(written)
    edited["observed"]["zone-b"]["network"] = "4"
    assert moved({**edited, "digest": "0" * 32}, found) == ["zone-b: network: 4 -> 3"]


@pytest.mark.parametrize(
    "document_",
    [None, [], "x", {}, {"format": 1}, {"format": 2, "digest": "0" * 32, "federation": "flower"}, {"format": 1, "digest": 7}],
)
def test_what_is_no_saved_plan_is_refused(found, document_):
    with pytest.raises(ValueError, match=r"no saved plan|plan of the federation"):
        moved(document_, found)


def test_a_plan_of_another_federation_is_refused(found):
    with pytest.raises(ValueError, match="'flower', and this is 'second'"):
        moved(document(found), found, changed("zone-a", federation_name="second"))


@pytest.mark.parametrize("part", ["inventory", "observed"])
@pytest.mark.parametrize("value", [None, [], "x", {"zone-a": "x"}, {"zone-a": {"a": {"b": 1}}}])
def test_facts_that_are_none_raise_nothing(found, part, value):
    written = {**document(found), "digest": "0" * 32, part: value}
    assert moved(written, found)


def test_the_coordinator_that_was_made_again_is_named(found):
    written = document(found)
    found["zone-a"] = as_planned.results(PLAN, OTHER_CA, OTHER_LEAF)["zone-a"]
    (line,) = moved(written, found)
    assert line.startswith("zone-a: FL_CA_CERT: SHA-256 ") and " -> SHA-256 " in line


# -- the table -------------------------------------------------------------------------------------------------------------------


def test_the_table_shows_why_from_to_and_the_effect(found):
    made = as_planned.planned(found, GROUPS, changed("zone-a", federation_keepalive_time=30))
    lines = report.change_lines(as_planned.found_changes(made, found))
    assert lines[1].split() == ["HOST", "CHANGE", "WHAT", "WHY", "FROM", "TO", "EFFECT"]
    (line,) = [line for line in lines if line.startswith("zone-a")]
    assert "federation_keepalive_time" in line and line.endswith(
        "stops the SuperLink; its SuperNodes come back by themselves for up to 30 s; a training is hit"
    )


def test_the_table_says_that_there_is_nothing(found):
    assert "as planned" in report.change_lines(as_planned.found_changes(PLAN, found))[-1]


def test_long_values_are_cut_in_the_table_only(found):
    hosts = changed("zone-b", federation_node_config=" ".join(f"key-{number}=value" for number in range(20)))
    made = as_planned.planned(found, GROUPS, hosts)
    (change,) = as_planned.found_changes(made, found)
    line = report.change_lines([change])[-1]
    assert "key-19" in change.new and "key-19" not in line and "..." in line
