# SPDX-License-Identifier: GPL-3.0-or-later
import base64
import enum
import json
import os
import sqlite3
import types
from pathlib import Path

import pytest
from oneflower_appliance import data, flower, keepalive, nodes
from oneflower_appliance.appliance import flower_releases, settings

VERSION = flower_releases.lookup("1.39.0")
PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()


def supernode(**more):
    values, faults = settings.validate("supernode", {"FL_SUPERLINK_ADDRESS": "10.1.1.5:9092", "FL_SSL_CA_CERTFILE": PEM, **more})
    assert not faults
    return flower.supernode(values, VERSION, Path("/tls"), Path("/data"), 3)


def superlink(**more):
    values, faults = settings.validate("superlink", more)
    assert not faults
    return flower.superlink(values, VERSION, Path("/tls"), Path("/home"))


def after(command, flag):
    return command.arguments[command.arguments.index(flag) + 1]


def test_superlink_keeps_control_on_loopback():
    command = superlink()
    assert after(command, "--host") == "127.0.0.1"
    assert after(command, "--port") == "8000"
    assert after(command, "--fleet-api-address") == "0.0.0.0:9092"
    assert after(command, "--database") == "/home/state.db"
    assert "--insecure" not in command.arguments
    assert "--disable-runtime-dependency-installation" in command.arguments


def test_tls_off_is_said_at_both_ends():
    assert "--insecure" in superlink(FL_TLS_ENABLED="NO").arguments
    assert "--ssl-keyfile" not in superlink(FL_TLS_ENABLED="NO").arguments
    assert "--insecure" in supernode(FL_TLS_ENABLED="NO").arguments
    assert "--root-certificates" not in supernode(FL_TLS_ENABLED="NO").arguments


def test_supernode():
    command = supernode(FL_NUM_PARTITIONS="4", FL_NODE_CONFIG="site=b rate=0.5")
    assert after(command, "--node-config") == 'partition-id=3 num-partitions=4 data-path="/data" site="b" rate=0.5'
    assert after(command, "--host") == "127.0.0.1"
    assert after(command, "--root-certificates") == "/tls/superlink-ca.crt"
    assert command.args_file().decode().splitlines() == list(command.arguments)


@pytest.mark.parametrize(("value", "given"), [("", False), ("0", False), ("5", True)])
def test_zero_retries_means_for_ever(value, given):
    assert ("--max-retries" in supernode(FL_MAX_RETRIES=value).arguments) is given
    assert ("--max-wait-time" in supernode(FL_MAX_WAIT_TIME=value).arguments) is given


def test_environment():
    text = superlink(FL_LOG_LEVEL="DEBUG", FL_GRPC_KEEPALIVE_TIME="30").env_file().decode()
    for line in ("FLWR_LOG_LEVEL=DEBUG", "FLWR_TELEMETRY_ENABLED=0", "FLWR_DISABLE_UPDATE_CHECK=1", "FL_GRPC_KEEPALIVE_TIME=30"):
        assert line in text.splitlines()


class FakeChannel:
    def __init__(self):
        self.subscribed = []

    def subscribe(self, callback):
        self.subscribed.append(callback)


class FakeServer:
    def add_secure_port(self, address, credentials):
        return int(address.rpartition(":")[2])

    add_insecure_port = add_secure_port


class FakeCall:
    def __init__(self, code, details=""):
        self._code, self._details = code, details

    def code(self):
        return self._code

    def details(self):
        return self._details

    def add_done_callback(self, callback):
        callback(self)


@pytest.fixture
def grpc():
    """A stand-in with grpc's own signatures; records what its constructors are given."""
    seen = {}

    def secure_channel(target, credentials, options=None, compression=None):
        seen["channel"] = (target, options)
        return seen.setdefault("made", FakeChannel())

    def insecure_channel(target, options=None, compression=None):
        seen["channel"] = (target, options)
        return FakeChannel()

    def server(thread_pool, handlers=None, interceptors=None, options=None, maximum_concurrent_rpcs=None):
        seen["server"] = options
        return FakeServer()

    def intercept_channel(channel, interceptor):
        seen["interceptor"] = interceptor
        return channel

    return types.SimpleNamespace(
        secure_channel=secure_channel,
        insecure_channel=insecure_channel,
        server=server,
        intercept_channel=intercept_channel,
        UnaryUnaryClientInterceptor=object,
        StatusCode=enum.Enum("StatusCode", "OK UNAVAILABLE"),
        seen=seen,
    )


class TestKeepalive:
    def test_names_are_those_grpc_has(self):
        server = keepalive.options(60, 20, server=True)
        assert server["grpc.http2.min_ping_interval_without_data_ms"] == 30000
        assert server["grpc.keepalive_time_ms"] == 60000
        assert server["grpc.keepalive_timeout_ms"] == 20000
        client = keepalive.options(60, 20, server=False)
        assert "grpc.http2.min_ping_interval_without_data_ms" not in client
        assert client["grpc.keepalive_permit_without_calls"] == server["grpc.keepalive_permit_without_calls"] == 1
        assert client["grpc.http2.max_pings_without_data"] == server["grpc.http2.max_pings_without_data"] == 0

    def test_client_and_server_get_them_and_the_state_says_so(self, grpc, tmp_path):
        state = tmp_path / "grpc.json"
        keepalive.install(grpc, 60, 20, keepalive.Recorder(state))
        grpc.secure_channel("10.1.1.5:9092", object(), options=[("grpc.keepalive_time_ms", 210000), ("grpc.max_x", 7)])
        assert dict(grpc.seen["channel"][1])["grpc.keepalive_time_ms"] == 60000
        assert dict(grpc.seen["channel"][1])["grpc.max_x"] == 7
        server = grpc.server(object(), options=[("grpc.keepalive_permit_without_calls", 0)])
        assert dict(grpc.seen["server"])["grpc.keepalive_permit_without_calls"] == 1
        server.add_secure_port("0.0.0.0:9092", None)
        written = json.loads(state.read_text())
        assert written["pid"] == os.getpid()
        assert written["servers"][0]["addresses"] == ["0.0.0.0:9092"]
        assert keepalive.describe(written["servers"][0]["options"]) == (
            "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,min_interval_ms=30000"
        )
        assert written["channels"][0]["target"] == "10.1.1.5:9092"

    def test_positional_options(self, grpc, tmp_path):
        keepalive.install(grpc, 30, 10, keepalive.Recorder(tmp_path / "grpc.json"))
        grpc.insecure_channel("a:1", [("x", 1)])
        assert dict(grpc.seen["channel"][1]) == {"x": 1, **keepalive.options(30, 10, server=False)}
        grpc.secure_channel("a:1", object(), None)
        assert dict(grpc.seen["channel"][1]) == keepalive.options(30, 10, server=False)

    def test_answers_errors_and_connectivity(self, grpc, tmp_path):
        state = tmp_path / "grpc.json"
        keepalive.install(grpc, 60, 20, keepalive.Recorder(state))
        grpc.secure_channel("a:1", object())
        call = types.SimpleNamespace(method="/flwr.proto.Fleet/ActivateNode")
        observe = grpc.seen["interceptor"].intercept_unary_unary
        observe(lambda _details, _request: FakeCall(grpc.StatusCode.UNAVAILABLE, "no route"), call, None)
        assert json.loads(state.read_text())["channels"][0]["last_error"] == "ActivateNode: UNAVAILABLE: no route"
        assert not json.loads(state.read_text())["channels"][0]["answered"]
        observe(lambda _details, _request: FakeCall(grpc.StatusCode.OK), call, None)
        grpc.seen["made"].subscribed[0](types.SimpleNamespace(name="READY"))
        channel = json.loads(state.read_text())["channels"][0]
        assert channel["connectivity"] == "READY"
        assert "ActivateNode" in channel["answered"]

    def test_unwritable_state_does_not_stop_flower(self, grpc, tmp_path):
        keepalive.install(grpc, 60, 20, keepalive.Recorder(tmp_path / "nowhere/grpc.json"))
        grpc.secure_channel("a:1", object())


def test_data_is_deterministic_and_of_one_feature_only():
    assert data.rows(3) == data.rows(3) != data.rows(4)
    lines = data.rows(3).splitlines()
    assert lines[0] == "feature,x,y"
    assert {line.split(",")[0] for line in lines[1:]} == {"3"}


def test_nodes_online(tmp_path):
    database = tmp_path / "state.db"
    assert nodes.online(database) is None
    assert not database.exists()
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE node (node_id INTEGER, status TEXT, online_until REAL)")
    connection.executemany("INSERT INTO node VALUES (?, ?, ?)", [(1, "online", 200), (2, "online", 50), (3, "offline", 200)])
    connection.commit()
    assert nodes.online(database, now=100) == 1
