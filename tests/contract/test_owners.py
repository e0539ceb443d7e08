# SPDX-License-Identifier: GPL-3.0-or-later
"""One rule from a name to a thing: the owner that is named, else the user's own, else the only one; never one of several."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("clean")
BODY = {"roles": [{"name": "app", "template_id": 0, "cardinality": 0}]}  # a template of any VM: none is made


@pytest.fixture
def third(target, oned, name):
    """Yield a third user of the second one's group; its name and password."""
    user = int(oned.call("user.allocate", name("carol"), "carol-s-password", "core", [1]))
    yield {"username": name("carol"), "password": "carol-s-password"}
    oned.call("user.delete", user)


def test_a_colleague_finds_what_is_there(run, name, second, third):
    """The same tasks by another user of the group: the service and the template that are there, and no second ones."""
    made = run("oneflow_template", name=name("t"), template=BODY, mode="660", **second)["template"]
    service = run("oneflow_service", name=name("s"), template_name=name("t"), mode="660", **second)["service"]
    assert service["uname"] == made["uname"] == second["username"]
    again = run("oneflow_template", name=name("t"), template=BODY, mode="660", **third)
    assert again["changed"] is False and again["template"]["id"] == made["id"]
    there = run("oneflow_service", name=name("s"), template_name=name("t"), mode="660", **third)
    assert there["changed"] is False and there["service"]["id"] == service["id"]
    changed = run("oneflow_template", name=name("t"), template={**BODY, "description": "by a colleague"}, **third)
    assert changed["changed"] and changed["template"]["id"] == made["id"]
    assert run("oneflow_template", name=name("copy"), clone_of=name("t"), **third)["template"]["uname"] == third["username"]
    assert run("one_vm_info", service=name("s"), **third)["vms"] == []


def test_ones_own_comes_first_and_an_owner_can_be_named(run, name, second, target):
    theirs = run("oneflow_template", name=name("t"), template=BODY, mode="644", **second)["template"]
    mine = run("oneflow_template", name=name("t"), template=BODY, owner=target.a.username, mode="644")["template"]
    assert mine["id"] != theirs["id"] and mine["uname"] == target.a.username, "a named owner has none yet: one is made"
    assert run("oneflow_template", name=name("t"), template=BODY)["template"]["id"] == mine["id"]
    asked = run("oneflow_template", name=name("t"), template=BODY, owner=second["username"])
    assert asked["template"]["id"] == theirs["id"] and asked["changed"] is False
    service = run("oneflow_service", name=name("s"), template_id=mine["id"])["service"]
    other = run("oneflow_service", name=name("s"), template_id=theirs["id"], owner=second["username"], **second)["service"]
    assert other["id"] != service["id"]
    assert run("oneflow_service", name=name("s"))["service"]["id"] == service["id"]
    assert run("oneflow_service", name=name("s"), owner=second["username"])["service"]["id"] == other["id"]


def test_of_several_none_is_taken(run, name, second, third):
    numbers = []
    for who in (second, third):
        numbers.append(
            run("oneflow_template", name=name("t"), template=BODY, mode="644", owner=who["username"], **who)["template"]["id"]
        )
    for module, options in (
        ("oneflow_template", {"name": name("t"), "template": BODY}),
        ("oneflow_template", {"name": name("copy"), "clone_of": name("t")}),
        ("oneflow_service", {"name": name("s"), "template_name": name("t")}),
    ):
        refused = run(module, fails=True, **options)
        assert refused["error"]["kind"] == "ambiguous" and refused["error"]["hint"], refused
        for number, who in zip(numbers, (second, third), strict=True):
            assert f"{number} belongs to {who['username']}" in refused["msg"]


def test_what_belongs_to_others_is_removed_only_when_asked_for(run, name, second):
    theirs = run("oneflow_template", name=name("t"), template=BODY, mode="644", **second)["template"]
    refused = run("oneflow_template", name=name("t"), state="absent", fails=True)
    assert refused["error"]["kind"] == "ambiguous" and f"{theirs['id']} of {second['username']}" in refused["msg"]
    assert run("oneflow_template", name=name("t"), state="absent", owner=second["username"])["changed"]
    service = run(
        "oneflow_service", name=name("s"), template_id=run("oneflow_template", name=name("u"), template=BODY)["template"]["id"]
    )
    run("oneflow_service", id=service["service"]["id"], owner=second["username"])
    assert run("oneflow_service", name=name("s"), state="absent", fails=True)["error"]["kind"] == "ambiguous"
    assert run("oneflow_service", id=service["service"]["id"], state="absent")["changed"]
