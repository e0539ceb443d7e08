# SPDX-License-Identifier: GPL-3.0-or-later
"""What `wg` says is read right, and only real differences become changes."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import wireguard
from ansible_collections.oneflower.federation.plugins.module_utils.gateway.wireguard import Peer


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


HUB = {
    "name": "gw-a",
    "public_key": key(1),
    "preshared_key": key(9),
    "endpoint": "203.0.113.2:51820",
    "allowed_ips": ["10.10.9.1/32", "10.10.10.5/32"],
    "persistent_keepalive": 25,
}


def peer(**more) -> Peer:
    return wireguard.wanted_peers([{**HUB, **more}], {})[0][0]


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


def test_configuration_written_is_read_back():
    text = wireguard.render(private_key=key(5), address="10.10.9.2/24", listen_port=0, mtu=1420, peers=[peer()])
    assert wireguard.parse_configuration(text) == {"gw-a": peer()}
    assert f"PrivateKey = {key(5)}" in text and "ListenPort" not in text


def test_masked_configuration_and_repr_hold_no_secret():
    text = wireguard.render(private_key=key(5), address="10.10.9.2/24", listen_port=0, mtu=1420, peers=[peer()], mask=True)
    assert key(5) not in text and key(9) not in text and key(1) in text
    assert key(9) not in repr(peer())


def test_peer_outside_the_play_keeps_its_stored_keys():
    stored = {"gw-a": peer()}
    wanted, unknown = wireguard.wanted_peers([{**HUB, "public_key": "", "preshared_key": ""}], stored)
    assert (wanted, unknown) == ([peer()], [])


def test_peer_that_nobody_knows_is_named():
    assert wireguard.wanted_peers([{**HUB, "public_key": ""}], {}) == ([], ["gw-a"])


def changes(live_line: str | None, wanted: list[Peer], stored=None):
    live = wireguard.parse_dump(dump(*([live_line] if live_line else []))).peers
    return wireguard.peer_changes(live, wanted, {"gw-a": peer()} if stored is None else stored)


def test_nothing_to_do_when_the_interface_is_as_wanted():
    assert changes(LINE, [peer()]) == ([], [])


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


def test_routes_are_the_allowed_networks_outside_the_overlay():
    assert wireguard.wanted_routes("10.10.9.2/24", [peer()]) == {"10.10.10.5/32"}


@pytest.mark.parametrize("network", ["10.10.0.0/16", "10.10.8.0/23", "0.0.0.0/0", "fd00::/64", "::/0"])
def test_networks_wider_than_the_overlay_or_of_the_other_version_need_a_route(network):
    assert wireguard.wanted_routes("10.10.9.2/24", [peer(allowed_ips=[network, "10.10.9.0/25"])]) == {network}


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"public_key": "abc"}, "public_key"),
        ({"preshared_key": "abc"}, "preshared_key"),
        ({"allowed_ips": ["10.0.0.1/8"]}, "host bits"),
    ],
)
def test_faults_are_named(more, word):
    (fault,) = wireguard.faults([{**HUB, **more}])
    assert fault.startswith("gw-a: ") and word in fault


def test_network_of_two_peers_is_a_fault():
    assert "gw-a already" in wireguard.faults([HUB, {**HUB, "name": "gw-b", "allowed_ips": ["10.10.10.5/32"]}])[0]
