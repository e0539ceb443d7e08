# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's turns: what it starts, what it leaves alone, and what it tells OneGate."""

from __future__ import annotations

import base64
import json

import pytest
from oneflower_appliance import node_roles, tls
from oneflower_appliance.agent import Agent
from oneflower_appliance.onegate import GateError
from oneflower_appliance.paths import Paths

CA = base64.b64encode(tls._pem(tls.make_ca(tls.utcnow())[1])).decode()
GATE = {"VMID": "9", "ONEGATE_ENDPOINT": "http://10.10.11.2:5030"}
SUPERLINK = {**GATE, "FL_ROLE": "superlink", "FLOWER_VERSION": "1.39.0"}
SUPERNODE = {
    **GATE, "FL_ROLE": "supernode", "FL_SUPERLINK_ADDRESS": "10.10.10.5:9092", "FL_SSL_CA_CERTFILE": CA,
    "FL_PARTITION_OFFSET": "2", "FL_NUM_PARTITIONS": "4",
}  # fmt: skip


class FakeUnits:
    def __init__(self):
        self.running, self.calls, self.state = set(), [], {}

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
        return self.state.get(unit)


class FakeGate:
    def __init__(self):
        self.known, self.service_answer = {}, None

    def attributes(self):
        return dict(self.known)

    def update(self, attributes):
        self.known.update(attributes)

    def ready(self, value):
        self.known["READY"] = value

    def remove(self, name):
        del self.known[name]

    def service(self):
        if self.service_answer is None:
            raise GateError("no service yet")
        return self.service_answer


class World:
    """An agent on a made-up VM whose clock moves one second per turn."""

    def __init__(self, root):
        self.paths, self.units, self.gate, self.now, self.lines = Paths(root), FakeUnits(), FakeGate(), 1000.0, []
        self.boot()

    def boot(self):
        host = node_roles.Host(self.paths, self.units, self.lines.append, lambda: self.now, lambda: ["10.10.11.100"])
        self.agent = Agent(host, self.lines.append, "1.39.0", lambda _gate: self.gate)

    def context(self, values):
        self.paths.run.mkdir(parents=True, exist_ok=True)
        self.paths.context.unlink(missing_ok=True)
        self.paths.context.write_text(json.dumps({"values": values, "token": "t"}))
        self.agent._context_read = None

    def turns(self, count=1):
        for _turn in range(count):
            self.agent.turn()
            self.now += 1.0


@pytest.fixture
def world(tmp_path, monkeypatch):
    def handshake(host, port, ca_pem, timeout_s=5.0):
        if isinstance(found.answer, Exception):
            raise found.answer
        return found.answer

    found = World(tmp_path)
    found.answer = "ab" * 32
    monkeypatch.setattr(tls, "handshake", handshake)
    return found


def test_without_context_nothing_happens(world):
    world.turns(3)
    assert world.units.calls == [] and world.gate.known == {}


def test_bad_context_starts_nothing_and_names_every_fault(world):
    world.context({**GATE, "FL_ROLE": "supernode", "FL_LOG_LEVEL": "LOUD"})
    world.turns(2)
    assert world.units.calls == []
    for name in ("FL_LOG_LEVEL", "FL_SUPERLINK_ADDRESS", "FL_SSL_CA_CERTFILE"):
        assert name in world.gate.known["FL_ERROR"]
    assert "READY" not in world.gate.known and "FL_READY" not in world.gate.known


def test_another_version_than_the_image_holds_is_refused(world):
    world.context({**SUPERLINK, "FLOWER_VERSION": "1.38.0"})
    world.turns()
    assert world.units.calls == [] and "FLOWER_VERSION: is 1.38.0, but this image holds 1.39.0" in world.gate.known["FL_ERROR"]


def superlink_serves(world):
    fingerprint = world.gate.known.get("FL_CERT_FINGERPRINT")
    if fingerprint:
        world.answer = fingerprint
        options = {"grpc.keepalive_time_ms": 60000}
        world.units.state["flower-superlink"] = {"servers": [{"addresses": ["0.0.0.0:9092"], "options": options}]}


def test_a_superlink_is_ready_once_its_own_certificate_answers(world):
    world.context(SUPERLINK)
    world.turns(2)
    assert world.units.calls == [("start", "flower-superlink")]
    assert "READY" not in world.gate.known and "FL_ENDPOINT" not in world.gate.known
    superlink_serves(world)
    world.turns(2)
    known = world.gate.known
    assert (known["READY"], known["FL_READY"], known["FL_ENDPOINT"]) == ("YES", "YES", "10.10.11.100:9092")
    assert "IP:10.10.11.100" in known["FL_CERT_SAN"] and known["FL_KEEPALIVE"] == "time_ms=60000"
    assert "FL_ERROR" not in known


def test_the_same_context_again_restarts_nothing_and_another_restarts_once(world):
    world.context(SUPERLINK)
    world.turns(2)
    superlink_serves(world)
    world.turns(2)
    fingerprint = world.gate.known["FL_CERT_FINGERPRINT"]
    world.context(SUPERLINK)
    world.turns(3)
    world.boot()
    world.turns(3)
    assert world.units.calls == [("start", "flower-superlink")]
    world.context({**SUPERLINK, "FL_CERT_EXTRA_SAN": "IP:198.51.100.9"})
    world.turns(3)
    assert world.units.calls[1:] == [("restart", "flower-superlink")]
    assert world.gate.known["FL_CERT_FINGERPRINT"] != fingerprint
    assert "IP:198.51.100.9" in world.gate.known["FL_CERT_SAN"]


def siblings(*numbers):
    nodes = [{"deploy_id": number, "vm_info": {"VM": {"ID": str(number), "USER_TEMPLATE": {}}}} for number in numbers]
    return {"SERVICE": {"roles": [{"cardinality": len(numbers), "nodes": nodes}]}}


def test_a_supernode_starts_only_with_its_partition(world):
    world.context(SUPERNODE)
    world.turns(3)
    assert world.units.calls == [] and "FL_ERROR" not in world.gate.known
    world.gate.service_answer = siblings(8, 9)
    world.turns(2)
    assert world.units.calls == [("start", "flower-supernode")]
    assert "partition-id=3 num-partitions=4" in (world.paths.etc / "flower-supernode.args").read_text()
    assert (world.gate.known["FL_PARTITION_ID"], world.gate.known["FL_PEER_FINGERPRINT"]) == ("3", "ab" * 32)
    assert (world.paths.data / "partition-3.csv").exists()
    # Kept: another answer after a reboot changes nothing.
    world.gate.service_answer = siblings(9, 10)
    world.boot()
    world.turns(2)
    assert world.gate.known["FL_PARTITION_ID"] == "3"


def test_a_partition_beyond_the_federation_is_a_fault(world):
    world.context({**SUPERNODE, "FL_NUM_PARTITIONS": "3"})
    world.gate.service_answer = siblings(8, 9)
    world.turns(2)
    assert world.units.calls == [] and world.gate.known["FL_ERROR"].startswith("FL_NUM_PARTITIONS: ")


def test_a_certificate_that_is_not_trusted_is_told_at_once(world):
    world.gate.service_answer = siblings(9)
    world.answer = tls.Unreachable("SuperLink 10.10.10.5:9092 is not trusted: wrong CA", final=True)
    world.context(SUPERNODE)
    world.turns(2)
    assert world.units.calls == [] and "wrong CA" in world.gate.known["FL_ERROR"]
    world.answer = "ab" * 32
    world.turns(3)
    assert world.units.calls == [("start", "flower-supernode")] and "FL_ERROR" not in world.gate.known


def test_an_unreachable_superlink_is_told_only_when_it_lasts(world):
    world.gate.service_answer = siblings(9)
    world.answer = tls.Unreachable("SuperLink 10.10.10.5:9092 cannot be reached: Connection refused", final=False)
    world.context(SUPERNODE)
    world.turns(int(node_roles.GRACE_S) - 5)
    assert "FL_ERROR" not in world.gate.known
    world.turns(20)
    assert "Connection refused" in world.gate.known["FL_ERROR"] and world.units.calls == []


def test_a_supernode_is_ready_only_when_flower_itself_is_connected(world, monkeypatch):
    monkeypatch.setattr(node_roles.time, "time", lambda: 5000.0)
    world.gate.service_answer = siblings(9)
    world.context(SUPERNODE)
    channel = {"target": "10.10.10.5:9092", "options": {}, "connectivity": "READY"}
    # The channel is up and something was answered, but the node is not activated.
    channel.update(answered={"Other": 4999.0}, last_answer=4999.0)
    world.units.state["flower-supernode"] = {"channels": [channel]}
    world.turns(3)
    assert "READY" not in world.gate.known
    channel["answered"], channel["last_answer"] = {"ActivateNode": 4999.0}, 4999.0
    world.turns(2)
    assert (world.gate.known["READY"], world.gate.known["FL_READY"]) == ("YES", "YES")
    channel["connectivity"] = "TRANSIENT_FAILURE"
    world.turns(3)
    assert world.gate.known["READY"] == "YES"
    world.turns(12)
    assert (world.gate.known["READY"], world.gate.known["FL_READY"]) == ("NO", "NO")


def test_onegate_out_of_order_does_not_stop_the_work(world, monkeypatch):
    def broken():
        raise GateError("OneGate cannot be reached")

    monkeypatch.setattr(world.gate, "attributes", broken)
    world.context(SUPERLINK)
    world.turns(5)
    assert world.units.calls == [("start", "flower-superlink")]
