# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's decisions, with stand-ins for systemd and OneGate; the integration tests use the real ones."""

import base64
import json
import time
import types
from dataclasses import replace

import pytest
from oneflower_appliance import agent, host, superlink_state, tls
from oneflower_appliance import onegate as agent_onegate
from oneflower_appliance.appliance import flower_releases, settings
from oneflower_appliance.paths import write_atomic

from tests.unit.appliance.test_run import FakeSubmission

CA = tls.make_ca(tls.utcnow())[1].public_bytes(tls.serialization.Encoding.PEM)
CA_B64 = base64.b64encode(CA).decode()


class FakeUnits:
    def __init__(self):
        self.calls = []
        self.running = set()
        self.states = {}

    def processes(self, unit):
        return {1} if unit in self.running else set()

    def start(self, unit):
        self.calls.append(("start", unit))
        self.running.add(unit)

    def restart(self, unit):
        self.calls.append(("restart", unit))

    def stop(self, unit):
        self.calls.append(("stop", unit))
        self.running.discard(unit)

    def last_words(self, unit):
        return ""

    def grpc(self, unit):
        return self.states.get(unit)


class FakeGate:
    def __init__(self):
        self.held = {}
        self.fails = False

    def _check(self):
        if self.fails:
            raise agent.GateError("OneGate cannot be reached")

    def attributes(self):
        self._check()
        return dict(self.held)

    def update(self, attributes):
        self._check()
        self.held.update(attributes)

    def ready(self, value):
        self._check()
        self.held["READY"] = value

    def remove(self, name):
        self._check()
        del self.held[name]

    def service(self):
        self._check()
        nodes = [{"vm_info": {"VM": {"ID": vm, "USER_TEMPLATE": {}}}} for vm in ("12", "13")]
        return {"SERVICE": {"roles": [{"cardinality": 2, "nodes": nodes}]}}


class World:
    def __init__(self, paths):
        self.paths, self.units, self.gate, self.log = paths, FakeUnits(), FakeGate(), []
        self.now, self.addresses = 1000.0, ["10.10.10.5"]
        self.routes, self.unrouted = [], []
        machine = host.Host(
            paths,
            self.units,
            self.log.append,
            routes=self._keep,
            clock=lambda: self.now,
            addresses=lambda: list(self.addresses),
        )
        self.agent = agent.Agent(machine, self.log.append, "1.39.0", client=lambda _gate: self.gate)

    def _keep(self, wanted):
        self.routes = [str(route) for route in wanted]
        return list(self.unrouted)

    def context(self, **values):
        values = {"VMID": "13", "ONEGATE_ENDPOINT": "http://10.10.10.2:5030", **values}
        write_atomic(self.paths.context, json.dumps({"values": values, "token": "t"}).encode(), 0o600)

    def turn(self, number=1, seconds=1.0):
        for _number in range(number):
            self.agent.turn()
            self.now += seconds
        return self.gate.held


NODE = {
    "FL_ROLE": "supernode",
    "FL_SUPERLINK_ADDRESS": "10.10.10.5:9092",
    "FL_SSL_CA_CERTFILE": CA_B64,
    "FL_NUM_PARTITIONS": "4",
    "FL_PARTITIONS": "2-3",
}


@pytest.fixture
def world(paths):
    return World(paths)


@pytest.fixture
def handshake(monkeypatch):
    """Replace the handshake; it finds a fingerprint, or raises the exception that stands there."""
    result = {"is": "f" * 64}

    def fake(_host, _port, _ca, _timeout=5.0):
        if isinstance(result["is"], Exception):
            raise result["is"]
        return result["is"]

    monkeypatch.setattr(tls, "handshake", fake)
    return result


def connected(unit_target="10.10.10.5:9092", **changes):
    options = {"grpc.keepalive_time_ms": 60000, "grpc.keepalive_timeout_ms": 20000}
    channel = {
        "target": unit_target,
        "options": options,
        "connectivity": "READY",
        "answered": {"ActivateNode": 1},
        "last_answer": time.time(),
    }
    return {"pid": 1, "servers": [], "channels": [{**channel, **changes}]}


def test_nothing_before_context(world):
    assert world.turn(3) == {}
    assert world.units.calls == []


def test_bad_context_starts_nothing_and_names_every_fault(world):
    world.context(FL_ROLE="supernode", FL_LOG_LEVEL="LOUD")
    held = world.turn()
    assert world.units.calls == []
    for name in ("FL_SUPERLINK_ADDRESS", "FL_SSL_CA_CERTFILE", "FL_LOG_LEVEL"):
        assert name in held["FL_ERROR"]
        assert any(name in line for line in world.log)
    assert "READY" not in held


def test_bad_context_stops_nothing_that_runs(world, handshake):
    world.context(**NODE)
    world.turn()
    world.units.calls.clear()
    world.context(**{**NODE, "FL_NUM_PARTITIONS": "none"})
    held = world.turn()
    assert world.units.calls == []
    assert held["FL_ERROR"].startswith("FL_NUM_PARTITIONS")
    world.context(**NODE)
    assert "FL_ERROR" not in world.turn()


@pytest.mark.parametrize("role", ["", "gardener"])
def test_unknown_role(world, role):
    world.context(FL_ROLE=role)
    assert world.turn()["FL_ERROR"].startswith("FL_ROLE")


def test_other_version_than_the_image_holds(world):
    world.context(FL_ROLE="superlink", FLOWER_VERSION="1.38.0")
    assert world.turn()["FL_ERROR"] == "FLOWER_VERSION: is 1.38.0, but this image holds 1.39.0"
    assert world.units.calls == []


class TestSuperNode:
    def test_ready_only_when_flower_is_connected(self, world, handshake):
        world.context(**NODE)
        held = world.turn()
        assert world.units.calls == [("start", "flower-supernode")]
        assert held["FL_PARTITION_ID"] == "3"
        assert held["FL_PEER_FINGERPRINT"] == "f" * 64
        assert "READY" not in held
        world.units.states["flower-supernode"] = connected(answered={})
        assert "READY" not in world.turn()
        world.units.states["flower-supernode"] = connected()
        held = world.turn()
        assert (held["READY"], held["FL_READY"]) == ("YES", "YES")
        assert held["FL_KEEPALIVE"] == "time_ms=60000,timeout_ms=20000"
        assert (world.paths.data / "partition-3.csv").exists()

    def test_the_channel_of_another_address_does_not_count(self, world, handshake):
        world.context(**NODE)
        world.units.states["flower-supernode"] = connected("127.0.0.1:9092")
        assert "READY" not in world.turn(3)

    def test_an_old_answer_does_not_count(self, world, handshake):
        world.context(**NODE)
        world.units.states["flower-supernode"] = connected(last_answer=time.time() - 100)
        assert "READY" not in world.turn(3)

    def test_wrong_certificate_is_told_at_once_and_flower_not_started(self, world, handshake):
        handshake["is"] = tls.Unreachable(
            "SuperLink 10.10.10.5:9092 is not trusted: its certificate is not for this address", final=True
        )
        world.context(**NODE)
        assert "not for this address" in world.turn()["FL_ERROR"]
        assert world.units.calls == []
        handshake["is"] = "a" * 64
        held = world.turn()
        assert "FL_ERROR" not in held
        assert world.units.calls == [("start", "flower-supernode")]

    def test_unreachable_is_told_only_when_it_lasts(self, world, handshake):
        handshake["is"] = tls.Unreachable("SuperLink 10.10.10.5:9092 cannot be reached: no route", final=False)
        world.context(**NODE)
        assert "FL_ERROR" not in world.turn(10)
        assert "cannot be reached" in world.turn(40)["FL_ERROR"]
        assert world.units.calls == []

    def test_lost_and_found(self, world, handshake):
        world.context(**NODE)
        world.turn()
        world.units.states["flower-supernode"] = connected()
        assert world.turn()["READY"] == "YES"
        world.units.states["flower-supernode"] = connected(connectivity="TRANSIENT_FAILURE")
        handshake["is"] = tls.Unreachable("cannot be reached", final=False)
        assert world.turn(5)["READY"] == "YES"
        assert world.turn(10)["READY"] == "NO"
        world.units.states["flower-supernode"] = connected()
        handshake["is"] = "f" * 64
        assert world.turn()["READY"] == "YES"

    def test_same_context_restarts_nothing(self, world, handshake):
        world.context(**NODE)
        world.turn(2)
        world.units.calls.clear()
        world.context(**NODE)
        world.turn(20)
        assert world.units.calls == []

    @pytest.mark.parametrize(
        "change", [{"FL_GRPC_KEEPALIVE_TIME": "30"}, {"FL_SSL_CA_CERTFILE": base64.b64encode(CA + CA).decode()}]
    )
    def test_what_flower_reads_restarts_it_once(self, world, handshake, change):
        world.context(**NODE)
        world.turn(2)
        world.units.calls.clear()
        world.context(**{**NODE, **change})
        world.turn(5)
        assert world.units.calls == [("restart", "flower-supernode")]

    def test_user_attribute_does_what_context_does(self, world, handshake):
        world.context(**NODE)
        world.turn(2)
        world.units.calls.clear()
        world.gate.held["FL_GRPC_KEEPALIVE_TIME"] = "30"
        world.turn(10)
        assert world.units.calls == [("restart", "flower-supernode")]
        assert "FL_GRPC_KEEPALIVE_TIME=30\n" in (world.paths.etc / "flower-supernode.env").read_text()

    def test_not_a_ca(self, world, handshake, paths):
        key, ca = tls.make_ca(tls.utcnow())
        _key, leaf = tls.make_leaf(key, ca, ["DNS:x"], "x", tls.utcnow())
        pem = leaf.public_bytes(tls.serialization.Encoding.PEM)
        world.context(**{**NODE, "FL_SSL_CA_CERTFILE": base64.b64encode(pem).decode()})
        assert "not a CA certificate" in world.turn()["FL_ERROR"]
        assert world.units.calls == []

    def test_partition_is_kept_and_not_copied_to_another_vm(self, world, handshake):
        world.context(**NODE)
        world.turn()
        again = World(world.paths)
        again.gate.service = None
        again.context(**NODE)
        assert again.turn()["FL_PARTITION_ID"] == "3"
        other = World(world.paths)
        other.context(**{**NODE, "VMID": "12"})
        assert other.turn()["FL_PARTITION_ID"] == "2"

    def test_outside_a_service_context_says_which_partition(self, world, handshake):
        def none():
            raise agent_onegate.NoService("400 Empty or invalid SERVICE_ID", 400)

        world.gate.service = none
        world.context(**NODE)
        held = world.turn()
        assert held["FL_ERROR"] == (
            "FL_PARTITIONS: is 2-3, but this VM is in no OneFlow service and cannot know which of them is free"
        )
        assert "FL_PARTITION_ID" not in held
        assert world.units.calls == []
        world.context(**{**NODE, "FL_PARTITIONS": "2"})
        held = world.turn()
        assert (held["FL_PARTITION_ID"], held.get("FL_ERROR")) == ("2", None)
        assert world.units.calls == [("start", "flower-supernode")]

    def test_without_onegate_context_says_which_partition(self, world, handshake):
        world.context(**NODE, ONEGATE_ENDPOINT="")
        world.turn()
        assert any(line.startswith("fault: FL_PARTITIONS") and "no OneGate" in line for line in world.log)
        assert world.units.calls == []
        world.context(**{**NODE, "FL_PARTITIONS": "2"}, ONEGATE_ENDPOINT="")
        world.turn()
        assert "partition-id=2 " in (world.paths.etc / "flower-supernode.args").read_text()

    def test_onegate_that_fails_is_waited_for(self, world, handshake):
        """Only the answer that there is no service lets CONTEXT decide; a sibling might hold that partition."""

        def broken():
            raise agent.GateError("OneGate answers GET /service with 500", 500)

        world.gate.service = broken
        world.context(**NODE)
        held = world.turn(5)
        assert "FL_PARTITION_ID" not in held and "FL_ERROR" not in held
        assert "500" in world.turn(100)["FL_ERROR"]
        assert world.units.calls == []

    def test_where_all_partitions_are_held_the_vm_waits_until_the_list_grows(self, world, handshake):
        world.context(**{**NODE, "FL_PARTITIONS": "2"})
        assert "FL_ERROR" not in world.turn(10)
        held = world.turn(40)
        assert held["FL_ERROR"] == "FL_PARTITIONS: is 2, and the other VMs of the service hold all of them"
        assert world.units.calls == []
        held["FL_PARTITIONS"] = "2,7"
        held = world.turn(3)
        assert (held["FL_PARTITION_ID"], held.get("FL_ERROR")) == ("7", None)
        assert world.units.calls == [("start", "flower-supernode")]

    def test_a_vm_keeps_its_partition_whatever_the_list_becomes(self, world, handshake):
        world.context(**NODE)
        assert world.turn()["FL_PARTITION_ID"] == "3"
        world.units.states["flower-supernode"] = connected()
        world.turn()
        world.units.calls.clear()
        world.gate.held["FL_PARTITIONS"] = "8-9"
        held = world.turn(10)
        assert (held["FL_PARTITION_ID"], held["READY"], held.get("FL_ERROR")) == ("3", "YES", None)
        assert world.units.calls == []

    def test_the_node_it_is_in_the_superlink(self, world, handshake):
        world.context(**NODE)
        assert "FL_NODE_ID" not in world.turn()
        world.units.states["flower-supernode"] = connected(node_id="77")
        assert world.turn()["FL_NODE_ID"] == "77"

    def test_a_tunnel_that_is_back_is_told_at_once_and_flower_has_time(self, world, handshake):
        """What kept it from its work for an hour is not held against it while it dials again."""
        world.context(**NODE)
        world.units.states["flower-supernode"] = connected()
        world.turn(2)
        handshake["is"] = tls.Unreachable("SuperLink 10.10.10.5:9092 cannot be reached: no answer within 3 s", final=False)
        world.units.states["flower-supernode"] = connected(connectivity="TRANSIENT_FAILURE", last_error="UNAVAILABLE")
        assert "cannot be reached" in world.turn(3600)["FL_ERROR"]
        world.units.calls.clear()
        handshake["is"] = "f" * 64
        assert "FL_ERROR" not in world.turn(1)
        assert "FL_ERROR" not in world.turn(10)
        assert world.units.calls == []
        assert world.turn(50)["FL_ERROR"] == "the SuperNode does not connect: UNAVAILABLE"
        world.turn(80)
        assert world.units.calls == [("restart", "flower-supernode")]

    def test_a_new_ca_takes_the_fault_of_the_old_away_at_once(self, world, handshake):
        world.context(**NODE)
        world.units.states["flower-supernode"] = connected()
        world.turn(2)
        handshake["is"] = tls.Unreachable("not signed by the CA", final=True)
        world.units.states["flower-supernode"] = connected(connectivity="TRANSIENT_FAILURE")
        assert world.turn(3600)["FL_ERROR"] == "not signed by the CA"
        world.gate.held["FL_SSL_CA_CERTFILE"] = base64.b64encode(CA + CA).decode()
        handshake["is"] = "e" * 64
        world.units.calls.clear()
        held = world.turn(3)
        assert "FL_ERROR" not in held
        assert world.units.calls == [("restart", "flower-supernode")]
        assert "FL_ERROR" not in world.turn(10)


class TestLiveSettings:
    """What is published as in force is what Flower runs with; it is taken back before anything is changed."""

    def digest(self, **changes):
        return settings.digest("supernode", {**NODE, **changes})

    @pytest.fixture
    def node(self, world, handshake):
        """Make a SuperNode whose restarts are noted with what was published then; it connects when told to."""
        world.context(**NODE)
        world.turn()
        world.units.states["flower-supernode"] = connected()
        assert world.turn(2)["FL_SETTINGS"] == self.digest()
        world.restarts = []

        def restart(unit):
            world.restarts.append((unit, world.gate.held.get("FL_SETTINGS")))
            world.units.states[unit] = None

        world.units.restart = restart
        return world

    def test_nothing_is_in_force_before_flower_is_connected(self, world, handshake):
        world.gate.held["FL_SETTINGS"] = "of an earlier boot"
        world.context(**NODE)
        assert "FL_SETTINGS" not in world.turn(3)
        world.units.states["flower-supernode"] = connected()
        assert world.turn()["FL_SETTINGS"] == self.digest()

    @pytest.mark.parametrize(
        "change",
        [
            {"FL_GRPC_KEEPALIVE_TIME": "30"},
            {"FL_LOG_LEVEL": "DEBUG"},
            {"FL_SSL_CA_CERTFILE": base64.b64encode(CA + CA).decode()},
            {"FL_NODE_CONFIG": "rate=0.5"},
            {"FL_SUPERLINK_ADDRESS": "10.10.20.5:9092"},
        ],
    )
    def test_a_change_that_restarts(self, node, change):
        node.gate.held.update(change)
        held = node.turn(3)
        assert node.restarts == [("flower-supernode", None)]
        assert ("FL_SETTINGS" in held, held["READY"]) == (False, "NO")
        node.units.states["flower-supernode"] = connected(change.get("FL_SUPERLINK_ADDRESS", NODE["FL_SUPERLINK_ADDRESS"]))
        assert node.turn()["FL_SETTINGS"] == self.digest(**change)
        assert node.turn(20)["READY"] == "YES"
        assert len(node.restarts) == 1

    def test_a_set_of_changes_is_one_restart(self, node):
        node.gate.held.update({"FL_GRPC_KEEPALIVE_TIME": "30", "FL_LOG_LEVEL": "DEBUG", "FL_ROUTES": "10.10.9.0/24 via 10.10.10.1"})
        node.turn(20)
        assert len(node.restarts) == 1

    def test_routes_restart_nothing(self, node):
        seen = []
        withdraw = node.agent._publisher.withdraw
        node.agent._publisher.withdraw = lambda name: (seen.append(name), withdraw(name))
        node.gate.held["FL_ROUTES"] = "10.10.9.0/24 via 10.10.10.1"
        held = node.turn(3)
        assert node.routes == ["10.10.9.0/24 via 10.10.10.1"]
        assert (node.restarts, held["READY"], seen) == ([], "YES", ["FL_SETTINGS"])
        assert held["FL_SETTINGS"] == self.digest(FL_ROUTES="10.10.9.0/24 via 10.10.10.1")
        node.gate.held["FL_ROUTES"] = ""
        assert node.turn(3)["FL_SETTINGS"] == self.digest()
        assert node.routes == []

    def test_routes_that_are_not_in_the_kernel_are_not_in_force(self, node):
        node.unrouted = ["the route cannot be made"]
        node.gate.held["FL_ROUTES"] = "10.10.9.0/24 via 10.10.10.1"
        held = node.turn(10)
        assert ("FL_SETTINGS" in held, "FL_ERROR" in held, held["READY"]) == (False, False, "YES")
        assert node.turn(50)["FL_ERROR"] == "the route cannot be made"
        node.unrouted = []
        held = node.turn()
        assert ("FL_ERROR" in held, held["FL_SETTINGS"]) == (False, self.digest(FL_ROUTES="10.10.9.0/24 via 10.10.10.1"))

    def test_a_list_of_partitions_takes_nothing_back(self, node):
        node.agent._publisher.withdraw = None
        node.gate.held["FL_PARTITIONS"] = "2-9"
        held = node.turn(5)
        assert (node.restarts, held["FL_SETTINGS"]) == ([], self.digest())

    def test_a_link_that_is_lost_does_not_change_what_is_in_force(self, node, handshake):
        handshake["is"] = tls.Unreachable("cannot be reached", final=False)
        node.units.states["flower-supernode"] = connected(connectivity="TRANSIENT_FAILURE")
        held = node.turn(100)
        assert (held["READY"], held["FL_SETTINGS"]) == ("NO", self.digest())

    def test_what_does_not_work_interrupts_nothing(self, node, handshake):
        """An address that cannot be reached leaves Flower where it is, until it can."""
        handshake["is"] = tls.Unreachable("cannot be reached", final=False)
        node.gate.held["FL_SUPERLINK_ADDRESS"] = "10.10.20.5:9092"
        held = node.turn(60)
        assert (node.restarts, "FL_SETTINGS" in held, held["FL_ERROR"]) == ([], False, "cannot be reached")
        node.gate.held["FL_SUPERLINK_ADDRESS"] = NODE["FL_SUPERLINK_ADDRESS"]
        handshake["is"] = "f" * 64
        held = node.turn(3)
        assert (node.restarts, held["FL_SETTINGS"], "FL_ERROR" in held) == ([], self.digest(), False)

    def test_settings_that_wait_for_a_handshake_are_told_of(self, node, handshake):
        handshake["is"] = tls.Unreachable("cannot be reached", final=False)
        node.gate.held["FL_LOG_LEVEL"] = "DEBUG"
        assert "FL_ERROR" not in node.turn(40)
        held = node.turn(20)
        assert (held["FL_ERROR"], held["READY"], node.restarts) == ("other settings wait: cannot be reached", "YES", [])
        handshake["is"] = "f" * 64
        assert "FL_ERROR" not in node.turn(1)
        assert len(node.restarts) == 1

    def test_a_value_that_is_refused_changes_nothing(self, node):
        node.gate.held["FL_LOG_LEVEL"] = "LOUD"
        held = node.turn(3)
        assert (node.restarts, held["FL_SETTINGS"]) == ([], self.digest())
        assert "FL_LOG_LEVEL" in held["FL_ERROR"]

    def test_onegate_that_fails_delays_no_change(self, node):
        node.gate.held["FL_LOG_LEVEL"] = "DEBUG"
        node.agent._publisher.refresh()
        node.gate.fails = True
        node.turn(2)
        assert len(node.restarts) == 1
        node.units.states["flower-supernode"] = connected()
        node.gate.fails = False
        assert node.turn(10)["FL_SETTINGS"] == self.digest(FL_LOG_LEVEL="DEBUG")


class TestSuperLink:
    @pytest.fixture
    def superlink(self, world, handshake, monkeypatch):
        def served(_host, _port, _ca, _timeout=5.0):
            if "flower-superlink" not in world.units.running:
                raise tls.Unreachable("refused", final=False)
            return world.agent._role._certificate.fingerprint

        monkeypatch.setattr(tls, "handshake", served)
        world.units.states["flower-superlink"] = {
            "pid": 1,
            "channels": [],
            "servers": [{"addresses": ["0.0.0.0:9092"], "options": {"grpc.keepalive_time_ms": 60000}}],
        }
        world.context(FL_ROLE="superlink", FL_CERT_EXTRA_SAN="IP:203.0.113.2")
        return world

    def test_publishes_everything(self, superlink):
        held = superlink.turn(2)
        assert held["FL_ENDPOINT"] == "10.10.10.5:9092"
        assert held["FL_KEEPALIVE"] == "time_ms=60000"
        assert base64.b64decode(held["FL_CA_CERT"]).startswith(b"-----BEGIN CERTIFICATE")
        assert {"IP:10.10.10.5", "IP:203.0.113.2", "DNS:localhost"} <= set(held["FL_CERT_SAN"].split(","))
        assert len(held["FL_CERT_FINGERPRINT"]) == 64
        assert (held["FL_READY"], held["READY"], held["FL_TLS"], held["FL_NODES_ONLINE"]) == ("YES", "YES", "YES", "0")

    def test_its_state_goes_with_the_vm_unless_a_disk_keeps_it(self, superlink):
        assert superlink.turn(2)["FL_STATE"] == "image"

    def disk_is(self, world, fault="", **more):
        device = world.paths.state.stat().st_dev
        result = {"disk": "vdb", "fault": fault, "device": device, **more}
        world.paths.disk_result.write_text(json.dumps(result))

    def test_starts_only_with_its_state_disk(self, superlink):
        superlink.context(FL_ROLE="superlink", FL_STATE_DISK="vdb")
        self.disk_is(superlink, "/dev/vdb holds xfs and is left alone")
        held = superlink.turn(3)
        assert held["FL_ERROR"] == "FL_STATE_DISK: /dev/vdb holds xfs and is left alone"
        assert superlink.units.calls == [("start", "oneflower-state")], "the SuperLink, and no CA, before its disk"
        assert not (superlink.paths.state / "ca.key").exists() and "FL_STATE" not in held
        superlink.turn(1, seconds=20)
        superlink.turn()
        assert superlink.units.calls == [("start", "oneflower-state")] * 2
        self.disk_is(superlink)
        with pytest.raises(SystemExit, match="starting again"):
            superlink.turn()

    def test_says_that_the_disk_has_its_state(self, superlink):
        superlink.context(FL_ROLE="superlink", FL_STATE_DISK="vdb")
        self.disk_is(superlink)
        held = superlink.turn(2)
        assert (held["FL_STATE"], held["FL_READY"]) == ("disk", "YES")

    def test_a_disk_that_comes_while_it_runs_is_filled_while_it_is_stopped(self, superlink):
        assert superlink.turn(2)["FL_READY"] == "YES"
        superlink.context(FL_ROLE="superlink", FL_CERT_EXTRA_SAN="IP:203.0.113.2", FL_STATE_DISK="vdb")
        superlink.units.calls.clear()
        assert superlink.turn()["FL_READY"] == "NO"
        assert superlink.units.calls == [("stop", "flower-superlink"), ("start", "oneflower-state")]

    def test_a_view_without_the_mount_begins_anew(self, superlink):
        superlink.context(FL_ROLE="superlink", FL_STATE_DISK="vdb")
        self.disk_is(superlink, device=superlink.paths.state.stat().st_dev + 1)
        with pytest.raises(SystemExit):
            superlink.turn()
        assert superlink.units.calls == []

    def test_publishes_the_port_of_the_flower_release(self, superlink, monkeypatch):
        other = replace(flower_releases.DEFAULT, fleet_port=8000, control_port=8001)
        monkeypatch.setitem(flower_releases.KNOWN, other.version, other)
        superlink.units.states["flower-superlink"]["servers"][0]["addresses"] = ["0.0.0.0:8000"]
        held = superlink.turn(2)
        assert held["FL_ENDPOINT"] == "10.10.10.5:8000"
        assert held["FL_KEEPALIVE"] == "time_ms=60000"
        assert 'address = "127.0.0.1:8001"' in (superlink.paths.cli / "config.toml").read_text()

    def test_stale_readiness_of_an_earlier_boot_is_taken_back(self, superlink):
        superlink.gate.held = {"READY": "YES", "FL_READY": "YES"}
        superlink.units.start = lambda unit: superlink.units.calls.append(("start", unit))
        assert superlink.turn()["READY"] == "NO"

    def test_extra_name_renews_the_leaf_and_restarts(self, superlink):
        before = dict(superlink.turn(2))
        superlink.units.calls.clear()
        superlink.context(FL_ROLE="superlink", FL_CERT_EXTRA_SAN="IP:203.0.113.2,DNS:fl.example.org")
        after = superlink.turn(5)
        assert superlink.units.calls == [("restart", "flower-superlink")]
        assert "DNS:fl.example.org" in after["FL_CERT_SAN"]
        assert after["FL_CA_CERT"] == before["FL_CA_CERT"]
        assert after["FL_CERT_FINGERPRINT"] != before["FL_CERT_FINGERPRINT"]

    def test_a_new_address_is_in_the_certificate_at_once(self, superlink):
        before = dict(superlink.turn(2))
        superlink.units.calls.clear()
        superlink.addresses = ["10.10.10.5", "10.10.20.5"]
        after = dict(superlink.turn(3))
        assert superlink.units.calls == [("restart", "flower-superlink")]
        assert "IP:10.10.20.5" in after["FL_CERT_SAN"].split(",")
        assert (after["FL_CA_CERT"], after["READY"]) == (before["FL_CA_CERT"], "YES")
        assert after["FL_CERT_FINGERPRINT"] != before["FL_CERT_FINGERPRINT"]

    def test_an_address_that_comes_and_goes_restarts_nothing(self, superlink):
        superlink.addresses = ["10.10.10.5", "10.10.20.5"]
        superlink.turn(2)
        superlink.units.calls.clear()
        for addresses in (["10.10.10.5"], [], ["10.10.20.5"], ["10.10.20.5", "10.10.10.5"]):
            superlink.addresses = addresses
            superlink.turn(2)
        assert superlink.units.calls == []

    def test_another_address_instead_is_published(self, superlink):
        superlink.turn(2)
        superlink.addresses = ["10.10.30.5"]
        held = superlink.turn(3)
        assert held["FL_ENDPOINT"] == "10.10.30.5:9092"
        assert "IP:10.10.30.5" in held["FL_CERT_SAN"] and "10.10.10.5" not in held["FL_CERT_SAN"]

    def test_somebody_elses_answer_is_not_ours(self, superlink, monkeypatch):
        monkeypatch.setattr(tls, "handshake", lambda *_arguments: "0" * 64)
        held = superlink.turn(60)
        assert "READY" not in held
        assert "something else answers" in held["FL_ERROR"]

    def test_onegate_down_and_back(self, superlink):
        superlink.gate.fails = True
        superlink.turn(5)
        assert superlink.units.calls == [("start", "flower-superlink")]
        assert superlink.gate.held == {}
        assert sum("OneGate" in line for line in superlink.log) == 1
        superlink.gate.fails = False
        assert superlink.turn(6)["READY"] == "YES"

    def test_unserved_request_waits(self, superlink):
        superlink.gate.held["FL_RUN_REQUEST"] = "../../etc rounds=3"
        held = superlink.turn(8)
        assert held["FL_RUN_STATUS"] == "failed"
        assert "FL_RUN_REQUEST" in held["FL_RUN_ERROR"]

    def test_settings_are_in_force_once_it_serves(self, superlink):
        held = superlink.turn(2)
        assert held["FL_SETTINGS"] == settings.digest("superlink", {"FL_CERT_EXTRA_SAN": "IP:203.0.113.2"})
        published = []

        def restart(unit):
            published.append(held.get("FL_SETTINGS"))
            superlink.units.running.discard(unit)

        superlink.units.restart = restart
        superlink.units.start = lambda unit: None
        superlink.gate.held["FL_GRPC_KEEPALIVE_TIME"] = "30"
        held = superlink.turn(3)
        assert (published, "FL_SETTINGS" in held, held["READY"]) == ([None], False, "NO")
        superlink.units.running.add("flower-superlink")
        changed = {"FL_CERT_EXTRA_SAN": "IP:203.0.113.2", "FL_GRPC_KEEPALIVE_TIME": "30"}
        held = superlink.turn(2)
        assert (held["FL_SETTINGS"], held["READY"]) == (settings.digest("superlink", changed), "YES")

    def test_routes_and_a_longer_list_of_sites_restart_nothing(self, superlink):
        superlink.turn(2)
        superlink.units.calls.clear()
        superlink.gate.held["FL_ROUTES"] = "10.10.9.0/24 via 10.10.10.1"
        changed = {"FL_CERT_EXTRA_SAN": "IP:203.0.113.2", "FL_ROUTES": "10.10.9.0/24 via 10.10.10.1"}
        assert superlink.turn(3)["FL_SETTINGS"] == settings.digest("superlink", changed)
        assert superlink.units.calls == []

    def test_a_run_being_submitted_survives_a_changed_setting(self, superlink):
        superlink.turn(2)
        submission = FakeSubmission(json.dumps({"run-id": "77"}))
        superlink.agent._role.runs._flwr = types.SimpleNamespace(submit=lambda _app, _config: submission)
        superlink.gate.held["FL_RUN_REQUEST"] = "r1 rounds=2"
        assert superlink.turn(3)["FL_RUN_STATUS"] == "running"
        superlink.gate.held["FL_LOG_LEVEL"] = "DEBUG"
        held = superlink.turn(3)
        assert ("restart", "flower-superlink") in superlink.units.calls
        assert (held["FL_RUN_STATUS"], held.get("FL_RUN_ERROR")) == ("running", None)
        submission.done = True
        superlink.turn()
        state = {"status": "finished", "round": 2, "losses": [1, 0], "partitions": [0], "nodes": 1, "seconds": 1.0, "error": ""}
        (superlink.paths.runs / "r1.json").write_text(json.dumps(state))
        assert superlink.turn()["FL_RUN_STATUS"] == "finished"

    def test_nodes_and_runs_are_what_the_database_holds(self, superlink, monkeypatch):
        assert "FL_RUNS_ACTIVE" not in superlink.turn(2)
        state = superlink_state.State({"9": True, "70": False}, 1)
        monkeypatch.setattr(superlink_state, "read", lambda _database, _since: state)
        held = superlink.turn()
        assert (held["FL_NODES"], held["FL_NODES_ONLINE"], held["FL_RUNS_ACTIVE"]) == ("9:online,70:offline", "1", "1")

    def test_a_run_that_flower_does_not_know_yet_is_active(self, superlink, monkeypatch):
        monkeypatch.setattr(superlink_state, "read", lambda _database, _since: superlink_state.State({}, 0))
        assert superlink.turn(2)["FL_RUNS_ACTIVE"] == "0"
        submission = FakeSubmission(json.dumps({"run-id": "77"}))
        superlink.agent._role.runs._flwr = types.SimpleNamespace(submit=lambda _app, _config: submission)
        superlink.gate.held["FL_RUN_REQUEST"] = "r1 rounds=2"
        assert superlink.turn(3)["FL_RUNS_ACTIVE"] == "1"

    def test_an_address_that_comes_late_is_no_fault_of_serving(self, superlink):
        superlink.addresses = []
        assert superlink.turn(60)["FL_ERROR"] == "the VM has no address on its network"
        superlink.addresses = ["10.10.10.5"]
        superlink.units.start = lambda unit: None
        assert "FL_ERROR" not in superlink.turn(10)
