# SPDX-License-Identifier: GPL-3.0-or-later
"""What SuperLink and SuperNode have in common: the host they work on, what they report, and how a unit is brought up."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import time
import typing as t
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import flower
from .appliance.settings import Route
from .paths import Paths, write_atomic
from .units import Units, addresses

USER = "flower"
# How often what works is checked again (seconds).
RECHECK_S = 15.0
# What may pass by itself is reported only when it lasted: a published error makes a deployment fail.
GRACE_S = 45.0


@dataclass
class Report:
    """What a turn found: user attributes (None: absent), faults, and whether the VM does its work."""

    attributes: dict[str, str | None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    ready: bool = False


@dataclass(frozen=True)
class Host:
    """What both roles work with. `routes` keeps the VM's routes and returns faults, `owner` is uid and gid of the service user."""

    paths: Paths
    units: Units
    log: Callable[[str], None]
    routes: Callable[[Sequence[Route]], list[str]]
    clock: Callable[[], float] = time.monotonic
    addresses: Callable[[], list[str]] = addresses
    owner: tuple[int, int] | None = None


class Role(t.Protocol):
    """What a VM is: a SuperLink or a SuperNode."""

    unit: str

    def change(self, values: Mapping[str, str]) -> None:
        """Take other settings of the same role; the next turn puts them in force."""

    def turn(self) -> Report:
        """Look at what is, do the next thing, and return what was found."""

    @property
    def busy(self) -> bool:
        """Tell whether something is under way that somebody waits for."""

    @property
    def in_force(self) -> bool:
        """Tell whether Flower has worked with the live settings as they are now."""


def service_user() -> tuple[int, int] | None:
    """Return uid and gid of the service user; None when the agent does not run as root (tests)."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam(USER).pw_uid, grp.getgrnam(USER).gr_gid


class Lasting:
    """Tells since when a condition holds."""

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._since: float | None = None

    def seconds(self, holds: bool) -> float:
        """Note whether the condition holds now, and return for how long it has."""
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
