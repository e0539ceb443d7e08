# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SuperLink and a SuperNode do at each turn of the agent: bring their unit up, and look whether it works."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import socket
import time
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import data, flower, keepalive, nodes, partition, tls
from .appliance.flower_releases import FlowerRelease
from .onegate import GateError, NoService
from .paths import Paths, write_atomic
from .training import Flwr, Training
from .units import Units, addresses

USER = "flower"
# How often what works is checked again (seconds).
RECHECK_S = 15.0
# A SuperNode sends a heartbeat at least every 22.5 s (Flower's interval of 30 s, less its random part).
ANSWER_AGE_S = 60.0
# What may pass by itself is reported only when it lasted: FL_ERROR makes a deployment fail.
GRACE_S = 45.0
LOST_AFTER_S = 10.0
# A SuperNode that does not connect although the SuperLink can be reached is restarted after this long.
STUCK_S = 120.0


@dataclass
class Report:
    """What a turn found: user attributes (None: absent), faults, and whether the VM does its work."""

    attributes: dict[str, str | None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    ready: bool = False


@dataclass(frozen=True)
class Host:
    """What both roles work with."""

    paths: Paths
    units: Units
    log: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    addresses: Callable[[], list[str]] = addresses
    owner: tuple[int, int] | None = None  # uid and gid of the service user


def service_user() -> tuple[int, int] | None:
    """uid and gid of the service user; None when the agent does not run as root (tests)."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam(USER).pw_uid, grp.getgrnam(USER).gr_gid


class NodeRole(t.Protocol):
    unit: str

    def turn(self, attributes: Mapping[str, str]) -> Report: ...

    @property
    def busy(self) -> bool: ...


class Lasting:
    """Tells since when a condition holds."""

    def __init__(self, clock: Callable[[], float]):
        self._clock, self._since = clock, None

    def seconds(self, holds: bool) -> float:
        if not holds:
            self._since = None
            return 0.0
        if self._since is None:
            self._since = self._clock()
        return self._clock() - self._since


def bring_up(host: Host, command: flower.Command, read_by_unit: list[Path]) -> bool:
    """Write the unit's files, and start it; restart it only if something it reads at its start has changed.

    Returns whether it was started or restarted.
    """
    group = host.owner[1] if host.owner else None
    owner = None if group is None else (0, group)
    env, args = host.paths.etc / f"{command.unit}.env", host.paths.etc / f"{command.unit}.args"
    write_atomic(env, command.env_file(), 0o640, owner)
    write_atomic(args, command.args_file(), 0o640, owner)
    digest = hashlib.sha256()
    for path in [env, args, *read_by_unit]:
        content = path.read_bytes()
        digest.update(f"{path} {len(content)}\n".encode() + content)
    # In /run, so that it is gone after a boot, when the unit is not running either.
    started_with = host.paths.run / f"{command.unit}.started"
    running = bool(host.units.processes(command.unit))
    before = started_with.read_text() if started_with.exists() else ""
    if before == digest.hexdigest():
        if not running:
            host.units.start(command.unit)
        return not running
    if running:
        host.log(f"restarting {command.unit}: its configuration changed")
        host.units.restart(command.unit)
    else:
        host.log(f"starting {command.unit}")
        host.units.start(command.unit)
    write_atomic(started_with, digest.hexdigest().encode(), 0o600)
    return True


class SuperLink:
    """Makes its own CA and certificate, serves the Fleet API, counts its SuperNodes, runs the smoke test."""

    unit = "flower-superlink"

    def __init__(self, host: Host, values: Mapping[str, str], version: FlowerRelease):
        self._host, self._values, self._version = host, values, version
        uid, gid = host.owner or (None, None)
        self._flwr = Flwr(host.paths, uid, gid)
        self.training = Training(host.paths, self._flwr, host.log)
        self._certificate: tls.ServerCertificate | None = None
        self._named: set[str] = set()
        self._applied = -1e9
        self._checked = -1e9
        self._serving = False
        self._reason = ""
        self._nodes: int | None = None
        self._failing = Lasting(host.clock)
        _listen, self._port = flower.split_address(flower.fleet_address(values, version))

    @property
    def busy(self) -> bool:
        return not self._serving or self.training.busy

    def turn(self, attributes: Mapping[str, str]) -> Report:
        host, secure = self._host, self._values["FL_TLS_ENABLED"] == "YES"
        report = Report()
        found = host.addresses()
        if not found:
            lasted = self._failing.seconds(True)
            return Report({}, ["the VM has no address on its network"] if lasted > GRACE_S else [])
        # Certificates run out and files get lost, so this is looked at again now and then; at once when the VM has an address
        # that the certificate does not name. One that went away may come back and does no harm there until then.
        if not host.units.processes(self.unit) or set(found) - self._named or host.clock() - self._applied > 3600:
            try:
                self._apply(found, secure)
            except tls.Untrusted as error:
                return Report({}, [str(error)])
        self._check(secure)
        self._nodes_online()
        report.ready = self._serving
        if not self._serving and self._failing.seconds(True) > GRACE_S:
            report.faults.append(f"the SuperLink does not serve: {self._reason}{self._last_words()}")
        elif self._serving:
            self._failing.seconds(False)
        self.training.tick(attributes.get("FL_RUN_REQUEST", ""), serving=self._serving)
        lan = f"[{found[0]}]" if ":" in found[0] else found[0]
        certificate = self._certificate
        report.attributes = {
            "FL_TLS": "YES" if secure else "NO",
            "FL_ENDPOINT": f"{lan}:{self._port}" if self._serving else None,
            "FL_NODES_ONLINE": str(self._nodes) if self._serving and self._nodes is not None else "0",
            "FL_KEEPALIVE": self._keepalive(),
            "FL_CA_CERT": _base64(certificate.ca_pem) if certificate else None,
            "FL_CERT_SAN": certificate.sans if certificate else None,
            "FL_CERT_FINGERPRINT": certificate.fingerprint if certificate else None,
            **self.training.attributes(),
        }
        return report

    def _apply(self, found: list[str], secure: bool) -> None:
        host, paths = self._host, self._host.paths
        read_by_unit: list[Path] = []
        if secure:
            name = socket.gethostname()
            sans = ["DNS:localhost", "IP:127.0.0.1", "IP:::1", *(f"IP:{address}" for address in found), f"DNS:{name}"]
            sans += [entry for entry in self._values["FL_CERT_EXTRA_SAN"].split(",") if entry.strip()]
            group = host.owner[1] if host.owner else os.getgid()
            self._certificate = tls.ensure(paths.state, paths.tls, sans, name, group, tls.utcnow())
            read_by_unit = [paths.tls / "ca.crt", paths.tls / "server.crt", paths.tls / "server.key"]
        self._flwr.connection(self._version.control_port, paths.tls / "ca.crt" if secure else None)
        if bring_up(host, flower.superlink(self._values, self._version, paths.tls, paths.home), read_by_unit):
            self._serving = False
        self._named = set(found)
        self._applied = host.clock()

    def _check(self, secure: bool) -> None:
        """A real handshake with the own Fleet port; with what it must present."""
        if self._serving and self._host.units.processes(self.unit) and self._host.clock() - self._checked < RECHECK_S:
            return
        self._checked = self._host.clock()
        listen, _port = flower.split_address(flower.fleet_address(self._values, self._version))
        target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)
        try:
            seen = tls.handshake(target, self._port, self._certificate.ca_pem if self._certificate else None, 3.0)
        except tls.Unreachable as error:
            self._serving, self._reason = False, str(error)
            return
        wanted = self._certificate.fingerprint if self._certificate else ""
        running = self._host.units.grpc(self.unit) is not None or not self._version.keepalive
        self._serving = running and (not secure or seen == wanted)
        self._reason = "" if self._serving else "something else answers on its port"

    def _nodes_online(self) -> None:
        found = nodes.online(self._host.paths.home / self._values["FL_DATABASE"])
        self._nodes = found if found is not None else self._nodes

    def _keepalive(self) -> str | None:
        state = self._host.units.grpc(self.unit)
        for server in (state or {}).get("servers", []):
            if any(address.endswith(f":{self._port}") for address in server["addresses"]):
                return keepalive.describe(server["options"])
        return None

    def _last_words(self) -> str:
        words = self._host.units.last_words(self.unit)
        return f" ({words})" if words else ""


class SuperNode:
    """Holds one partition; checks the SuperLink's certificate before it connects, and tells why when it cannot."""

    unit = "flower-supernode"

    def __init__(
        self,
        host: Host,
        values: Mapping[str, str],
        version: FlowerRelease,
        vm_id: str,
        service: Callable[[], dict[str, t.Any]] | None,
        *,
        numbered: bool,
    ):
        """`service` asks OneGate, if there is one; `numbered` is whether CONTEXT itself says FL_PARTITION_OFFSET."""
        self._host, self._values, self._version = host, values, version
        self._vm_id, self._service, self._numbered = vm_id, service, numbered
        self._partition: int | None = None
        self._asked = Lasting(host.clock)
        self._fingerprint: str | None = None
        self._verified = -1e9
        self._failing = Lasting(host.clock)
        self._lost = Lasting(host.clock)
        self._connected = False
        self._applied = False

    @property
    def busy(self) -> bool:
        return not self._connected

    def turn(self, attributes: Mapping[str, str]) -> Report:
        secure = self._values["FL_TLS_ENABLED"] == "YES"
        ca_pem = None
        if secure:
            try:
                ca_pem = tls.ca_bundle(self._values["FL_SSL_CA_CERTFILE"], tls.utcnow())
            except tls.Untrusted as error:
                return Report({}, [f"FL_SSL_CA_CERTFILE: {error}"])
        faults: list[str] = []
        if self._partition is None:
            try:
                self._partition = self._find_partition()
            except (GateError, ValueError) as error:
                lasted = self._asked.seconds(True)
                return Report({}, [str(error)] if lasted > GRACE_S or isinstance(error, ValueError) else [])
        report = Report({"FL_SUPERLINK": self._values["FL_SUPERLINK_ADDRESS"], "FL_PARTITION_ID": str(self._partition)}, faults)

        running = bool(self._host.units.processes(self.unit))
        state = self._host.units.grpc(self.unit) if running else None
        channel = self._channel(state)
        connected = self._is_connected(channel)
        fault, final = None, False
        if not connected or self._fingerprint is None or self._host.clock() - self._verified > RECHECK_S:
            fault, final = self._verify(ca_pem)
        if (fault is None or running) and (not self._applied or not running) and self._apply(ca_pem, self._partition):
            connected, channel = False, None
        if connected and not (fault and final):
            self._lost.seconds(False)
            self._failing.seconds(False)
            self._connected = True
        else:
            if self._lost.seconds(True) > LOST_AFTER_S or final or not running:
                self._connected = False
            failing = self._failing.seconds(True)
            if final or failing > GRACE_S:
                report.faults.append(fault or f"the SuperNode does not connect: {self._reason(channel)}")
            if running and fault is None and failing > STUCK_S:
                self._host.log("the SuperLink can be reached, but Flower does not come back to it: restarting flower-supernode")
                self._failing.seconds(False)
                self._host.units.restart(self.unit)
        report.ready = self._connected
        report.attributes["FL_PEER_FINGERPRINT"] = self._fingerprint
        report.attributes["FL_KEEPALIVE"] = (
            keepalive.describe(channel["options"], channel.get("tcp_user_timeout_ms")) if channel else None
        )
        return report

    def _find_partition(self) -> int:
        """The partition kept on disk, else one chosen among the siblings. Raises GateError while they are not known."""
        offset, total = int(self._values["FL_PARTITION_OFFSET"]), int(self._values["FL_NUM_PARTITIONS"])
        kept = self._host.paths.state / "partition.json"
        try:
            found = json.loads(kept.read_text())
            # A disk copied into another VM must not bring its partition along.
            index = int(found["index"]) if found["vm_id"] == self._vm_id else None
        except (OSError, ValueError, KeyError, TypeError):
            index = None
        if index is None:
            index = self._choose(offset)
            write_atomic(kept, json.dumps({"vm_id": self._vm_id, "index": index}).encode(), 0o600)
            self._host.log(f"this VM holds partition {offset + index}")
        if offset + index >= total:
            raise ValueError(
                f"FL_NUM_PARTITIONS: is {total}, but this VM is number {index} of its site and would hold {offset + index}"
            )
        rows = self._host.paths.data / f"partition-{offset + index}.csv"
        if not rows.exists():
            write_atomic(rows, data.rows(offset + index).encode(), 0o640, (0, self._host.owner[1]) if self._host.owner else None)
        return offset + index

    def _choose(self, offset: int) -> int:
        """Index of this VM in its site. A VM without siblings that OneGate could tell of holds what CONTEXT says, or nothing."""
        try:
            service = self._service() if self._service else None
        except NoService:
            service = None
        if service is None:
            if self._numbered:
                return 0
            why = "is in no OneFlow service" if self._service else "has no OneGate to ask for its OneFlow service"
            raise ValueError(f"FL_PARTITION_OFFSET: has no value, but this VM {why} and cannot know which partition is free")
        found = partition.siblings(service, self._vm_id)
        if found is None:
            raise GateError("OneGate does not list all VMs of this service yet")
        return partition.choose(found[0], self._vm_id, offset)

    def _verify(self, ca_pem: bytes | None) -> tuple[str | None, bool]:
        """A handshake of our own, which tells why; (fault or None, whether waiting cannot help)."""
        host, port = flower.split_address(self._values["FL_SUPERLINK_ADDRESS"])
        try:
            self._fingerprint = tls.handshake(host, port, ca_pem, 3.0) or None
        except tls.Unreachable as error:
            if error.final:
                self._fingerprint = None
            return str(error), error.final
        self._verified = self._host.clock()
        return None, False

    def _apply(self, ca_pem: bytes | None, number: int) -> bool:
        paths = self._host.paths
        ca = paths.tls / "superlink-ca.crt"
        if ca_pem is not None:
            write_atomic(ca, ca_pem, 0o644)
        command = flower.supernode(self._values, self._version, paths.tls, paths.data, number)
        self._applied = True
        return bring_up(self._host, command, [ca] if ca_pem is not None else [])

    def _channel(self, state: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
        for channel in (state or {}).get("channels", []):
            if channel["target"] == self._values["FL_SUPERLINK_ADDRESS"]:
                return channel
        return None

    def _is_connected(self, channel: dict[str, t.Any] | None) -> bool:
        """Flower's own channel is up, and the SuperLink has activated this node and answered lately."""
        return bool(
            channel
            and channel["connectivity"] in ("READY", "IDLE")
            and "ActivateNode" in channel["answered"]
            and time.time() - channel.get("last_answer", 0) < ANSWER_AGE_S
        )

    def _reason(self, channel: dict[str, t.Any] | None) -> str:
        if channel and channel.get("last_error"):
            return str(channel["last_error"])
        return self._host.units.last_words(self.unit) or "the SuperLink does not answer Flower's calls"


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode("ascii")
