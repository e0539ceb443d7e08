# SPDX-License-Identifier: GPL-3.0-or-later
"""What `wg` says is read right, and only real differences become changes."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import wireguard
from ansible_collections.oneflower.federation.plugins.module_utils.gateway.wireguard import Peer

from tests.unit.gateway.gateways import asked, key

HUB = {
    "name": "gw-a",
    "public_key": key(1),
    "preshared_key": key(9),
    "endpoint": "203.0.113.2:51820",
    "allowed_ips": ["10.10.9.1/32", "10.10.10.5/32"],
    "persistent_keepalive": 25,
}


def peer(**more) -> Peer:
    return wireguard.wanted_peers([{**HUB, **more}], [])[0][0]


def configuration(*peers: Peer, **more) -> wireguard.Configuration:
    return wireguard.configuration(asked("spoke", **more), peers, key(5))


def dump(*peers: str) -> str:
    return "\n".join([f"{key(5)}\t{key(6)}\t51820\toff", *peers]) + "\n"


LINE = f"{key(1)}\t{key(9)}\t203.0.113.2:51820\t10.10.9.1/32,10.10.10.5/32\t1700000000\t100\t200\t25"


def test_dump_is_read_whole():
    interface = wireguard.parse_dump(dump(LINE, f"{key(2)}\t(none)\t(none)\t(none)\t0\t0\t0\toff"))
    assert (interface.public_key, interface.listen_port) == (key(6), 51820)
    first, second = interface.peers.values()
    assert (first.endpoint, first.latest_handshake, first.persistent_keepalive) == ("203.0.113.2:51820", 1700000000, 25)
    assert (second.preshared_key, second.endpoint, second.allowed_ips) == ("", "", ())


@pytest.mark.parametrize("text", ["", "nothing\n", dump("a\tb")])
def test_dump_of_something_else_is_refused(text):
    with pytest.raises(ValueError):
        wireguard.parse_dump(text)


@pytest.mark.parametrize("role", ["hub", "spoke"])
def test_configuration_written_is_read_back(role):
    wanted = wireguard.configuration(asked(role), [peer()], key(5))
    text = wireguard.render(wanted)
    assert wireguard.parse_configuration(text) == wanted
    assert f"PrivateKey = {key(5)}" in text
    assert ("ListenPort" in text, "Table = 151820" in text) == (role == "hub", role == "hub")


def test_configuration_of_somebody_else_is_none_of_ours():
    text = "[Interface]\nPrivateKey = x\n"
    assert wireguard.parse_configuration(text) is None and not wireguard.is_ours(text)
    assert wireguard.is_ours("")


@pytest.mark.parametrize("line", ["MTU = many", "ListenPort = -1", "Table = auto"])
def test_a_configuration_that_somebody_spoilt_is_read_all_the_same(line):
    name = line.split()[0]
    text = wireguard.render(wireguard.configuration(asked("hub"), [peer()], key(5)))
    spoilt = "\n".join(line if row.startswith(f"{name} =") else row for row in text.splitlines())
    found = wireguard.parse_configuration(spoilt)
    assert found is not None and wireguard.render(found) != text


def test_the_order_of_peers_is_no_difference():
    peers = [peer(), peer(name="gw-b", public_key=key(2))]
    assert wireguard.render(configuration(*peers)) == wireguard.render(configuration(*reversed(peers)))


def test_masked_configuration_and_repr_hold_no_secret():
    wanted = configuration(peer())
    for text in (wireguard.render(wanted, mask=True), repr(wanted), repr(wireguard.masked(wanted).peers[0].preshared_key)):
        assert key(5) not in text and key(9) not in text
    assert key(1) in wireguard.render(wanted, mask=True)
    assert wireguard.masked(wanted).peers[0].preshared_key == wireguard.digest(key(9)) != ""


def test_peer_outside_the_play_keeps_its_stored_keys():
    wanted, unknown = wireguard.wanted_peers([{**HUB, "public_key": "", "preshared_key": ""}], [peer()])
    assert (wanted, unknown) == ([peer()], [])


def test_peer_that_nobody_knows_is_named():
    assert wireguard.wanted_peers([{**HUB, "public_key": ""}], []) == ([], ["gw-a"])


@pytest.mark.parametrize("given", ["", key(1)])
def test_renamed_peer_keeps_its_keys(given):
    """It is known by its key, and where its host is not in the play, by its tunnel address."""
    renamed = {**HUB, "name": "gw-new", "public_key": given, "preshared_key": ""}
    assert wireguard.wanted_peers([renamed], [peer()]) == ([peer(name="gw-new")], [])


def test_a_peers_address_does_not_bring_the_keys_of_one_that_still_has_its_name():
    other = {**HUB, "name": "gw-b", "public_key": "", "allowed_ips": ["10.10.9.1/32"]}
    stays = {**HUB, "allowed_ips": ["10.10.9.7/32"]}
    assert wireguard.wanted_peers([stays, other], [peer()])[1] == ["gw-b"]


def test_a_host_that_was_made_anew_does_not_get_the_old_preshared_key():
    (new,), _unknown = wireguard.wanted_peers([{**HUB, "public_key": key(3), "preshared_key": ""}], [peer()])
    assert (new.public_key, new.preshared_key) == (key(3), "")


def changes(live_line: str | None, wanted: list[Peer], stored=None):
    live = wireguard.parse_dump(dump(*([live_line] if live_line else []))).peers
    to_set, to_remove = wireguard.peer_changes(live, wanted, [peer()] if stored is None else stored)
    return [found for found, _names in to_set], to_remove


def test_nothing_to_do_when_the_interface_is_as_wanted():
    assert changes(LINE, [peer()]) == ([], [])


def test_another_name_is_nothing_to_the_running_interface():
    assert changes(LINE, [peer(name="gw-new")]) == ([], [])


def test_roamed_endpoint_is_left_alone():
    assert changes(LINE.replace("203.0.113.2:51820", "203.0.113.130:40000"), [peer()]) == ([], [])


@pytest.mark.parametrize(
    "line",
    [
        None,
        LINE.replace("25", "off"),
        LINE.replace("10.10.9.1/32,", ""),
        LINE.replace(key(9), key(8)),
        LINE.replace(key(9), "(none)"),
        LINE.replace("203.0.113.2:51820", "(none)"),
    ],
)
def test_every_difference_is_mended(line):
    assert changes(line, [peer()]) == ([peer()], [])


def test_new_endpoint_is_set_and_strangers_are_removed():
    moved = peer(endpoint="203.0.113.9:51820")
    assert changes(LINE, [moved]) == ([moved], [])
    assert changes(LINE, []) == ([], [key(1)])


def test_a_spokes_routes_are_the_networks_outside_the_overlay_in_the_main_table():
    assert wireguard.wanted_routes(configuration(peer())) == {("10.10.10.5/32", 0)}


@pytest.mark.parametrize("network", ["10.10.0.0/16", "10.10.8.0/23", "0.0.0.0/0"])
def test_networks_wider_than_the_overlay_need_a_route(network):
    assert wireguard.wanted_routes(configuration(peer(allowed_ips=[network, "10.10.9.0/25"]))) == {(network, 0)}


def test_a_hubs_routes_stand_in_the_table_of_its_port_which_the_superlink_alone_uses():
    wanted = wireguard.configuration(asked("hub"), [peer(allowed_ips=["10.10.9.2/32", "10.10.11.0/24"])])
    assert wireguard.wanted_routes(wanted) == {("10.10.9.2/32", 151820), ("10.10.11.0/24", 151820)}
    assert (wanted.source, wanted.table) == ("10.10.10.5", 151820)
    assert "from 10.10.10.5 lookup 151820" in wireguard.render(wanted)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"public_key": "abc"}, "public_key"),
        ({"preshared_key": "abc"}, "preshared_key"),
        ({"allowed_ips": ["10.0.0.1/8"]}, "host bits"),
        ({"allowed_ips": ["fd00::/64"]}, "fd00::"),
    ],
)
def test_faults_of_a_peer_are_named(more, word):
    (fault,) = wireguard.faults(asked("spoke", peers=[{**HUB, **more}]))
    assert fault.startswith("gw-a: ") and word in fault


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"listen_port": 0}, "listen_port"),
        ({"address": "10.10.9.1/33"}, "address"),
        ({"lan": "10.10.10.1/24"}, "lan"),
        ({"superlink_address": "superlink"}, "superlink_address"),
        ({"peers": [{**HUB, "name": "gw a"}]}, "gw a"),
    ],
)
def test_faults_of_the_gateway_are_named(more, word):
    (fault,) = wireguard.faults(asked("hub", **more))
    assert word in fault


def test_network_of_two_peers_is_a_fault():
    peers = [HUB, {**HUB, "name": "gw-b", "allowed_ips": ["10.10.10.5/32"]}]
    assert "gw-a already" in wireguard.faults(asked("spoke", peers=peers))[0]
