# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a fleet is one that the plan takes, and growth is told from sizes."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import plan

from benchmarks.follow import layout


@pytest.mark.parametrize("count", [2, 100, layout.LARGEST])
def test_a_fleet_is_a_federation_that_can_be_planned(count: int) -> None:
    ports = {place.zone: {"xmlrpc": 1000 + place.number, "oneflow": 2000 + place.number} for place in layout.places(count)}
    tree = layout.inventory(count, ports, "/run/x")["all"]
    hosts: dict[str, dict[str, object]] = {}
    groups: dict[str, list[str]] = {}
    for name, group in tree["children"].items():
        groups[name] = list(group["hosts"])
        for host, given in group["hosts"].items():
            hosts[host] = {**tree["vars"], **group.get("vars", {}), **given}
    made = plan.make_plan(groups, hosts)
    assert len(made["zones"]) == len(made["gateways"]) == count
    assert made["superlink"]["host"] == layout.Place(0).superlink and made["superlink"]["port"] == layout.PORT
    assert made["total_supernodes"] == count - 1


def test_no_two_hosts_of_the_largest_fleet_share_an_address() -> None:
    places = layout.places(layout.LARGEST)
    addresses = [address for place in places for address in (place.management, place.wan, place.lan)]
    assert len(set(addresses)) == 3 * layout.LARGEST


@pytest.mark.parametrize("count", [0, 1, layout.LARGEST + 1])
def test_what_is_no_fleet_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="a fleet has"):
        layout.places(count)


def test_growth_is_one_where_every_zone_costs_the_same_and_more_where_later_ones_cost_more() -> None:
    assert layout.growth({3: 5.0, 10: 12.0, 30: 32.0, 100: 102.0}) == pytest.approx(1.0)
    assert layout.growth({10: 100.0, 30: 900.0, 100: 10_000.0}) == pytest.approx(3.25)


def test_growth_needs_three_sizes_that_cost_something() -> None:
    with pytest.raises(ValueError, match="three sizes"):
        layout.growth({3: 1.0, 10: 2.0})
    with pytest.raises(ValueError, match="no more than"):
        layout.growth({3: 1.0, 10: 1.0, 30: 2.0})
