# SPDX-License-Identifier: GPL-3.0-or-later
"""What is different at OpenNebula 6.10. Everything else runs against both generations; here, what each of them keeps.

The lab zone's 6.10 follows published source, not recordings (lab.zone.oneflow.generation6).
"""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.template_text import parse_template

from tests.contract import contract_target as targets
from tests.contract.contract_run import clients, run_task

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    with targets.lab_federation(tmp_path_factory.mktemp("six"), "6.10.5") as found:
        yield found


@pytest.fixture
def run(six):
    def call(module, *, fails=False, **options):
        result = run_task(module, six.a, six, **options)
        assert bool(result.get("failed")) is fails, result
        return result

    return call


BODY = {
    "user_inputs": {"SITE": "M|text|Where"},
    "networks": {"net": "M|network| | |id:0"},
    "roles": [
        {"name": "first", "template_id": 0, "cardinality": 0},
        {
            "name": "second",
            "template_id": 0,
            "cardinality": 1,
            "user_inputs": {"KEY": "M|text|a", "KEY_LONG": "O|text|b| |dflt"},
            "template_contents": {"NIC": [{"NETWORK_ID": "$net"}], "NOTE": "at $SITE", "CONTEXT": {"OWN": "x"}},
        },
    ],
}


def test_it_is_written_in_the_old_names_and_read_in_the_new(six, run):
    made = run("oneflow_template", name="names", template=BODY)["template"]
    kept = clients(six.a)[1].template(made["id"])["TEMPLATE"]["BODY"]
    assert kept["custom_attrs"] == BODY["user_inputs"] and "user_inputs" not in kept
    role = kept["roles"][1]
    assert role["vm_template"] == 0 and set(role["custom_attrs"]) == {"KEY", "KEY_LONG"}
    assert not {"template_id", "type", "template_contents", "user_inputs"} & set(role)
    assert parse_template(role["vm_template_contents"])["CONTEXT"] == {"OWN": "x"}
    shown = made["body"]
    assert shown["user_inputs"] == BODY["user_inputs"] and shown["roles"][1]["template_id"] == 0
    assert shown["roles"][1]["template_contents"]["NOTE"] == "at $SITE"
    assert run("oneflow_template", name="names", template=BODY)["changed"] is False
    assert run("onezone_info")["zones"][0]["status"]["version"] == "6.10.5"


def test_a_service_gets_what_7_would_give_it(six, run):
    """Inputs of one role only, the second: 6.10 merges roles by place and puts no value into a VM by itself."""
    run("oneflow_template", name="values", template=BODY)
    values = {"KEY": 'quote " and\nline, [x]=y', "KEY_LONG": "longer"}
    made = run(
        "oneflow_service",
        name="values",
        template_name="values",
        user_inputs_values={"SITE": "north"},
        roles=[{"name": "second", "user_inputs_values": values, "template_contents": {"CONTEXT": {"MORE": "m"}}}],
    )
    assert [(role["name"], role["cardinality"]) for role in made["service"]["roles"]] == [("first", 0), ("second", 1)]
    vm = clients(six.a)[0].vm(made["service"]["roles"][1]["nodes"][0]["vm_id"])
    have = vm["USER_TEMPLATE"]
    assert {key: have[key] for key in values} == values and have["SITE"] == "north" and have["NOTE"] == "at north"
    context = vm["TEMPLATE"]["CONTEXT"]
    assert {key: context[key] for key in values} == values
    assert (context["OWN"], context["MORE"], context["SITE"]) == ("x", "m", "north")
    assert context["NETWORK"] == "YES" and "TOKEN" in context, "the VM template's own CONTEXT is not lost"
    assert len(made["service"]["roles"][1]["nodes"][0]["addresses"]) == 1, "the network's id came into the NIC"
    again = run(
        "oneflow_service",
        name="values",
        template_name="values",
        user_inputs_values={"SITE": "south"},
        roles=[{"name": "second", "user_inputs_values": values}],
    )
    assert again["changed"] is False and again["input_drift"] == ["SITE"]
    assert run("oneflow_service", name="values", state="absent")["changed"]


def test_a_template_of_6_that_somebody_made(six, run):
    old = {
        "name": "old",
        "custom_attrs": {"A": "O|text|a| |1"},
        "roles": [{"name": "app", "vm_template": 0, "cardinality": 1, "vm_template_contents": 'NOTE="$A"\n'}],
    }
    clients(six.a)[1].create_template(old)
    made = run("oneflow_service", name="old", template_name="old")
    attributes = made["service"]["roles"][0]["nodes"][0]["attributes"]
    assert attributes["A"] == attributes["NOTE"] == "1"
    grown = run("oneflow_service", name="old", roles=[{"name": "app", "cardinality": 2}])["service"]["roles"][0]["nodes"]
    assert [node["attributes"]["A"] for node in grown] == ["1", "1"], "VMs that come later get it too"
    assert run("oneflow_service", name="old", state="absent")["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_what_6_does_not_have(run, check):
    router = {"roles": [{"name": "r", "type": "vr", "template_id": 0}]}
    assert "knows only roles of type vm" in run("oneflow_template", name="vr", template=router, check=check, fails=True)["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_a_value_that_6_would_change(run, check):
    run("oneflow_template", name="values", template=BODY)
    refused = run(
        "oneflow_service",
        check=check,
        name="dollar",
        template_name="values",
        user_inputs_values={"SITE": "pa$$word"},
        roles=[{"name": "second", "user_inputs_values": {"KEY": "k"}}],
        fails=True,
    )
    assert "SITE: OpenNebula 6.10.5 would expand" in refused["msg"] and refused["changed"] is False
    assert "pa$$word" not in refused["msg"]


@pytest.mark.parametrize("where", ["template", "task"])
@pytest.mark.parametrize("version", ["7.4.0", "6.10.5"])
def test_a_vector_of_the_vm_template_is_merged_not_replaced(tmp_path, version, where):
    """6.10 would put the role's CONTEXT in the place of the VM template's; the VM is to be the same on both."""
    with targets.lab_federation(tmp_path, version) as found:

        def run(module, **options):
            result = run_task(module, found.a, found, **options)
            assert not result.get("failed"), result
            return result

        contents = {"CONTEXT": {"FOO": "bar"}}
        role = {"name": "app", "template_id": 0, "cardinality": 1}
        run(
            "oneflow_template",
            name="t",
            template={"roles": [{**role, **({"template_contents": contents} if where == "template" else {})}]},
        )
        roles = [{"name": "app", "template_contents": contents}] if where == "task" else []
        made = run("oneflow_service", name="s", template_name="t", roles=roles)["service"]
        added = {"name": "more", "template_id": 0, "cardinality": 1, "template_contents": contents}
        made = run("oneflow_service", name="s", roles=[added])["service"]
        own = clients(found.a)[0].call("template.info", 0, False, False)["TEMPLATE"]["CONTEXT"]
        for entry in made["roles"]:
            context = clients(found.a)[0].vm(entry["nodes"][0]["vm_id"])["TEMPLATE"]["CONTEXT"]
            assert context["FOO"] == "bar" and set(own) <= set(context), (entry["name"], context)
