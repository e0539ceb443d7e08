# SPDX-License-Identifier: GPL-3.0-or-later
"""Each thing that is not as asked for is one difference, and what is as asked for is none."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import differences

from tests.unit.gateway.gateways import asked, fresh, key, observed

ROLES = ("hub", "spoke")


def found(options, read) -> list[str]:
    return [str(difference) for difference in differences.differences(options, read)]


@pytest.mark.parametrize("role", ROLES)
def test_a_gateway_as_asked_for_has_none(role):
    assert found(asked(role), observed(role)) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_fresh_host_gets_everything(role):
    told = found(asked(role), fresh())
    assert told[:4] == ["create package: nft", "create package: wg", "create package: wg-quick", "create federation: flower"]
    assert {"create key", "create configuration", "create firewall in the kernel", "set forwarding: off -> on"} <= set(told)
    assert not any("peer" in line for line in told), "nobody knows a peer's key yet"


def test_the_order_of_peers_and_networks_is_none():
    options = asked("hub")
    options["peers"].append({"name": "gw-c", "allowed_ips": ["10.10.12.0/24", "10.10.9.3/32"]})
    read = observed("hub", peers=options["peers"])
    read["stored"]["peers"][1]["public_key"] = read["live"]["peers"][1]["public_key"] = key(3)
    options["peers"] = [{**peer, "allowed_ips": peer["allowed_ips"][::-1]} for peer in reversed(options["peers"])]
    assert found(options, read) == []


@pytest.mark.parametrize(
    ("role", "drift", "expected"),
    [
        ("hub", lambda o: o["live"].update(mtu=1500), ["set mtu: 1500 -> 1420"]),
        ("hub", lambda o: o["stored"].update(mtu=1500), ["set mtu: 1500 -> 1420"]),
        ("hub", lambda o: o["live"].update(listen_port=4), ["set port: 4 -> 51820"]),
        ("spoke", lambda o: o["live"].update(listen_port=4), []),
        ("spoke", lambda o: o["live"].update(addresses=["10.9.9.9/24"]), ["set address: 10.9.9.9/24 -> 10.10.9.2/24"]),
        ("hub", lambda o: o["live"].update(rules=[]), ["create rule for 10.10.10.5: table 151820"]),
        (
            "hub",
            lambda o: o["live"]["rules"].append({"source": "10.10.10.5", "table": 151821}),
            ["remove rule for 10.10.10.5: table 151821"],
        ),
        ("spoke", lambda o: o["live"].update(routes=[]), ["create route 10.10.10.5/32: main table"]),
        ("hub", lambda o: o["live"]["routes"].pop(), ["create route 10.10.9.2/32: table 151820"]),
        ("hub", lambda o: o.update(live={}), ["create interface: 10.10.9.1/24"]),
        ("hub", lambda o: o.update(enabled=False), ["set interface at boot: off -> on"]),
        ("hub", lambda o: o["stored"].update(intact=False), ["set configuration files: changed by somebody else -> as planned"]),
        ("hub", lambda o: o["firewall"].update(loaded=False), ["set firewall in the kernel"]),
        ("hub", lambda o: o["firewall"].update(forwarding=False), ["set forwarding: off -> on"]),
        ("hub", lambda o: o["firewall"].update(enabled=False), ["set firewall at boot: off -> on"]),
        ("hub", lambda o: o["firewall"].update(active=False), ["set firewall service: off -> on"]),
        ("hub", lambda o: o.update(federation="other"), ["set federation: other -> flower"]),
        ("hub", lambda o: o["live"].update(public_key=key(7)), [f"set key of the running interface: {key(7)} -> {key(1)}"]),
        ("spoke", lambda o: o["live"]["peers"].clear(), ["set peer gw-a: missing -> as planned"]),
        ("spoke", lambda o: o["live"]["peers"][0].update(endpoint="203.0.113.9:4"), []),
        ("spoke", lambda o: o["live"]["peers"][0].update(endpoint=""), ["set peer gw-a: endpoint: 203.0.113.2:51820"]),
        (
            "spoke",
            lambda o: o["stored"]["peers"][0].update(endpoint="203.0.113.9:4"),
            ["set peer gw-a: endpoint: 203.0.113.9:4 -> 203.0.113.2:51820"],
        ),
        ("spoke", lambda o: o["live"]["peers"][0].update(persistent_keepalive=0), ["set peer gw-a: persistent_keepalive: 0 -> 25"]),
        ("spoke", lambda o: o["stored"]["peers"][0].update(name="gw-old"), ["set peer gw-a: name: gw-old -> gw-a"]),
        (
            "spoke",
            lambda o: o["live"]["peers"][0].update(preshared="0123"),
            ["set peer gw-a: preshared_key: another one -> shared by both ends"],
        ),
        (
            "spoke",
            lambda o: o["live"]["peers"].append({**o["live"]["peers"][0], "public_key": key(8)}),
            [f"remove peer {key(8)}"],
        ),
        (
            "hub",
            lambda o: o["stored"]["peers"].append({**o["stored"]["peers"][0], "public_key": key(8), "name": "gw-z"}),
            ["remove peer gw-z"],
        ),
    ],
)
def test_each_drift_is_told_once(role, drift, expected):
    read = observed(role)
    drift(read)
    assert found(asked(role), read) == expected


def test_other_rules_and_another_unit_are_told_by_their_sums():
    read = observed("hub")
    read["firewall"].update(rules="0" * 64, unit="")
    rules, unit = differences.differences(asked("hub"), read)
    assert (rules.kind, rules.subject, rules.old) == ("set", "firewall rules", "0" * 12)
    assert (unit.kind, unit.subject, unit.old) == ("create", "firewall unit", "")


@pytest.mark.parametrize(
    ("role", "more", "expected"),
    [
        ("spoke", {"mtu": 1370}, ["set mtu: 1420 -> 1370"]),
        ("hub", {"listen_port": 51830}, ["set port: 51820 -> 51830", "set table: 151820 -> 151830"]),
        ("spoke", {"address": "10.10.9.7/24"}, ["set address: 10.10.9.2/24 -> 10.10.9.7/24"]),
    ],
)
def test_each_change_of_the_plan_is_told_with_both_values(role, more, expected):
    told = found(asked(role, **more), observed(role))
    assert [line for line in told if "route" not in line and "rule " not in line] == expected


def test_another_port_moves_the_routes_to_its_table():
    told = found(asked("hub", listen_port=51830), observed("hub"))
    assert {"create route 10.10.11.0/24: table 151830", "remove route 10.10.11.0/24: table 151820"} <= set(told)
    assert {"create rule for 10.10.10.5: table 151830", "remove rule for 10.10.10.5: table 151820"} <= set(told)


def test_a_new_peer_is_created_and_one_that_is_not_asked_for_is_removed():
    options = asked("hub")
    (old,) = options["peers"]
    options["peers"] = [{"name": "gw-c", "public_key": key(3), "allowed_ips": ["10.10.9.3/32", "10.10.12.0/24"]}]
    told = found(options, observed("hub"))
    assert {"create peer gw-c: 10.10.12.0/24, 10.10.9.3/32", f"remove peer {old['name']}"} <= set(told)


def test_a_host_that_was_made_anew_is_the_same_peer_with_another_key():
    options = asked("hub")
    options["peers"][0].update(public_key=key(7), preshared_key=key(8))
    assert found(options, observed("hub")) == [f"set peer gw-b: public_key: {key(2)} -> {key(7)}"]


OTHER = {
    "interface": "wg1",
    "federation": "second",
    "listen_port": 51821,
    "address": "10.10.19.1/24",
    "superlink_address": "10.10.10.6",
}


def test_two_federations_with_nothing_in_common_are_no_conflict():
    assert differences.conflicts(asked("hub"), {**observed("hub"), "others": [OTHER]}) == []


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"others": [{**OTHER, "listen_port": 51820}]}, "port 51820"),
        ({"others": [{**OTHER, "address": "10.10.9.130/25"}]}, "overlay 10.10.9.0/24"),
        ({"others": [{**OTHER, "superlink_address": "10.10.10.5"}]}, "address 10.10.10.5"),
        ({"federation": "second"}, "'second'"),
        ({"foreign": True}, "/etc/wireguard/wg0.conf"),
    ],
)
def test_what_is_another_federations_is_a_conflict(more, word):
    (found,) = differences.conflicts(asked("hub"), {**observed("hub"), **more})
    assert word in found and "another" in found


@pytest.mark.parametrize("role", ROLES)
def test_a_removal_takes_everything_and_turns_forwarding_off_that_was_off(role):
    told = [str(difference) for difference in differences.removals("wg0", observed(role))]
    assert told == [
        "remove interface: wg0",
        "remove interface at boot",
        "remove configuration",
        "remove key",
        "remove firewall",
        "remove federation: flower",
        "set forwarding: on -> off",
    ]


@pytest.mark.parametrize("more", [{"others": [{"interface": "wg1"}]}, {"firewall": {"forwarding_found": True}}])
def test_forwarding_stays_for_others_and_where_it_was_on(more):
    read = observed("hub")
    read["firewall"].update(more.get("firewall", {}))
    read["others"] = more.get("others", [])
    assert "forwarding" not in {difference.subject for difference in differences.removals("wg0", read)}


def test_a_removal_leaves_what_is_not_ours():
    assert differences.removals("wg0", fresh()) == []
    read = {**fresh(), "live": observed("hub")["live"], "enabled": True}
    assert differences.removals("wg0", read) == [], "an interface that somebody made by hand"
    assert differences.removals("wg0", {**observed("hub"), "foreign": True}) == []
