# SPDX-License-Identifier: GPL-3.0-or-later
import enum
import json
import os
import types

import pytest
from oneflower_appliance import keepalive


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

    def result(self):
        return types.SimpleNamespace(node_id=2**64 - 1)

    def add_done_callback(self, callback):
        callback(self)


@pytest.fixture
def grpc():
    """Make a stand-in with grpc's own signatures, which records what its constructors are given."""
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
        in_force = keepalive.in_force(written["servers"][0]["options"])
        assert in_force.format() == "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,min_interval_ms=30000"
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
        assert channel["node_id"] == "18446744073709551615"

    def test_unwritable_state_does_not_stop_flower(self, grpc, tmp_path):
        keepalive.install(grpc, 60, 20, keepalive.Recorder(tmp_path / "nowhere/grpc.json"))
        grpc.secure_channel("a:1", object())
