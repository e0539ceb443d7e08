# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_template and oneflow_template_info: every parameter, in check mode, for real, and again."""

from __future__ import annotations

import json

import pytest

from tests.contract.contract_run import clients, is_gone

pytestmark = pytest.mark.usefixtures("clean")
STRANGE = "a \"b\" 'c' ünï ☃ (x) > [y], z=1 $HOME"


@pytest.fixture
def body(target):
    return {
        "description": "made by a test",
        "deployment": "straight",
        "user_inputs": {"REGION": "O|text|Where| |north"},
        "roles": [
            {
                "name": "db",
                "template_id": target.a.vm_template,
                "cardinality": 0,
                "user_inputs": {"DB_PASSWORD": "M|password|Secret| |default-s3cret", "DB_PORT": "O|number|Port| |5432"},
            },
            {
                "name": "web",
                "template_id": target.a.vm_template,
                "cardinality": 0,
                "parents": ["db"],
                "min_vms": 0,
                "max_vms": 3,
                "template_contents": {"MEMORY": 64, "CONTEXT": {"GREETING": 'say "hi"', "TOKEN": True}},
            },
        ],
    }


def test_life_of_a_template(run, twice, name, body, target, flow):
    made = twice("oneflow_template", name=name(), template=body, mode="0640")
    template = made["template"]
    assert (template["name"], template["mode"], template["uname"]) == (name(), "640", target.a.username)
    assert template["body"]["roles"][1]["template_contents"]["CONTEXT"] == {"GREETING": 'say "hi"', "TOKEN": "YES"}
    assert run("oneflow_template_info", name=name())["templates"] == [template]
    assert run("oneflow_template_info", id=template["id"])["templates"] == [template]
    assert template in run("oneflow_template_info")["templates"]

    bigger = json.loads(json.dumps(body))
    bigger["roles"][1]["cardinality"] = 2
    changed = twice("oneflow_template", name=name(), template=bigger)
    assert changed["template"]["id"] == template["id"], "updated in place"
    roles = [part["body"]["roles"][1] for part in (changed["diff"]["before"], changed["diff"]["after"])]
    assert [role["cardinality"] for role in roles] == [0, 2]
    assert changed["template"]["mode"] == "640", "what the task does not speak of stays"
    del bigger["description"]
    assert twice("oneflow_template", id=template["id"], template=bigger)["template"]["body"].get("description", "") == ""

    gone = run("oneflow_template", name=name(), state="absent", check=True)
    assert gone["changed"] and flow.template(template["id"])
    assert run("oneflow_template", name=name(), state="absent")["template"] is None
    assert run("oneflow_template", name=name(), state="absent")["changed"] is False
    assert run("oneflow_template", id=template["id"], state="absent")["changed"] is False
    assert is_gone(lambda: flow.template(template["id"]))


def test_secrets_are_nowhere(run, name, body):
    made = run("oneflow_template", name=name(), template=body)
    other = json.loads(json.dumps(body).replace("default-s3cret", "other-s3cret"))
    changed = run("oneflow_template", name=name(), template=other)
    assert changed["changed"], "a secret that changed is a change"
    again = run("oneflow_template", name=name(), template=other, check=True)
    assert again["changed"] is False
    info = run("oneflow_template_info", name=name())
    for result in (made, changed, again, info):
        shown = json.dumps({key: value for key, value in result.items() if key != "_secrets"})
        assert "s3cret" not in shown, shown


def test_rename_and_back(run, twice, name, body):
    number = run("oneflow_template", name=name("one"), template=body)["template"]["id"]
    renamed = twice("oneflow_template", name=name("one"), new_name=name("two"))
    assert (renamed["template"]["id"], renamed["template"]["name"], renamed["template"]["body"]["name"]) == (
        number,
        name("two"),
        name("two"),
    )
    back = twice("oneflow_template", id=number, name=name("one"), template={**body, "description": "and a new text"})
    assert back["template"]["name"] == back["template"]["body"]["name"] == name("one")


def test_owner_group_and_mode(run, twice, name, body, target, second):
    number = run("oneflow_template", name=name(), template=body)["template"]["id"]
    assert twice("oneflow_template", id=number, group="1")["template"]["gid"] == 1
    given = twice("oneflow_template", id=number, owner=second["username"], mode="640")["template"]
    assert (given["uname"], given["mode"]) == (second["username"], "640")
    assert given["gid"] == 1, "the server would set group 0 unasked"
    back = twice("oneflow_template", id=number, owner="0", group="0")["template"]
    assert (back["uid"], back["gid"]) == (0, 0), "0 is a user and a group like any other"
    assert run("oneflow_template", id=number, owner=0, group=0)["changed"] is False
    assert "no user 'nobody-of-that-name'" in run("oneflow_template", id=number, owner="nobody-of-that-name", fails=True)["msg"]


def test_clone(run, twice, name, body, oned, target):
    number = run("oneflow_template", name=name("one"), template=body)["template"]["id"]
    copy = twice("oneflow_template", name=name("two"), clone_of=name("one"))["template"]
    assert copy["id"] != number and copy["body"]["name"] == name("two")
    assert copy["body"]["roles"][0]["template_id"] == target.a.vm_template, "the VM templates are not cloned unasked"
    changed = {**body, "description": "another"}
    assert (
        twice("oneflow_template", name=name("three"), clone_of=str(number), template=changed)["template"]["body"]["description"]
        == "another"
    )
    deep = run("oneflow_template", name=name("four"), clone_of=name("one"), clone_mode="templates")["template"]
    cloned = {role["template_id"] for role in deep["body"]["roles"]}
    assert target.a.vm_template not in cloned
    assert run("oneflow_template", name=name("four"), state="absent", delete_type="templates")["changed"]
    for template in cloned:
        assert is_gone(lambda template=template: oned.call("template.info", template, False, False))
    assert (
        "no service template 'never-there' to clone"
        in run("oneflow_template", name=name("five"), clone_of="never-there", fails=True)["msg"]
    )


def test_what_the_server_and_others_added_is_no_change(run, name, body, flow):
    number = run("oneflow_template", name=name(), template=body)["template"]["id"]
    flow.merge_template(number, {"something_new": {"a": 1}, "labels": ["mine"]})
    assert run("oneflow_template", name=name(), template=body)["changed"] is False
    kept = run("oneflow_template", name=name(), template={**body, "deployment": "none"})["template"]["body"]
    assert kept["something_new"] == {"a": 1} and kept["labels"] == ["mine"]


def test_limits_and_policies(run, twice, name, target):
    role = {
        "name": "app",
        "template_id": target.a.vm_template,
        "cardinality": 1,
        "min_vms": 1,
        "max_vms": 3,
        "cooldown": 5,
        "shutdown_action": "terminate-hard",
        "elasticity_policies": [{"type": "CHANGE", "adjust": 1, "expression": "CPU > 60", "period_number": 3, "period": 30}],
        "scheduled_policies": [{"type": "CARDINALITY", "adjust": 2, "recurrence": "0 9 * * *"}],
    }
    twice("oneflow_template", name=name(), template={"roles": [role]})
    role["elasticity_policies"][0]["expression"] = "CPU > 80"
    role["max_vms"] = 4
    changed = twice("oneflow_template", name=name(), template={"roles": [role]})["template"]["body"]["roles"][0]
    assert changed["elasticity_policies"][0]["expression"] == "CPU > 80" and changed["max_vms"] == 4
    del role["scheduled_policies"]
    assert (
        "scheduled_policies"
        not in twice("oneflow_template", name=name(), template={"roles": [role]})["template"]["body"]["roles"][0]
    )


def test_both_spellings_are_one(run, name, target):
    contents = 'MEMORY="64"\nCONTEXT=[ GREETING="say \\"hi\\"", TOKEN="YES" ]\n'
    old = {
        "custom_attrs": {"A": "O|text|a"},
        "roles": [{"name": "web", "vm_template": target.a.vm_template, "cardinality": 0, "vm_template_contents": contents}],
    }
    new = {
        "user_inputs": {"A": "O|text|a"},
        "roles": [
            {
                "name": "web",
                "template_id": str(target.a.vm_template),
                "cardinality": "0",
                "type": "vm",
                "template_contents": {"MEMORY": 64, "CONTEXT": {"GREETING": 'say "hi"', "TOKEN": "YES"}},
            }
        ],
    }
    assert run("oneflow_template", name=name(), template=old)["changed"]
    assert run("oneflow_template", name=name(), template=new)["changed"] is False
    assert run("oneflow_template", name=name(), template=old)["changed"] is False


def test_strange_names_and_values(run, twice, name, body, target):
    strange = name(STRANGE)
    body["description"] = f"{STRANGE} <&>"
    body["roles"][1]["template_contents"] = {"NOTE": f"{STRANGE} <&>"}
    made = twice("oneflow_template", name=strange, template=body)["template"]
    assert made["name"] == strange and made["body"]["description"] == f"{STRANGE} <&>"
    assert run("oneflow_template_info", name=strange)["templates"] == [made]
    assert run("oneflow_template", name=strange, state="absent")["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_a_mode_without_quotes_is_refused(run, name, body, check, flow):
    """YAML makes the number 440 of it, and 440 is 670 in octal."""
    before = flow.templates()
    refused = run("oneflow_template", name=name(), template=body, mode=440, check=check, fails=True)
    assert refused["error"]["kind"] == "invalid_request" and 'mode: "440"' in refused["msg"] and refused["changed"] is False
    assert flow.templates() == before


@pytest.mark.parametrize("check", [True, False])
def test_a_new_name_that_oned_refuses(run, name, body, check, flow):
    """It refuses fewer names to a new document than to one that is renamed; OneFlow answers 204 all the same."""
    made = run("oneflow_template", name=name("it's a:b"), template=body)["template"]
    before = flow.template(made["id"])
    for character in "|:\\\";/'#{}$>\t":
        for how in ({"id": made["id"], "new_name": name(f"a{character}b")}, {"id": made["id"], "name": name(f"a{character}b")}):
            refused = run("oneflow_template", check=check, fails=True, **how)
            assert refused["error"]["kind"] == "invalid_request" and "OpenNebula refuses" in refused["msg"], refused
            assert refused["changed"] is False
    assert flow.template(made["id"]) == before
    assert run("oneflow_template", id=made["id"], name=name("it's a:b"))["changed"] is False, "it has that name already"


@pytest.mark.parametrize("bad", ["a<b", "a&b", "x]]>y", "two\nlines", "n" * 129, "ü" * 65, " "])
def test_names_that_would_break_the_server_are_refused(run, name, body, target, bad):
    before = clients(target.a)[1].templates()
    for options in ({"name": bad}, {"name": name(), "new_name": bad}):
        result = run("oneflow_template", template=body, fails=True, **options)
        assert result["error"]["kind"] == "invalid_request" and result["error"]["hint"] and result["changed"] is False
    assert clients(target.a)[1].templates() == before


@pytest.mark.parametrize("check", [True, False])
def test_texts_that_would_break_the_server_are_refused(run, name, body, check):
    body["description"] = "]]>"
    body["user_inputs"] = {"A": "O|text|]]>"}
    body["roles"][1]["template_contents"] = {"X": "]]>", "CONTEXT": {"LINES": "a\nb"}}
    text = run("oneflow_template", name=name(), template=body, check=check, fails=True)["msg"]
    for place in ("description", "user_inputs.A", "roles[web].template_contents.X", "template_contents.CONTEXT.LINES"):
        assert place in text, text


def test_unknown_fields(run, name, target):
    wrong = {"depolyment": "none", "roles": [{"name": "a", "tempalte_id": target.a.vm_template, "cardinalty": 1}]}
    text = run("oneflow_template", name=name(), template=wrong, fails=True)["msg"]
    for near in ("did you mean deployment?", "did you mean template_id?", "did you mean cardinality?"):
        assert near in text


def test_one_name_twice(run, name, body):
    first = run("oneflow_template", name=name("one"), template=body)["template"]["id"]
    other = run("oneflow_template", name=name("two"), template=body)["template"]["id"]
    refused = run("oneflow_template", name=name("two"), new_name=name("one"), fails=True)
    assert refused["error"]["kind"] == "ambiguous" and str(first) in refused["msg"]
    # Somebody else does it nevertheless: OneFlow does not mind.
    run("oneflow_template", id=other, new_name=name("one"))
    both = run("oneflow_template", name=name("one"), template=body, fails=True)
    assert both["error"]["kind"] == "ambiguous" and f"ids {first}, {other}" in both["msg"]
    assert len(run("oneflow_template_info", name=name("one"))["templates"]) == 2


def test_success_that_did_nothing(run, name, body, second, target):
    """OneFlow answers 204 when the right is missing; the result must not."""
    number = run("oneflow_template", name=name(), template=body, mode="644")["template"]["id"]
    for options in ({"new_name": name("stolen")}, {"mode": "666"}, {"owner": second["username"]}):
        result = run("oneflow_template", id=number, fails=True, **second, **options)
        assert result["error"]["kind"] == "authorization" and result["error"]["hint"] and result["changed"] is False, result
    same = run("oneflow_template_info", id=number)["templates"][0]
    assert same["name"] == same["body"]["name"] == name() and same["mode"] == "644"
    denied = run("oneflow_template", id=number, fails=True, template={**body, "description": "mine"}, **second)
    assert denied["error"]["kind"] == "authorization" and "Not authorized" in denied["error"]["text"]
    hidden = run("oneflow_template", name=name("private"), template=body, mode="600")["template"]["id"]
    assert run("oneflow_template", id=hidden, fails=True, **second)["error"]["kind"] == "authorization"
    assert run("oneflow_template_info", name=name("private"), **second)["templates"] == []


def test_errors_that_are_ours(run, name, body):
    for state in ("present", "absent"):
        beyond = run("oneflow_template", id=2**31, state=state, fails=True)["error"]
        assert beyond["kind"] == "invalid_request" and "no OpenNebula id" in beyond["text"]
    assert run("oneflow_template_info", id=2**31, fails=True)["error"]["kind"] == "invalid_request"
    assert "Give template, or clone_of" in run("oneflow_template", name=name(), fails=True)["msg"]
    number = run("oneflow_template", name=name(), template=body)["template"]["id"]
    wrong = run("oneflow_service", id=number, fails=True)["error"]
    assert wrong["kind"] == "not_found" and "another kind" in wrong["hint"]


@pytest.mark.parametrize("bad", ["a/b", "a#b", "a;b", "a'b", "a$b", "a\tb"])
def test_a_refused_rename_leaves_the_body_as_it_was(run, name, body, bad):
    """OneFlow answers 204 to it; the reason is oned's to tell."""
    number = run("oneflow_template", name=name(), template=body)["template"]["id"]
    before = run("oneflow_template_info", id=number)["templates"][0]
    for more in ({}, {"template": {**body, "description": "changed as well"}}):
        refused = run("oneflow_template", id=number, new_name=name(bad), fails=True, **more)
        assert refused["changed"] is False and "right" not in refused["error"]["hint"], refused
    assert run("oneflow_template_info", id=number)["templates"] == [before]


POLICY = {"type": "CHANGE", "adjust": 1, "expression": "CPU > 1"}
ELASTIC = {"min_vms": 1, "max_vms": 3}


@pytest.mark.parametrize(
    ("top", "role", "text"),
    [
        ({"deployment": "zigzag"}, {}, "deployment: 'zigzag' is not one of none, straight"),
        ({"shutdown_action": "off"}, {}, "shutdown_action: 'off' is not one of"),
        ({}, {"shutdown_action": "off"}, "roles[app].shutdown_action: 'off' is not one of"),
        ({}, {"type": "vx"}, "roles[app].type: 'vx' is not one of vm, vr"),
        ({}, {"name": "rôle"}, "letters, digits and underscores only"),
        ({}, {**ELASTIC, "cardinality": 0}, "cardinality: 0 is less than min_vms 1"),
        ({}, {**ELASTIC, "cardinality": 4}, "cardinality: 4 is more than max_vms 3"),
        ({}, {"parents": ["nobody"]}, "there is no role 'nobody'"),
        ({}, {"parents": ["app"]}, "wait for each other"),
        ({}, {"elasticity_policies": [POLICY]}, "need min_vms and max_vms"),
        ({}, {**ELASTIC, "elasticity_policies": [{**POLICY, "type": "MORE"}]}, "type: 'MORE' is not one of"),
        ({}, {**ELASTIC, "elasticity_policies": [{"type": "CHANGE", "expression": "CPU > 1"}]}, "adjust: is missing"),
        ({}, {**ELASTIC, "elasticity_policies": [{**POLICY, "adjust": "x"}]}, "adjust: 'x' is no whole number"),
        ({}, {**ELASTIC, "elasticity_policies": [{"type": "CHANGE", "adjust": 1}]}, "expression: is missing"),
        ({}, {**ELASTIC, "elasticity_policies": [{**POLICY, "expression": "CPU >"}]}, "expression: 'CPU >' is not valid"),
        ({}, {**ELASTIC, "elasticity_policies": [{**POLICY, "min_adjust_step": 0}]}, "min_adjust_step: must be at least 1"),
        ({}, {**ELASTIC, "scheduled_policies": [{"type": "CHANGE", "adjust": 1}]}, "needs either start_time or recurrence"),
        ({}, {**ELASTIC, "scheduled_policies": [{"type": "CHANGE", "adjust": 1, "recurrence": "daily"}]}, "'daily' is not valid"),
        ({}, {**ELASTIC, "scheduled_policies": [{"type": "CHANGE", "adjust": 1, "start_time": "soon"}]}, "'soon' is not valid"),
    ],
)
def test_what_the_server_would_refuse_is_refused_in_check_mode_too(run, name, target, flow, top, role, text):
    before = flow.templates()
    body = {**top, "roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 1, **role}]}
    for check in (True, False):
        refused = run("oneflow_template", name=name(), template=body, check=check, fails=True)
        assert refused["error"]["kind"] == "invalid_request" and text in refused["msg"], refused["msg"]
    assert flow.templates() == before


def test_roles_that_wait_for_each_other_are_refused(run, name, target):
    """OneFlow takes them, and stays in DEPLOYING_NETS for ever."""
    roles = [{"name": n, "template_id": target.a.vm_template, "parents": [p]} for n, p in (("a", "b"), ("b", "c"), ("c", "a"))]
    text = run("oneflow_template", name=name(), template={"roles": [*roles, {"name": "d", "template_id": 0}]}, fails=True)["msg"]
    assert "roles: a, b, c wait for each other" in text
