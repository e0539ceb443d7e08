# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition choice, Flower's arguments, keepalive options, run requests, and what is published in which order."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from oneflower_appliance import data, flower, flower_versions, keepalive, onegate, partition, training, vocabulary
from oneflower_appliance.publish import Publisher

VERSION = flower_versions.lookup("1.39.0")
TLS, HOME = Path("/etc/flower/tls"), Path("/var/lib/flower/home")


def service(*nodes, cardinality=None):
    listed = [{"deploy_id": n, "vm_info": {"VM": {"ID": str(n), "USER_TEMPLATE": t}}} for n, t in nodes]
    return {"SERVICE": {"roles": [{"name": "supernode", "cardinality": cardinality or len(nodes), "nodes": listed}]}}


def test_a_fresh_role_is_numbered_by_vm_id():
    found = partition.siblings(service((12, {}), (9, {}), (10, {})), "10")
    assert found == ({"12": "", "9": "", "10": ""}, 3)
    assert [partition.choose(found[0], vm, 4) for vm in ("9", "10", "12")] == [0, 1, 2]


@pytest.mark.parametrize("published", [{}, {"9": "4"}, {"10": "5"}, {"12": "6"}, {"9": "4", "12": "6"}])
def test_the_choice_does_not_depend_on_who_was_first(published):
    nodes = {vm: published.get(vm, "") for vm in ("9", "10", "12")}
    assert [partition.choose(nodes, vm, 4) for vm in ("9", "10", "12")] == [0, 1, 2]


def test_a_later_vm_takes_the_lowest_free_index():
    assert partition.choose({"9": "4", "12": "6", "20": ""}, "20", 4) == 1
    assert partition.choose({"9": "4", "10": "5", "20": ""}, "20", 4) == 2


def test_siblings_are_waited_for():
    assert partition.siblings(service((9, {}), cardinality=2), "9") is None
    assert partition.siblings(service((9, {})), "10") is None
    assert partition.siblings({}, "9") is None


def flags(command):
    return dict(zip(command.arguments, command.arguments[1:], strict=False))


def test_the_superlink_serves_only_the_fleet_api_to_others():
    values, faults = vocabulary.validate("superlink", {})
    assert not faults
    found = flags(flower.superlink(values, VERSION, TLS, HOME))
    assert (found["--host"], found["--fleet-api-address"]) == ("127.0.0.1", "0.0.0.0:9092")
    assert found["--ssl-keyfile"] == "/etc/flower/tls/server.key" and "--insecure" not in found


def supernode(**more):
    values, faults = vocabulary.validate("supernode", {"FL_SUPERLINK_ADDRESS": "a:9092", "FL_TLS_ENABLED": "NO", **more})
    assert not faults
    return flower.supernode(values, VERSION, TLS, Path("/data"), 3)


@pytest.mark.parametrize("value", ["", "0"])
def test_zero_retries_means_for_ever(value):
    found = flags(supernode(FL_MAX_RETRIES=value, FL_MAX_WAIT_TIME=value))
    assert "--max-retries" not in found and "--max-wait-time" not in found


def test_limits_are_passed_on():
    found = flags(supernode(FL_MAX_RETRIES="5", FL_MAX_WAIT_TIME="60"))
    assert (found["--max-retries"], found["--max-wait-time"]) == ("5", "60")


def test_node_configuration():
    found = flags(supernode(FL_NUM_PARTITIONS="4", FL_NODE_CONFIG="site=b rate=0.5"))
    assert found["--node-config"] == 'partition-id=3 num-partitions=4 data-path="/data" site="b" rate=0.5'


def test_telemetry_is_off_and_keepalive_reaches_the_process():
    environment = dict(supernode(FL_GRPC_KEEPALIVE_TIME="45").environment)
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0" and environment["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert environment["FL_GRPC_KEEPALIVE_TIME"] == "45"


def test_keepalive_replaces_what_flower_sets():
    merged = dict(keepalive.merge([("grpc.keepalive_time_ms", 210000), ("x", 1)], keepalive.options(60, 20, server=True)))
    assert merged["x"] == 1 and merged["grpc.keepalive_time_ms"] == 60000
    # A server that allows pings less often than its clients send them would cut them off.
    assert merged["grpc.http2.min_ping_interval_without_data_ms"] < 60000
    client = keepalive.options(60, 20, server=False)
    assert keepalive.describe(client, 20000) == "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,tcp_user_timeout_ms=20000"


def test_run_requests():
    assert training.parse_request("run-1") == ("run-1", 3, None)
    assert training.parse_request(" run-1  rounds=5 nodes=4") == ("run-1", 5, 4)


@pytest.mark.parametrize("text", ["../x", "a rounds=0", "a rounds=x", 'a rounds=3" evil="', "a other=1", "a" * 65])
def test_bad_run_requests(text):
    with pytest.raises(ValueError, match="FL_RUN_REQUEST"):
        training.parse_request(text)


class FakeFlwr:
    """Submits nothing; each `submit` counts."""

    def __init__(self, answer='{"run-id": "77"}'):
        self.submitted, self.answer = [], answer

    def submit(self, identifier, rounds, nodes):
        self.submitted.append((identifier, rounds, nodes))
        return self

    def poll(self):
        return 0

    def communicate(self):
        return self.answer, ""

    def status(self, run_id):
        return "", ""


@pytest.fixture
def paths(tmp_path):
    from oneflower_appliance.paths import Paths

    found = Paths(tmp_path)
    found.runs.mkdir(parents=True)
    return found


def progress(paths, name, **changes):
    import json

    state = {"round": 1, "losses": [0.5], "partitions": [1, 0], "nodes": 2, "seconds": 4.0, "error": "", "status": "running"}
    (paths.runs / f"{name}.json").write_text(json.dumps({**state, **changes}))


def test_a_request_runs_once_also_after_a_restart(paths):
    flwr = FakeFlwr()
    work = training.Training(paths, flwr, lambda _text: None)
    work.tick("r1 rounds=2", serving=False, online=2)
    assert flwr.submitted == [] and work.attributes() == {}
    work.tick("r1 rounds=2", serving=True, online=2)
    assert flwr.submitted == [("r1", 2, 2)] and work.attributes()["FL_RUN_STATUS"] == "running"
    work.tick("r1 rounds=2", serving=True, online=2)
    progress(paths, "r1")
    work.tick("r1 rounds=2", serving=True, online=2)
    assert (work.attributes()["FL_RUN_ROUND"], work.attributes()["FL_RUN_PARTITIONS"]) == ("1", "0,1")
    progress(paths, "r1", round=2, losses=[0.5, 0.1], status="finished")
    work.tick("r1 rounds=2", serving=True, online=2)
    assert work.attributes()["FL_RUN_STATUS"] == "finished" and work.attributes()["FL_RUN_LOSS"] == "0.500000,0.100000"
    again = training.Training(paths, flwr, lambda _text: None)
    again.tick("r1 rounds=2", serving=True, online=2)
    assert len(flwr.submitted) == 1 and again.attributes() == work.attributes()
    again.tick("r2", serving=True, online=2)
    assert flwr.submitted[1:] == [("r2", 3, 2)]


def test_a_refused_submission_fails_with_its_text(paths):
    work = training.Training(paths, FakeFlwr("no such app"), lambda _text: None)
    for _turn in range(2):
        work.tick("r1", serving=True, online=1)
    assert work.attributes()["FL_RUN_STATUS"] == "failed" and "no such app" in work.attributes()["FL_RUN_ERROR"]


def test_updates_hold_no_character_that_onegate_rewrites():
    value = 'a,b=c [d] \\ "e" <f> & é'
    body = onegate.encode({"FL_ERROR": value})
    assert not set(b',=[]\\"') & set(body.replace(b"&#", b""))
    assert ElementTree.fromstring(body).findtext("FL_ERROR") == value
    with pytest.raises(ValueError):
        onegate.encode({"A><B": "x"})


class FakeGate:
    def __init__(self, **known):
        self.known, self.calls = known, []

    def attributes(self):
        return dict(self.known)

    def update(self, attributes):
        self.calls.append(("update", dict(attributes)))

    def ready(self, value):
        self.calls.append(("ready", value))

    def remove(self, name):
        self.calls.append(("remove", name))


def test_ready_comes_last_and_only_once():
    gate = FakeGate(FL_ERROR="old")
    publisher = Publisher(gate)
    for _turn in range(2):
        publisher.publish({"FL_ENDPOINT": "10.10.10.5:9092", "FL_ERROR": None}, ready=True)
    assert gate.calls == [
        ("update", {"FL_ENDPOINT": "10.10.10.5:9092"}),
        ("remove", "FL_ERROR"),
        ("update", {"FL_READY": "YES"}),
        ("ready", "YES"),
    ]


def test_before_it_is_ready_nothing_says_ready():
    gate = FakeGate()
    Publisher(gate).publish({"FL_ERROR": "FL_ROLE: is missing"}, ready=False)
    assert gate.calls == [("update", {"FL_ERROR": "FL_ROLE: is missing"})]


def test_ready_is_taken_back_first():
    gate = FakeGate(READY="YES", FL_READY="YES")
    Publisher(gate).publish({"FL_ERROR": "gone"}, ready=False)
    assert gate.calls == [("update", {"FL_READY": "NO"}), ("ready", "NO"), ("update", {"FL_ERROR": "gone"})]


def test_the_data_of_a_partition_is_its_own_and_always_the_same():
    first = data.rows(2)
    assert first == data.rows(2) != data.rows(3)
    assert {line.split(",")[0] for line in first.splitlines()[1:]} == {"2"}
