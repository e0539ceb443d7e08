# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: one loop that turns CONTEXT into running Flower and reports through OneGate.

Nothing in it waits for long; every turn looks at what is, does the next thing, and publishes what changed.
"""

from __future__ import annotations

import json
import subprocess
import time
import typing as t
from collections.abc import Callable, Mapping

from . import context, flower
from .appliance import attributes, flower_releases, settings
from .host import GRACE_S, Host, Lasting, Report, Role, service_user
from .onegate import GateError, OneGate
from .paths import Paths, write_atomic
from .publish import GateClient, Publisher
from .routes import Routes
from .superlink import SuperLink
from .supernode import SuperNode
from .units import Units

TURN_BUSY_S, TURN_S = 0.5, 1.0
# How often OneGate is asked for the VM's user attributes: while something is under way, and otherwise.
POLL_BUSY_S, POLL_S = 1.0, 2.0
# After OneGate failed, it is left alone for this long.
GATE_PAUSE_S = 3.0


class Agent:
    """The loop's state; `turn` is called every half or whole second, `client` makes the OneGate client (another in tests)."""

    def __init__(
        self,
        host: Host,
        log: Callable[[str], None],
        installed_version: str,
        client: Callable[[context.Gate], GateClient] = OneGate,
    ):
        self._host, self._log, self._installed, self._client = host, log, installed_version, client
        self._context: dict[str, str] = {}
        self._context_read: tuple[float, int] | None = None
        self._publisher: Publisher | None = None
        self._gate_client: GateClient | None = None
        self._polled = -1e9
        self._gate_pause = -1e9
        self._gate_fault = ""
        self._latest_file = host.paths.state / "latest.json"
        self._values: dict[str, str] | None = None
        self._role: Role | None = None
        self._role_of: tuple[str, str] | None = None
        self._routes_fail = Lasting(host.clock)
        self._faults: list[str] = []

    def turn(self) -> None:
        """Read what may have changed, do the next thing, and publish what is new."""
        if not self._read_context():
            return
        self._poll()
        report = self._work()
        if report.faults != self._faults:
            for fault in report.faults:
                self._log(f"fault: {fault}")
            if self._faults and not report.faults:
                self._log("no fault any more")
            self._faults = list(report.faults)
        self._publish(report)

    def _read_context(self) -> bool:
        try:
            found = self._host.paths.context.stat()
            stamp = (found.st_mtime, found.st_ino)
            if stamp != self._context_read:
                content = json.loads(self._host.paths.context.read_text())
                self._context_read = stamp
                self._context = content["values"]
                self._log("CONTEXT read")
                gate = context.gate(self._context, content["token"])
                self._gate_client = self._client(gate) if gate else None
                self._publisher = Publisher(self._gate_client) if self._gate_client else None
                if gate is None:
                    self._log('no OneGate: CONTEXT has no ONEGATE_ENDPOINT, VMID and token (TOKEN="YES"); nothing is published')
                self._polled = self._gate_pause = -1e9
        except (OSError, ValueError, KeyError):
            return False
        return True

    def _poll(self) -> None:
        if self._publisher is None or self._host.clock() < self._gate_pause:
            return
        if self._host.clock() - self._polled < (POLL_BUSY_S if self.busy else POLL_S) - TURN_BUSY_S / 2:
            return
        try:
            self._publisher.refresh()
            self._polled = self._host.clock()
            self._gate_works()
        except GateError as error:
            self._gate_failed(error)

    @property
    def busy(self) -> bool:
        """Tell whether something is under way that somebody waits for."""
        return bool(self._faults) or self._role is None or self._role.busy

    def _known(self) -> Mapping[str, str]:
        """Return the VM's user attributes as OneGate last told them."""
        return (self._publisher.known if self._publisher else None) or {}

    def _work(self) -> Report:
        values, faults = self._effective()
        if faults:
            # Start nothing and stop nothing: what runs goes on with what it was started with.
            role = self._context.get(settings.ROLE)
            report = Report({attributes.PUBLISHED_VERSION: self._installed}, faults)
            if role in settings.ROLES:
                report.attributes[settings.ROLE] = role
            if self._role is None:
                report.attributes[attributes.SETTINGS_DIGEST] = None
            return report
        taken = self._take(values)
        unrouted = self._host.routes(settings.parse_routes(values[settings.ROUTES]))
        lasted = self._routes_fail.seconds(bool(unrouted))
        try:
            report = taken.turn()
        except (OSError, subprocess.SubprocessError) as error:
            report = Report({}, [f"the appliance cannot do its work: {error}"])
        # At boot the network may come up later than the agent.
        report.faults += unrouted if lasted > GRACE_S else []
        in_force = taken.in_force and not unrouted
        report.attributes.update(
            {
                settings.ROLE: values[settings.ROLE],
                attributes.PUBLISHED_VERSION: self._installed,
                attributes.SETTINGS_DIGEST: settings.digest(values[settings.ROLE], values) if in_force else None,
            }
        )
        return report

    def _take(self, values: dict[str, str]) -> Role:
        """Return the role with these settings: the one there is, so that it forgets nothing, or else a new one."""
        before, self._values = self._values, values
        role_of = (values[settings.ROLE], self._context.get(context.VM_ID, ""))
        if self._role is None or role_of != self._role_of:
            self._role, self._role_of = self._make_role(values), role_of
            for unit in {flower.SUPERLINK_UNIT, flower.SUPERNODE_UNIT} - {self._role.unit}:
                if self._host.units.processes(unit):
                    self._host.units.stop(unit)
        elif before != values:
            name = values[settings.ROLE]
            if before is None or settings.digest(name, before) != settings.digest(name, values):
                # Before anything is done, so that nobody takes the digest of the former settings for that of the next.
                self._withdraw(attributes.SETTINGS_DIGEST)
            self._role.change(values)
        return self._role

    def _effective(self) -> tuple[dict[str, str], list[str]]:
        """Return the settings in force and their faults: CONTEXT with what was changed later through user attributes."""
        try:
            before = json.loads(self._latest_file.read_text())
        except (OSError, ValueError):
            before = {}
        if before.get("vm_id") != self._context.get(context.VM_ID):
            before = {}
        known = self._publisher.known if self._publisher else None
        latest = context.latest(before, self._context, known)
        clean, faults = settings.validate(self._context.get(settings.ROLE, ""), {**self._context, **latest["values"]})
        if not faults and clean[settings.VERSION] != self._installed:
            faults = [f"{settings.VERSION}: is {clean[settings.VERSION]}, but this image holds {self._installed}"]
        if not faults:
            try:
                flower_releases.lookup(clean[settings.VERSION])
            except ValueError as error:
                faults = [f"{settings.VERSION}: {error}"]
        entry = {"vm_id": self._context.get(context.VM_ID), **latest}
        if entry != before:
            write_atomic(self._latest_file, json.dumps(entry, sort_keys=True).encode(), 0o600)
        return clean, faults

    def _make_role(self, values: Mapping[str, str]) -> Role:
        release = flower_releases.lookup(values[settings.VERSION])
        if values[settings.ROLE] == settings.SUPERLINK:
            return SuperLink(self._host, values, release, self._known)
        return SuperNode(self._host, values, release, self._context.get(context.VM_ID, ""), self._service)

    def _service(self) -> dict[str, t.Any] | None:
        """Ask OneGate for the VM's OneFlow service; None where there is no OneGate. Raises GateError."""
        return self._gate_client.service() if self._gate_client else None

    def _withdraw(self, name: str) -> None:
        if self._publisher is None:
            return
        try:
            self._publisher.withdraw(name)
        except GateError as error:
            self._publisher.known = None
            self._gate_failed(error)

    def _publish(self, report: Report) -> None:
        if self._publisher is None or self._host.clock() < self._gate_pause:
            return
        report.attributes[attributes.ERROR] = "; ".join(report.faults) or None
        try:
            self._publisher.publish(report.attributes, ready=report.ready)
            self._gate_works()
        except GateError as error:
            self._publisher.known = None
            self._gate_failed(error)

    def _gate_works(self) -> None:
        if self._gate_fault:
            self._log("OneGate answers again")
            self._gate_fault = ""

    def _gate_failed(self, error: GateError) -> None:
        self._gate_pause = self._host.clock() + GATE_PAUSE_S
        if str(error) != self._gate_fault:
            self._gate_fault = str(error)
            self._log(self._gate_fault)


def run(paths: Paths, installed_version: str) -> None:
    """Run the unit's main loop."""

    def log(text: str) -> None:
        print(text, flush=True)

    host = Host(paths, Units(paths), log, routes=Routes(log).keep, owner=service_user())
    agent = Agent(host, log, installed_version)
    while True:
        started = time.monotonic()
        agent.turn()
        time.sleep(max(0.1, (TURN_BUSY_S if agent.busy else TURN_S) - (time.monotonic() - started)))
