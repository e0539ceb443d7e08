# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller knows what the role would do, keys of the other ends included, and which keys the ends exchange."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import wireguard
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import gateways, plan
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.gateways import Gateway

from tests.unit.federation.test_plan import GROUPS, HOSTS
from tests.unit.gateway.gateways import asked, fresh, key, observed


def planned(role: str, **more) -> dict:
    """Return the role's variables for the hub gw-a or the spoke gw-b."""
    options = asked(role, **more)
    options["peers"] = [{"host" if name == "name" else name: value for name, value in peer.items()} for peer in options["peers"]]
    return {gateways.PREFIX + name: value for name, value in options.items()}


def read(result: dict) -> Gateway:
    return Gateway.from_result({"gateway": result})


def ends(**changed) -> dict[str, Gateway]:
    return {"gw-a": read(observed("hub")), "gw-b": read(observed("spoke")), **changed}


def told(role: str, found: Gateway, others: dict[str, Gateway], **more) -> list[str]:
    return [str(difference) for difference in gateways.differences(planned(role, **more), found, others)]


@pytest.mark.parametrize("role", ["hub", "spoke"])
@pytest.mark.parametrize("others", [ends(), {}, ends(**{"gw-a": Gateway(unread="dead"), "gw-b": Gateway(unread="dead")})])
def test_a_gateway_as_planned_has_no_difference_whoever_else_was_read(role, others):
    assert told(role, read(observed(role)), others) == []


def test_the_plan_holds_all_that_is_compared():
    made = plan.make_plan(GROUPS, HOSTS)["gateways"]
    for variables in made.values():
        assert gateways.differences(variables, read(fresh()), {})
        assert variables["wireguard_gateway_federation"] == "flower"


def test_a_peer_on_a_fresh_host_will_be_created_with_the_key_that_is_made_there():
    hub = observed("hub")
    hub["stored"]["peers"], hub["live"]["peers"] = [], []
    assert "create peer gw-b: 10.10.11.0/24, 10.10.9.2/32" in told("hub", read(hub), ends(**{"gw-b": read(fresh())}))
    assert not any("create peer" in line for line in told("hub", read(hub), {})), "nobody knows whether there will be a key"


def test_a_gateway_that_was_made_anew_gives_the_other_end_a_new_key():
    made_anew = read(fresh())
    assert told("hub", read(observed("hub")), ends(**{"gw-b": made_anew})) == [
        f"set peer gw-b: public_key: {key(2)} -> {gateways.NEW}"
    ]


def test_a_key_that_is_known_but_stored_nowhere_is_told():
    spoke = {**observed("spoke"), "public_key": key(7)}
    lines = told("hub", read(observed("hub")), ends(**{"gw-b": read(spoke)}))
    assert lines == [f"set peer gw-b: public_key: {key(2)} -> {key(7)}"]


@pytest.mark.parametrize("digest", ["", "0123456789abcdef"])
def test_ends_that_do_not_share_a_preshared_key_both_get_a_new_one(digest):
    spoke = observed("spoke")
    for where in ("stored", "live"):
        spoke[where]["peers"][0]["preshared"] = digest
    both = ends(**{"gw-b": read(spoke)})
    assert told("hub", both["gw-a"], both) == ["set peer gw-b: preshared_key: another one -> shared by both ends"]
    (line,) = told("spoke", both["gw-b"], both)
    assert line.startswith("set peer gw-a: preshared_key")


def test_a_renamed_host_changes_a_name_and_no_key():
    hub = planned("hub")
    hub["wireguard_gateway_peers"][0]["host"] = "gw-new"
    for others in ({}, {"gw-new": read(observed("spoke"))}):
        found = gateways.differences(hub, read(observed("hub")), others)
        assert [str(difference) for difference in found] == ["set peer gw-new: name: gw-b -> gw-new"]


def test_no_difference_shows_a_secret_or_a_digest():
    spoke = observed("spoke")
    spoke["live"]["peers"][0]["preshared"] = "0123456789abcdef"
    text = str(told("spoke", read(spoke), ends(**{"gw-b": read(spoke)})))
    assert "0123456789abcdef" not in text and wireguard.digest(key(9)) not in text


def test_what_the_role_would_refuse_is_told():
    assert gateways.conflicts(planned("hub"), read(observed("hub"))) == []
    (found,) = gateways.conflicts(planned("hub", federation="other"), read(observed("hub")))
    assert "'flower'" in found


def test_a_removal_of_another_federation_is_none():
    assert gateways.removals(planned("hub"), read(observed("hub")))
    assert gateways.removals(planned("hub", federation="other"), read(observed("hub"))) == []


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "not in this run"),
        ({"unread": "No route to host", "gone": True}, "No route to host"),
        ({"failed": True}, "no answer"),
    ],
)
def test_what_was_not_read_says_why(result, words):
    assert words in Gateway.from_result(result).unread


def test_ages_are_those_of_the_running_interface():
    found = read(observed("spoke"))
    assert (found.running, found.ages, found.age) == (True, (7,), 7)
    assert (read(fresh()).running, read(fresh()).age) == (False, None)
    assert Gateway.from_result({"gateway": found.as_result()}) == found


# -- the role's exchange of keys -----------------------------------------------------------------------------------------
def applied(role: str, **more) -> dict:
    """Return what the module returned on the hub gw-a or the spoke gw-b."""
    entry = observed(role)
    peers = [{name: peer[name] for name in ("name", "public_key", "preshared")} for peer in entry["stored"]["peers"]]
    return {"federation": "flower", "public_key": entry["public_key"], "peers": peers, **more}


HUB_PEERS = [{"host": "gw-b", "allowed_ips": ["10.10.9.2/32"]}]


def test_ends_that_have_everything_exchange_nothing():
    spokes = {"gw-b": {"applied": applied("spoke")}}
    assert gateways.new_preshared_keys(applied("hub"), spokes) == {}
    assert gateways.exchanged(HUB_PEERS, applied("hub"), spokes, {}) == []


@pytest.mark.parametrize(
    "other", [{}, {"applied": {}}, {"applied": applied("spoke", public_key="")}, {"applied": {"failed": True}}]
)
def test_an_end_without_a_key_or_out_of_the_run_brings_nothing(other):
    empty = applied("hub", peers=[])
    assert gateways.new_preshared_keys(empty, {"gw-b": other}) == {}
    assert gateways.exchanged(HUB_PEERS, empty, {"gw-b": other}, {}) == []


def test_an_end_of_another_federation_brings_nothing():
    other = {"gw-b": {"applied": applied("spoke", federation="other")}}
    assert gateways.exchanged(HUB_PEERS, applied("hub", peers=[]), other, {}) == []


def test_new_ends_get_each_others_keys():
    hub, spoke = applied("hub", peers=[]), applied("spoke", peers=[])
    keys = gateways.new_preshared_keys(hub, {"gw-b": {"applied": spoke}})
    assert wireguard.is_key(keys["gw-b"])
    (peer,) = gateways.exchanged(HUB_PEERS, hub, {"gw-b": {"applied": spoke}}, keys)
    assert peer == {
        "name": "gw-b",
        "allowed_ips": ["10.10.9.2/32"],
        "public_key": key(2),
        "preshared_key": keys["gw-b"],
    }
    assert gateways.new_preshared_keys(hub, {"gw-b": {"applied": spoke}}) != keys


def test_ends_whose_preshared_keys_differ_get_a_new_one_and_others_keep_theirs():
    hub = applied("hub")
    hub["peers"].append({"name": "gw-c", "public_key": key(3), "preshared": "c" * 16})
    drifted = copy.deepcopy(applied("spoke"))
    drifted["peers"][0]["preshared"] = "d" * 16
    third = {"federation": "flower", "public_key": key(3), "peers": [{"name": "gw-a", "public_key": key(1), "preshared": "c" * 16}]}
    others = {"gw-b": {"applied": drifted}, "gw-c": {"applied": third}}
    keys = gateways.new_preshared_keys(hub, others)
    assert list(keys) == ["gw-b"]
    peers = gateways.exchanged([*HUB_PEERS, {"host": "gw-c", "allowed_ips": []}], hub, others, keys)
    assert [bool(peer["preshared_key"]) for peer in peers] == [True, False]
