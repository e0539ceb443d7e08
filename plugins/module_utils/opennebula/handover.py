# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from one service to its successor, one SuperNode at a time: what comes next, from what is there. Pure.

Nothing is remembered between two steps, so whoever comes later goes on where a run was killed. Whatever is there, a step takes a
SuperNode away only from a site that has as many as it is to have, and makes one with a number that nobody else holds.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Side:
    """One of the two services. partitions: what its VMs hold, a number each, None for one that holds none.

    born: the numbers that its VMs were made with; a VM that is added takes the lowest of them that no VM of its own service holds,
    before anybody can tell it another. going: it is being removed, or has nothing left that works.
    """

    partitions: tuple[int | None, ...]
    born: frozenset[int] = frozenset()
    going: bool = False


@dataclass(frozen=True)
class Add:
    """Give the successor one VM more, with this number. vms: how many it has then."""

    number: int
    vms: int


@dataclass(frozen=True)
class Take:
    """Take the oldest VM from the old service. vms: how many are left."""

    vms: int


@dataclass(frozen=True)
class End:
    """Remove the old service with all that it has left."""


@dataclass(frozen=True)
class Resize:
    """Give the successor, which is alone, the number of VMs that the site is to have."""

    vms: int


Step: t.TypeAlias = "Add | Take | End | Resize"


def free_numbers(planned: Iterable[int], *sides: Side | None) -> list[int]:
    """Return the planned numbers that no VM holds, ascending."""
    held = {number for side in sides if side is not None for number in side.partitions}
    return sorted(set(planned) - held)


def next_step(source: Side | None, target: Side | None, wanted: int, planned: Iterable[int]) -> Step | None:
    """Return the next step, None when the successor is alone and has the VMs that are wanted.

    source is the service that is to go, target the one that stays, None where there is none; planned are the site's numbers.
    """
    old, new = len(source.partitions) if source else 0, len(target.partitions) if target else 0
    if source is not None and (source.going or not old):
        return End()
    if old + new < wanted:
        number = _number(target, free_numbers(planned, source, target))
        if number is not None:
            return Add(number, new + 1)
    if source is not None:
        return Take(old - 1) if old > 1 else End()
    return Resize(wanted) if new > wanted else None


def _number(target: Side | None, free: list[int]) -> int | None:
    """Return the number that a VM which is added takes, None where it would take one that is not free."""
    if target is not None:
        own = sorted(target.born - set(target.partitions))
        if own:
            return own[0] if own[0] in free else None
    return free[0] if free else None
