# SPDX-License-Identifier: GPL-3.0-or-later
"""gRPC keepalive in a Flower that sets none, and a record of what gRPC was really given.

`install` wraps `grpc.secure_channel`, `grpc.insecure_channel` and `grpc.server`: the options below replace Flower's own,
and every channel and server created is written to a state file, with its options, its connectivity, the RPCs that were
answered, the id that the SuperLink gave this node, and the TCP_USER_TIMEOUT that the kernel reports for its socket.

Option names: grpc's own strings (its C macro for the ping interval is called MIN_RECV_PING..., the string is not).
"""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
import typing as t
from collections.abc import Iterable, Mapping
from pathlib import Path

from .appliance.attributes import Keepalive

TIME = "grpc.keepalive_time_ms"
TIMEOUT = "grpc.keepalive_timeout_ms"
PERMIT = "grpc.keepalive_permit_without_calls"
MAX_PINGS = "grpc.http2.max_pings_without_data"
MIN_INTERVAL = "grpc.http2.min_ping_interval_without_data_ms"
# After an outage gRPC waits up to 120 s before it dials again; a SuperNode should be back sooner.
MAX_BACKOFF, MAX_BACKOFF_MS = "grpc.max_reconnect_backoff_ms", 5000
TCP_USER_TIMEOUT = 18  # Linux; socket.TCP_USER_TIMEOUT is not in every build

# gRPC's option and the field of Keepalive that tells it.
FIELDS = {
    TIME: "time_ms",
    TIMEOUT: "timeout_ms",
    PERMIT: "permit",
    MAX_PINGS: "max_pings",
    MIN_INTERVAL: "min_interval_ms",
}
# While nothing else changes, the time of the last answered RPC is written this often (seconds).
WRITE_EVERY_S = 2.0


def options(time_s: int, timeout_s: int, *, server: bool) -> dict[str, int]:
    """Return the gRPC options of one end: what is planned, and for a client the longest pause before it dials again."""
    planned = Keepalive.planned(time_s, timeout_s, server=server)
    chosen = {name: getattr(planned, field) for name, field in FIELDS.items() if getattr(planned, field) is not None}
    return chosen if server else {**chosen, MAX_BACKOFF: MAX_BACKOFF_MS}


def merge(given: Iterable[tuple[str, t.Any]] | None, ours: Mapping[str, int]) -> list[tuple[str, t.Any]]:
    """Return Flower's options with ours in their place."""
    return list({**dict(given or ()), **ours}.items())


def in_force(recorded: Mapping[str, t.Any], tcp_user_timeout_ms: int | None = None) -> Keepalive:
    """Return the keepalive in the recorded options of a channel or server, with what the kernel reports for its socket."""
    found = {field: recorded[name] for name, field in FIELDS.items() if isinstance(recorded.get(name), int)}
    return Keepalive(**found, tcp_user_timeout_ms=tcp_user_timeout_ms)


class Recorder:
    """The state file; safe to call from gRPC's threads, and never the cause of a failed call."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._written = 0.0
        self._state: dict[str, t.Any] = {"pid": os.getpid(), "started": time.time(), "servers": [], "channels": []}
        self.write(force=True)

    def add(self, kind: str, entry: dict[str, t.Any]) -> dict[str, t.Any]:
        """Record an entry of `kind` "servers" or "channels"; return it, to be changed and written again."""
        with self._lock:
            self._state[kind].append(entry)
        self.write(force=True)
        return entry

    def write(self, *, force: bool) -> None:
        """Write the file; without `force` only when the last time is WRITE_EVERY_S ago."""
        with self._lock:
            now = time.monotonic()
            if not force and now - self._written < WRITE_EVERY_S:
                return
            self._written = now
            temporary = self._path.with_suffix(".new")
            try:
                temporary.write_text(json.dumps(self._state))
                temporary.replace(self._path)
            except OSError:
                pass  # the agent then reports that it cannot read the state; Flower goes on


def _plain(given: Iterable[tuple[str, t.Any]]) -> dict[str, t.Any]:
    return {name: value for name, value in given if isinstance(value, (int, str))}


def socket_user_timeout(port: int) -> int | None:
    """Return TCP_USER_TIMEOUT in ms of this process's established connection to `port`, None without one."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.stat(f"/proc/self/fd/{name}").st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as copy:
                if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getpeername()[1] == port:
                    return copy.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT)
        except OSError:
            continue
    return None


def install(grpc: t.Any, time_s: int, timeout_s: int, recorder: Recorder) -> None:
    """Wrap the three constructors of the module `grpc`."""
    client, server = options(time_s, timeout_s, server=False), options(time_s, timeout_s, server=True)

    class Observer(grpc.UnaryUnaryClientInterceptor):
        def __init__(self, entry: dict[str, t.Any]):
            self.entry = entry

        def intercept_unary_unary(self, continuation: t.Any, details: t.Any, request: t.Any) -> t.Any:
            call = continuation(details, request)
            method = details.method.rsplit("/", 1)[-1]

            def done(answered: t.Any) -> None:
                code = answered.code()
                if code in (None, grpc.StatusCode.OK):
                    if method == "ActivateNode":
                        self.entry["node_id"] = str(answered.result().node_id)
                    first = method not in self.entry["answered"]
                    self.entry["answered"][method] = self.entry["last_answer"] = time.time()
                    recorder.write(force=first)
                else:
                    text = f"{method}: {code.name}: {str(answered.details())[:300]}"
                    changed = self.entry.get("last_error") != text
                    self.entry["last_error"] = text
                    recorder.write(force=changed)

            call.add_done_callback(done)
            return call

    def channel_wrapper(original: t.Any) -> t.Any:
        def wrapper(target: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
            # insecure_channel(target, options, compression); secure_channel(target, credentials, options, compression)
            position = 0 if original.__name__ == "insecure_channel" else 1
            arguments = list(args)
            if len(arguments) > position:
                merged = arguments[position] = merge(arguments[position], client)
            else:
                merged = kwargs["options"] = merge(kwargs.get("options"), client)
            channel = original(target, *arguments, **kwargs)
            entry = recorder.add("channels", {"target": target, "options": _plain(merged), "connectivity": "IDLE", "answered": {}})
            port = target.rpartition(":")[2]

            def connectivity(state: t.Any) -> None:
                entry["connectivity"] = state.name
                if state.name == "READY" and port.isdigit():
                    entry["tcp_user_timeout_ms"] = socket_user_timeout(int(port))
                recorder.write(force=True)

            channel.subscribe(connectivity)
            return grpc.intercept_channel(channel, Observer(entry))

        return wrapper

    def server_wrapper(original: t.Any) -> t.Any:
        def wrapper(thread_pool: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
            # server(thread_pool, handlers, interceptors, options, ...)
            arguments = list(args)
            if len(arguments) > 2:
                merged = arguments[2] = merge(arguments[2], server)
            else:
                merged = kwargs["options"] = merge(kwargs.get("options"), server)
            created = original(thread_pool, *arguments, **kwargs)
            entry = recorder.add("servers", {"addresses": [], "options": _plain(merged)})
            for name in ("add_secure_port", "add_insecure_port"):
                setattr(created, name, _recorded(getattr(created, name), entry, recorder))
            return created

        return wrapper

    grpc.secure_channel = channel_wrapper(grpc.secure_channel)
    grpc.insecure_channel = channel_wrapper(grpc.insecure_channel)
    grpc.server = server_wrapper(grpc.server)


def _recorded(add_port: t.Any, entry: dict[str, t.Any], recorder: Recorder) -> t.Any:
    def wrapper(address: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        port = add_port(address, *args, **kwargs)
        entry["addresses"].append(address)
        recorder.write(force=True)
        return port

    return wrapper
