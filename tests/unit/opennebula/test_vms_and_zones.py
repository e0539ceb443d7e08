# SPDX-License-Identifier: GPL-3.0-or-later
"""one_vm_info, one_vm_attributes, onezone, onezone_info, credentials and endpoints against the fake zone."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.errors import InvalidRequest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.session import credentials
from fake import SECRET, Fake

SERVICE = {
    "name": "shop",
    "user_inputs": {"ADMIN": "M|password|x", "MODE": "O|text|x"},
    "user_inputs_values": {"ADMIN": "hidden-value", "MODE": "blue"},
    "roles": [{"name": "web", "cardinality": 2}, {"name": "db", "cardinality": 1}],
}


def test_vms_of_a_service(zone, run):
    zone.add_service(SERVICE)
    vms = run("one_vm_info", service="shop")["vms"]
    assert [(vm["vm_id"], vm["role"], vm["service_id"]) for vm in vms] == [(0, "web", 0), (1, "web", 0), (2, "db", 0)]
    assert vms[0]["attributes"]["ADMIN"] == "********" and vms[0]["attributes"]["MODE"] == "blue"
    assert run("one_vm_info", service="0", role="db")["vms"] == [vms[2]]
    assert [vm["vm_id"] for vm in run("one_vm_info", vm_ids=[2, 0])["vms"]] == [0, 2]
    assert run("one_vm_info", vm_ids=[0])["vms"][0]["attributes"]["ADMIN"] == "********", "declared as a password"
    assert [vm["vm_id"] for vm in run("one_vm_info", name="db_*", attributes={"MODE": "blue"})["vms"]] == [2]
    assert run("one_vm_info", attributes={"MODE": "red"})["vms"] == []
    assert "no VM 9" in run("one_vm_info", vm_ids=[0, 9])["msg"]
    assert "no service 'x'" in run("one_vm_info", service="x")["msg"]


def test_one_call_for_many_vms(zone, run):
    zone.add_service({"name": "big", "roles": [{"name": "web", "cardinality": 60}]})
    zone.calls.clear()
    assert len(run("one_vm_info", service="big")["vms"]) == 60
    assert len(zone.calls) < 5


NASTY = {"QUOTED": 'say "hi"', "LINES": "a\nb", "UNI": "ü☃", "NUMBER": 5, "BACKSLASH": "end\\", "VECTOR": {"A": "1", "B": '"'}}


def test_merging_attributes(zone, run):
    zone.add_service(SERVICE)
    plan = run("one_vm_attributes", vm_id=0, attributes=NASTY, check=True)
    assert plan["changed"] and zone.writes() == []
    result = run("one_vm_attributes", vm_id=0, attributes=NASTY)
    assert result["changed"] and result["diff"] == plan["diff"]
    assert {key: result["attributes"][key] for key in NASTY} == {**NASTY, "NUMBER": "5"}
    assert "ROLE_NAME" not in result["attributes"] and zone.vms[0]["USER_TEMPLATE"]["ROLE_NAME"] == "web"
    assert run("one_vm_attributes", vm_id=0, attributes=NASTY)["changed"] is False
    lower = run("one_vm_attributes", vm_id=0, attributes={"number": "5"})
    assert lower["changed"] is False


def test_removing_attributes_keeps_the_rest(zone, run):
    zone.add_service(SERVICE)
    run("one_vm_attributes", vm_id=0, attributes=NASTY)
    before = dict(zone.vms[0]["USER_TEMPLATE"])
    result = run("one_vm_attributes", vm_id=0, attributes={"QUOTED": None, "ABSENT": None}, state="absent")
    assert result["changed"] and zone.vms[0]["USER_TEMPLATE"] == {k: v for k, v in before.items() if k != "QUOTED"}
    assert run("one_vm_attributes", vm_id=0, attributes={"QUOTED": ""}, state="absent")["changed"] is False


def test_removal_starts_again_when_the_vm_writes(zone, run):
    zone.add_service(SERVICE)
    zone.vms[0]["USER_TEMPLATE"]["OLD"] = "1"
    original, reads = zone.do_vm_info, []

    def vm_info(number):
        answer = original(number)
        reads.append(number)
        if len(reads) == 1:
            zone.vms[0]["USER_TEMPLATE"]["FL_READY"] = "NEW"
        return answer

    zone.do_vm_info = vm_info
    result = run("one_vm_attributes", vm_id=0, attributes={"OLD": None}, state="absent")
    assert result["changed"] and "OLD" not in zone.vms[0]["USER_TEMPLATE"]
    assert zone.vms[0]["USER_TEMPLATE"]["FL_READY"] == "NEW"


def test_attribute_errors(zone, run):
    zone.add_service(SERVICE)
    assert run("one_vm_attributes", vm_id=0, attributes={"A-B": "x"})["error"]["kind"] == "invalid_request"
    assert run("one_vm_attributes", vm_id=0, attributes={"A": "]]>"})["error"]["kind"] == "invalid_request"
    assert run("one_vm_attributes", vm_id=0, attributes={})["failed"]
    assert run("one_vm_attributes", vm_id=77, attributes={"A": "x"})["error"]["kind"] == "not_found"
    assert zone.writes() == []
    zone.lies.add("lost update")
    assert "although the server reported success" in run("one_vm_attributes", vm_id=0, attributes={"A": "x"})["msg"]


def test_secret_attributes_do_not_show(zone, run):
    zone.add_service(SERVICE)
    result = run("one_vm_attributes", vm_id=0, attributes={"DB_PASSWORD": "planted-secret"})
    assert result["changed"] and "planted-secret" not in str({k: v for k, v in result.items() if k != "_secrets"})
    assert zone.vms[0]["USER_TEMPLATE"]["DB_PASSWORD"] == "planted-secret"
    assert "planted-secret" in result["_secrets"]


NEW = {"name": "zone-b", "zone_endpoint": "http://203.0.113.9:2633/RPC2", "attributes": {"FOO": 'a "b"'}}


def test_life_of_a_zone(zone, run):
    plan = run("onezone", **NEW, check=True)
    made = run("onezone", **NEW)
    assert made["changed"] and made["zone"]["id"] == 100 and made["zone"]["attributes"]["FOO"] == 'a "b"'
    assert plan["zone"].keys() == made["zone"].keys() and plan["diff"] == made["diff"]
    assert run("onezone", **NEW)["changed"] is False
    plan = run("onezone", name="zone-b", zone_oneflow_endpoint="http://203.0.113.9:2474", new_name="zone-c", check=True)
    result = run("onezone", name="zone-b", zone_oneflow_endpoint="http://203.0.113.9:2474", new_name="zone-c")
    assert result["zone"]["oneflow_endpoint"] == "http://203.0.113.9:2474" and result["zone"]["name"] == "zone-c"
    assert result["zone"]["endpoint"] == NEW["zone_endpoint"], "an update must not wipe ENDPOINT"
    assert plan["diff"] == result["diff"] and plan["zone"] == result["zone"]
    assert run("onezone", name="zone-b", new_name="zone-c")["changed"] is False
    assert run("onezone", name="zone-c", state="absent")["changed"]
    assert run("onezone", name="zone-c", state="absent")["changed"] is False


def test_zone_0_and_its_servers(zone, run):
    result = run("onezone", id=0, enabled=False, servers=[{"name": "one", "endpoint": "http://10.0.0.1:2633/RPC2"}])
    assert result["zone"]["state"] == "DISABLED" and result["zone"]["servers"][0]["name"] == "one"
    same = [{"name": "one", "endpoint": "http://10.0.0.1:2633/RPC2"}]
    assert run("onezone", id=0, enabled=False, servers=same)["changed"] is False
    other = [{"name": "one", "endpoint": "http://10.0.0.2:2633/RPC2"}]
    assert "cannot change it" in run("onezone", id=0, servers=other)["msg"]
    result = run("onezone", id=0, enabled=True, servers=[{"name": "one", "state": "absent"}])
    assert result["zone"]["servers"] == [] and result["zone"]["state"] == "ENABLED"
    refused = run("onezone", id=0, state="absent")
    assert refused["failed"] and "cannot be deleted" in refused["msg"] and refused["changed"] is False


@pytest.mark.parametrize("options", [{"attributes": {"NAME": "x"}}, {"zone_endpoint": ""}, {"attributes": {"ENDPOINT": "-"}}])
def test_what_would_cut_a_zone_off_is_refused(zone, run, options):
    result = run("onezone", name="OpenNebula", **options)
    assert result["error"]["kind"] == "invalid_request" and zone.calls == []


def test_each_call_goes_where_it_is_accepted(zone, run):
    """zone is a slave here: writes of the pool go to the master, enabling to the zone itself."""
    with Fake() as master:
        for fake in (zone, master):
            fake.zones = {}
        for fake in (zone, master):
            fake.add_zone(0, "master", {"ENDPOINT": master.endpoint})
            fake.add_zone(100, "here", {"ENDPOINT": zone.endpoint})
        zone.do_zone_enable = lambda number, enable: zone.zones[number].update(STATE="0" if enable else "1") or number
        zone.calls.clear()
        assert run("onezone", name="here", attributes={"A": 1})["changed"]
        assert "one.zone.update" in master.calls and "one.zone.update" not in zone.calls
        assert run("onezone", name="here", enabled=False)["changed"]
        assert "one.zone.enable" in zone.calls and "one.zone.enable" not in master.calls


def test_info_tells_who_lags_and_who_is_dead(zone, run):
    with Fake() as slave:
        slave.zones = {}
        slave.do_zone_raftstatus = lambda: "<RAFT><STATE>0</STATE><TERM>0</TERM><FEDLOG_INDEX>5</FEDLOG_INDEX></RAFT>"
        zone.add_zone(100, "slave", {"ENDPOINT": slave.endpoint})
        zone.add_zone(101, "dead", {"ENDPOINT": "http://127.0.0.1:1/RPC2"})
        zones = run("onezone_info")["zones"]
        assert [entry["name"] for entry in zones] == ["OpenNebula", "slave", "dead"]
        assert zones[0]["status"]["lag"] == 0 and zones[0]["status"]["in_step"] is True
        assert zones[1]["status"]["lag"] == 2 and zones[1]["status"]["in_step"] is False
        assert zones[2]["status"]["reachable"] is False and "Connection refused" in zones[2]["status"]["error"]
        assert "status" not in run("onezone_info", status=False)["zones"][0]
        assert [entry["id"] for entry in run("onezone_info", name="slave")["zones"]] == [100]


def test_credentials(tmp_path, run, zone):
    auth = tmp_path / "one_auth"
    auth.write_text(f"oneadmin:{SECRET}\n")
    base = {"username": None, "password": None, "auth_file": str(auth)}
    assert credentials(base) == ("oneadmin", SECRET)
    assert credentials({**base, "username": "a", "password": "b:c"}) == ("a", "b:c")
    for broken in ({**base, "username": "a"}, {**base, "auth_file": str(tmp_path / "none")}):
        with pytest.raises(InvalidRequest):
            credentials(broken)
    auth.write_text("no colon")
    with pytest.raises(InvalidRequest):
        credentials(base)


def test_oneflow_is_found_through_the_zone(zone, run):
    assert run("oneflow_service_info")["services"] == []
    zone.zones[0]["TEMPLATE"]["ENDPOINT"] = "http://localhost:2633/RPC2"  # the only zone, by another name
    assert run("oneflow_service_info")["services"] == []
    zone.add_zone(100, "other", {"ENDPOINT": "http://203.0.113.9:2633/RPC2"})
    assert run("oneflow_service_info")["error"]["endpoint"] == "http://127.0.0.1:2474"
