# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_template and its info twin against the fake zone."""

from __future__ import annotations

import pytest

BODY = {"roles": [{"name": "web", "template_id": 0, "cardinality": 1}]}


def test_life_of_a_template(zone, run):
    plan = run("oneflow_template", name="shop", template=BODY, mode="640", check=True)
    assert plan["changed"] and zone.writes() == []
    made = run("oneflow_template", name="shop", template=BODY, mode="640")
    assert made["changed"] and made["template"]["id"] == 0 and made["template"]["mode"] == "640"
    assert plan["template"].keys() == made["template"].keys() and plan["template"]["mode"] == "640"
    assert plan["diff"]["after"].keys() == made["diff"]["after"].keys()
    zone.calls.clear()
    again = run("oneflow_template", id=0, template=BODY, mode="640")
    assert again["changed"] is False and again["template"] == made["template"] and zone.writes() == []
    bigger = {"roles": [{**BODY["roles"][0], "cardinality": 2}]}
    plan = run("oneflow_template", name="shop", template=bigger, check=True)
    changed = run("oneflow_template", name="shop", template=bigger)
    assert changed["changed"] and changed["template"]["id"] == 0, "updated in place"
    assert plan["diff"] == changed["diff"] and plan["diff"]["before"]["body"]["roles"][0]["cardinality"] == 1
    assert run("oneflow_template_info", name="shop")["templates"] == [changed["template"]]
    assert run("oneflow_template", name="shop", state="absent")["changed"]
    assert run("oneflow_template", name="shop", state="absent")["changed"] is False
    assert run("oneflow_template_info")["templates"] == []


def test_rename_changes_both_names(zone, run):
    zone.add_template({"name": "shop", **BODY})
    result = run("oneflow_template", name="shop", new_name="store")
    assert result["changed"] and result["template"]["name"] == "store" and result["template"]["body"]["name"] == "store"
    assert run("oneflow_template", name="shop", new_name="store")["changed"] is False
    assert run("oneflow_template", name="store", template=BODY)["changed"] is False
    zone.add_template({"name": "shop", **BODY})
    clash = run("oneflow_template", name="shop", new_name="store")
    assert clash["failed"] and "id 0 has that name" in clash["msg"]


@pytest.mark.parametrize("option", [{"new_name": "store"}, {"mode": "0644"}, {"owner": "alice"}, {"group": "users"}])
def test_success_that_changed_nothing_is_an_error(zone, run, option):
    """OneFlow answers 204 to all of these even when the user lacks the right."""
    number = zone.add_template({"name": "shop", **BODY})
    zone.lies |= {"rename", "chmod", "chown"}
    result = run("oneflow_template", id=number, **option)
    assert result["failed"] and "although the server reported success" in result["msg"]
    zone.lies.clear()
    assert run("oneflow_template", id=number, **option)["changed"]
    assert run("oneflow_template", id=number, **option)["changed"] is False


def test_owner_change_keeps_the_group(zone, run):
    number = zone.add_template({"name": "shop", **BODY})
    run("oneflow_template", id=number, group="users")
    result = run("oneflow_template", id=number, owner="alice")
    assert (result["template"]["uname"], result["template"]["gname"]) == ("alice", "users")
    assert run("oneflow_template", id=number, owner="2", group="1")["changed"] is False
    assert run("oneflow_template", id=number, owner="0")["template"]["uname"] == "oneadmin"
    assert "no user 'carl'" in run("oneflow_template", id=number, owner="carl")["msg"]


def test_clone(zone, run):
    zone.add_template({"name": "shop", **BODY})
    result = run("oneflow_template", name="copy", clone_of="shop")
    assert result["changed"] and result["template"]["body"]["name"] == "copy" and "clone mode none" in zone.calls
    assert run("oneflow_template", name="copy", clone_of="0")["changed"] is False
    assert "to clone" in run("oneflow_template", name="other", clone_of="nothing")["msg"]


def test_names_are_not_unique(zone, run):
    zone.add_template({"name": "shop", **BODY})
    zone.add_template({"name": "shop", **BODY})
    result = run("oneflow_template", name="shop", template=BODY)
    assert result["failed"] and "ids 0, 1" in result["msg"]
    assert run("oneflow_template", id=1, template=BODY)["changed"] is False


def test_errors(zone, run):
    assert "no service template 'shop'" in run("oneflow_template", name="shop")["msg"]
    assert run("oneflow_template", id=7, template=BODY)["error"]["kind"] == "not_found"
    assert run("oneflow_template", id=7, state="absent")["changed"] is False
    service = zone.add_service({"name": "s", **BODY})
    wrong = run("oneflow_template", id=service, template=BODY)
    assert wrong["failed"] and "another kind" in wrong["msg"]
    assert zone.writes() == []


def test_server_of_the_older_generation(zone, run):
    zone.version = "6.10.0"
    made = run("oneflow_template", name="shop", template={"user_inputs": {"A": "O|text|a"}, **BODY})
    stored = zone.body(0)
    assert stored["custom_attrs"] == {"A": "O|text|a"} and stored["roles"][0]["vm_template"] == 0
    assert "type" not in stored["roles"][0]
    assert made["template"]["body"]["roles"][0]["template_id"] == 0
    assert run("oneflow_template", name="shop", template={"user_inputs": {"A": "O|text|a"}, **BODY})["changed"] is False
