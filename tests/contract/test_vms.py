# SPDX-License-Identifier: GPL-3.0-or-later
"""one_vm_info, one_vm_attributes and one_resource_info: every parameter."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import one_vm_attributes

from tests.contract.contract_run import KEPT

NASTY = {
    "QUOTED": 'say "hi"',
    "LINES": "one\ntwo",
    "UNI": "ünï ☃",
    "MARKUP": "<a>&amp; b</a>",
    "NUMBER": 5,
    "FLAG": True,
    "BACKSLASH": "end\\",
    "DOLLAR": "$HOME ${x}",
    "BRACKETS": "[x], y=z",
    "VECTOR": {"A": "1", "B": 'q"q'},
}
STORED = {**NASTY, "NUMBER": "5", "FLAG": "YES"}


@pytest.fixture(scope="module")
def shop(target, request):
    """One running service for the tests of this file."""
    from tests.contract.contract_run import run_task

    body = {
        "user_inputs": {"ADMIN": "M|password|Secret"},
        "roles": [
            {"name": name, "template_id": target.a.vm_template, "cardinality": count} for name, count in (("web", 2), ("db", 1))
        ],
    }
    run_task("oneflow_template", target.a, target, name=KEPT + "shop", template=body)
    result = run_task(
        "oneflow_service",
        target.a,
        target,
        name=KEPT + "shop",
        template_name=KEPT + "shop",
        user_inputs_values={"ADMIN": "hidden-value"},
    )
    assert not result.get("failed"), result
    return result["service"]


@pytest.fixture
def vm(shop):
    return shop["roles"][0]["nodes"][0]["vm_id"]


def test_vms_of_a_service(run, shop):
    ids = [node["vm_id"] for role in shop["roles"] for node in role["nodes"]]
    vms = run("one_vm_info", service=KEPT + "shop")["vms"]
    assert [entry["vm_id"] for entry in vms] == sorted(ids)
    assert {(entry["role"], entry["service_id"]) for entry in vms} == {("web", shop["id"]), ("db", shop["id"])}
    assert all(entry["attributes"]["ADMIN"] == "********" for entry in vms)
    assert run("one_vm_info", service=str(shop["id"]))["vms"] == vms
    assert [entry["vm_id"] for entry in run("one_vm_info", service=KEPT + "shop", role="db")["vms"]] == [ids[2]]
    assert [entry["vm_id"] for entry in run("one_vm_info", vm_ids=[ids[2], ids[0]])["vms"]] == sorted([ids[0], ids[2]])
    by_attribute = {"service_id": str(shop["id"]), "ROLE_NAME": "web"}
    assert [entry["vm_id"] for entry in run("one_vm_info", attributes=by_attribute)["vms"]] == sorted(ids[:2])
    assert [entry["vm_id"] for entry in run("one_vm_info", name=f"db_*_(service_{shop['id']})")["vms"]] == [ids[2]]
    assert run("one_vm_info", name="no such vm")["vms"] == []
    assert run("one_vm_info", vm_ids=ids)["vms"] == vms, "what the service declares as secret stays so"
    everything = run("one_vm_info")
    assert "hidden-value" not in str(everything["vms"])
    assert everything["changed"] is False and set(ids) <= {entry["vm_id"] for entry in everything["vms"]}


def test_what_is_not_there(run, target):
    missing = run("one_vm_info", vm_ids=[987654], fails=True)
    assert "no VM 987654" in missing["msg"] and missing["error"]["endpoint"] == target.a.endpoint
    assert "no service 'never-there'" in run("one_vm_info", service="never-there", fails=True)["msg"]
    assert run("one_vm_info", service="987654", fails=True)["error"]["kind"] == "not_found"
    gone = run("one_vm_attributes", vm_id=987654, attributes={"A": 1}, fails=True)["error"]
    assert (gone["kind"], gone["code"]) == ("not_found", 1024) and "[987654]" in gone["text"] and gone["hint"]


def test_attributes_come_and_go(run, twice, vm):
    merged = twice("one_vm_attributes", vm_id=vm, attributes=NASTY)
    assert {key: merged["attributes"][key] for key in NASTY} == STORED
    assert merged["diff"] == {"before": {}, "after": STORED}
    changed = twice("one_vm_attributes", vm_id=vm, attributes={"quoted": "other", "Number": "6"})["attributes"]
    assert changed == {"QUOTED": "other", "NUMBER": "6"}
    assert run("one_vm_info", vm_ids=[vm])["vms"][0]["attributes"].items() >= {"LINES": "one\ntwo", "ROLE_NAME": "web"}.items()
    removed = twice("one_vm_attributes", vm_id=vm, state="absent", attributes=dict.fromkeys([*NASTY, "NEVER_THERE"]))
    left = run("one_vm_info", vm_ids=[vm])["vms"][0]["attributes"]
    assert removed["attributes"] == {} and not set(NASTY) & set(left) and left["ROLE_NAME"] == "web"


def test_a_secret_is_written_but_not_shown(run, vm, oned):
    result = run("one_vm_attributes", vm_id=vm, attributes={"DB_PASSWORD": "planted-s3cret"})
    assert result["attributes"]["DB_PASSWORD"] == "********" and "planted-s3cret" in result["_secrets"]
    assert "planted" not in str({key: value for key, value in result.items() if key != "_secrets"})
    assert oned.vm(vm)["USER_TEMPLATE"]["DB_PASSWORD"] == "planted-s3cret"
    run("one_vm_attributes", vm_id=vm, state="absent", attributes={"DB_PASSWORD": None})


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize(
    "bad", [{"A-B": "x"}, {"1A": "x"}, {"A": "]]>"}, {"A": "\x07"}, {"V": {"k k": "x"}}, {"V": {"1A": "x"}}, {}]
)
def test_attributes_that_cannot_be_kept(run, vm, bad, state, oned):
    before = oned.vm(vm)["USER_TEMPLATE"]
    for check in (True, False):
        refused = run("one_vm_attributes", vm_id=vm, state=state, attributes=bad, check=check, fails=True)
        assert refused["error"]["kind"] == "invalid_request" and refused["changed"] is False
    assert oned.vm(vm)["USER_TEMPLATE"] == before


def test_a_bad_name_does_not_show_the_others_values(run, vm):
    attributes = {"DB_PASSWORD": "planted-s3cret", "V": {"TOKEN": "planted-t0ken"}, "A-B": "x"}
    refused = run("one_vm_attributes", vm_id=vm, attributes=attributes, fails=True)
    assert refused["_secrets"] >= {"planted-s3cret", "planted-t0ken"}, "what is in there is taken out of the invocation"
    assert "planted" not in refused["msg"]


def test_what_opennebula_makes_of_values_is_no_change(run, twice, vm):
    attributes = {
        "OUT": " x ",
        "VEC": {"a": " y ", "b": "z"},
        "LS": [],
        "NO": {},
        "TWO": [{"K": " 1 "}, {"K": "2"}],
        "CR": "a\r\nb",
    }
    twice("one_vm_attributes", vm_id=vm, attributes=attributes)
    twice("one_vm_attributes", vm_id=vm, state="absent", attributes=dict.fromkeys(attributes))


def test_a_removal_loses_nothing_else(run, twice, vm, oned):
    """With a value that ends in a backslash everything is written as XML, where oned leaves out empty elements."""
    rest = {"EMPTY": "", "HOLLOW": {"A": "", "B": "1"}, "SLASH": "end\\", "REPEATED": ["", "x"]}
    run("one_vm_attributes", vm_id=vm, attributes={**rest, "GO": "1"})
    before = oned.vm(vm)["USER_TEMPLATE"]
    twice("one_vm_attributes", vm_id=vm, state="absent", attributes={"GO": None})
    assert oned.vm(vm)["USER_TEMPLATE"] == {key: value for key, value in before.items() if key != "GO"}
    run("one_vm_attributes", vm_id=vm, state="absent", attributes=dict.fromkeys(rest))


def test_a_removal_starts_again_when_the_vm_writes(run, vm, oned, monkeypatch):
    run("one_vm_attributes", vm_id=vm, attributes={"OLD": "1"})
    read, readings = one_vm_attributes._read, []

    def and_the_vm_writes(session, number):
        readings.append(read(session, number))
        if len(readings) == 1:
            oned.vm_update(number, 'NEW="between reading and writing"')
        return readings[-1]

    monkeypatch.setattr(one_vm_attributes, "_read", and_the_vm_writes)
    assert run("one_vm_attributes", vm_id=vm, state="absent", attributes={"OLD": None})["changed"]
    left = oned.vm(vm)["USER_TEMPLATE"]
    assert "OLD" not in left and left["NEW"] == "between reading and writing"
    assert run("one_vm_attributes", vm_id=vm, state="absent", attributes={"NEW": None})["changed"]


def test_ids_that_cannot_be(run):
    for number in (2**31, -1):
        assert run("one_vm_attributes", vm_id=number, attributes={"A": 1}, fails=True)["error"]["kind"] == "invalid_request"
        assert run("one_vm_info", vm_ids=[0, number], fails=True)["error"]["kind"] == "invalid_request"
    assert run("one_vm_info", service=str(2**31), fails=True)["error"]["kind"] == "invalid_request"


def test_without_the_right(run, vm, second, oned):
    before = oned.vm(vm)["USER_TEMPLATE"]
    denied = run("one_vm_attributes", vm_id=vm, attributes={"A": 1}, fails=True, **second)["error"]
    assert (denied["kind"], denied["code"]) == ("authorization", 512) and "Not authorized" in denied["text"] and denied["hint"]
    assert oned.vm(vm)["USER_TEMPLATE"] == before


def test_resources(run, target):
    found = run("one_resource_info", vm_templates=[str(target.a.vm_template)])["vm_templates"]
    assert [entry["id"] for entry in found] == [target.a.vm_template]
    named = run("one_resource_info", vm_templates=[found[0]["name"]])
    assert named["vm_templates"] == found and named["virtual_networks"] == []
    missing = run("one_resource_info", vm_templates=["never there"], fails=True)
    assert missing["error"]["kind"] == "not_found" and found[0]["name"] in missing["msg"], "it says what there is"
    if target.a.network is not None:
        networks = run("one_resource_info", virtual_networks=[str(target.a.network)])["virtual_networks"]
        assert networks[0]["id"] == target.a.network
