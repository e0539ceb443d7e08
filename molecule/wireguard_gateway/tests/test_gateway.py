# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway from the inside: its tunnel, its routes, its firewall and its files."""

import ipaddress
import json
import time

import pytest

SUPERLINK, FLEET_PORT = "10.10.10.5", 9092
OVERLAY = {"gw-a": "10.10.9.1", "gw-b": "10.10.9.2", "gw-c": "10.10.9.3"}
# Behind which gateway what lies, as the one in the first column must see it.
ALLOWED = {
    "gw-a": [{"10.10.9.2/32", "10.10.11.0/24"}, {"10.10.9.3/32", "10.10.12.0/24"}],
    "gw-b": [{"10.10.9.1/32", f"{SUPERLINK}/32"}],
    "gw-c": [{"10.10.9.1/32", f"{SUPERLINK}/32"}],
}
HUB_PORT, KEEPALIVE, MTU = "51820", "25", 1420


@pytest.fixture
def name(host):
    return host.check_output("hostname")


def dump(host):
    """Read `wg show wg0 dump`: (own line, [peers' lines]), as fields."""
    own, *peers = [line.split("\t") for line in host.check_output("wg show wg0 dump").splitlines()]
    return own, peers


def test_interface(host, name):
    interface = host.interface("wg0")
    assert interface.exists
    assert OVERLAY[name] in interface.addresses
    (link,) = json.loads(host.check_output("ip -j link show wg0"))
    assert link["mtu"] == MTU and "UP" in link["flags"]


def test_peers_and_what_lies_behind_them(host, name):
    _own, peers = dump(host)
    assert sorted(map(sorted, (peer[3].split(",") for peer in peers))) == sorted(map(sorted, ALLOWED[name]))
    assert all(peer[1] != "(none)" for peer in peers), "a peer without a preshared key"
    if name != "gw-a":
        assert [(peer[2], peer[7]) for peer in peers] == [(f"203.0.113.2:{HUB_PORT}", KEEPALIVE)]
    assert len({peer[0] for peer in peers}) == len(peers)


def test_handshake_with_every_peer(host):
    deadline = time.monotonic() + 10
    while not all(int(peer[4]) for peer in dump(host)[1]):
        assert time.monotonic() < deadline, dump(host)[1]
        time.sleep(1)
    now = int(host.check_output("date +%s"))
    assert all(0 <= now - int(peer[4]) < 180 for peer in dump(host)[1])


def test_packets_pass_the_tunnel_up_to_its_mtu(host, name):
    others = [address for gateway, address in OVERLAY.items() if "gw-a" in (gateway, name) and gateway != name]
    for address in others:
        assert host.run(f"ping -c 1 -W 5 -M do -s {MTU - 28} {address}").rc == 0
    assert host.run(f"ping -c 1 -W 2 -M do -s {MTU - 27} {others[0]}").rc != 0


def test_udp_port(host, name):
    own, _peers = dump(host)
    assert host.socket(f"udp://0.0.0.0:{own[2]}").is_listening
    assert own[2] == HUB_PORT or name != "gw-a"


def test_units_start_at_boot_and_run(host):
    for unit in ("wg-quick@wg0", "oneflower-gateway@wg0", "wg-quick@wg1", "oneflower-gateway@wg1"):
        service = host.service(unit)
        assert (service.is_enabled, service.is_running) == (True, True), unit
    assert host.check_output("systemctl is-system-running --wait") == "running"

    # The firewall is in force before the tunnel is up.
    def since(unit):
        return int(host.service(unit).systemd_properties["ActiveEnterTimestampMonotonic"])

    for interface in ("wg0", "wg1"):
        assert since(f"oneflower-gateway@{interface}") < since(f"wg-quick@{interface}")


def test_routes(host, name):
    main = {route["dst"] for route in json.loads(host.check_output("ip -j route show dev wg0"))}
    peers = {network.removesuffix("/32") for peer in ALLOWED[name] for network in peer}
    if name != "gw-a":
        # The peers' tunnel addresses are reached through the overlay's own route.
        assert main - set(OVERLAY.values()) == (peers - set(OVERLAY.values())) | {"10.10.9.0/24"}
        (route,) = json.loads(host.check_output(f"ip -j route get {SUPERLINK}"))
        assert route["dev"] == "wg0"
        return
    # Two SuperLinks have the same sites: whose packet it is decides.
    assert main == {"10.10.9.0/24"}
    for source, interface in ((SUPERLINK, "wg0"), ("10.10.10.6", "wg1")):
        (route,) = json.loads(host.check_output(f"ip -j route get 10.10.11.9 from {source} iif lan"))
        assert route["dev"] == interface
    table = {route["dst"] for route in json.loads(host.check_output("ip -j route show table 151820"))}
    assert table == peers


def test_forwarding_is_on(host):
    assert host.sysctl("net.ipv4.ip_forward") == 1


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/etc/wireguard", 0o700),
        ("/etc/wireguard/wg0.conf", 0o600),
        ("/etc/wireguard/wg0.key", 0o600),
        ("/etc/oneflower/wg0.nft", 0o644),
        ("/etc/oneflower/wg0.json", 0o644),
        ("/etc/systemd/system/oneflower-gateway@wg0.service", 0o644),
    ],
)
def test_files(host, path, mode):
    file = host.file(path)
    assert (file.user, file.group, file.mode) == ("root", "root", mode)


def test_no_other_file_has_a_key(host):
    found = set(host.check_output("ls /etc/wireguard").split())
    assert found == {f"{interface}.{kind}" for interface in ("wg0", "wg1") for kind in ("conf", "key")}


def test_every_pair_and_federation_has_a_preshared_key_of_its_own(host):
    keys = [line.split("\t")[1] for line in host.check_output("wg show all preshared-keys").splitlines()]
    assert len(set(keys)) == len(keys)


def test_nobody_else_reads_a_key(host):
    for path in ("wg0.conf", "wg0.key"):
        assert host.run(f"runuser -u ansible -- cat /etc/wireguard/{path}").rc != 0


def statements(chain):
    """Return the rules of a chain as `nft -j` lists them: (what is matched, verdict)."""
    found = []
    for entry in chain:
        matched, verdict = {}, None
        for part in entry["expr"]:
            if "match" in part:
                left = part["match"]["left"]
                ((kind, what),) = left.items()  # meta, payload or ct
                matched[what["field" if kind == "payload" else "key"]] = part["match"]["right"]
            else:
                verdict = next((word for word in ("accept", "drop") if word in part), verdict)
        found.append((matched, verdict))
    return found


def test_only_the_fleet_port_of_the_superlink_passes(host, name):
    listed = json.loads(host.check_output("nft -j list table inet oneflower_wg0"))["nftables"]
    rules = statements([entry["rule"] for entry in listed if entry.get("rule", {}).get("chain") == "forward"])
    opened = [matched for matched, verdict in rules if verdict == "accept" and "state" not in matched]
    assert len(opened) == 1
    assert (opened[0]["daddr"], opened[0]["dport"]) == (SUPERLINK, FLEET_PORT)
    assert opened[0]["iifname" if name == "gw-a" else "oifname"] == "wg0"
    # What is left of either direction is dropped, after that.
    for direction in ("iifname", "oifname"):
        assert ({direction: "wg0"}, "drop") in rules
    if name == "gw-a":
        assert rules[0] == ({"iifname": "wg0", "oifname": "wg0"}, "drop"), "spokes reach each other"


def test_segments_are_clamped(host):
    rules = host.check_output("nft list chain inet oneflower_wg0 clamp")
    assert rules.count("tcp option maxseg size set rt mtu") == 2


def test_what_belongs_in_the_tunnel_never_leaves_by_another_way(host, name):
    """The rule; that it works without routes and without a tunnel is tested on the running federation."""
    listed = json.loads(host.check_output("nft -j list table inet oneflower_wg0"))["nftables"]
    rules = statements([entry["rule"] for entry in listed if entry.get("rule", {}).get("chain") == "output"])
    ((matched, verdict),) = rules
    assert (matched["oifname"], verdict) == ("wg0", "drop")
    assert 'oifname != "wg0"' in host.check_output("nft list chain inet oneflower_wg0 output")
    wanted = [ipaddress.ip_network(network) for peer in ALLOWED[name] for network in peer]
    if name == "gw-a":  # to the sites' LANs goes only what comes from the SuperLink
        wanted = [network for network in wanted if network.prefixlen == 32]
    matched_networks = matched["daddr"]
    entries = matched_networks.get("set", [matched_networks])
    covered = [piece for entry in entries for piece in networks(entry)]
    assert all(any(network.subnet_of(piece) for piece in covered) for network in wanted)
    if name == "gw-a":
        forward = statements([entry["rule"] for entry in listed if entry.get("rule", {}).get("chain") == "forward"])
        (matched,) = [matched for matched, verdict in forward if matched.get("saddr") == SUPERLINK and verdict == "drop"]
        covered = [piece for entry in matched["daddr"]["set"] for piece in networks(entry)]
        assert set(covered) == {ipaddress.ip_network("10.10.11.0/24"), ipaddress.ip_network("10.10.12.0/24")}


def networks(entry):
    """Return an element of an nft set, which may be an address, a prefix or a range, as networks."""
    if isinstance(entry, str):
        return [ipaddress.ip_network(entry)]
    if "prefix" in entry:
        return [ipaddress.ip_network(f"{entry['prefix']['addr']}/{entry['prefix']['len']}")]
    return list(ipaddress.summarize_address_range(*map(ipaddress.ip_address, entry["range"])))
