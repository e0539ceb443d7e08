# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guest doubles: what publishes in a fleet as VMs of the appliance would. TEST DOUBLES: no Flower and no guest is behind them.

What a VM says, how it reads CONTEXT and settings, how it takes its partition and how it talks to OneGate is the appliance's own
code; only Flower is played. A SuperNode counts as connected when it was given the SuperLink's address and CA certificate.
"""

from __future__ import annotations

import itertools
import logging
import threading
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from benchmarks.follow.appliance import attributes, context, onegate, partition, publish, settings, tls
from lab.zone.hypervisor import Machine, NullHypervisor
from lab.zone.server import Zone

log = logging.getLogger("fleet.guests")
TURN_S = 0.2
FIRST_NODE = 10**18  # as long as Flower's own
# What older revisions, which benchmarks run beside this one, write: the site's first partition, its VMs count on from there.
OLDER_PARTITIONS = "FL_PARTITION_OFFSET"


@dataclass
class SuperLink:
    """The SuperLink that the guests play: what it serves at `address`, its certificate, and which of its nodes are online."""

    address: str
    certificate: tls.ServerCertificate
    nodes: dict[str, bool] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_NODE))

    def register(self) -> str:
        """Return the id of a new node."""
        return str(next(self._ids))

    def forget(self, nodes: Iterable[str]) -> None:
        """Unregister nodes; those already gone are passed over."""
        for node in nodes:
            self.nodes.pop(node, None)


class Guest:
    """One VM: its CONTEXT, its OneGate, and what it has published."""

    def __init__(self, machine: Machine, superlink: SuperLink) -> None:
        self.context = context.parse_shell(machine.context["context.sh"].decode())
        if OLDER_PARTITIONS in self.context:
            first = int(self.context[OLDER_PARTITIONS])
            self.context.setdefault(settings.PARTITIONS, f"{first}-{first + 999}")
        gate = context.gate(self.context, machine.context["token.txt"].decode().strip())
        if gate is None:
            raise ValueError(f"{machine.name} has no OneGate")
        self.vm_id = str(machine.vm_id)
        self.gate = onegate.OneGate(gate)
        self.publisher = publish.Publisher(self.gate)
        self.superlink = superlink
        self.role = self.context[settings.ROLE]
        self.seen: t.Any = None  # the user attributes at the last turn, as the zone keeps them
        self.ready = False
        self._latest: dict[str, dict[str, str]] = {}
        self._partition: int | None = None
        self.node = ""

    def turn(self) -> None:
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
            ready = self._serve(values, found) if server else self._connect(values, found)
            times = int(values[settings.KEEPALIVE_TIME]), int(values[settings.KEEPALIVE_TIMEOUT])
            found[attributes.KEEPALIVE] = attributes.Keepalive.planned(*times, server=server).format()
            found[attributes.SETTINGS_DIGEST] = settings.digest(self.role, values) if ready else None
        self.publisher.publish(found, ready=ready)
        self.ready = ready
        if self.node:
            self.superlink.nodes[self.node] = ready

    def _serve(self, values: dict[str, str], found: dict[str, str | None]) -> bool:
        made, nodes = self.superlink.certificate, self.superlink.nodes
        self.superlink.forget(attributes.parse_node_ids((self.publisher.known or {}).get(attributes.NODES_FORGET, "")))
        found |= {
            attributes.TLS: values[settings.TLS_ENABLED],
            attributes.ENDPOINT: self.superlink.address,
            attributes.CA_CERTIFICATE: settings.format_pem(made.ca_pem),
            attributes.CERTIFICATE_SANS: attributes.format_names(made.sans),
            attributes.CERTIFICATE_FINGERPRINT: made.fingerprint,
            attributes.NODES_ONLINE: str(sum(nodes.values())),
            attributes.NODES: attributes.format_nodes(nodes),
            attributes.RUNS_ACTIVE: "0",
        }
        return True

    def _connect(self, values: dict[str, str], found: dict[str, str | None]) -> bool:
        trusted = settings.parse_pem(values[settings.CA_CERTIFICATE]) == self.superlink.certificate.ca_pem
        if self._partition is None:
            siblings = partition.siblings(self.gate.service(), self.vm_id)
            if siblings is None:
                return False
            self._partition = partition.choose(siblings[0], self.vm_id, settings.parse_numbers(values[settings.PARTITIONS]))
            if self._partition is None:
                return False
        found |= {
            attributes.SUPERLINK_DIALLED: values[settings.SUPERLINK_ADDRESS],
            attributes.PARTITION: str(self._partition),
            attributes.PEER_FINGERPRINT: self.superlink.certificate.fingerprint if trusted else None,
        }
        connected = trusted and values[settings.SUPERLINK_ADDRESS] == self.superlink.address
        if connected and not self.node:
            self.node = self.superlink.register()
        found[attributes.NODE_ID] = self.node or None
        return connected


class Guests:
    """Plays all VMs of some zones of this process, in a thread of its own; one that nothing happens to costs next to nothing."""

    def __init__(self, zones: Iterable[Zone], superlink: SuperLink) -> None:
        self._zones = list(zones)
        self._superlink = superlink
        self._guests: dict[tuple[str, int], Guest] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guests", daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def stop(self) -> None:
        """Play no more."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(TURN_S):
            running: set[tuple[str, int]] = set()
            for zone in self._zones:
                hypervisor = zone.one.vms.hypervisor
                if isinstance(hypervisor, NullHypervisor):
                    machines = dict(hypervisor.machines)
                    for machine in machines.values():
                        self._play(zone, machine)
                    running |= set(machines)
            for key in set(self._guests) - running:
                guest = self._guests.pop(key)
                if guest.node in self._superlink.nodes:
                    self._superlink.nodes[guest.node] = False

    def _play(self, zone: Zone, machine: Machine) -> None:
        if settings.ROLE.encode() not in machine.context.get("context.sh", b""):
            return
        key = (machine.zone, machine.vm_id)
        if key not in self._guests:
            self._guests[key] = Guest(machine, self._superlink)
        guest = self._guests[key]
        now = self._state(zone, guest)
        if guest.ready and guest.seen == now:
            return
        try:
            guest.turn()
        except (onegate.GateError, KeyError, ValueError) as error:
            log.info("%s VM %d: %s", zone.config.name, machine.vm_id, error)
        guest.seen = now  # not what it is now: somebody else may have written meanwhile

    def _state(self, zone: Zone, guest: Guest) -> t.Any:
        """Return all that decides what a guest publishes next."""
        vm = zone.store.get("vm", int(guest.vm_id))
        nodes = dict(self._superlink.nodes) if guest.role == settings.SUPERLINK else {}
        return (list(vm.user_template.pairs) if vm else None, nodes)
