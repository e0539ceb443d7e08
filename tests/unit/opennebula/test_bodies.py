# SPDX-License-Identifier: GPL-3.0-or-later
"""Service template bodies and user inputs."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import (
    bodies,
    generation6,
    inputs,
    secrets,
    template_text,
)
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.errors import InvalidRequest

ROLE = {"name": "web", "template_id": 0, "cardinality": 1, "template_contents": {"NIC": [{"NETWORK_ID": 0}], "MEMORY": 128}}
BODY = {"name": "shop", "roles": [ROLE]}


def server_side(given: dict) -> dict:
    """Return what a 7.4 server keeps of a body: defaults written in, integers coerced, its own fields added."""
    result = copy.deepcopy(given)
    result.setdefault("deployment", "none")
    result.setdefault("description", "")
    result["registration_time"] = 1795433865
    for role in result["roles"]:
        role.setdefault("cardinality", 0)
        role["template_id"] = int(role["template_id"])
    return result


def test_no_false_change() -> None:
    wanted = bodies.wanted(BODY, "shop")
    assert bodies.same(wanted, server_side(wanted))
    spelled = {**BODY, "roles": [{**ROLE, "template_id": "0", "cardinality": "1"}], "ready_status_gate": False, "user_inputs": {}}
    assert bodies.same(bodies.wanted(spelled, "shop"), server_side(wanted))
    other = server_side(wanted)
    other.update(labels=["x"], LABELS="y", future_field=7)
    other["roles"][0].update(future=1, on_hold=False)
    other["roles"][0]["template_contents"] = {"NIC": {"NETWORK_ID": "0"}, "MEMORY": "128"}
    assert bodies.same(wanted, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.update(deployment="straight"),
        lambda b: b.update(description="other"),
        lambda b: b.update(ready_status_gate=True),
        lambda b: b["roles"][0].update(cardinality=2),
        lambda b: b["roles"][0].update(min_vms=1),
        lambda b: b["roles"][0]["template_contents"].update(MEMORY=256),
        lambda b: b["roles"][0]["template_contents"].update(EXTRA="x"),
        lambda b: b["roles"].append({"name": "db", "type": "vm", "template_id": 0}),
        lambda b: b.update(name="renamed"),
    ],
)
def test_real_changes_are_seen_on_either_side(change) -> None:
    one, two = bodies.wanted(BODY, "shop"), server_side(bodies.wanted(BODY, "shop"))
    change(two)
    assert not bodies.same(one, two)
    one, two = bodies.wanted(BODY, "shop"), server_side(bodies.wanted(BODY, "shop"))
    change(one)
    assert not bodies.same(one, two)


def test_unknown_fields_and_every_other_fault_at_once() -> None:
    bad = {
        "depolyment": "none",
        "roles": [
            {"name": "web-1", "tempalte_id": 0, "type": "vm", "cardinality": "many"},
            {"name": "db", "template_id": 0, "parents": ["wbe"]},
        ],
    }
    with pytest.raises(InvalidRequest, match="did you mean deployment.*did you mean template_id"):
        bodies.wanted(bad, "shop")
    bad = {"roles": [{"name": "web-1", "template_id": "x"}, {"name": "db", "template_id": 0, "parents": ["wbe"]}, {"name": "db"}]}
    with pytest.raises(InvalidRequest) as caught:
        bodies.wanted(bad, "shop")
    for text in ("letters, digits", "'x' is no whole number", "no role 'wbe'", "used twice", "template_id: is missing"):
        assert text in caught.value.text


@pytest.mark.parametrize("value", ["a\nb", "end\\", "x]]>y"])
def test_values_that_would_be_corrupted_are_refused(value: str) -> None:
    given = {"roles": [{"name": "web", "template_id": 0, "template_contents": {"CONTEXT": {"X": value}}}]}
    with pytest.raises(InvalidRequest, match="template_contents.CONTEXT.X"):
        bodies.wanted(given, "shop")


def test_booleans_in_attributes_are_what_opennebula_reads() -> None:
    given = {"roles": [{"name": "web", "template_id": 0, "template_contents": {"CONTEXT": {"TOKEN": True}, "X": [False]}}]}
    contents = bodies.wanted(given, "shop")["roles"][0]["template_contents"]
    assert contents == {"CONTEXT": {"TOKEN": "YES"}, "X": ["NO"]}


def test_nothing_of_the_users_is_changed() -> None:
    given = copy.deepcopy(BODY)
    generation6.for_server(bodies.wanted(given, "x"), "6.8.0")
    assert given == BODY


def test_old_names_are_understood_and_written_for_old_servers() -> None:
    old = {
        "name": "shop",
        "custom_attrs": {"A": "M|text|a"},
        "roles": [
            {"name": "web", "vm_template": 3, "cardinality": 1, "vm_template_contents": 'MEMORY="96"\nNIC=[NETWORK_ID="0"]\n'}
        ],
    }
    wanted = bodies.wanted(old, "shop")
    assert wanted["roles"][0]["template_id"] == 3 and wanted["user_inputs"] == {"A": "M|text|a"}
    assert wanted["roles"][0]["template_contents"] == {"MEMORY": "96", "NIC": {"NETWORK_ID": "0"}}
    assert generation6.for_server(wanted, "7.0.0") == wanted
    written = generation6.for_server(wanted, "6.10.2")
    assert written["custom_attrs"] == {"A": "M|text|a"} and "user_inputs" not in written
    role = written["roles"][0]
    assert role["vm_template"] == 3 and "type" not in role and isinstance(role["vm_template_contents"], str)
    assert bodies.same(wanted, written)
    with pytest.raises(InvalidRequest, match="template_id, which is given too"):
        bodies.wanted({"roles": [{"name": "web", "vm_template": 3, "template_id": 4}]}, "shop")
    with pytest.raises(InvalidRequest, match="type vm"):
        generation6.for_server({"roles": [{"name": "r", "type": "vr"}]}, "6.10.0")


def test_instantiating_on_an_old_server() -> None:
    """6.x merges roles by place and puts no value into a VM by itself."""
    template = {
        "user_inputs": {"ZONE": "M|text|z"},
        "roles": [
            {"name": "db", "template_id": 1, "template_contents": {"CPU": "1", "CONTEXT": {"SITE": "$ZONE", "HOME": "$HOME"}}},
            {"name": "web", "template_id": 2, "user_inputs": {"MODE": "M|text|m"}},
        ],
    }
    merge = {
        "name": "s",
        "user_inputs_values": {"ZONE": 'a "b"'},
        "roles": [{"name": "web", "user_inputs_values": {"MODE": "x"}, "cardinality": 2}],
    }
    assert generation6.instantiation_for_server(merge, template, "7.4.0", {}) == merge
    assert generation6.needs_vm_templates(merge, template, "7.4.0") == set() and generation6.needs_vm_templates(
        merge, template, "6.10.5"
    ) == {1, 2}
    sent = generation6.instantiation_for_server(
        merge, template, "6.10.5", {1: {"CONTEXT": {"TOKEN": "YES", "SITE": "no"}, "OS": {"ARCH": "x"}}}
    )
    assert sent["custom_attrs_values"] == {"ZONE": 'a "b"'} and "user_inputs_values" not in sent
    assert [role["name"] for role in sent["roles"]] == ["db", "web"] and sent["roles"][1]["cardinality"] == 2
    assert template_text.parse_template(sent["roles"][0]["vm_template_contents"]) == {
        "CPU": "1",
        "ZONE": 'a "b"',
        "CONTEXT": {"TOKEN": "YES", "SITE": 'a "b"', "HOME": "$HOME", "ZONE": 'a "b"'},
    }
    with pytest.raises(InvalidRequest, match="ZONE: OpenNebula 6.10.5 would expand"):
        generation6.instantiation_for_server({**merge, "user_inputs_values": {"ZONE": "$x"}}, template, "6.10.5", {})


def test_a_write_keeps_what_is_unknown_here() -> None:
    server = server_side(bodies.wanted(BODY, "shop"))
    server.update(labels=["x"], future=1)
    server["roles"][0]["future"] = 2
    written = bodies.merged(bodies.wanted({**BODY, "description": "new"}, "shop"), server)
    assert written["future"] == 1 and written["labels"] == ["x"] and written["roles"][0]["future"] == 2
    assert written["description"] == "new" and written["registration_time"] == server["registration_time"]


def test_secrets() -> None:
    service = {
        "user_inputs": {"PASSWORD": "M|password|x| |top-secret", "NAME": "O|text|x||n"},
        "roles": [{"user_inputs_values": {"PASSWORD": "given"}, "template_contents": {"CONTEXT": {"PASSWORD": "$PASSWORD"}}}],
    }
    shown = secrets.masked(service, secrets.secret_inputs(service))
    assert shown["user_inputs"] == {"PASSWORD": "M|password|x| |********", "NAME": "O|text|x||n"}
    assert shown["roles"][0]["user_inputs_values"]["PASSWORD"] == "********"
    assert shown["roles"][0]["template_contents"]["CONTEXT"]["PASSWORD"] == "$PASSWORD"
    assert secrets.secret_values(service) == {"given", "top-secret"}
    assert secrets.masked({"API_TOKEN": "abc", "TOKEN": "YES", "MONKEY": "x"}, by_name=True) == {
        "API_TOKEN": "********",
        "TOKEN": "YES",
        "MONKEY": "x",
    }


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("M|boolean|x", True, "YES"),
        ("M|boolean|x", "no", "NO"),
        ("M|number|x", 5, "5"),
        ("O|number-float|x", "0.5", "0.5"),
        ("O|range|x|1..10", "10", "10"),
        ("O|list|x|a,b", "b", "b"),
        ("O|list-multiple|x|a,b,c", ["a", "c"], "a,c"),
        ("O|text|x|| dflt |with|bars", None, "dflt |with|bars"),
        ("O|text|x", None, ""),
        ("O|text|x", "two\nlines", "two\nlines"),
    ],
)
def test_input_values(declared: str, value: object, expected: str) -> None:
    faults: list[str] = []
    assert inputs.fill({"A": declared}, {"A": value}, None, "", faults) == {"A": expected} and faults == []


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("M|boolean|x", "perhaps"),
        ("M|number|x", "1.5"),
        ("M|range|x|1..10", 11),
        ("M|list|x|a,b", "c"),
        ("M|fixed|x| |one", "two"),
        ("M|text|x", "end\\"),
        ("M|text|x", "a${b}"),
        ("M|text|x", "]]>"),
        ("M|text|x", {"a": 1}),
        ("M|text|x", ""),
    ],
)
def test_wrong_input_values(declared: str, value: object) -> None:
    faults: list[str] = []
    inputs.fill({"A": declared}, {"A": value}, None, "", faults)
    assert len(faults) == 1


def test_every_role_with_inputs_is_sent() -> None:
    """A role that is missing in merge_template would be deployed without its mandatory inputs."""
    template = {
        "roles": [{"name": "a", "user_inputs": {"X": "O|text|x||1"}}, {"name": "b"}],
        "networks": {"net": "M|network| | |id:3"},
    }
    merge = inputs.merge_template(template, name="s", values={}, networks_values=[], roles=[])
    assert merge == {
        "name": "s",
        "roles": [{"name": "a", "user_inputs_values": {"X": "1"}}],
        "networks_values": [{"net": {"id": "3"}}],
    }
    with pytest.raises(InvalidRequest, match="network other.*"):
        inputs.merge_template(template, name="s", values={}, networks_values=[{"other": {"id": 1}}], roles=[])
    with pytest.raises(InvalidRequest, match="no role 'c', only a, b"):
        inputs.merge_template(template, name="s", values={}, networks_values=[], roles=[{"name": "c"}])
