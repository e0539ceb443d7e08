# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration of a lab zone: one JSON file per zone.

Keys (all but ``name``, ``zone_id``, ``role``, ``auth_file``, ``database`` and ``listen`` are optional)::

    name, zone_id, role ("master" | "slave" | "standalone"), version (default "7.4.0"; see
                        lab.zone.versions)
    master              XML-RPC URL of the federation master; a slave forwards writes of zones and users to it
    endpoint            XML-RPC URL under which the other zones reach this one (default: made from ``listen``)
    auth_file           file with ``oneadmin:password``
    database            SQLite file, made when missing
    listen              {"xmlrpc": [host, port], "oneflow": [host, port], "onegate": [host, port], "admin": [host, port]}
                        ``admin`` is the fault API of the tests (see lab.zone.faults); port 0 takes any free one
    tls                 {"cert": file, "key": file, "ca": file}: oned and OneFlow behind TLS (as behind a proxy; the
                        real ones speak none themselves); ``ca`` is what this zone trusts when it calls other zones
    onegate_endpoint    URL of OneGate as the VMs reach it; without it a template with TOKEN="YES" is refused
    hypervisor          "nspawn" | "none" (no guest ever boots: a VM is RUNNING after ``timings.boot`` seconds)
    hosts               names of the hypervisor hosts (default: one, ``<name>-host``)
    seed                {"vnets": [...], "images": [...], "vm_templates": [...]}; used only when the database is new
    timings             seconds, see Timings

A seeded vnet: ``name``, ``bridge``, ``first_ip``, ``size``, ``network``, ``mask``, ``gateway``, ``dns``, ``fixed`` (list of
[first address, size] outside the range, for NICs that ask for their IP; by default the addresses from .3 up to
``first_ip``), ``attributes`` (any other attribute, e.g. ROUTES). A seeded image is an empty persistent one: ``name``, ``size``
in MiB. A seeded VM template: ``name``, ``image``, ``disks`` (dict: target such as vdb, name of a persistent image), ``cpu``,
``memory``, ``vcpu``, ``nic`` (name of a vnet; none by default), ``context`` (dict), ``attributes``.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from .versions import Facts, facts


@dataclasses.dataclass
class Timings:
    """Seconds. `scale` multiplies every one of them, so that a test can run at fifty times the speed."""

    default_cooldown: float = 10  # OneFlow's default_cooldown (stock 300; shown in BODY unscaled)
    wait_timeout: float = 30  # OneFlow's poll of VMs for which no event came (stock 30)
    schedule: float = 0.3  # PENDING until a host is chosen
    prolog: float = 0.1
    boot: float = 0.3  # with the "none" hypervisor only
    shutdown: float = 0.1
    epilog: float = 0.1
    action: float = 0.05  # between two steps of a service's life cycle
    replication: float = 0.01  # lag of the federation
    retry: float = 2.0  # until an unreachable zone is tried again
    reconcile: float = 5.0  # poll for guests that died; 0 turns it off
    latency: float = 0.0  # added to every answer of OneFlow (measured: 0.2 - 0.5)
    scale: float = 1.0

    def __getitem__(self, name: str) -> float:
        return getattr(self, name) * self.scale


@dataclasses.dataclass
class ZoneConfig:
    name: str
    zone_id: int
    role: str
    auth_file: str
    database: str
    listen: dict[str, tuple[str, int]]
    master: str | None = None
    endpoint: str | None = None
    version: str = "7.4.0"
    tls: dict[str, str] = dataclasses.field(default_factory=dict)
    onegate_endpoint: str = ""
    hypervisor: str = "none"
    hosts: list[str] = dataclasses.field(default_factory=list)
    seed: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    timings: Timings = dataclasses.field(default_factory=Timings)

    def __post_init__(self) -> None:
        if self.role not in ("master", "slave", "standalone"):
            raise ValueError(f"{self.name}: role must be master, slave or standalone, not {self.role!r}")
        if self.role == "slave" and not self.master:
            raise ValueError(f"{self.name}: a slave needs the URL of its master")
        if missing := {"xmlrpc", "oneflow", "onegate"} - set(self.listen):
            raise ValueError(f"{self.name}: listen lacks {', '.join(sorted(missing))}")
        if self.hypervisor not in ("none", "nspawn"):
            raise ValueError(f"{self.name}: hypervisor must be nspawn or none, not {self.hypervisor!r}")
        if self.tls and {"cert", "key", "ca"} != set(self.tls):
            raise ValueError(f"{self.name}: tls needs cert, key and ca, nothing else")
        facts(self.version)  # refuse what cannot be played
        self.hosts = self.hosts or [f"{self.name}-host"]

    @property
    def facts(self) -> Facts:
        """What is particular to the version that the zone plays."""
        return facts(self.version)

    @classmethod
    def from_dict(cls, raw: dict[str, t.Any]) -> ZoneConfig:
        """Read a configuration. Raises ValueError for what is none."""
        unknown = set(raw) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
        values = {**raw, "listen": {name: (host, int(port)) for name, (host, port) in raw["listen"].items()}}
        timings = raw.get("timings", {})
        if unknown := set(timings) - {field.name for field in dataclasses.fields(Timings)}:
            raise ValueError(f"unknown timings: {', '.join(sorted(unknown))}")
        return cls(**{**values, "timings": Timings(**timings)})

    @classmethod
    def load(cls, path: str | Path) -> ZoneConfig:
        return cls.from_dict(json.loads(Path(path).read_text()))
