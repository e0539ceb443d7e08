# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real OpenNebula 7.4.0 does that a client has to know: measured there, most of it without a recording."""

from __future__ import annotations

import time

import pytest

from lab.zone import harness as zones

ROLE = {"name": "app", "type": "vm", "cardinality": 1, "template_id": 0}
NETS = {"networks": {"net": "M|network|Private| |id:"}}
NET_ROLE = {**ROLE, "template_contents": {"NIC": [{"NAME": "NIC_0", "NETWORK_ID": "$net"}]}}


@pytest.fixture
def zone(tmp_path):
    with zones.running(zones.config(tmp_path, "traps")) as (_, (zone,)):
        yield zone


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """Fixture: a zone for tests that make nothing but service templates."""
    with zones.running(zones.config(tmp_path_factory.mktemp("quiet"), "quiet")) as (_, (zone,)):
        yield zone


def template(zone, *roles, **more):
    return zones.flow(zone, "POST", "/service_template", {"name": "s", "roles": list(roles or (ROLE,)), **more})


def instantiate(zone, *roles, merge=None, **more):
    """Return the status and the answer; a number in the place of the answer when there is a service."""
    status, answer = template(zone, *roles, **more)
    assert status == 201, answer
    action = {"action": {"perform": "instantiate", "params": {"merge_template": merge or {}}}}
    status, answer = zones.flow(zone, "POST", f"/service_template/{answer['DOCUMENT']['ID']}/action", action)
    return status, int(answer["DOCUMENT"]["ID"]) if status == 201 else answer


def deploy(zone, *roles, state=2, **more):
    status, service = instantiate(zone, *roles, **more)
    assert status == 201, service
    zones.until(lambda: zones.body(zone, service)["state"] == state, f"state {state}")
    return service


def act(zone, service, perform, **params):
    return zones.flow(zone, "POST", f"/service/{service}/action", {"action": {"perform": perform, "params": params}})


def role_action(zone, service, perform, role):
    return zones.flow(zone, "POST", f"/service/{service}/role_action", {"action": {"perform": perform, "params": {"role": role}}})


def newest(zone):
    return max(document.id for document in zone.store.all("document"))


def gone(zone, service):
    return zones.until(lambda: zones.body(zone, service) is None, "it is gone")


def settle():
    time.sleep(0.25)  # many steps of the life cycle at this speed


# -- names and ids --------------------------------------------------------------------------------------------------


def test_a_rename_leaves_the_old_name_in_the_body(zone):
    service = deploy(zone)
    assert act(zone, service, "rename", name="new")[0] == 204
    document = zones.flow(zone, "GET", f"/service/{service}")[1]["DOCUMENT"]
    assert (document["NAME"], document["TEMPLATE"]["BODY"]["name"]) == ("new", "s")


def test_names_that_a_rename_refuses(zone):
    """A template's rename is refused as well, and OneFlow says that it was done."""
    service, number = deploy(zone), template(zone)[1]["DOCUMENT"]["ID"]
    for char in "&|:\\\";/'#{}$<>\t":
        status, text = act(zone, service, "rename", name=f"a{char}b")
        assert status == 500 and text.startswith("[one.document.rename] Invalid NAME"), char
        with pytest.raises(AssertionError, match="Invalid NAME"):
            zones.one(zone, "one.zone.rename", 0, f"a{char}b")
        action = {"action": {"perform": "rename", "params": {"name": f"a{char}b"}}}
        assert zones.flow(zone, "POST", f"/service_template/{number}/action", action)[0] == 204
    assert zones.flow(zone, "GET", f"/service_template/{number}")[1]["DOCUMENT"]["NAME"] == "s"


def test_a_new_zone_has_the_same_rule_and_a_new_template_has_not(zone):
    with pytest.raises(AssertionError, match="Invalid NAME"):
        zones.one(zone, "one.zone.allocate", 'NAME="a/b"\nENDPOINT="http://127.0.0.1:1/RPC2"', -1)
    assert template(zone, name="a/b#c")[0] == 201


def test_a_name_has_128_bytes(zone):
    assert template(zone, name="é" * 64)[0] == 201
    status, text = template(zone, name="é" * 65)
    assert (status, text) == (500, "[one.document.allocate] NAME is too long; max length is 128 chars.")
    service = deploy(zone)
    assert act(zone, service, "rename", name="é" * 64)[0] == 204
    status, text = act(zone, service, "rename", name="é" * 65)
    assert status == 500 and "max length is 128 chars" in text


@pytest.mark.parametrize("path", ["/service/2147483648", "/service_template/2147483648"])
def test_an_id_beyond_32_bits_is_no_missing_object(quiet, path):
    assert zones.flow(quiet, "GET", path) == (500, "Bignum is too big! Must be signed 32-bit integer!")
    assert zones.flow(quiet, "DELETE", path)[0] == 500
    assert zones.flow(quiet, "GET", path.replace("8", "7"))[0] == 404


def test_zone_0_stays(quiet):
    with pytest.raises(AssertionError, match="System Zones .ID < 100. cannot be deleted"):
        zones.one(quiet, "one.zone.delete", 0)


def test_a_stock_installation_does_not_say_where_its_oneflow_is(tmp_path):
    """It listens where OpenNebula's documentation says; a client has to know that."""
    ports = {"xmlrpc": 2633, "oneflow": 2474, "onegate": 5030}
    listen = {api: ("127.0.7.4", port) for api, port in ports.items()}
    with zones.running(zones.config(tmp_path, "stock", listen=listen)) as (_, (zone,)):
        assert zone.ports == ports and "ONEFLOW_ENDPOINT" not in zone.store.get("zone", 0).template.text()


# -- attributes -----------------------------------------------------------------------------------------------------


def test_names_of_attributes_start_with_a_letter(zone):
    vm = zones.one(zone, "one.template.instantiate", 0, "x")
    zones.one(zone, "one.vm.update", vm, '1A="x"\n_B="y"', 1)
    text = zones.one(zone, "one.vm.info", vm)
    assert "<ONE_1A><![CDATA[x]]></ONE_1A>" in text and "<ONE__B><![CDATA[y]]></ONE__B>" in text


def test_blanks_go_and_empty_elements_stay(zone):
    vm = zones.one(zone, "one.template.instantiate", 0, "x")
    zones.one(zone, "one.vm.update", vm, 'S="  a b  "\nV=[A="  x ", B=""]\nE=[ ]', 1)
    text = zones.one(zone, "one.vm.info", vm)
    assert "<S><![CDATA[a b]]></S>" in text and "<E></E>" in text
    assert "<V><A><![CDATA[x]]></A><B><![CDATA[]]></B></V>" in text


def test_an_empty_element_of_xml_is_left_out(zone):
    vm = zones.one(zone, "one.template.instantiate", 0, "x")
    zones.one(zone, "one.vm.update", vm, "<T><E></E><F><![CDATA[]]></F><V><A></A><B><![CDATA[]]></B></V></T>", 0)
    text = zones.one(zone, "one.vm.info", vm)
    assert "<USER_TEMPLATE><F><![CDATA[]]></F><V><B><![CDATA[]]></B></V></USER_TEMPLATE>" in text


# -- networks -------------------------------------------------------------------------------------------------------


def test_an_empty_network_id_makes_a_card_without_a_network(zone):
    service = deploy(zone, NET_ROLE, **NETS)
    node = zones.body(zone, service)["roles"][0]["nodes"][0]["deploy_id"]
    nics = zone.store.get("vm", node).template.vectors("NIC")
    assert [nic.get("IP") for nic in nics] == [None]


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        ({"id": "77"}, 404, "Error getting virtual network [77]."),
        ({"id": "0", "reserve_from": "0"}, 500, "Internal server error"),
        ({"reserve_from": "77", "extra": "SIZE=2"}, 404, "Error getting virtual network [77]."),
        ({"reserve_from": "0"}, 500, "Internal server error"),
        ({"reserve_from": "0", "extra": 'X="y"'}, 500, "SIZE"),
    ],
)
def test_a_network_that_cannot_be_leaves_a_service_behind(zone, value, status, text):
    got, answer = instantiate(zone, NET_ROLE, **NETS, merge={"networks_values": [{"net": value}]})
    assert got == status and text in str(answer)
    assert zone.store.get("document", newest(zone)).data["type"] == 100


def test_a_reservation_without_size_hangs_when_it_is_removed(zone):
    instantiate(zone, NET_ROLE, **NETS, merge={"networks_values": [{"net": {"reserve_from": "0"}}]})
    service = newest(zone)
    assert zones.flow(zone, "DELETE", f"/service/{service}")[0] == 204
    zones.until(lambda: zones.body(zone, service)["state"] == 12, "UNDEPLOYING_NETS")
    settle()
    assert zones.body(zone, service)["state"] == 12
    assert act(zone, service, "recover")[0] == 204
    settle()
    assert zones.body(zone, service)["state"] == 12, "a plain recover waits again"
    assert act(zone, service, "recover", delete=True)[0] == 204
    assert zones.body(zone, service) is None, "a second one with delete clears it at once"


# -- removal --------------------------------------------------------------------------------------------------------


def test_a_plain_recover_finishes_a_removal_that_hangs(zone):
    service = deploy(zone)
    vm = zones.body(zone, service)["roles"][0]["nodes"][0]["deploy_id"]
    zones.admin(zone, "POST", "/vm-faults", {"step": "terminate"})
    zones.flow(zone, "DELETE", f"/service/{service}")
    settle()
    assert zones.body(zone, service)["state"] == 3 and zones.vm(zone, vm) == (3, 3)
    assert act(zone, service, "recover")[0] == 204
    gone(zone, service)
    assert zones.vm(zone, vm) == (6, 0)


def test_recover_with_delete_leaves_the_vms_of_a_removal(zone):
    service = deploy(zone)
    vm = zones.body(zone, service)["roles"][0]["nodes"][0]["deploy_id"]
    zones.admin(zone, "POST", "/vm-faults", {"step": "terminate", "times": 1000})
    zones.flow(zone, "DELETE", f"/service/{service}")
    settle()
    assert act(zone, service, "recover", delete=True)[0] == 204
    assert zones.body(zone, service) is None and zones.vm(zone, vm) == (3, 3)


def test_the_last_role_takes_the_service_with_it(zone):
    service = deploy(zone)
    assert role_action(zone, service, "remove_role", "app")[0] == 204
    gone(zone, service)


# -- life -----------------------------------------------------------------------------------------------------------


def test_dead_vms_are_taken_off_the_cardinality(zone):
    zones.admin(zone, "POST", "/vm-faults", {"step": "die", "match": "app_1"})
    service = deploy(zone, {**ROLE, "cardinality": 2})
    role = zones.until(lambda: (found := zones.body(zone, service)["roles"][0])["cardinality"] == 1 and found, "one is gone")
    assert len(role["nodes"]) == 1 and zones.body(zone, service)["state"] == 2
    assert zones.flow(zone, "POST", f"/service/{service}/scale", {"role_name": "app", "cardinality": 2, "force": False})[0] == 204
    zones.until(lambda: zones.body(zone, service)["state"] == 2, "RUNNING again")
    assert len(zones.body(zone, service)["roles"][0]["nodes"]) == 2


def test_a_gated_service_whose_vm_died_is_running_with_none_of_none(zone):
    zones.admin(zone, "POST", "/vm-faults", {"step": "die"})
    service = deploy(zone, ready_status_gate=True)
    zones.until(lambda: zones.body(zone, service)["roles"][0]["cardinality"] == 0, "nothing is expected any more")
    assert zones.body(zone, service)["roles"][0]["nodes"] == []


def test_one_role_on_hold_holds_up_the_service(zone):
    service = deploy(zone, ROLE, {**ROLE, "name": "held", "on_hold": True}, state=1)
    zones.until(lambda: [role["state"] for role in zones.body(zone, service)["roles"]] == [2, 11], "running and on hold")
    settle()
    assert zones.body(zone, service)["state"] == 1


def test_a_role_that_cannot_be_added_stays(zone):
    service = deploy(zone)
    added = {"name": "more", "type": "vm", "cardinality": 1, "template_id": 77}
    assert role_action(zone, service, "add_role", added)[0] == 500
    body = zones.body(zone, service)
    assert body["state"] == 7 and [role["name"] for role in body["roles"]] == ["app", "more"]
    assert role_action(zone, service, "remove_role", "more")[0] == 500


def test_a_vm_that_is_off_is_a_warning(zone):
    zones.admin(zone, "POST", "/vm-faults", {"step": "off"})
    service = deploy(zone, state=4)
    vm = zones.body(zone, service)["roles"][0]["nodes"][0]["deploy_id"]
    zones.admin(zone, "POST", "/vm-faults", {"step": "boot", "error": "no such kernel"})
    zones.one(zone, "one.vm.action", "resume", vm)
    zones.until(lambda: zones.vm(zone, vm) == (3, 36), "BOOT_FAILURE")
    settle()
    assert zones.body(zone, service)["state"] == 4 and "no such kernel" in zones.one(zone, "one.vm.info", vm)
    zones.one(zone, "one.vm.recover", vm, 2)
    zones.until(lambda: zones.body(zone, service)["state"] == 2, "RUNNING")


def test_a_vm_that_finds_no_host_says_so(zone):
    zones.admin(zone, "POST", "/vm-faults", {"step": "schedule", "times": 100_000})
    service = deploy(zone, state=1)
    vm = zones.body(zone, service)["roles"][0]["nodes"][0]["deploy_id"]
    zones.until(lambda: "Cannot dispatch VM to any Host" in zones.one(zone, "one.vm.info", vm), "SCHED_MESSAGE")
    assert zones.vm(zone, vm) == (1, 0)
    zones.admin(zone, "DELETE", "/vm-faults")
    zones.until(lambda: zones.body(zone, service)["state"] == 2, "RUNNING")
    assert "SCHED_MESSAGE" not in zones.one(zone, "one.vm.info", vm)


# -- what the schema refuses and what it takes ----------------------------------------------------------------------

ELASTIC = {**ROLE, "min_vms": 1, "max_vms": 3}
POLICY = {"type": "CHANGE", "adjust": 1}


@pytest.mark.parametrize(
    ("role", "more", "text"),
    [
        (ROLE, {"deployment": "zigzag"}, "'deployment' must be one of none, straight"),
        (ROLE, {"shutdown_action": "off"}, "'shutdown_action' must be one of"),
        ({**ROLE, "shutdown_action": "off"}, {}, "'shutdown_action' must be one of"),
        ({**ROLE, "type": "vx"}, {}, 'Unsupported role type "vx"'),
        ({**ROLE, "name": "rôle"}, {}, "must match regexp"),
        ({**ELASTIC, "cardinality": 0}, {}, "greater than or equal to 'min_vms'"),
        ({**ELASTIC, "cardinality": 4}, {}, "lower than or equal to 'max_vms'"),
        ({**ROLE, "elasticity_policies": [{**POLICY, "expression": "CPU > 1"}]}, {}, "must define both 'min_vms' and 'max_vms'"),
        ({**ELASTIC, "elasticity_policies": [{**POLICY, "type": "MORE", "expression": "CPU > 1"}]}, {}, "'type' must be one of"),
        ({**ELASTIC, "elasticity_policies": [{"type": "CHANGE", "expression": "CPU > 1"}]}, {}, "'adjust (integer)' is missing"),
        ({**ELASTIC, "elasticity_policies": [POLICY]}, {}, "'expression (string)' is missing"),
        ({**ELASTIC, "elasticity_policies": [{**POLICY, "expression": "CPU >"}]}, {}, "'expression' parse error"),
        ({**ELASTIC, "elasticity_policies": [{**POLICY, "expression": ""}]}, {}, "'expression' cannot be empty"),
        ({**ELASTIC, "scheduled_policies": [POLICY]}, {}, "must define 'start_time' or 'recurrence'"),
        ({**ELASTIC, "scheduled_policies": [{**POLICY, "start_time": "1", "recurrence": "1 2 3 4 5"}]}, {}, "but not both"),
        ({**ELASTIC, "scheduled_policies": [{**POLICY, "start_time": "soon"}]}, {}, "'start_time' is not a valid Time"),
        ({**ELASTIC, "scheduled_policies": [{**POLICY, "recurrence": "daily"}]}, {}, "'recurrence' is not a valid"),
    ],
)
def test_what_the_schema_refuses(quiet, role, more, text):
    status, answer = template(quiet, role, **more)
    assert status == 400 and text in answer


@pytest.mark.parametrize(
    "policies",
    [
        {"elasticity_policies": [{**POLICY, "expression": "(CPU > 80.5 && MEMORY<2) || NETTX >= 1"}]},
        {"scheduled_policies": [{**POLICY, "recurrence": "0 9 * * mon-fri"}, {**POLICY, "start_time": "2030-01-01 10:00:00"}]},
    ],
)
def test_policies_that_are_taken(quiet, policies):
    assert template(quiet, {**ELASTIC, **policies})[0] == 201


@pytest.mark.parametrize("parents", [["nobody"], ["app"]])
def test_parents_that_never_run_are_taken_and_waited_for(zone, parents):
    service = deploy(zone, {**ROLE, "parents": parents}, deployment="straight", state=11)
    settle()
    assert zones.body(zone, service)["state"] == 11
    assert zones.flow(zone, "DELETE", f"/service/{service}")[0] == 500
    assert act(zone, service, "recover", delete=True)[0] == 204
    gone(zone, service)


def test_scaling_down_shuts_down_the_oldest(zone):
    """Published: flow/lib/models/role.rb, shutdown_nodes takes nodes[0..n_nodes - 1]; no recording."""
    service = deploy(zone, {**ROLE, "cardinality": 3, "cooldown": 0})
    nodes = [node["deploy_id"] for node in zones.body(zone, service)["roles"][0]["nodes"]]
    scale = {"role_name": "app", "cardinality": 1, "force": False}
    assert zones.flow(zone, "POST", f"/service/{service}/scale", scale)[0] == 204
    zones.until(lambda: zones.body(zone, service)["state"] == 2, "it runs again")
    assert [node["deploy_id"] for node in zones.body(zone, service)["roles"][0]["nodes"]] == nodes[2:]
