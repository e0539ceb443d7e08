# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes in a real kernel, in a network namespace that only this test has."""

import json
import subprocess

import pytest
from oneflower_appliance import routes
from oneflower_appliance.appliance import settings


class Machine:
    """A network namespace with one network, 10.10.10.0/24."""

    def __init__(self):
        self.holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", "echo up; exec sleep 600"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.log = []
        self.calls = []
        self.routes = routes.Routes(self.log.append, self.ip)

    def ip(self, *arguments):
        self.calls.append(arguments)
        enter = ["nsenter", f"--target={self.holder.pid}", "--user", "--net", "--preserve-credentials", "ip", *arguments]
        done = subprocess.run(enter, capture_output=True, text=True, check=False)
        return done.stdout, done.stderr.strip() if done.returncode else ""

    def must(self, text):
        out, fault = self.ip(*text.split())
        assert not fault, (text, fault)
        return out

    def keep(self, text):
        return self.routes.keep(settings.parse_routes(text))

    @property
    def there(self):
        found = json.loads(self.must("-N -j -4 route show table main"))
        return {entry["dst"]: (entry.get("gateway", ""), entry["protocol"]) for entry in found if entry["dst"] != "10.10.10.0/24"}


@pytest.fixture
def machine():
    made = Machine()
    if made.holder.stdout.readline() != "up\n":
        pytest.skip("no network namespaces of one's own here")
    try:
        made.must("link add nic0 type veth peer name nic1")
        made.must("link set nic1 up")
        made.must("address add 10.10.10.5/24 dev nic0")
        made.must("link set nic0 up")
        yield made
    finally:
        made.holder.kill()
        made.holder.communicate()


TWO = "10.10.9.0/24 via 10.10.10.1, 10.10.11.7/32 via 10.10.10.2"


def test_exactly_these_routes(machine):
    assert machine.keep(TWO) == []
    assert machine.there == {"10.10.9.0/24": ("10.10.10.1", "198"), "10.10.11.7": ("10.10.10.2", "198")}
    assert machine.keep("10.10.9.0/24 via 10.10.10.3") == []
    assert machine.there == {"10.10.9.0/24": ("10.10.10.3", "198")}
    assert machine.keep("") == []
    assert machine.there == {}


def test_what_vanished_is_mended(machine):
    machine.keep(TWO)
    machine.must("link set nic0 down")
    machine.must("link set nic0 up")
    assert machine.there == {}
    assert machine.keep(TWO) == []
    assert len(machine.there) == 2


def test_what_is_there_is_left_alone(machine):
    machine.keep(TWO)
    machine.calls.clear()
    assert machine.keep(TWO) == []
    assert len(machine.calls) == 1


def test_where_none_is_wanted_the_kernel_is_asked_once(machine):
    machine.keep("")
    machine.calls.clear()
    assert machine.keep("") == []
    assert machine.calls == []


def test_routes_of_an_earlier_agent_are_its_own_too(machine):
    machine.must("route add 10.10.9.0/24 via 10.10.10.1 proto 198")
    machine.keep("")
    assert machine.there == {}


def test_routes_of_others_stay(machine):
    machine.must("route add 10.10.8.0/24 via 10.10.10.1 proto static")
    machine.must("route add 10.10.9.0/24 via 10.10.10.1 proto static")
    machine.keep(TWO)
    assert machine.there["10.10.9.0/24"] == ("10.10.10.1", "4")
    machine.keep("")
    assert machine.there == {"10.10.8.0/24": ("10.10.10.1", "4"), "10.10.9.0/24": ("10.10.10.1", "4")}


def test_a_route_by_another_neighbour_is_replaced(machine):
    machine.must("route add 10.10.9.0/24 via 10.10.10.9 proto boot")
    assert machine.keep(TWO) == []
    assert machine.there["10.10.9.0/24"] == ("10.10.10.1", "198")


def test_the_vms_own_network_is_never_replaced(machine):
    (fault,) = machine.keep("10.10.10.0/24 via 10.10.9.1")
    assert fault == "the route 10.10.10.0/24 via 10.10.9.1 is not made: the VM itself is in that network"
    assert '"protocol":"2"' in machine.must("-N -j -4 route show table main").replace(" ", "")


def test_a_neighbour_that_cannot_be_reached_is_told_and_the_others_are_made(machine):
    (fault,) = machine.keep("10.10.9.0/24 via 172.16.0.1, 10.10.11.0/24 via 10.10.10.1")
    assert fault.startswith("the route 10.10.9.0/24 via 172.16.0.1 cannot be made: ")
    assert machine.there == {"10.10.11.0/24": ("10.10.10.1", "198")}


def test_ipv6(machine):
    machine.must("address add fd00:10::5/64 dev nic0 nodad")
    assert machine.keep("fd00:9::/64 via fd00:10::1") == []
    assert "fd00:9::/64" in machine.must("-6 route show")
    assert machine.keep("") == []
    assert "fd00:9::/64" not in machine.must("-6 route show")


def test_the_command_is_the_systems():
    out, fault = routes.ip("-V")
    assert out.startswith("ip utility") and not fault
    assert routes.ip("route", "get", "nonsense")[1]
