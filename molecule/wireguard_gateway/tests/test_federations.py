# SPDX-License-Identifier: GPL-3.0-or-later
"""Two federations on the same gateways, with the same sites: both pass traffic, and neither passes the other's."""

import subprocess
import sys

import pytest

LAB = "molecule"
# The federations' SuperLinks, as addresses of zone a's front-end, which stands in the LAN.
SUPERLINKS = {"wg0": "10.10.10.5", "wg1": "10.10.10.6"}
PORT = 9092
SITES = {"b": "10.10.11", "c": "10.10.12"}
# Says the address that was dialled and the caller's.
SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 9092))
print("ready", flush=True)
while True:
    connection, caller = server.accept()
    connection.sendall(f"{connection.getsockname()[0]} {caller[0]}".encode())
    connection.close()
"""


def inside(site: str, *command: str, check: bool = True) -> str:
    """Run a command in the network of a zone's front-end."""
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{LAB}-fe-{site}", *command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def dial(site: str, address: str, port: int = PORT) -> str:
    """Return what a connection from a site's LAN hears; empty where there is none."""
    code = f"import socket; s = socket.create_connection(({address!r}, {port}), timeout=3); print(s.recv(99).decode())"
    return inside(site, sys.executable, "-c", code, check=False).strip()


@pytest.fixture(scope="module")
def superlinks():
    for address in SUPERLINKS.values():
        inside("a", "ip", "addr", "replace", f"{address}/24", "dev", "lan")
    for prefix in (*SITES.values(), "10.10.9", "10.10.19"):
        inside("a", "ip", "route", "replace", f"{prefix}.0/24", "via", "10.10.10.1")
    for site, prefix in SITES.items():
        for address in SUPERLINKS.values():
            inside(site, "ip", "route", "replace", f"{address}/32", "via", f"{prefix}.1")
    server = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{LAB}-fe-a", sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout.readline() == "ready\n"
    yield
    server.kill()
    server.wait()


def counters(host) -> dict[str, int]:
    """Return the bytes that a gateway received through each tunnel."""
    return {
        interface: sum(int(line.split("\t")[1]) for line in host.check_output(f"wg show {interface} transfer").splitlines())
        for interface in SUPERLINKS
    }


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("interface", SUPERLINKS)
def test_each_superlink_is_reached_and_answers(superlinks, site, interface):
    """The answer finds its way back to the same site through the same federation's tunnel, or there would be none."""
    assert dial(site, SUPERLINKS[interface]) == f"{SUPERLINKS[interface]} {SITES[site]}.2"


def test_each_federation_has_its_own_way(superlinks, host):
    """What one of them carries does not pass through the tunnel of the other one."""
    if host.check_output("hostname") != "gw-a":
        pytest.skip("the hub sees it all")
    big = "import socket, sys\ns = socket.create_connection((sys.argv[1], 9092)); s.close()"
    for interface, other in (("wg0", "wg1"), ("wg1", "wg0")):
        before = counters(host)
        for _ in range(60):
            inside("b", sys.executable, "-c", big, SUPERLINKS[interface])
        after = counters(host)
        # A connection costs three packets and more of some 100 bytes; keepalives and handshakes are a few hundred bytes.
        assert after[interface] - before[interface] > 60 * 3 * 60
        assert after[other] - before[other] < 60 * 60


@pytest.mark.parametrize("site", SITES)
def test_the_other_ports_stay_closed(superlinks, site):
    for address in SUPERLINKS.values():
        assert dial(site, address, 22) == ""
    assert dial(site, "10.10.10.2") == ""


def test_a_tunnel_does_not_carry_the_other_federations_addresses(superlinks, host):
    """A spoke that routes one SuperLink's address into the other tunnel is not heard at the hub."""
    if host.check_output("hostname") != "gw-b":
        pytest.skip("one spoke is enough")
    host.check_output("wg set wg0 peer $(wg show wg0 peers) allowed-ips 10.10.9.1/32,10.10.10.5/32,10.10.10.6/32")
    host.check_output("ip route replace 10.10.10.6/32 dev wg0")
    try:
        assert dial("b", SUPERLINKS["wg1"]) == ""
    finally:
        host.check_output("ip route replace 10.10.10.6/32 dev wg1")
        host.check_output("wg set wg0 peer $(wg show wg0 peers) allowed-ips 10.10.9.1/32,10.10.10.5/32")
    assert dial("b", SUPERLINKS["wg1"]) != ""
