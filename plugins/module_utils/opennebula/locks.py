# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock that a run holds in the coordinator's zone: a VM template of a name that is agreed on.

oned refuses a second VM template of one name and owner, so the one that is allocated decides. One of another owner counts as well
where it can be seen; the lowest id was first. A lock is never changed, only made and deleted, and ids are not given twice.
"""

from __future__ import annotations

import time
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .answers import as_dict, to_int
from .processes import is_over
from .template_text import render_template

DESCRIPTION = "Lock of a run of oneflower.federation. This is no VM template to instantiate; the run removes it when it ends."
IDENTITY = ("host", "boot_id", "pid", "started")


@dataclass(frozen=True)
class Lock:
    """One lock. holder is for people, since counts seconds from 1970, identity is that of the process that holds it."""

    id: int | None
    holder: str
    since: int
    identity: Mapping[str, str]

    @classmethod
    def from_entry(cls, entry: Mapping[str, t.Any]) -> Lock:
        """Return the lock of a VM template's document."""
        attributes = as_dict(entry.get("TEMPLATE"))
        identity = {name: str(attributes.get(name.upper(), "")) for name in IDENTITY}
        return cls(to_int(entry.get("ID")), str(attributes.get("HOLDER", "")), to_int(attributes.get("SINCE"), 0), identity)

    def template(self, name: str) -> str:
        """Return the text of the VM template. It has no CPU and no MEMORY, so OpenNebula cannot make a VM of it."""
        identity = {key.upper(): value for key, value in self.identity.items()}
        attributes = {"NAME": name, "DESCRIPTION": DESCRIPTION, "HOLDER": self.holder, "SINCE": str(self.since), **identity}
        return render_template(attributes)

    @property
    def left_behind(self) -> bool:
        """Whether the process that holds it has certainly ended."""
        return is_over(self.identity)

    @property
    def clock(self) -> str:
        """Since when, for people."""
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))

    def to_result(self) -> dict[str, t.Any]:
        """Return {id, holder, since, host, boot_id, pid, started, left_behind}."""
        shown = {"id": self.id, "holder": self.holder, "since": self.since, **self.identity}
        return {**shown, "left_behind": self.left_behind}

    def to_diff(self) -> dict[str, str]:
        """Return what a diff shows of it."""
        return {"holder": self.holder, **self.identity}


def find_lock(pool: Iterable[Mapping[str, t.Any]], name: str) -> Lock | None:
    """Return the lock of that name in a pool of VM templates."""
    locks = [Lock.from_entry(entry) for entry in pool if entry.get("NAME") == name]
    return min(locks, key=lambda lock: lock.id or 0, default=None)
