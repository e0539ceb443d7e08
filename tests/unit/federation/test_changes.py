# SPDX-License-Identifier: GPL-3.0-or-later
"""Each edit of an inventory becomes exactly the changes that it needs; what is as planned, and what was not read, has none."""

from __future__ import annotations

import copy
import random
import re

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import changes, checks, plan, report
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.changes import (
    COORDINATOR,
    CREATE,
    LINKS,
    NO_EFFECT,
    NODES,
    REMOVALS,
    REMOVE,
    REPLACE,
    RESTART,
    SCALE,
    SET,
    SITE_CUT_OFF,
    SITES,
    SUPERLINK_GOES,
    SUPERLINK_LOST,
    SUPERLINK_RESTART,
    SUPERNODE_REPLACED,
    SUPERNODE_RESTART,
    SUPERNODES_GO,
    WAIT,
)

from tests.unit.federation import as_planned
from tests.unit.federation.as_planned import planned, run_with, vm
from tests.unit.federation.certificates_of_tests import NOW, OTHER_CA, OTHER_LEAF
from tests.unit.federation.test_plan import GROUPS, HOSTS, ROOT, changed, zone

PLAN = plan.make_plan(GROUPS, HOSTS)


@pytest.fixture
def found():
    """Return what is read of a federation that is as `HOSTS` has it."""
    return as_planned.results(PLAN)


def announced(found, hosts=HOSTS, groups=GROUPS, **more):
    """Return the changes of a run with that inventory."""
    return as_planned.found_changes(planned(found, groups, hosts, **more), found)


def told(found, hosts=HOSTS, groups=GROUPS, **more):
    """Return the codes and hosts of what is told beside the changes."""
    made = planned(found, groups, hosts, **more)
    observed = as_planned.observed(made, found)
    return [(finding.code, finding.host) for finding in changes.findings(made, observed, changes.changes(made, observed))]


def short(made):
    return [(change.host, change.kind, change.subject) for change in made]


def test_a_federation_as_planned_has_no_changes_and_no_findings(found):
    assert announced(found) == [] and told(found) == []


# -- SuperNodes -----------------------------------------------------------------------------------------------------------


def test_more_supernodes_are_scaled_to_and_stop_nothing(found):
    made = announced(found, changed("zone-b", federation_supernodes=3))
    assert short(made) == [("zone-b", SET, "service template"), ("zone-b", SCALE, "supernode")]
    template, scale = made
    assert (scale.old, scale.new, scale.reason, scale.step) == ("2", "3", "federation_supernodes", SITES)
    assert {template.effect, scale.effect} == {NO_EFFECT} and template.new == "roles"


def test_more_supernodes_take_free_numbers_and_the_others_keep_theirs(found):
    zones = planned(found, GROUPS, changed("zone-b", federation_supernodes=3))["zones"]
    assert [zones[site]["partitions"] for site in GROUPS["training_sites"]] == [[0, 1, 5], [2, 3, 4]]
    assert zones["zone-b"]["service"]["partitions"] == "0-1,5"


def test_fewer_supernodes_stop_those_that_go(found):
    (_template, scale, forget) = announced(found, changed("zone-c", federation_supernodes=1))
    assert (forget.host, forget.step, forget.kind, forget.old) == ("zone-a", NODES, REMOVE, "2 node(s)")
    assert (scale.kind, scale.old, scale.new, scale.effect) == (SCALE, "3", "1", SUPERNODES_GO)
    assert scale.effect.training


@pytest.mark.parametrize("supernodes", [1, 2, 4])
def test_a_pinned_site_is_scaled_without_new_vms_and_without_taking_anothers_numbers(supernodes):
    hosts = changed("zone-b", federation_partition_offset=0)
    found = as_planned.results(plan.make_plan(GROUPS, hosts))
    role = as_planned.role(found, "zone-b")
    hosts["zone-b"]["federation_supernodes"] = supernodes
    made = [change for change in announced(found, hosts) if change.step != NODES]
    assert {(change.host, change.kind) for change in made} <= {("zone-b", SCALE), ("zone-b", SET)}
    zones = planned(found, GROUPS, hosts)["zones"]
    assert zones["zone-b"]["partitions"] == [0, 1, 5, 6][: max(2, supernodes)] and zones["zone-c"]["partitions"] == [2, 3, 4]
    role["nodes"].pop(0)
    assert {change.kind for change in announced(found, hosts)} <= {SCALE, SET, REMOVE}, "OneFlow takes the oldest"


def test_after_scaling_down_the_nodes_that_are_gone_are_forgotten(found):
    """OneFlow removes the oldest first; their numbers stay free for the site."""
    hosts = changed("zone-c", federation_supernodes=1)
    role = as_planned.role(found, "zone-c")
    role["nodes"] = role["nodes"][2:]
    role["cardinality"] = 1
    found["zone-c"]["template"]["body"]["roles"][0]["cardinality"] = 1
    (change,) = announced(found, hosts)
    assert (change.host, change.step, change.kind, change.subject) == ("zone-a", NODES, REMOVE, "SuperNodes")
    assert "1002" in change.old and "1003" in change.old and "1004" not in change.old and change.effect == NO_EFFECT
    vm(found, "zone-a")[attributes.NODES] = "1000:online,1001:offline,1004:online"
    assert announced(found, hosts) == []


def test_a_vm_that_was_lost_is_made_again(found):
    as_planned.role(found, "zone-b")["nodes"].pop()
    (scale, forget) = announced(found)
    assert (scale.kind, scale.old, scale.new, scale.reason) == (SCALE, "1", "2", "VMs were lost")
    assert forget.subject == "SuperNodes"


def test_nodes_are_not_forgotten_as_long_as_a_vm_has_not_told_its_own(found):
    del vm(found, "zone-b", 1)[attributes.NODE_ID]
    assert announced(found) == []


def test_a_vm_without_number_gets_the_list_only_when_none_is_free(found):
    role = as_planned.role(found, "zone-b")
    del vm(found, "zone-b", 1)[attributes.PARTITION]
    assert [change for change in announced(found) if change.subject == "FL_PARTITIONS"] == [], "1 is free, it takes that"
    hosts = changed("zone-b", federation_supernodes=3)
    role["nodes"].append(copy.deepcopy(role["nodes"][1]))
    role["nodes"][2]["vm_id"] = 2
    vm(found, "zone-b", 1)[attributes.PARTITION] = "1"
    (change,) = [change for change in announced(found, hosts) if change.subject == "FL_PARTITIONS"]
    assert (change.kind, change.reason, change.old, change.new) == (SET, "VM 2 holds none", "0-1", "0-1,5")


# -- live settings -------------------------------------------------------------------------------------------------------------


def test_a_changed_keepalive_restarts_the_superlink_first_then_the_sites(found):
    made = announced(found, changed("zone-a", federation_keepalive_time=30))
    assert short(made) == [(host, RESTART, "FL_GRPC_KEEPALIVE_TIME") for host in ("zone-a", "zone-b", "zone-c")]
    assert {(change.reason, change.old, change.new) for change in made} == {("federation_keepalive_time", "60", "30")}
    assert [change.step for change in made] == [COORDINATOR, SITES, SITES]
    assert [change.effect for change in made] == [SUPERLINK_RESTART, SUPERNODE_RESTART, SUPERNODE_RESTART]


@pytest.mark.parametrize(
    ("host", "given", "hosts", "subject"),
    [
        ("zone-a", {"federation_log_level": "DEBUG"}, ["zone-a", "zone-b", "zone-c"], "FL_LOG_LEVEL"),
        ("zone-a", {"federation_keepalive_timeout": 10}, ["zone-a", "zone-b", "zone-c"], "FL_GRPC_KEEPALIVE_TIMEOUT"),
        ("zone-c", {"federation_node_config": "site=c"}, ["zone-c"], "FL_NODE_CONFIG"),
    ],
)
def test_every_live_setting_is_a_restart_where_it_changes(found, host, given, hosts, subject):
    made = announced(found, changed(host, **given))
    assert short(made) == [(name, RESTART, subject) for name in hosts]
    assert {change.reason for change in made} == set(given)


def test_a_change_that_was_killed_half_way_is_finished_and_nothing_else(found):
    hosts = changed("zone-a", federation_keepalive_time=30)
    made = plan.make_plan(GROUPS, hosts)
    run_with(found, made, "zone-a", 0, FL_GRPC_KEEPALIVE_TIME="30")
    run_with(found, made, "zone-b", 1, FL_GRPC_KEEPALIVE_TIME="30")
    assert short(announced(found, hosts)) == [(host, RESTART, "FL_GRPC_KEEPALIVE_TIME") for host in ("zone-b", "zone-c")]


def test_what_is_written_and_not_in_force_yet_is_waited_for_and_is_no_change(found):
    vm(found, "zone-b", 1).pop(attributes.SETTINGS_DIGEST)
    vm(found, "zone-c", 2)[attributes.READY] = "NO"
    vm(found, "zone-c", 2)[attributes.ERROR] = "no route"
    made = announced(found)
    assert short(made) == [("zone-b", WAIT, "VM 1"), ("zone-c", WAIT, "VM 2")] and changes.real(made) == []
    assert made[1].old == "no route"


def test_a_default_that_nobody_wrote_is_no_difference(found):
    for name in ("FL_NODE_CONFIG", "FL_GRPC_KEEPALIVE_TIME"):
        vm(found, "zone-b").pop(name)
    assert announced(found) == []


def test_a_coordinator_that_was_made_again_has_another_ca_which_the_sites_get(found):
    made = as_planned.results(PLAN, OTHER_CA, OTHER_LEAF)
    found["zone-a"] = made["zone-a"]
    told_ = announced(found)
    assert short(told_) == [(site, RESTART, "FL_SSL_CA_CERTFILE") for site in GROUPS["training_sites"]]
    assert {change.effect for change in told_} == {SUPERNODE_RESTART}
    assert all(
        change.old.startswith("SHA-256 ") and change.new.startswith("SHA-256 ") and change.old != change.new for change in told_
    )


def test_a_coordinator_that_is_gone_is_created_and_its_new_ca_goes_to_the_sites(found):
    found["zone-a"] = as_planned.empty_zone()
    made = announced(found)
    assert short(made) == [
        ("zone-a", CREATE, "service"),
        *((site, RESTART, "FL_SSL_CA_CERTFILE") for site in GROUPS["training_sites"]),
    ]
    assert {change.new for change in made[1:]} == {"known once the SuperLink runs"}


def test_a_service_that_failed_is_recovered(found):
    found["zone-b"]["service"].update(state="FAILED_DEPLOYING", failure="VM 1 has no host")
    (change,) = announced(found)
    assert (change.kind, change.subject, change.reason, change.old) == (RESTART, "service", "VM 1 has no host", "FAILED_DEPLOYING")


@pytest.mark.parametrize("state", ["DEPLOYING", "SCALING", "COOLDOWN", "PENDING"])
def test_what_oneflow_is_at_is_waited_for(found, state):
    found["zone-b"]["service"].update(state=state)
    as_planned.role(found, "zone-b")["nodes"].pop()
    made = [change for change in announced(found) if change.host == "zone-b"]
    assert short(made) == [("zone-b", WAIT, "service")] and made[0].old == state
    as_planned.role(found, "zone-b")["cardinality"] = 1
    assert ("zone-b", SCALE, "supernode") in short(announced(found)), "that is not what it is at"


def test_a_service_in_trouble_is_waited_for_with_the_reason(found):
    found["zone-b"]["service"].update(state="WARNING", failure="VM 1 is POWEROFF")
    (change,) = announced(found)
    assert (change.kind, change.reason, change.old) == (WAIT, "VM 1 is POWEROFF", "WARNING")


def test_a_vm_that_stands_still_does_not_run_whatever_it_published(found):
    as_planned.role(found, "zone-b")["nodes"][1].update(state="POWEROFF", lcm_state="LCM_INIT")
    (change,) = announced(found)
    assert (change.kind, change.subject, change.old) == (WAIT, "VM 1", "POWEROFF")


# -- sites that come and go ----------------------------------------------------------------------------------------------------------

WIDER = {key: [*hosts, {"training_sites": "zone-d", "gateways": "gw-d"}.get(key, "")] for key, hosts in GROUPS.items()}
WIDER["coordinator"] = ["zone-a"]
NEW = {
    **HOSTS,
    "zone-d": zone("d", 13),
    "gw-d": {"federation_zone": "zone-d", "federation_lan_address": "10.10.13.1"},
}


@pytest.fixture
def wider(found):
    return {**found, "zone-d": as_planned.empty_zone(), "gw-d": as_planned.empty_gateway()}


def test_a_new_site_gets_service_tunnel_and_routes_and_restarts_nothing(wider):
    made = announced(wider, NEW, WIDER)
    assert {(change.host, change.kind) for change in made} == {
        ("gw-a", SET),
        ("gw-a", CREATE),
        ("gw-d", CREATE),
        ("zone-a", SET),
        ("zone-d", CREATE),
    }
    (routes,) = [change for change in made if change.host == "zone-a"]
    assert (routes.subject, routes.step) == ("FL_ROUTES", COORDINATOR) and "10.10.13.0/24" in routes.new
    assert not any(change.effect.stops for change in made)
    assert [change.subject for change in made if change.host == "gw-d"] == ["tunnel"]
    assert {"peer gw-d", "firewall rules", "route 10.10.13.0/24"} <= {change.subject for change in made if change.host == "gw-a"}


def test_a_new_site_takes_the_free_numbers_and_addresses(wider):
    made = planned(wider, WIDER, NEW)
    assert made["zones"]["zone-d"]["partitions"] == [5, 6]
    assert made["gateways"]["gw-d"]["wireguard_gateway_address"] == "10.10.9.4/24"


def test_a_new_site_that_stands_first_in_the_inventory_moves_nobody(wider):
    groups = {**WIDER, "training_sites": ["zone-d", "zone-b", "zone-c"], "gateways": ["gw-d", "gw-a", "gw-b", "gw-c"]}
    assert {change.host for change in announced(wider, NEW, groups)} == {"gw-a", "gw-d", "zone-a", "zone-d"}


def test_from_nothing_every_service_and_tunnel_is_created(found):
    nothing = {
        host: as_planned.empty_zone() if "service" in result else as_planned.empty_gateway() for host, result in found.items()
    }
    made = announced(nothing)
    assert short(made) == [
        *((gateway, CREATE, "tunnel") for gateway in GROUPS["gateways"]),
        *((name, CREATE, "service") for name in ("zone-a", "zone-b", "zone-c")),
    ]
    assert told(nothing) == []


def test_a_site_that_is_removed(found):
    made = announced(found, leaving=["zone-c"])
    assert [change for change in made if change.host == "zone-b" or change.host == "gw-b"] == [], "the other site is not touched"
    first, second = made[:2]
    assert (first.host, first.step, first.kind, first.subject, first.effect) == (
        "zone-c",
        REMOVALS,
        REMOVE,
        "service",
        SUPERNODES_GO,
    )
    assert (second.host, second.subject, second.effect) == ("zone-c", "service template", NO_EFFECT)
    assert {change.subject for change in made if change.effect == SITE_CUT_OFF} == {"peer gw-c", "interface"}
    hub = {change.subject: change.kind for change in made if change.host == "gw-a"}
    assert hub["peer gw-c"] == REMOVE and hub["route 10.10.12.0/24"] == REMOVE
    spoke = {change.subject: change.kind for change in made if change.host == "gw-c"}
    assert {subject for subject, kind in spoke.items() if kind == REMOVE} >= {
        "interface",
        "configuration",
        "key",
        "firewall",
        "federation",
    }
    assert {(change.host, change.subject) for change in made if change.step in (COORDINATOR, NODES)} == {
        ("zone-a", "FL_ROUTES"),
        ("zone-a", "SuperNodes"),
    }


def test_where_the_coordinator_was_not_read_nothing_is_changed(found):
    """A training may be under way, which the removal of a site would stop."""
    found["zone-a"] = {"unread": "no answer within 30 s"}
    made = planned(found, GROUPS, HOSTS, leaving=["zone-c"])
    observed = as_planned.observed(made, found)
    listed = changes.changes(made, observed)
    assert ("zone-c", REMOVE) in {(change.host, change.kind) for change in listed}
    assert changes.refuses_all(made, changes.findings(made, observed, listed))


def test_a_site_that_is_removed_may_keep_its_service(found):
    made = announced(found, leaving=["zone-c"], keep_services=True)
    assert [change for change in made if change.host == "zone-c"] == [] and any(change.host == "gw-c" for change in made)
    assert any(change.effect.training for change in made), "its SuperNodes are cut off"


def test_a_site_that_was_removed_before_is_no_change(found):
    made = planned(found, GROUPS, HOSTS, leaving=["zone-c"])
    rest = as_planned.results({**made, "leaving": {"zones": {}, "gateways": {}}})
    rest |= {"zone-c": as_planned.empty_zone(), "gw-c": as_planned.empty_gateway()}
    assert announced(rest, leaving=["zone-c"]) == []


def test_a_site_that_was_only_deleted_from_the_inventory_is_an_orphan(found):
    groups = {"coordinator": ["zone-a"], "training_sites": ["zone-b"], "gateways": ["gw-a", "gw-b"]}
    hosts = {host: HOSTS[host] for host in ("zone-a", "zone-b", "gw-a", "gw-b")}
    seen = {host: found[host] for host in hosts}
    assert ("site.orphan", "gw-a") in told(seen, hosts, groups)
    assert ("gw-a", REMOVE, "peer gw-c") in short(announced(seen, hosts, groups))


def test_the_whole_federation_is_taken_away(found):
    made = announced(found, leaving=["zone-a", "zone-b", "zone-c"])
    assert {(change.host, change.subject) for change in made if change.step == REMOVALS} == {
        (name, what) for name in PLAN["zones"] for what in ("service", "service template")
    }
    assert {change.host for change in made if change.step == LINKS} == set(PLAN["gateways"])
    assert {change.kind for change in made if change.step == LINKS} == {REMOVE, SET}
    assert [change.effect for change in made if change.host == "zone-a"][0] == SUPERLINK_GOES
    assert {change.step for change in made} == {REMOVALS, LINKS}


# -- what needs new VMs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "given", "reason", "effects"),
    [
        ("zone-a", {"federation_superlink_address": "10.10.10.6"}, "federation_superlink_address", {SUPERLINK_LOST}),
        ("zone-b", {"federation_partition_offset": 7}, "federation_partition_offset", {SUPERNODE_REPLACED}),
        (
            "zone-a",
            {"federation_flower_version": "1.38.0"},
            "federation_flower_version",
            {SUPERLINK_LOST, SUPERNODE_REPLACED},
        ),
    ],
)
def test_what_cannot_be_done_in_place_is_a_replacement(found, host, given, reason, effects):
    hosts = changed(host, **given)
    replaced = [change for change in announced(found, hosts) if change.kind == REPLACE]
    assert {change.reason for change in replaced} == {reason} and {change.effect for change in replaced} == effects
    assert {change.host for change in replaced} == ({"zone-a", "zone-b", "zone-c"} if len(effects) == 2 else {host})
    assert all(change.old and change.new and change.old != change.new for change in replaced)
    assert {("change.replace", change.host) for change in replaced} == set(told(found, hosts))
    hosts["zone-a"]["federation_allow_replace"] = True
    assert told(found, hosts) == []


@pytest.mark.parametrize(("option", "reason"), [("vm_template_id", "federation_vm_template"), ("network_id", "federation_network")])
def test_another_vm_template_or_network_is_a_replacement(found, option, reason):
    found["zone-c"][option] = 42
    assert [(change.host, change.kind, change.reason, change.new) for change in announced(found)] == [
        ("zone-c", REPLACE, reason, "42")
    ]


def test_what_is_replaced_has_no_other_change(found):
    hosts = changed("zone-b", federation_partition_offset=7, federation_supernodes=3, federation_node_config="site=b")
    assert {change.kind for change in announced(found, hosts) if change.host == "zone-b"} == {REPLACE}


def test_the_superlinks_new_address_reaches_gateways_and_sites(found):
    made = announced(found, changed("zone-a", federation_superlink_address="10.10.10.6"))
    dialled = {change.host for change in made if change.subject == "FL_SUPERLINK_ADDRESS"}
    assert dialled == {"zone-b", "zone-c"} and {change.host for change in made if change.step == LINKS} == set(GROUPS["gateways"])


# -- gateways ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "given", "expected"),
    [
        ("gw-c", {"federation_underlay_mtu": 1450}, {("gw-c", "mtu", "federation_underlay_mtu", "1420", "1370")}),
        (
            "gw-a",
            {"federation_wan_address": "203.0.113.9"},
            {
                (f"gw-{letter}", "peer gw-a: endpoint", "the gateways of the federation", "203.0.113.2:51820", "203.0.113.9:51820")
                for letter in "bc"
            },
        ),
    ],
)
def test_gateways_are_changed_in_place(found, host, given, expected):
    made = announced(found, changed(host, **given))
    assert {(change.host, change.subject, change.reason, change.old, change.new) for change in made} == expected
    assert {(change.kind, change.step, change.effect) for change in made} == {(SET, LINKS, NO_EFFECT)}


def test_a_gateways_new_lan_address_reaches_the_vms_behind_it(found):
    (change,) = announced(found, changed("gw-b", federation_lan_address="10.10.11.9"))
    assert (change.host, change.kind, change.subject, change.effect) == ("zone-b", SET, "FL_ROUTES", NO_EFFECT)
    assert (change.old, change.new) == ("10.10.10.5/32 via 10.10.11.1", "10.10.10.5/32 via 10.10.11.9")


def test_a_sites_new_lan_is_changed_in_place_wherever_it_is_routed(found):
    hosts = changed("zone-c", federation_lan="10.10.14.0/24")
    hosts["gw-c"]["federation_lan_address"] = "10.10.14.1"
    made = announced(found, hosts)
    assert {change.host for change in made} == {"gw-a", "gw-c", "zone-a", "zone-c"} and told(found, hosts) == []
    assert not any(change.effect.stops or change.kind == REPLACE for change in made)
    assert {change.subject for change in made if change.host.startswith("zone")} == {"FL_ROUTES"}


def test_another_port_changes_the_hub_and_where_it_is_called(found):
    made = announced(found, changed("zone-a", federation_wireguard_port=51999))
    assert ("gw-a", "port", "federation_wireguard_port", "51820", "51999") in {
        (change.host, change.subject, change.reason, change.old, change.new) for change in made
    }
    assert {change.host for change in made if change.subject == "peer gw-a: endpoint"} == {"gw-b", "gw-c"}
    assert {change.step for change in made} == {LINKS} and REPLACE not in {change.kind for change in made}


def test_another_overlay_changes_every_tunnel_and_the_superlinks_routes(found):
    made = announced(found, changed("zone-a", federation_overlay="10.99.0.0/24"))
    assert {change.host for change in made if change.subject == "address"} == set(GROUPS["gateways"])
    assert [change.subject for change in made if change.host.startswith("zone")] == ["FL_ROUTES"]


def test_a_gateway_that_lost_its_rules_or_keys_is_mended(found):
    found["gw-b"]["gateway"]["firewall"].update(loaded=False)
    (change,) = announced(found)
    assert (change.host, change.subject) == ("gw-b", "firewall in the kernel")


def test_a_spoke_that_was_made_again_brings_its_hub_a_new_key(found):
    found["gw-b"] = as_planned.empty_gateway()
    made = announced(found)
    assert ("gw-b", CREATE, "tunnel") in short(made) and ("gw-a", SET, "peer gw-b: public_key") in short(made)
    assert {change.host for change in made} == {"gw-a", "gw-b"}


def test_an_interface_of_another_federation_is_left_alone_and_told(found):
    found["gw-b"]["gateway"]["federation"] = "another"
    assert announced(found) == [] and told(found) == [("gateway.taken", "gw-b")]


def test_another_name_is_another_federation(found):
    """On the same gateways it needs an interface of its own; its services have names of their own."""
    hosts = changed("zone-a", federation_name="second")
    seen = {host: as_planned.empty_zone() if "service" in result else result for host, result in found.items()}
    assert set(told(seen, hosts)) == {("gateway.taken", gateway) for gateway in GROUPS["gateways"]}
    hosts = changed("zone-a", federation_name="second", federation_wireguard_interface="wg1")
    seen |= {gateway: as_planned.empty_gateway() for gateway in GROUPS["gateways"]}
    assert {change.kind for change in announced(seen, hosts)} == {CREATE} and told(seen, hosts) == []


# -- names and orders in the inventory ----------------------------------------------------------------------------------------------------


def renamed(names):
    groups = {group: [names.get(host, host) for host in hosts] for group, hosts in GROUPS.items()}
    hosts = {names.get(host, host): dict(given) for host, given in HOSTS.items()}
    for given in hosts.values():
        if given.get("federation_zone") in names:
            given["federation_zone"] = names[given["federation_zone"]]
    return groups, hosts


def test_hosts_in_another_order_change_nothing(found):
    groups = {group: list(reversed(hosts)) for group, hosts in GROUPS.items()}
    hosts = {host: HOSTS[host] for host in reversed(HOSTS)}
    assert announced(found, hosts, groups) == [] and told(found, hosts, groups) == []
    made = planned(found, groups, hosts)
    assert made["zones"]["zone-b"]["partitions"] == [0, 1]
    assert made["gateways"]["gw-b"]["wireguard_gateway_address"] == "10.10.9.2/24"


def test_a_site_with_another_name_changes_nothing(found):
    groups, hosts = renamed({"zone-b": "aachen"})
    seen = {"aachen" if host == "zone-b" else host: result for host, result in found.items()}
    assert announced(seen, hosts, groups) == [] and told(seen, hosts, groups) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_a_gateway_with_another_name_keeps_its_keys_and_address(found, reverse):
    groups, hosts = renamed({"gw-b": "gw-x"})
    if reverse:
        groups = {group: list(reversed(members)) for group, members in groups.items()}
    seen = {"gw-x" if host == "gw-b" else host: result for host, result in found.items()}
    made = announced(seen, hosts, groups)
    assert [(change.host, change.subject, change.old, change.new) for change in made] == [
        ("gw-a", "peer gw-x: name", "gw-b", "gw-x")
    ]
    assert told(seen, hosts, groups) == []


# -- what was not read ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["zone-a", "zone-b", "gw-a", "gw-b"])
def test_a_host_that_was_not_read_has_no_change_and_hides_nobody_elses(found, host):
    hosts = changed("zone-c", federation_node_config="site=c")
    hosts["gw-c"]["federation_underlay_mtu"] = 1450
    found[host] = {"unread": "timed out"}
    assert short(announced(found, hosts)) == [("gw-c", SET, "mtu"), ("zone-c", RESTART, "FL_NODE_CONFIG")]
    assert told(found, hosts) == [(f"{'zone' if host.startswith('zone') else 'gateway'}.unread", host)]


@pytest.mark.parametrize(
    ("host", "result", "code"),
    [
        ("zone-b", {"error": {"kind": "unreachable"}}, "zone.unreachable"),
        ("zone-b", {"error": {"kind": "tls"}}, "zone.tls"),
        ("zone-b", {"error": {"kind": "authentication"}}, "zone.credentials"),
        ("zone-b", {"error": {"kind": "refused"}}, "zone.unread"),
        ("zone-b", {"error": {}}, "zone.unread"),
        ("zone-b", {"error": "x"}, "zone.unread"),
        ("gw-b", {"gone": True}, "gateway.unreachable"),
        ("gw-b", {"gone": False}, "gateway.unread"),
    ],
)
def test_why_a_host_was_not_read_is_told_once_under_its_code(found, host, result, code):
    found[host] = {"unread": "the reason", **result}
    made = planned(found, GROUPS, HOSTS)
    observed = as_planned.observed(made, found)
    rows = [row.finding() for row in checks.checks(made, observed, NOW) if not row.ok and row.host == host]
    assert rows
    (only,) = report.unique([*changes.findings(made, observed, []), *rows])
    assert (only.code, only.host, only.message) == (code, host, "the reason")


def test_what_is_not_in_the_run_is_no_finding(found):
    for host in ("zone-c", "gw-c"):
        del found[host]
    assert announced(found) == [] and told(found) == []


def test_new_supernodes_are_not_numbered_while_another_site_is_not_read(found):
    found["zone-c"] = {"unread": "timed out"}
    hosts = changed("zone-b", federation_supernodes=3)
    assert ("partition.unknown", "zone-b") in told(found, hosts)
    hosts["zone-b"]["federation_partition_offset"] = 0
    assert ("partition.unknown", "zone-b") not in told(found, hosts), "its numbers stand in the inventory"


def test_two_services_of_one_name_are_told_and_left_alone(found):
    found["zone-b"].update(service={}, services_found=2)
    assert announced(found) == [] and told(found) == [("zone.unread", "zone-b")]


def test_two_successors_of_one_service_are_told_and_left_alone(found):
    found["zone-b"]["faults"]["successor"] = "there are two"
    assert announced(found) == [] and told(found) == [("zone.unread", "zone-b")]


def test_what_the_zone_does_not_have_is_told(found):
    found["zone-b"]["vm_template_id"] = None
    assert announced(found) == [] and told(found) == [("zone.object", "zone-b")]
    found["zone-b"].update(network_id=None, template={}, faults={"network": "two are called lan", "template": "two templates"})
    made = planned(found, GROUPS, HOSTS)
    findings = changes.findings(made, as_planned.observed(made, found), [])
    assert [finding.message for finding in findings][::2] == ["two templates", "two are called lan"]
    assert {finding.code for finding in findings} == {"zone.object"} and len(findings) == 3


@pytest.mark.parametrize(
    "break_it",
    [
        lambda o: vm(o, "zone-b").update(FL_PARTITION_ID="-1"),
        lambda o: vm(o, "zone-b").update(FL_PARTITION_ID="{{ 1 }}"),
        lambda o: vm(o, "zone-b").update(FL_PARTITIONS="9-1"),
        lambda o: as_planned.role(o, "zone-b")["inputs"].update(FL_PARTITIONS="many"),
        lambda o: vm(o, "zone-a").update(FL_NODES="x"),
        lambda o: vm(o, "zone-a").update(FL_RUNS_ACTIVE="x"),
        lambda o: vm(o, "zone-a").update(FL_CA_CERT="x"),
        lambda o: as_planned.role(o, "zone-b").update(contents={"NIC": "x"}),
        lambda o: as_planned.role(o, "zone-b").update(contents={}),
        lambda o: o["zone-b"]["service"].update(roles=[]),
        lambda o: o["zone-b"]["template"].update(body={"roles": "x"}),
        lambda o: o["gw-b"]["gateway"]["stored"].update(address="x"),
    ],
)
def test_what_a_zone_tells_is_input_and_raises_nothing(found, break_it):
    break_it(found)
    announced(found, changed("zone-c", federation_supernodes=4))
    told(found)


# -- any inventory -------------------------------------------------------------------------------------------------------------------------


def some_inventory(rng: random.Random):
    """Return the groups and hosts of a federation of any shape, in any order."""
    lans = rng.sample(as_planned.networks(64), rng.randint(2, 12))
    names = [f"z{index}" for index in range(len(lans))]
    groups = {"coordinator": names[:1], "training_sites": names[1:], "gateways": [f"gw-{name}" for name in names]}
    hosts = {}
    for index, (name, lan) in enumerate(zip(names, lans, strict=True)):
        base = lan.removesuffix("0/24")
        hosts[name] = {"federation_endpoint": f"http://{name}:2633/RPC2", "federation_lan": lan}
        hosts[f"gw-{name}"] = {"federation_zone": name, "federation_lan_address": f"{base}1"}
        hosts[f"gw-{name}"]["federation_underlay_mtu"] = rng.choice([1500, 1450, 1400])
        if index:
            hosts[name]["federation_supernodes"] = rng.randint(1, 5)
            if rng.random() < 0.3:
                hosts[name]["federation_node_config"] = f"site={index}"
            if rng.random() < 0.2:
                hosts[name]["federation_partition_offset"] = 100 * index
            if rng.random() < 0.2:
                hosts[f"gw-{name}"]["federation_tunnel_address"] = f"10.10.9.{100 + index}"
    first = lans[0].removesuffix("0/24")
    hosts["z0"] |= {"federation_superlink_address": f"{first}5", "federation_keepalive_time": rng.choice([30, 60, 90])}
    hosts["gw-z0"]["federation_wan_address"] = "203.0.113.2"
    return groups, hosts


def shuffled(rng, groups, hosts):
    groups = {group: rng.sample(members, len(members)) for group, members in groups.items()}
    names = rng.sample(list(hosts), len(hosts))
    return groups, {name: hosts[name] for name in names}


@pytest.mark.parametrize("seed", range(40))
def test_any_federation_as_planned_has_no_changes_in_whatever_order(seed):
    rng = random.Random(seed)
    groups, hosts = some_inventory(rng)
    found = as_planned.results(plan.make_plan(groups, hosts))
    assert announced(found, hosts, groups) == []
    assert announced(found, *reversed(shuffled(rng, groups, hosts))) == []


@pytest.mark.parametrize("seed", range(40))
def test_any_site_that_leaves_takes_nothing_of_the_others(seed):
    rng = random.Random(seed)
    groups, hosts = some_inventory(rng)
    found = as_planned.results(plan.make_plan(groups, hosts))
    gone = rng.choice(groups["training_sites"])
    if len(groups["training_sites"]) == 1:
        return
    made = announced(found, *reversed(shuffled(rng, groups, hosts)), leaving=[gone])
    assert {change.host for change in made} == {gone, f"gw-{gone}", "z0", "gw-z0"}
    assert {change.effect.stops for change in made if change.host == "z0"} == {""}
    rest = planned(found, groups, hosts, leaving=[gone])
    after = as_planned.results({**rest, "leaving": {"zones": {}, "gateways": {}}})
    after |= {gone: as_planned.empty_zone(), f"gw-{gone}": as_planned.empty_gateway()}
    assert announced(after, hosts, groups, leaving=[gone]) == []


@pytest.mark.parametrize("seed", range(40))
def test_any_one_thing_that_breaks_is_mended_where_it_broke(seed):
    rng = random.Random(seed)
    groups, hosts = some_inventory(rng)
    found = as_planned.results(plan.make_plan(groups, hosts))
    host = rng.choice(list(found))
    if "gateway" in found[host]:
        part, name, value = rng.choice(
            [
                ("firewall", "rules", "0" * 64),
                ("firewall", "loaded", False),
                ("firewall", "enabled", False),
                ("stored", "mtu", 1380),
                ("stored", "intact", False),
                ("live", "mtu", 1380),
                ("live", "routes", []),
            ]
        )
        found[host]["gateway"][part][name] = value
    else:
        as_planned.vm(found, host, rng.randrange(len(as_planned.role(found, host)["nodes"]))).update(
            rng.choice([{"FL_LOG_LEVEL": "DEBUG"}, {"FL_GRPC_KEEPALIVE_TIME": "7000"}, {"FL_ROUTES": ""}])
        )
    made = announced(found, hosts, groups)
    assert {change.host for change in changes.real(made)} == {host}


@pytest.mark.parametrize("seed", range(40))
def test_any_site_that_comes_moves_nobody(seed):
    rng = random.Random(seed)
    groups, hosts = some_inventory(rng)
    new = rng.choice(groups["training_sites"])
    if len(groups["training_sites"]) == 1:
        return
    before = (
        {group: [host for host in members if host not in (new, f"gw-{new}")] for group, members in groups.items()},
        {host: given for host, given in hosts.items() if host not in (new, f"gw-{new}")},
    )
    found = as_planned.results(plan.make_plan(*before))
    found |= {new: as_planned.empty_zone(), f"gw-{new}": as_planned.empty_gateway()}
    groups, hosts = shuffled(rng, groups, hosts)
    made = announced(found, hosts, groups)
    assert {change.host for change in made} == {new, f"gw-{new}", "z0", "gw-z0"}
    assert not any(change.effect.stops for change in made)
    after = planned(found, groups, hosts)
    numbers = [number for entry in after["zones"].values() for number in entry["partitions"]]
    assert len(numbers) == len(set(numbers)), "no number twice"
    assert as_planned.found_changes(after, as_planned.results(after)) == []


@pytest.mark.parametrize("seed", range(40))
def test_any_scaling_moves_nobody(seed):
    rng = random.Random(seed)
    groups, hosts = some_inventory(rng)
    found = as_planned.results(plan.make_plan(groups, hosts))
    site = rng.choice(groups["training_sites"])
    hosts[site]["federation_supernodes"] += rng.choice([-1, 1, 3])
    hosts[site]["federation_supernodes"] = max(1, hosts[site]["federation_supernodes"])
    made = [change for change in announced(found, hosts, groups) if change.step != NODES]
    assert {change.host for change in made} <= {site}
    assert {change.kind for change in made} <= {SCALE, SET}
    after = planned(found, groups, hosts)
    assert as_planned.found_changes(after, as_planned.results(after)) == []


# -- what the page says --------------------------------------------------------------------------------------------------------------------


def test_the_page_has_every_kind_step_and_effect():
    page = (ROOT / "docs" / "changes.md").read_text()
    assert re.findall(r"^\| `([a-z]+)` \|", page, flags=re.MULTILINE) == list(changes.KINDS)
    assert f"`{'`, `'.join(changes.STEPS)}`" in page
    known = {effect for effect in vars(changes).values() if isinstance(effect, changes.Effect)} - {NO_EFFECT}
    assert known == {effect for _change, effect in changes.EFFECTS}


def test_a_node_is_only_forgotten_when_every_vm_says_which_one_it_is_now(found):
    """A SuperNode that was just started again is in the SuperLink before its VM tells its new id."""
    superlink, supernode = vm(found, "zone-a"), vm(found, "zone-b")
    superlink["FL_NODES"] = superlink["FL_NODES"].replace(supernode["FL_NODE_ID"], "777777")
    assert not [change for change in announced(found, HOSTS) if change.step == NODES], "777777 may be that VM"
    supernode["FL_NODE_ID"] = "777777"
    superlink["FL_NODES"] = f"{superlink['FL_NODES']},888888:offline"
    (forget,) = announced(found, HOSTS)
    assert (forget.kind, forget.step) == (REMOVE, NODES) and "888888" in forget.old
