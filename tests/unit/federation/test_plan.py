# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan follows from the inventory, and refuses what cannot work with every reason at once."""

from __future__ import annotations

import base64
import copy
import ipaddress
from pathlib import Path

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import settings
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import inventory, kept, plan, services, variables
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.findings import Finding

ROOT = Path(__file__).resolve().parents[3]
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


PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()


def changed(host: str, **variables):
    hosts = copy.deepcopy(HOSTS)
    hosts[host].update(variables)
    return hosts


def found(hosts=None, groups=None) -> list[Finding]:
    with pytest.raises(plan.PlanError) as caught:
        plan.make_plan(groups or GROUPS, hosts or HOSTS)
    findings = caught.value.findings
    assert all(finding.message for finding in findings)
    assert len({(finding.host, finding.subject, finding.message) for finding in findings}) == len(findings), "told twice"
    return findings


def problems(hosts=None, groups=None) -> list[tuple[str, str]]:
    return [(finding.host, finding.subject) for finding in found(hosts, groups)]


def test_sites_dial_the_superlink_on_its_lan_and_the_certificate_names_it():
    made = plan.make_plan(GROUPS, HOSTS)
    assert made["superlink"]["dialled"] == "10.10.10.5:9092"
    assert made["superlink"]["names"] == ["IP:10.10.10.5"]
    assert made["zones"]["zone-a"]["service"]["inputs"]["FL_CERT_EXTRA_SAN"] == "IP:10.10.10.5"
    for site in GROUPS["training_sites"]:
        assert made["zones"][site]["service"]["inputs"]["FL_SUPERLINK_ADDRESS"] == "10.10.10.5:9092"


def test_more_names_of_the_certificate_stand_beside_what_is_dialled():
    made = plan.make_plan(GROUPS, changed("zone-a", federation_certificate_names="DNS:superlink.example.org,IP:10.10.10.5"))
    assert made["superlink"]["names"] == ["IP:10.10.10.5", "DNS:superlink.example.org"]
    assert made["zones"]["zone-a"]["service"]["live"]["FL_CERT_EXTRA_SAN"] == "IP:10.10.10.5,DNS:superlink.example.org"
    assert problems(changed("zone-a", federation_certificate_names="superlink")) == [("zone-a", "federation_certificate_names")]


def test_partitions_are_numbered_across_sites():
    made = plan.make_plan(GROUPS, HOSTS)
    zones = made["zones"]
    assert [zones[site]["partitions"] for site in GROUPS["training_sites"]] == [[0, 1], [2, 3, 4]]
    assert [zones[site]["service"]["inputs"]["FL_PARTITIONS"] for site in GROUPS["training_sites"]] == ["0-1", "2-4"]
    assert {zones[site]["service"]["inputs"]["FL_NUM_PARTITIONS"] for site in GROUPS["training_sites"]} == {"5"}
    assert made["total_supernodes"] == 5


def test_spokes_reach_the_superlink_only_and_the_hub_every_site():
    gateways = plan.make_plan(GROUPS, HOSTS)["gateways"]
    assert gateways["gw-a"]["wireguard_gateway_address"] == "10.10.9.1/24"
    assert gateways["gw-a"]["wireguard_gateway_peers"] == [
        {"host": "gw-b", "allowed_ips": ["10.10.9.2/32", "10.10.11.0/24"]},
        {"host": "gw-c", "allowed_ips": ["10.10.9.3/32", "10.10.12.0/24"]},
    ]
    for spoke in ("gw-b", "gw-c"):
        (peer,) = gateways[spoke]["wireguard_gateway_peers"]
        assert peer["allowed_ips"] == ["10.10.9.1/32", "10.10.10.5/32"]
        assert peer["endpoint"] == "203.0.113.2:51820"


def test_vms_are_routed_through_their_own_gateway():
    zones = plan.make_plan(GROUPS, HOSTS)["zones"]
    assert zones["zone-b"]["service"]["live"]["FL_ROUTES"] == "10.10.10.5/32 via 10.10.11.1"
    assert zones["zone-a"]["service"]["live"]["FL_ROUTES"] == (
        "10.10.9.0/24 via 10.10.10.1, 10.10.11.0/24 via 10.10.10.1, 10.10.12.0/24 via 10.10.10.1"
    )


def test_routes_do_not_follow_the_order_of_the_inventory():
    turned = {**GROUPS, "training_sites": ["zone-c", "zone-b"]}
    nics = [plan.make_plan(groups, HOSTS)["zones"]["zone-a"]["service"]["nic"] for groups in (GROUPS, turned)]
    assert nics[0] == nics[1]


def test_mtu_is_the_underlay_less_the_cost_of_wireguard():
    made = plan.make_plan(GROUPS, changed("gw-c", federation_underlay_mtu=1450))
    assert made["gateways"]["gw-c"]["wireguard_gateway_mtu"] == 1370
    assert made["gateways"]["gw-b"]["wireguard_gateway_mtu"] == 1420


def test_a_hundred_sites_get_distinct_addresses_and_partitions():
    groups = {"coordinator": ["zone-a"], "training_sites": [], "gateways": ["gw-a"]}
    hosts = {name: HOSTS[name] for name in ("zone-a", "gw-a")}
    for number in range(100):
        name = f"site-{number}"
        groups["training_sites"].append(name)
        groups["gateways"].append(f"gw-{name}")
        hosts[name] = {**zone(f"x{number}", 0), "federation_lan": f"10.20.{number}.0/24"}
        hosts[f"gw-{name}"] = {"federation_zone": name, "federation_lan_address": f"10.20.{number}.1"}
    made = plan.make_plan(groups, hosts)
    addresses = {ipaddress.ip_interface(gateway["wireguard_gateway_address"]) for gateway in made["gateways"].values()}
    assert len(addresses) == 101
    assert sorted(number for entry in made["zones"].values() for number in entry["partitions"]) == list(range(200))


def test_pinned_tunnel_address_and_partitions_are_kept():
    hosts = changed("gw-c", federation_tunnel_address="10.10.9.2")
    hosts["zone-c"]["federation_partition_offset"] = 0
    made = plan.make_plan(GROUPS, hosts)
    assert made["gateways"]["gw-c"]["wireguard_gateway_address"] == "10.10.9.2/24"
    assert made["gateways"]["gw-b"]["wireguard_gateway_address"] == "10.10.9.3/24"
    assert (made["zones"]["zone-c"]["partitions"], made["zones"]["zone-b"]["partitions"]) == ([0, 1, 2], [3, 4])


@pytest.mark.parametrize(
    ("host", "given", "expected"),
    [
        ("zone-b", {"federation_lan": "10.10.10.128/25"}, ("zone-b", "federation_lan")),
        ("zone-b", {"federation_lan": "10.10.9.0/25"}, ("zone-b", "federation_lan")),
        ("zone-b", {"federation_lan": "10.10.11.1/24"}, ("zone-b", "federation_lan")),
        ("zone-b", {"federation_endpoint": ""}, ("zone-b", "federation_endpoint")),
        ("zone-b", {"federation_endpoint": "one-b:2633"}, ("zone-b", "federation_endpoint")),
        ("zone-b", {"federation_endpoint": "http://user:secret@one-b:2633/RPC2"}, ("zone-b", "federation_endpoint")),
        ("zone-b", {"federation_endpoint": "http://one-a:2633/RPC2/"}, ("zone-b", "federation_endpoint")),
        ("zone-b", {"federation_supernodes": 0}, ("zone-b", "federation_supernodes")),
        ("zone-b", {"federation_validate_certs": "perhaps"}, ("zone-b", "federation_validate_certs")),
        ("zone-b", {"federation_wait_timeout": "10m"}, ("zone-b", "federation_wait_timeout")),
        ("zone-b", {"federation_lan": inventory.Unreadable("'lan' is undefined")}, ("zone-b", "federation_lan")),
        ("zone-a", {"federation_superlink_address": "10.10.11.5"}, ("zone-a", "federation_superlink_address")),
        ("zone-a", {"federation_superlink_address": "10.10.10.1"}, ("zone-a", "federation_superlink_address")),
        ("zone-a", {"federation_overlay": "10.10.9.0/31"}, ("zone-a", "federation_overlay")),
        ("zone-a", {"federation_keepalive_timeout": 60}, ("zone-a", "federation_keepalive_timeout")),
        ("zone-a", {"federation_keepalive_time": 9}, ("zone-a", "federation_keepalive_time")),
        ("zone-a", {"federation_log_level": "debug"}, ("zone-a", "federation_log_level")),
        ("zone-a", {"federation_flower_version": "9.9.9"}, ("zone-a", "federation_flower_version")),
        ("zone-a", {"federation_name": "R&D"}, ("zone-a", "federation_name")),
        ("zone-a", {"federation_name": "ä" * 51}, ("zone-a", "federation_name")),
        ("zone-a", {"federation_wireguard_interface": "wg-federation-hub"}, ("zone-a", "federation_wireguard_interface")),
        ("zone-a", {"federation_wireguard_interface": "wg0; reboot"}, ("zone-a", "federation_wireguard_interface")),
        ("zone-a", {"federation_rounds": "abc"}, ("zone-a", "federation_rounds")),
        ("gw-a", {"federation_wan_address": ""}, ("gw-a", "federation_wan_address")),
        ("gw-a", {"federation_wan_address": "http://x y"}, ("gw-a", "federation_wan_address")),
        ("gw-b", {"federation_zone": "zone-x"}, ("gw-b", "federation_zone")),
        ("gw-b", {"federation_zone": ""}, ("gw-b", "federation_zone")),
        ("gw-c", {"federation_zone": "zone-b"}, ("gw-c", "federation_zone")),
        ("gw-c", {"federation_underlay_mtu": 1300}, ("gw-c", "federation_underlay_mtu")),
        ("gw-c", {"federation_tunnel_address": "10.10.9.1"}, ("gw-c", "federation_tunnel_address")),
    ],
)
def test_refuses_what_cannot_work(host, given, expected):
    assert expected in problems(changed(host, **given))


@pytest.mark.parametrize(
    ("host", "given"),
    [
        ("zone-a", {"federation_keepalive_time": 5}),
        ("zone-a", {"federation_log_level": "debug"}),
        ("zone-a", {"federation_flower_version": "9.9.9"}),
        ("zone-a", {"federation_overlay": "10.10.9"}),
        ("zone-b", {"federation_lan": "nothing"}),
        ("zone-b", {"federation_supernodes": "many"}),
        ("gw-c", {"federation_underlay_mtu": 1300}),
    ],
)
def test_one_fault_is_one_finding(host, given):
    (variable,) = given
    assert problems(changed(host, **given)) == [(host, variable)]


def test_partition_ranges_that_overlap_are_refused():
    hosts = changed("zone-b", federation_partition_offset=0)
    hosts["zone-c"]["federation_partition_offset"] = 1
    assert problems(hosts) == [("zone-c", "federation_partition_offset")]


def test_nine_faults_in_five_hosts_are_told_in_one_run_each_once():
    hosts = copy.deepcopy(HOSTS)
    hosts["zone-a"].update(federation_superlink_address="10.10.99.9", federation_keepalive_timout=5, federation_log_level="loud")
    hosts["zone-b"].update(federation_lan="10.10.10.0/25", federation_supernodes=0)
    hosts["zone-c"].update(federation_endpoint="one-c", federation_partition_offset=-1)
    hosts["gw-a"].update(federation_wan_address="")
    hosts["gw-c"].update(federation_underlay_mtu=100)
    assert sorted(problems(hosts)) == sorted(
        [
            ("zone-a", "federation_superlink_address"),
            ("zone-a", "federation_keepalive_timout"),
            ("zone-a", "federation_log_level"),
            ("zone-b", "federation_lan"),
            ("zone-b", "federation_supernodes"),
            ("zone-c", "federation_endpoint"),
            ("zone-c", "federation_partition_offset"),
            ("gw-a", "federation_wan_address"),
            ("gw-c", "federation_underlay_mtu"),
        ]
    )


def test_faults_of_hosts_are_told_beside_faults_of_groups():
    hosts = changed("zone-c", federation_lan="x")
    del hosts["gw-b"]
    told = problems(hosts, {**GROUPS, "gateways": ["gw-a", "gw-c"]})
    assert told == [("zone-b", "group gateways"), ("zone-c", "federation_lan")]


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    (finding,) = found(changed("zone-a", federation_keepalive_timout=5))
    assert finding.code == "inventory.unknown"
    assert "federation_keepalive_timeout" in finding.message


def test_an_unknown_name_of_a_whole_group_is_told_once():
    hosts = {host: {**given, "federation_nmae": "x"} for host, given in HOSTS.items()}
    (finding,) = found(hosts)
    assert (finding.subject, finding.code) == ("federation_nmae", "inventory.unknown")


@pytest.mark.parametrize(
    ("host", "given", "where"),
    [
        ("zone-b", {"federation_keepalive_time": 30}, "coordinator"),
        ("gw-b", {"federation_supernodes": 3}, "training sites"),
        ("zone-a", {"federation_underlay_mtu": 1450}, "gateways"),
        ("zone-b", {"federation_superlink_address": "10.10.11.5"}, "the coordinator"),
        ("gw-b", {"federation_wan_address": "203.0.113.9"}, "the coordinator's gateway"),
    ],
)
def test_a_variable_on_a_host_that_does_not_read_it_is_refused(host, given, where):
    (finding,) = found(changed(host, **given))
    assert (finding.code, finding.host, [finding.subject]) == ("inventory.scope", host, list(given))
    assert where in finding.message


def test_what_a_group_says_for_all_hosts_is_fine():
    for given in ({"federation_supernodes": 3}, {"federation_vm_template": "x"}, {"federation_keepalive_time": 90}):
        plan.make_plan(GROUPS, {host: {**HOSTS[host], **given} for host in HOSTS})


def test_a_password_is_never_told():
    (finding,) = found(changed("zone-b", federation_password=["hunter2"]))
    assert finding.subject == "federation_password" and "hunter2" not in str(finding)


def test_what_the_plan_hands_to_a_vm_the_vm_accepts():
    for entry in plan.make_plan(GROUPS, HOSTS)["zones"].values():
        service = entry["service"]
        promised = dict.fromkeys(service["from_superlink"], PEM)
        _clean, faults = settings.validate(service["role"], {**service["inputs"], **promised})
        assert not faults


def test_an_ipv6_endpoint_stands_in_brackets():
    made = plan.make_plan(GROUPS, changed("gw-a", federation_wan_address="2001:db8::10"))
    assert made["gateways"]["gw-b"]["wireguard_gateway_peers"][0]["endpoint"] == "[2001:db8::10]:51820"


def test_text_from_the_command_line_becomes_what_it_means():
    hosts = {host: {**given, "federation_rounds": "5", "federation_train": "yes"} for host, given in HOSTS.items()}
    assert plan.make_plan(GROUPS, hosts)["training"] == {"rounds": 5, "again": True, "timeout": 600}
    hosts = changed("zone-a", federation_wireguard_port="51821")
    assert plan.make_plan(GROUPS, hosts)["gateways"]["gw-a"]["wireguard_gateway_listen_port"] == 51821


def test_refuses_groups_that_are_no_federation():
    assert ("inventory", "group coordinator") in problems(groups={**GROUPS, "coordinator": []})
    assert ("inventory", "group coordinator") in problems(groups={**GROUPS, "coordinator": ["zone-a", "zone-b"]})
    assert ("inventory", "group training_sites") in problems(groups={**GROUPS, "training_sites": []})
    assert ("zone-a", "group training_sites") in problems(groups={**GROUPS, "training_sites": ["zone-a"]})
    assert ("gw-a", "group gateways") in problems(groups={**GROUPS, "coordinator": ["gw-a"]})


def test_misspelt_groups_are_refused_with_the_nearest_one():
    told = found(groups={"coordinators": ["zone-a"], "sites": ["zone-b"], "gateways": GROUPS["gateways"]})
    assert {finding.subject for finding in told} >= {"group coordinator", "group training_sites"}
    assert any("coordinators" in finding.message for finding in told) and any("sites" in finding.message for finding in told)


def test_an_inventory_without_anything_is_refused():
    assert problems(hosts={"nobody": {}}, groups={"all": [], "ungrouped": []}) == [
        ("inventory", "group coordinator"),
        ("inventory", "group training_sites"),
    ]


def test_every_default_is_a_value_that_its_own_rule_takes():
    for variable in variables.VARIABLES:
        assert variable.default is None or variable.typed(variable.default) == variable.default


def test_service_template_declares_what_it_is_given():
    service = plan.make_plan(GROUPS, HOSTS)["zones"]["zone-c"]["service"]
    body = services.service_template(service, template_id=0, network_id=0)
    (role,) = body["roles"]
    assert body["ready_status_gate"] is True
    assert (role["template_id"], role["cardinality"]) == (0, 3)
    assert role["template_contents"]["NIC"] == [{"NETWORK_ID": "0"}]
    assert set(service["inputs"]) <= set(role["user_inputs"])
    assert "READY=YES" not in str(body)


def test_what_is_told_of_the_inventory_holds_no_secret_and_nothing_of_how_a_zone_is_reached():
    hosts = changed("zone-b", federation_password="hunter2", federation_username="ann", federation_api_timeout=7)
    hosts["zone-b"]["federation_ca_path"] = "/etc/ca.pem"
    told = plan.make_plan(GROUPS, hosts)
    assert told["inventory"]["zone-b"]["federation_supernodes"] == "2"
    assert not {"hunter2", "ann", "/etc/ca.pem"} & set(told["inventory"]["zone-b"].values())
    assert not {"hunter2", "ann"} & set(map(str, told["source"]["hosts"]["zone-b"].values()))


def test_a_site_that_leaves_is_planned_apart_and_the_rest_as_without_it():
    without = {**GROUPS, "training_sites": ["zone-b"], "gateways": ["gw-a", "gw-b"]}
    rest = plan.make_plan(without, {host: HOSTS[host] for host in ("zone-a", "zone-b", "gw-a", "gw-b")})
    made = plan.make_plan(GROUPS, HOSTS, leaving=["zone-c"])
    assert (made["zones"], made["gateways"], made["total_supernodes"]) == (rest["zones"], rest["gateways"], 2)
    assert list(made["leaving"]["zones"]) == ["zone-c"] and made["leaving"]["zones"]["zone-c"]["keep"] is False
    assert made["leaving"]["gateways"]["gw-c"]["wireguard_gateway_state"] == "absent"
    assert plan.make_plan(GROUPS, HOSTS, leaving=["zone-c"], keep_services=True)["leaving"]["zones"]["zone-c"]["keep"] is True
    assert plan.again(made, kept.NOTHING_KEPT) == made


def test_the_whole_federation_leaves():
    made = plan.make_plan(GROUPS, HOSTS, leaving=["zone-a", "zone-b", "zone-c"])
    assert (made["zones"], made["gateways"], made["total_supernodes"]) == ({}, {}, 0)
    assert set(made["leaving"]["zones"]) == {"zone-a", "zone-b", "zone-c"} and set(made["leaving"]["gateways"]) == {
        "gw-a",
        "gw-b",
        "gw-c",
    }


@pytest.mark.parametrize("leaving", [["zone-x"], ["zone-a"], ["gw-c"]])
def test_what_cannot_leave_is_refused(leaving):
    with pytest.raises(plan.PlanError) as caught:
        plan.make_plan(GROUPS, HOSTS, leaving=leaving)
    assert [(finding.code, finding.host) for finding in caught.value.findings] == [("site.unknown", leaving[0])]


def test_a_teardown_has_to_be_told_the_federation():
    for given in ({}, {"federation_confirm": "another"}):
        with pytest.raises(plan.PlanError) as caught:
            plan.confirm(plan.make_plan(GROUPS, changed("zone-a", federation_name="demo", **given)))
        assert [finding.code for finding in caught.value.findings] == ["teardown.unconfirmed"]
    plan.confirm(plan.make_plan(GROUPS, changed("zone-a", federation_name="demo", federation_confirm="demo")))


def test_every_vm_can_be_asked_for_the_settings_that_are_kept_in_force():
    for entry in plan.make_plan(GROUPS, HOSTS)["zones"].values():
        service = entry["service"]
        assert set(service["live"]) <= set(settings.LIVE) and service["live"].items() <= service["inputs"].items()
        live = {setting.name for setting in settings.of_role(service["role"]) if setting.live}
        assert live - {settings.PARTITIONS} == {*service["live"], *service["from_superlink"]}, "one that nobody keeps in force"
