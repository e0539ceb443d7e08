# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest doubles: what publishes in a fleet as VMs of the appliance would. TEST DOUBLES: no Flower and no guest is behind them.

What a VM says, how it reads CONTEXT and settings, how it takes its partition and how it talks to OneGate is the appliance's own
code; only Flower is played. A SuperNode counts as connected when it was given the SuperLink's address and CA certificate.
"""

from __future__ import annotations

import logging
import sys
import threading
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.zone.hypervisor import Machine, NullHypervisor
from lab.zone.server import Zone

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "flower_appliance" / "files"))

from oneflower_appliance import context, partition, tls  # noqa: E402
from oneflower_appliance.appliance import attributes, settings  # noqa: E402
from oneflower_appliance.onegate import GateError, OneGate  # noqa: E402
from oneflower_appliance.publish import Publisher  # noqa: E402

log = logging.getLogger("fleet.guests")
TURN_S = 0.2


@dataclass(frozen=True)
class SuperLink:
    """The SuperLink that the guests play: what it serves at `address`, and its certificate."""

    address: str
    certificate: tls.ServerCertificate


class Guest:
    """One VM: its CONTEXT, its OneGate, and what it has published."""

    def __init__(self, machine: Machine, superlink: SuperLink) -> None:
        self.context = context.parse_shell(machine.context["context.sh"].decode())
        gate = context.gate(self.context, machine.context["token.txt"].decode().strip())
        if gate is None:
            raise ValueError(f"{machine.name} has no OneGate")
        self.vm_id = str(machine.vm_id)
        self.gate = OneGate(gate)
        self.publisher = Publisher(self.gate)
        self.superlink = superlink
        self.role = self.context[settings.ROLE]
        self.seen: t.Any = None  # the user attributes at the last turn, as the zone keeps them
        self.ready = False
        self._latest: dict[str, dict[str, str]] = {}
        self._partition: int | None = None

    def turn(self, online: int) -> None:
        """Read the settings and publish. Raises GateError."""
        self._latest = context.latest(self._latest, self.context, self.publisher.refresh())
        values, faults = settings.validate(self.role, {**self.context, **self._latest["values"]})
        found: dict[str, str | None] = {
            settings.ROLE: self.role,
            attributes.PUBLISHED_VERSION: values.get(settings.VERSION),
            attributes.ERROR: "; ".join(faults) or None,
        }
        ready = not faults
        if ready:
            server = self.role == settings.SUPERLINK
            ready = self._serve(values, online, found) if server else self._connect(values, found)
            times = int(values[settings.KEEPALIVE_TIME]), int(values[settings.KEEPALIVE_TIMEOUT])
            found[attributes.KEEPALIVE] = attributes.Keepalive.planned(*times, server=server).format()
        self.publisher.publish(found, ready=ready)
        self.ready = ready

    def _serve(self, values: dict[str, str], online: int, found: dict[str, str | None]) -> bool:
        made = self.superlink.certificate
        found |= {
            attributes.TLS: values[settings.TLS_ENABLED],
            attributes.ENDPOINT: self.superlink.address,
            attributes.CA_CERTIFICATE: settings.format_pem(made.ca_pem),
            attributes.CERTIFICATE_SANS: attributes.format_names(made.sans),
            attributes.CERTIFICATE_FINGERPRINT: made.fingerprint,
            attributes.NODES_ONLINE: str(online),
        }
        return True

    def _connect(self, values: dict[str, str], found: dict[str, str | None]) -> bool:
        trusted = settings.parse_pem(values[settings.CA_CERTIFICATE]) == self.superlink.certificate.ca_pem
        if self._partition is None:
            siblings = partition.siblings(self.gate.service(), self.vm_id)
            if siblings is None:
                return False
            offset = int(values[settings.PARTITION_OFFSET])
            self._partition = offset + partition.choose(siblings[0], self.vm_id, offset)
        found |= {
            attributes.SUPERLINK_DIALLED: values[settings.SUPERLINK_ADDRESS],
            attributes.PARTITION: str(self._partition),
            attributes.PEER_FINGERPRINT: self.superlink.certificate.fingerprint if trusted else None,
        }
        return trusted and values[settings.SUPERLINK_ADDRESS] == self.superlink.address


class Guests:
    """Plays all VMs of some zones of this process, in a thread of its own; a VM whose attributes stand still costs next to nothing."""

    def __init__(self, zones: Iterable[Zone], superlink: SuperLink) -> None:
        self._zones = list(zones)
        self._superlink = superlink
        self._guests: dict[tuple[str, int], Guest] = {}
        self._online = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guests", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(TURN_S):
            running: set[tuple[str, int]] = set()
            for zone in self._zones:
                hypervisor = zone.one.vms.hypervisor
                if isinstance(hypervisor, NullHypervisor):
                    machines = dict(hypervisor.machines)
                    self._zone(zone, machines)
                    running |= set(machines)
            self._guests = {key: guest for key, guest in self._guests.items() if key in running}

    def _zone(self, zone: Zone, machines: dict[tuple[str, int], Machine]) -> None:
        online = sum(guest.ready for guest in self._guests.values() if guest.role == settings.SUPERNODE)
        for key, machine in machines.items():
            if settings.ROLE.encode() not in machine.context.get("context.sh", b""):
                continue
            vm = zone.store.get("vm", machine.vm_id)
            guest = self._guests.get(key) or Guest(machine, self._superlink)
            self._guests[key] = guest
            counts = guest.role == settings.SUPERLINK
            now = (list(vm.user_template.pairs) if vm else None, online if counts else 0)
            if now == guest.seen and guest.ready:
                continue
            try:
                guest.turn(online)
            except (GateError, KeyError, ValueError) as error:
                log.info("%s VM %d: %s", zone.config.name, machine.vm_id, error)
            vm = zone.store.get("vm", machine.vm_id)
            guest.seen = (list(vm.user_template.pairs) if vm else None, online if counts else 0)
