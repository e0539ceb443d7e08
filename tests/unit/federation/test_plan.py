# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan follows from the inventory, and refuses what cannot work with every reason at once."""

from __future__ import annotations

import copy
import ipaddress

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import plan

GROUPS = {
    "coordinator": ["zone-a"],
    "training_sites": ["zone-b", "zone-c"],
    "gateways": ["gw-a", "gw-b", "gw-c"],
}


def zone(letter: str, number: int, **more):
    return {"federation_endpoint": f"http://one-{letter}:2633/RPC2", "federation_lan": f"10.10.{number}.0/24", **more}


HOSTS = {
    "zone-a": zone("a", 10, federation_superlink_address="10.10.10.5"),
    "zone-b": zone("b", 11),
    "zone-c": zone("c", 12, federation_supernodes=3),
    "gw-a": {
        "federation_zone": "zone-a",
        "federation_lan_address": "10.10.10.1",
        "federation_wan_address": "203.0.113.2",
    },
    "gw-b": {"federation_zone": "zone-b", "federation_lan_address": "10.10.11.1"},
    "gw-c": {"federation_zone": "zone-c", "federation_lan_address": "10.10.12.1"},
}


def changed(host: str, **variables):
    hosts = copy.deepcopy(HOSTS)
    hosts[host].update(variables)
    return hosts


def problems(hosts=None, groups=None) -> list[tuple[str, str]]:
    with pytest.raises(plan.PlanError) as caught:
        plan.make_plan(groups or GROUPS, hosts or HOSTS)
    assert all(problem.message for problem in caught.value.problems)
    return [(problem.host, problem.variable) for problem in caught.value.problems]


def test_sites_dial_the_superlink_on_its_lan_and_the_certificate_names_it():
    made = plan.make_plan(GROUPS, HOSTS)
    assert made["superlink"]["dialled"] == "10.10.10.5:9092"
    assert made["superlink"]["sans"] == ["IP:10.10.10.5"]
    assert made["zones"]["zone-a"]["service"]["inputs"]["FL_CERT_EXTRA_SAN"] == "IP:10.10.10.5"
    for site in GROUPS["training_sites"]:
        assert made["zones"][site]["service"]["inputs"]["FL_SUPERLINK_ADDRESS"] == "10.10.10.5:9092"


def test_partitions_are_numbered_across_sites():
    made = plan.make_plan(GROUPS, HOSTS)
    zones = made["zones"]
    assert [zones[site]["partition_offset"] for site in GROUPS["training_sites"]] == [0, 2]
    assert {zones[site]["service"]["inputs"]["FL_NUM_PARTITIONS"] for site in GROUPS["training_sites"]} == {"5"}
    assert made["total_supernodes"] == 5


def test_spokes_reach_the_superlink_only_and_the_hub_every_site():
    gateways = plan.make_plan(GROUPS, HOSTS)["gateways"]
    assert gateways["gw-a"]["wireguard_address"] == "10.10.9.1/24"
    assert gateways["gw-a"]["wireguard_peers"] == [
        {"host": "gw-b", "allowed_ips": ["10.10.9.2/32", "10.10.11.0/24"]},
        {"host": "gw-c", "allowed_ips": ["10.10.9.3/32", "10.10.12.0/24"]},
    ]
    for spoke in ("gw-b", "gw-c"):
        (peer,) = gateways[spoke]["wireguard_peers"]
        assert peer["allowed_ips"] == ["10.10.9.1/32", "10.10.10.5/32"]
        assert peer["endpoint"] == "203.0.113.2:51820"


def test_vms_are_routed_through_their_own_gateway():
    zones = plan.make_plan(GROUPS, HOSTS)["zones"]
    assert zones["zone-b"]["service"]["nic"]["ROUTES"] == "10.10.10.5/32 via 10.10.11.1"
    assert zones["zone-a"]["service"]["nic"]["ROUTES"] == (
        "10.10.9.0/24 via 10.10.10.1, 10.10.11.0/24 via 10.10.10.1, 10.10.12.0/24 via 10.10.10.1"
    )


def test_mtu_is_the_underlay_less_the_cost_of_wireguard():
    made = plan.make_plan(GROUPS, changed("gw-c", federation_underlay_mtu=1450))
    assert made["gateways"]["gw-c"]["wireguard_mtu"] == 1370
    assert made["gateways"]["gw-b"]["wireguard_mtu"] == 1420


def test_a_hundred_sites_get_distinct_addresses_and_partitions():
    groups = {"coordinator": ["zone-a"], "training_sites": [], "gateways": ["gw-a"]}
    hosts = {name: HOSTS[name] for name in ("zone-a", "gw-a")}
    for number in range(100):
        name = f"site-{number}"
        groups["training_sites"].append(name)
        groups["gateways"].append(f"gw-{name}")
        hosts[name] = {**zone("x", 0), "federation_lan": f"10.20.{number}.0/24"}
        hosts[f"gw-{name}"] = {"federation_zone": name, "federation_lan_address": f"10.20.{number}.1"}
    made = plan.make_plan(groups, hosts)
    addresses = {ipaddress.ip_interface(gateway["wireguard_address"]) for gateway in made["gateways"].values()}
    assert len(addresses) == 101
    assert sorted(entry["partition_offset"] for entry in made["zones"].values() if entry["supernodes"]) == list(range(0, 200, 2))


def test_pinned_tunnel_address_and_partitions_are_kept():
    hosts = changed("gw-c", federation_tunnel_address="10.10.9.2")
    hosts["zone-c"]["federation_partition_offset"] = 0
    made = plan.make_plan(GROUPS, hosts)
    assert made["gateways"]["gw-c"]["wireguard_address"] == "10.10.9.2/24"
    assert made["gateways"]["gw-b"]["wireguard_address"] == "10.10.9.3/24"
    assert made["zones"]["zone-b"]["partition_offset"] == 3


@pytest.mark.parametrize(
    ("host", "variables", "expected"),
    [
        ("zone-b", {"federation_lan": "10.10.10.128/25"}, ("zone-b", "federation_lan")),
        ("zone-b", {"federation_lan": "10.10.9.0/25"}, ("zone-b", "federation_lan")),
        ("zone-b", {"federation_lan": "10.10.11.1/24"}, ("zone-b", "federation_lan")),
        ("zone-b", {"federation_endpoint": ""}, ("zone-b", "federation_endpoint")),
        ("zone-b", {"federation_endpoint": "one-b:2633"}, ("zone-b", "federation_endpoint")),
        ("zone-b", {"federation_supernodes": 0}, ("zone-b", "federation_supernodes")),
        ("zone-a", {"federation_superlink_address": "10.10.11.5"}, ("zone-a", "federation_superlink_address")),
        ("zone-a", {"federation_superlink_address": "10.10.10.1"}, ("zone-a", "federation_superlink_address")),
        ("zone-a", {"federation_overlay": "10.10.9.0/31"}, ("zone-a", "federation_overlay")),
        ("zone-a", {"federation_keepalive_timeout": 60}, ("zone-a", "federation_keepalive_timeout")),
        ("zone-a", {"federation_flower_version": "9.9.9"}, ("zone-a", "federation_flower_version")),
        ("gw-a", {"federation_wan_address": ""}, ("gw-a", "federation_wan_address")),
        ("gw-b", {"federation_zone": "zone-x"}, ("gw-b", "federation_zone")),
        ("gw-c", {"federation_zone": "zone-b"}, ("gw-c", "federation_zone")),
        ("gw-c", {"federation_underlay_mtu": 1300}, ("gw-c", "federation_underlay_mtu")),
        ("gw-c", {"federation_tunnel_address": "10.10.9.1"}, ("gw-c", "federation_tunnel_address")),
        ("zone-c", {"federation_partition_offset": 1}, None),
    ],
)
def test_refuses_what_cannot_work(host, variables, expected):
    hosts = changed(host, **variables)
    if expected is None:  # pinned below the first site's own range
        hosts["zone-b"]["federation_partition_offset"] = 0
        expected = ("zone-c", "federation_partition_offset")
    assert expected in problems(hosts)


def test_reports_every_problem_at_once():
    hosts = changed("zone-a", federation_superlink_address="10.10.99.9", federation_keepalive_timeout=99)
    hosts["gw-c"]["federation_underlay_mtu"] = 100
    assert set(problems(hosts)) == {
        ("zone-a", "federation_superlink_address"),
        ("zone-a", "federation_keepalive_timeout"),
        ("gw-c", "federation_underlay_mtu"),
    }


def test_refuses_groups_that_are_no_federation():
    assert ("inventory", "group coordinator") in problems(groups={**GROUPS, "coordinator": []})
    assert ("inventory", "group coordinator") in problems(groups={**GROUPS, "coordinator": ["zone-a", "zone-b"]})
    assert ("inventory", "group training_sites") in problems(groups={**GROUPS, "training_sites": []})
    assert ("zone-a", "group training_sites") in problems(groups={**GROUPS, "training_sites": ["zone-a"]})


def test_service_template_declares_what_it_is_given():
    service = plan.make_plan(GROUPS, HOSTS)["zones"]["zone-c"]["service"]
    body = plan.service_template(service, template_id=0, network_id=0)
    (role,) = body["roles"]
    assert body["ready_status_gate"] is True
    assert (role["template_id"], role["cardinality"]) == (0, 3)
    assert role["template_contents"]["NIC"] == [{"NETWORK_ID": "0", "ROUTES": "10.10.10.5/32 via 10.10.12.1"}]
    assert set(service["inputs"]) <= set(role["user_inputs"])
    assert "READY=YES" not in str(body)
