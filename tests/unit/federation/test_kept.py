# SPDX-License-Identifier: GPL-3.0-or-later
"""What exists keeps its numbers and addresses, whatever else the inventory and the observation say."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import addresses, plan
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.kept import NOTHING_KEPT, Kept, kept

from tests.unit.federation import as_planned
from tests.unit.federation.test_plan import GROUPS, HOSTS, changed

PLAN = plan.make_plan(GROUPS, HOSTS)
ADDRESS = ipaddress.IPv4Address


@pytest.fixture
def found():
    return as_planned.results(PLAN)


def of(found, made=PLAN):
    return kept(made, as_planned.observed(made, found))


def numbers(given: Kept, hosts=HOSTS):
    made = plan.make_plan(GROUPS, hosts, given)
    return {site: made["zones"][site]["partitions"] for site in GROUPS["training_sites"]}


def tunnels(given: Kept, hosts=HOSTS):
    made = plan.make_plan(GROUPS, hosts, given)
    return {gateway: entry["wireguard_gateway_address"] for gateway, entry in made["gateways"].items()}


def test_of_a_running_federation(found):
    assert of(found) == Kept(
        {"zone-b": (0, 1), "zone-c": (2, 3, 4)},
        {"gw-a": ADDRESS("10.10.9.1"), "gw-b": ADDRESS("10.10.9.2"), "gw-c": ADDRESS("10.10.9.3")},
        frozenset(),
    )


def test_nothing_is_kept_of_what_is_not_there_or_not_read():
    assert of({}) == NOTHING_KEPT
    assert of({host: {"unread": "x"} for host in HOSTS}) == NOTHING_KEPT


def test_numbers_are_those_that_vms_hold_and_those_of_the_services_birth(found):
    as_planned.vm(found, "zone-b").update(FL_PARTITION_ID="9")
    assert of(found).partitions["zone-b"] == (0, 1, 9)
    as_planned.role(found, "zone-b")["inputs"].clear()
    assert of(found).partitions["zone-b"] == (1, 9)


def test_what_is_held_stays_although_others_come_first():
    given = Kept(partitions={"zone-c": (0, 1, 2)})
    assert numbers(given) == {"zone-b": [3, 4], "zone-c": [0, 1, 2]}


def test_a_site_keeps_more_numbers_than_it_has_supernodes():
    given = Kept(partitions={"zone-b": (0, 1, 5)})
    assert numbers(given) == {"zone-b": [0, 1, 5], "zone-c": [2, 3, 4]}
    made = plan.make_plan(GROUPS, HOSTS, given)
    assert (made["total_supernodes"], made["total_partitions"]) == (5, 6)


def test_a_new_pin_comes_before_what_another_site_holds():
    given = Kept(partitions={"zone-c": (0, 1, 2)})
    assert numbers(given, changed("zone-b", federation_partition_offset=1)) == {"zone-b": [1, 2], "zone-c": [0, 3, 4]}


def test_of_two_sites_that_hold_one_number_the_first_keeps_it():
    given = Kept(partitions={"zone-b": (0, 1), "zone-c": (1, 2, 3)})
    assert numbers(given) == {"zone-b": [0, 1], "zone-c": [2, 3, 4]}


@pytest.mark.parametrize(
    ("partitions", "fresh"),
    [({}, True), ({"zone-b": (0,)}, True), ({"zone-b": (0, 1)}, False), ({"zone-b": (0, 1, 2)}, False)],
)
def test_a_site_that_gets_new_numbers_is_fresh(partitions, fresh):
    assert plan.make_plan(GROUPS, HOSTS, Kept(partitions=partitions))["zones"]["zone-b"]["fresh"] is fresh


def test_tunnel_addresses_stay():
    given = Kept(tunnels={"gw-c": ADDRESS("10.10.9.2")}, taken=frozenset({ADDRESS("10.10.9.3")}))
    assert tunnels(given) == {"gw-a": "10.10.9.1/24", "gw-b": "10.10.9.4/24", "gw-c": "10.10.9.2/24"}


def test_a_pinned_tunnel_address_comes_before_a_kept_one():
    given = Kept(tunnels={"gw-b": ADDRESS("10.10.9.9"), "gw-c": ADDRESS("10.10.9.3")})
    assert tunnels(given, changed("gw-c", federation_tunnel_address="10.10.9.9")) == {
        "gw-a": "10.10.9.1/24",
        "gw-b": "10.10.9.2/24",
        "gw-c": "10.10.9.9/24",
    }


@pytest.mark.parametrize("address", ["10.99.0.2", "10.10.9.1", "10.10.9.0", "10.10.9.255"])
def test_an_address_that_cannot_be_one_is_not_kept(address):
    made = tunnels(Kept(tunnels={"gw-b": ADDRESS(address)}))
    assert len(set(made.values())) == 3 and made["gw-b"] == "10.10.9.2/24"


def test_of_a_gateway_that_was_not_read_the_hub_knows_the_address(found):
    found["gw-b"] = {"unread": "timed out"}
    assert of(found).tunnels["gw-b"] == ADDRESS("10.10.9.2")


def test_of_a_gateway_that_was_renamed_and_not_read_the_hub_knows_the_address(found):
    groups = {**GROUPS, "gateways": ["gw-x", "gw-c", "gw-a"]}
    hosts = {{"gw-b": "gw-x"}.get(host, host): given for host, given in HOSTS.items()}
    made = plan.make_plan(groups, hosts)
    found["gw-x"] = {"unread": "timed out"}
    assert of(found, made).tunnels["gw-x"] == ADDRESS("10.10.9.2") and not of(found, made).taken


def test_the_address_of_a_site_that_the_inventory_forgot_is_not_given_away(found):
    groups = {**GROUPS, "training_sites": ["zone-b", "zone-d"], "gateways": ["gw-a", "gw-b", "gw-d"]}
    hosts = {host: given for host, given in HOSTS.items() if host not in ("zone-c", "gw-c")}
    hosts["zone-d"] = {"federation_endpoint": "http://one-d:2633/RPC2", "federation_lan": "10.10.13.0/24"}
    hosts["gw-d"] = {"federation_zone": "zone-d", "federation_lan_address": "10.10.13.1"}
    made = as_planned.planned({**found, "zone-d": as_planned.empty_zone(), "gw-d": as_planned.empty_gateway()}, groups, hosts)
    assert made["gateways"]["gw-d"]["wireguard_gateway_address"] == "10.10.9.4/24"


def test_an_overlay_that_is_full_is_a_finding_and_no_address_is_given_twice():
    hosts = changed("zone-a", federation_overlay="10.10.9.0/29")
    taken = frozenset(ADDRESS(f"10.10.9.{number}") for number in range(2, 6))
    with pytest.raises(plan.PlanError) as caught:
        plan.make_plan(GROUPS, hosts, Kept(taken=taken))
    assert [finding.subject for finding in caught.value.findings] == ["federation_overlay"]


def test_the_total_counts_gaps():
    assert addresses.Partitions({}, {"a": (0, 7), "b": (3,)}).total == 8 and addresses.Partitions({}, {}).total == 0
