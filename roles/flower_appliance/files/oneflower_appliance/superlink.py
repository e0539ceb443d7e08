# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SuperLink does at each turn of the agent: its certificate, its unit, its Fleet API, the runs it is asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from . import flower, keepalive, state_disk, superlink_state, tls
from .appliance import attributes, settings
from .appliance.flower_releases import FlowerRelease
from .flwr import Flwr
from .forget import Forgetting
from .host import GRACE_S, RECHECK_S, Host, Lasting, Report, bring_up
from .smoke.run import Runs

# The certificate runs out and files get lost, so both are looked at again this often (seconds).
APPLY_AGAIN_S = 3600.0


class SuperLink:
    """Makes its own CA and certificate, serves the Fleet API, counts its SuperNodes, runs the smoke test.

    `known` returns the VM's user attributes as OneGate last told them: a run is asked for there.
    """

    unit = flower.SUPERLINK_UNIT

    def __init__(self, host: Host, values: Mapping[str, str], release: FlowerRelease, known: Callable[[], Mapping[str, str]]):
        self._host, self._values, self._release, self._known = host, values, release, known
        self._in_force = False
        self._flwr = Flwr(host.paths, host.owner)
        self.runs = Runs(host.paths, self._flwr, host.log)
        self._forgetting = Forgetting(self._flwr, host.log, host.clock)
        self._certificate: tls.ServerCertificate | None = None
        self._named: set[str] = set()
        self._applied = -1e9
        self._checked = -1e9
        self._serving = False
        self._reason = ""
        self._state: superlink_state.State | None = None
        self._homeless = Lasting(host.clock)
        self._failing = Lasting(host.clock)
        self._listen, self._port = flower.split_address(flower.fleet_address(values, release))
        self._disk_asked = -1e9
        self._disk_missed = False

    @property
    def busy(self) -> bool:
        """Tell whether it does not serve yet, or has a run under way or nodes to forget."""
        return not self._serving or self.runs.busy or self._forgetting.busy

    @property
    def in_force(self) -> bool:
        """Tell whether it has served with the live settings as they are now."""
        return self._in_force

    def change(self, values: Mapping[str, str]) -> None:
        """Take other settings; the next turn applies them."""
        if settings.digest(settings.SUPERLINK, values) != settings.digest(settings.SUPERLINK, self._values):
            self._in_force = False
        self._values = values
        self._listen, self._port = flower.split_address(flower.fleet_address(values, self._release))
        self._applied = -1e9
        self._failing.seconds(False)

    def turn(self) -> Report:
        """Bring the SuperLink up, check that it serves, take up a run, and return what to publish."""
        host, secure = self._host, self._values[settings.TLS_ENABLED] == settings.YES
        report = Report()
        if self._values[settings.STATE_DISK] and (fault := self._disk(self._values[settings.STATE_DISK])):
            return Report({attributes.STATE: None, attributes.ENDPOINT: None}, [fault])
        found = host.addresses()
        if not found:
            lasted = self._homeless.seconds(True)
            return Report({}, ["the VM has no address on its network"] if lasted > GRACE_S else [])
        self._homeless.seconds(False)
        # At once when the VM has an address that the certificate does not name. One that went away may come back and does
        # no harm there until then.
        late = host.clock() - self._applied > APPLY_AGAIN_S
        if not host.units.processes(self.unit) or set(found) - self._named or late:
            try:
                self._apply(found, secure)
            except tls.Untrusted as error:
                return Report({}, [str(error)])
        self._check(secure)
        since = float((host.units.grpc(self.unit) or {}).get("started", 0))
        self._state = superlink_state.read(host.paths.home / self._values[settings.DATABASE], since) or self._state
        self._in_force = self._in_force or self._serving
        report.ready = self._serving
        if not self._serving and self._failing.seconds(True) > GRACE_S:
            report.faults.append(f"the SuperLink does not serve: {self._reason}{self._last_words()}")
        elif self._serving:
            self._failing.seconds(False)
        active = self._state.runs if self._state and self._serving else None
        self.runs.tick(self._known().get(attributes.RUN_REQUEST, ""), serving=self._serving, active=active)
        state = self._state or superlink_state.State({}, 0)
        unforgotten = self._forgetting.tick(self._known().get(attributes.NODES_FORGET, ""), state.nodes, serving=self._serving)
        report.faults += [unforgotten] if unforgotten else []
        lan = f"[{found[0]}]" if ":" in found[0] else found[0]
        certificate = self._certificate
        report.attributes = {
            attributes.TLS: settings.YES if secure else settings.NO,
            attributes.STATE: attributes.ON_DISK if self._values[settings.STATE_DISK] else attributes.ON_IMAGE,
            attributes.ENDPOINT: f"{lan}:{self._port}" if self._serving else None,
            attributes.NODES_ONLINE: str(sum(state.nodes.values())) if self._serving else "0",
            attributes.NODES: attributes.format_nodes(state.nodes),
            attributes.RUNS_ACTIVE: str(max(state.runs, int(self.runs.submitting))) if self._state else None,
            attributes.KEEPALIVE: self._keepalive(),
            attributes.CA_CERTIFICATE: settings.format_pem(certificate.ca_pem) if certificate else None,
            attributes.CERTIFICATE_SANS: attributes.format_names(certificate.sans) if certificate else None,
            attributes.CERTIFICATE_FINGERPRINT: certificate.fingerprint if certificate else None,
            **self.runs.attributes(),
        }
        return report

    def _disk(self, name: str) -> str:
        """Return what keeps the state disk from being in use, "" when all state lies on it; the SuperLink runs only then.

        Ends the agent once a disk came that was not there when it started: it and its view of the file systems begin anew.
        """
        host = self._host
        fault = state_disk.fault(host.paths, name)
        if not fault and (self._disk_missed or not state_disk.visible(host.paths)):
            raise SystemExit(f"the state disk {name} is mounted now; starting again with what is on it")
        self._disk_missed = bool(fault)
        if fault:
            self._serving = self._in_force = False
            if host.units.processes(self.unit):
                host.units.stop(self.unit)
            if host.clock() - self._disk_asked > RECHECK_S:
                self._disk_asked = host.clock()
                host.units.start(state_disk.UNIT)
        return fault

    def _apply(self, found: list[str], secure: bool) -> None:
        host, paths = self._host, self._host.paths
        read_by_unit: list[Path] = []
        self._certificate = None
        if secure:
            name = socket.gethostname()
            sans = ["DNS:localhost", "IP:127.0.0.1", "IP:::1", *(f"IP:{address}" for address in found), f"DNS:{name}"]
            sans += attributes.parse_names(self._values[settings.EXTRA_SAN])
            group = host.owner[1] if host.owner else os.getgid()
            self._certificate = tls.ensure(paths.state, paths.tls, sans, name, group, tls.utcnow())
            read_by_unit = [paths.tls / "ca.crt", paths.tls / "server.crt", paths.tls / "server.key"]
        self._flwr.connection(self._release.control_port, paths.tls / "ca.crt" if secure else None)
        if bring_up(host, flower.superlink(self._values, self._release, paths.tls, paths.home), read_by_unit):
            self._serving = False
        self._named = set(found)
        self._applied = host.clock()

    def _check(self, secure: bool) -> None:
        """Make a real handshake with the own Fleet port; it must present the certificate that was made."""
        if self._serving and self._host.units.processes(self.unit) and self._host.clock() - self._checked < RECHECK_S:
            return
        self._checked = self._host.clock()
        target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._listen, self._listen)
        try:
            seen = tls.handshake(target, self._port, self._certificate.ca_pem if self._certificate else None, 3.0)
        except tls.Unreachable as error:
            self._serving, self._reason = False, str(error)
            return
        made = self._certificate.fingerprint if self._certificate else ""
        running = self._host.units.grpc(self.unit) is not None or not self._release.keepalive
        self._serving = running and (not secure or seen == made)
        self._reason = "" if self._serving else "something else answers on its port"

    def _keepalive(self) -> str | None:
        state = self._host.units.grpc(self.unit)
        for server in (state or {}).get("servers", []):
            if any(address.endswith(f":{self._port}") for address in server["addresses"]):
                return keepalive.in_force(server["options"]).format()
        return None

    def _last_words(self) -> str:
        words = self._host.units.last_words(self.unit)
        return f" ({words})" if words else ""
