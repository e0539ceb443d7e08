# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SuperNode does at each turn of the agent: its partition, the SuperLink's certificate, its unit, its connection."""

from __future__ import annotations

import json
import time
import typing as t
from collections.abc import Callable, Mapping

from . import flower, keepalive, partition, tls
from .appliance import attributes, settings
from .appliance.flower_releases import FlowerRelease
from .host import GRACE_S, RECHECK_S, Host, Lasting, Report, bring_up
from .onegate import GateError, NoService
from .paths import write_atomic
from .smoke.rows import rows

# A SuperNode sends a heartbeat at least every 22.5 s (Flower's interval of 30 s, less its random part).
ANSWER_AGE_S = 60.0
LOST_AFTER_S = 10.0
# A SuperNode that does not connect although the SuperLink can be reached is restarted after this long.
STUCK_S = 120.0


class NoneFree(Exception):
    """The siblings hold every partition of the site; the list may grow."""


class SuperNode:
    """Holds one partition; checks the SuperLink's certificate before it connects, and tells why when it cannot."""

    unit = flower.SUPERNODE_UNIT

    def __init__(
        self,
        host: Host,
        values: Mapping[str, str],
        release: FlowerRelease,
        vm_id: str,
        service: Callable[[], dict[str, t.Any] | None],
    ):
        """Take `service`, which asks OneGate, and returns None where there is none."""
        self._host, self._values, self._release = host, values, release
        self._vm_id, self._service = vm_id, service
        self._partition: int | None = None
        self._asked = Lasting(host.clock)
        self._fingerprint: str | None = None
        self._verified = -1e9
        self._failing = Lasting(host.clock)
        self._stuck = Lasting(host.clock)
        self._lost = Lasting(host.clock)
        self._connected = False
        self._applied = False
        self._in_force = False

    @property
    def busy(self) -> bool:
        """Tell whether Flower is not connected, or not with the settings as they are now."""
        return not self._connected or not self._applied

    @property
    def in_force(self) -> bool:
        """Tell whether Flower has been connected with the live settings as they are now."""
        return self._in_force

    def change(self, values: Mapping[str, str]) -> None:
        """Take other settings; the next turn applies them, once the SuperLink can be reached with them."""
        if settings.digest(settings.SUPERNODE, values) != settings.digest(settings.SUPERNODE, self._values):
            self._in_force = False
        self._values = values
        self._applied = False
        self._verified = -1e9
        for timer in (self._asked, self._failing, self._stuck):
            timer.seconds(False)

    def turn(self) -> Report:
        """Find the partition, verify the SuperLink, bring Flower up, and return what to publish."""
        secure = self._values[settings.TLS_ENABLED] == settings.YES
        ca_pem = None
        if secure:
            try:
                ca_pem = tls.ca_bundle(self._values[settings.CA_CERTIFICATE], tls.utcnow())
            except tls.Untrusted as error:
                return Report({}, [f"{settings.CA_CERTIFICATE}: {error}"])
        if self._partition is None:
            try:
                self._partition = self._find_partition()
            except (GateError, NoneFree, ValueError) as error:
                lasted = self._asked.seconds(True)
                return Report({}, [str(error)] if lasted > GRACE_S or isinstance(error, ValueError) else [])
        report = Report(
            {
                attributes.SUPERLINK_DIALLED: self._values[settings.SUPERLINK_ADDRESS],
                attributes.PARTITION: str(self._partition),
            }
        )

        running = bool(self._host.units.processes(self.unit))
        state = self._host.units.grpc(self.unit) if running else None
        channel = self._channel(state)
        connected = self._is_connected(channel)
        fault, final = None, False
        if not connected or self._fingerprint is None or self._host.clock() - self._verified > RECHECK_S:
            fault, final = self._verify(ca_pem)
        # While the SuperLink cannot be reached with other settings, what runs goes on with those that it was started with.
        if fault is None and (not self._applied or not running) and self._apply(ca_pem, self._partition):
            connected, channel, self._connected = False, None, False
        if connected and not (fault and final):
            self._lost.seconds(False)
            self._stuck.seconds(False)
            if self._failing.seconds(fault is not None and not self._applied) > GRACE_S:
                report.faults.append(f"other settings wait: {fault}")
            self._connected = True
            self._in_force = self._in_force or self._applied
        else:
            if self._lost.seconds(True) > LOST_AFTER_S or final or not running:
                self._connected = False
            # Each cause has its own time: one that has gone is told no more, and the next is not yet.
            failing, stuck = self._failing.seconds(True), self._stuck.seconds(fault is None)
            if fault and (final or failing > GRACE_S):
                report.faults.append(fault)
            elif stuck > GRACE_S:
                report.faults.append(f"the SuperNode does not connect: {self._reason(channel)}")
            if running and stuck > STUCK_S:
                self._host.log("the SuperLink can be reached, but Flower does not come back to it: restarting " + self.unit)
                self._stuck.seconds(False)
                self._host.units.restart(self.unit)
        report.ready = self._connected
        report.attributes[attributes.NODE_ID] = channel.get("node_id") if channel else None
        report.attributes[attributes.PEER_FINGERPRINT] = self._fingerprint
        report.attributes[attributes.KEEPALIVE] = (
            keepalive.in_force(channel["options"], channel.get("tcp_user_timeout_ms")).format() if channel else None
        )
        return report

    def _find_partition(self) -> int:
        """Return the partition kept on disk, else one chosen among the siblings, and make its rows.

        Raises GateError while the siblings are not known, NoneFree while they hold all, ValueError where nothing tells this VM's.
        """
        kept = self._host.paths.state / "partition.json"
        try:
            found = json.loads(kept.read_text())
            # A disk copied into another VM must not bring its partition along.
            number = int(found["number"]) if found["vm_id"] == self._vm_id else None
        except (OSError, ValueError, KeyError, TypeError):
            number = None
        if number is None:
            number = self._choose()
            write_atomic(kept, json.dumps({"vm_id": self._vm_id, "number": number}).encode(), 0o600)
            self._host.log(f"this VM holds partition {number}")
        file = self._host.paths.data / f"partition-{number}.csv"
        if not file.exists():
            write_atomic(file, rows(number).encode(), 0o640, (0, self._host.owner[1]) if self._host.owner else None)
        return number

    def _choose(self) -> int:
        """Return a partition of the site that no sibling holds.

        A VM without siblings that OneGate could tell of holds the one that CONTEXT names, or nothing.
        """
        listed = self._values[settings.PARTITIONS]
        numbers = settings.parse_numbers(listed)
        try:
            service, why = self._service(), "has no OneGate to ask for its OneFlow service"
        except NoService:
            service, why = None, "is in no OneFlow service"
        if service is None:
            if len(numbers) == 1:
                return numbers[0]
            raise ValueError(f"{settings.PARTITIONS}: is {listed}, but this VM {why} and cannot know which of them is free")
        found = partition.siblings(service, self._vm_id)
        if found is None:
            raise GateError("OneGate does not list all VMs of this service yet")
        number = partition.choose(found[0], self._vm_id, numbers)
        if number is None:
            raise NoneFree(f"{settings.PARTITIONS}: is {listed}, and the other VMs of the service hold all of them")
        return number

    def _verify(self, ca_pem: bytes | None) -> tuple[str | None, bool]:
        """Make a handshake of our own, which tells why; return (fault or None, whether waiting cannot help)."""
        host, port = flower.split_address(self._values[settings.SUPERLINK_ADDRESS])
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
        command = flower.supernode(self._values, self._release, paths.tls, paths.data, number)
        self._applied = True
        return bring_up(self._host, command, [ca] if ca_pem is not None else [])

    def _channel(self, state: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
        channels: list[dict[str, t.Any]] = (state or {}).get("channels", [])
        for channel in channels:
            if channel["target"] == self._values[settings.SUPERLINK_ADDRESS]:
                return channel
        return None

    def _is_connected(self, channel: dict[str, t.Any] | None) -> bool:
        """Tell whether Flower's own channel is up, and the SuperLink has activated this node and answered lately."""
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
