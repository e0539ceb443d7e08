# SPDX-License-Identifier: GPL-3.0-or-later
"""What the contract tests run against: lab zones that they start themselves, or the zones that the environment names."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.zone import harness as lab

GENERATIONS = ("7.4.0", "6.10.5")
# A hundredth of real time; a slave lags 60 ms, ten times what was measured, so that no test passes by luck.
TIMINGS = {**lab.FAST, "scale": 0.006, "replication": 10}


@dataclasses.dataclass
class ZoneUnderTest:
    """One zone: how to reach it, and what is there to be used."""

    endpoint: str
    oneflow: str
    username: str
    password: str
    vm_template: int
    network: int | None = None
    tls: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    lab: t.Any = None  # the running lab zone, for faults

    def connection(self) -> dict[str, t.Any]:
        """Return the connection options of a task."""
        options = {"endpoint": self.endpoint, "oneflow_endpoint": self.oneflow, **self.tls}
        return {**options, "username": self.username, "password": self.password}


@dataclasses.dataclass
class Target:
    """a is the federation's master (or a lone zone), b a slave of it, or None."""

    version: str
    a: ZoneUnderTest
    b: ZoneUnderTest | None
    second: tuple[str, str] | None  # user and password of somebody without rights
    wait: float = 20.0  # seconds a service may take
    interval: float = 0.02
    many: int = 200

    @property
    def is_lab(self) -> bool:
        return self.a.lab is not None

    def all(self) -> list[ZoneUnderTest]:
        return [zone for zone in (self.a, self.b) if zone is not None]


def _zone(letter: str, environment: Mapping[str, str], default: ZoneUnderTest | None = None) -> ZoneUnderTest:
    def value(name: str, fallback: t.Any = None) -> t.Any:
        found = environment.get(f"CONTRACT_{letter}_{name}", fallback)
        if found is None:
            raise KeyError(f"CONTRACT_{letter}_{name} is not set; see tests/contract/README.md")
        return found

    tls: dict[str, t.Any] = {}
    if environment.get("CONTRACT_CA_PATH"):
        tls["ca_path"] = environment["CONTRACT_CA_PATH"]
    if environment.get("CONTRACT_VALIDATE_CERTS", "").lower() in ("0", "no", "false"):
        tls["validate_certs"] = False
    network = environment.get(f"CONTRACT_{letter}_NETWORK", default.network if default else None)
    return ZoneUnderTest(
        endpoint=value("ENDPOINT"),
        oneflow=value("ONEFLOW"),
        username=value("USERNAME", default and default.username),
        password=value("PASSWORD", default and default.password),
        vm_template=int(value("VM_TEMPLATE", default and default.vm_template)),
        network=None if network is None else int(network),
        tls=tls,
    )


def from_environment(environment: Mapping[str, str] = os.environ) -> Target | None:
    """Return the target that the environment names; None when it names none. Raises KeyError for an incomplete one."""
    if not environment.get("CONTRACT_A_ENDPOINT"):
        return None
    a = _zone("A", environment)
    b = _zone("B", environment, a) if environment.get("CONTRACT_B_ENDPOINT") else None
    second = None
    if environment.get("CONTRACT_SECOND_USERNAME"):
        second = (environment["CONTRACT_SECOND_USERNAME"], environment["CONTRACT_SECOND_PASSWORD"])
    return Target(
        version="named",
        a=a,
        b=b,
        second=second,
        wait=float(environment.get("CONTRACT_WAIT", "600")),
        interval=float(environment.get("CONTRACT_INTERVAL", "1")),
        many=int(environment.get("CONTRACT_MANY", "200")),
    )


def of_lab(zone: t.Any, address: str = "127.0.0.1", **tls: t.Any) -> ZoneUnderTest:
    """Return a running lab zone as a zone under test."""
    scheme = "https" if zone.config.tls else "http"
    return ZoneUnderTest(
        endpoint=f"{scheme}://{address}:{zone.ports['xmlrpc']}/RPC2",
        oneflow=f"{scheme}://{address}:{zone.ports['oneflow']}",
        username="oneadmin",
        password=lab.PASSWORD,
        vm_template=0,
        network=0,
        tls=tls,
        lab=zone,
    )


@contextlib.contextmanager
def lab_federation(folder: Path, version: str, **more: t.Any) -> Iterator[Target]:
    """Start a master and a slave, with a second user."""
    with lab.running() as (runner, _):
        master = runner.start(lab.config(folder, "OpenNebula", 0, "master", version=version, timings=TIMINGS, **more))[0]
        scheme = "https" if master.config.tls else "http"
        address = f"{scheme}://127.0.0.1:{master.ports['xmlrpc']}/RPC2"
        slave = runner.start(lab.config(folder, "zone-b", 100, "slave", version=version, master=address, timings=TIMINGS, **more))[
            0
        ]
        lab.until(lambda: len(list(slave.store.all("zone"))) == 2, "the slave has joined")
        runner.run(_second_user(master))
        lab.until(lambda: any(user.name == "alice" for user in slave.store.all("user")), "alice is known at the slave")
        yield Target(version, of_lab(master), of_lab(slave), ("alice", lab.PASSWORD))


async def _second_user(zone: t.Any) -> None:
    zone.one.call(zone.one.user(0), "one.user.allocate", "alice", lab.PASSWORD, "core", [1])
    zone.one.federation.changed()
