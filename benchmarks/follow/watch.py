# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When VMs took up a change: watches the user attributes of all VMs of some zones, from outside, until it is asked to end.

    python -m benchmarks.follow.watch ONE_AUTH SETTING URL [URL ...]

A VM is busy from the moment at which the setting was written into its attributes until it is ready and publishes another digest
of settings than before. Prints, at the end, the union of these times as JSON: [[begin, end], ...] by the monotonic clock.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
import typing as t
import xml.etree.ElementTree as ET
import xmlrpc.client
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.follow.appliance import attributes, settings

TURN_S = 0.1

Interval = tuple[float, float]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the times that any of the intervals covers, in order and without overlap."""
    found: list[Interval] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


class Watch:
    """What is known of the VMs so far; `see` takes one VM's user attributes at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._first: dict[t.Any, Mapping[str, str]] = {}
        self._begun: dict[t.Any, float] = {}
        self.intervals: dict[t.Any, Interval] = {}

    def see(self, vm: t.Any, now: float, found: Mapping[str, str]) -> None:
        """Take up what a VM says at a time."""
        first = self._first.setdefault(vm, dict(found))
        if vm not in self._begun and found.get(self._name) != first.get(self._name):
            self._begun[vm] = now
        digest = found.get(attributes.SETTINGS_DIGEST, "")
        other = digest not in ("", first.get(attributes.SETTINGS_DIGEST, ""))
        if vm in self._begun and vm not in self.intervals and other and found.get(attributes.READY) == settings.YES:
            self.intervals[vm] = self._begun[vm], now

    @property
    def unfinished(self) -> list[t.Any]:
        """Return the VMs whose attribute was written and that never took it up."""
        return [vm for vm in self._begun if vm not in self.intervals]


def read(session: str, url: str) -> dict[str, dict[str, str]]:
    """Return the user attributes of all VMs of a zone, by VM id."""
    answer = xmlrpc.client.ServerProxy(url).one.vmpool.infoextended(session, -2, -1, -1, -1, "")
    pool = ET.fromstring(str(answer[1]))  # type: ignore[index]
    found = {}
    for vm in pool.iter("VM"):
        template = vm.find("USER_TEMPLATE")
        found[vm.findtext("ID", "")] = {entry.tag: entry.text or "" for entry in ([] if template is None else template)}
    return found


def main() -> int:
    auth, name, *urls = sys.argv[1:]
    session, watch, end = Path(auth).read_text().strip(), Watch(name), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_signal: end.set())
    print("watching", flush=True)
    while not end.wait(TURN_S):
        for url in urls:
            now = time.monotonic()
            for vm, found in read(session, url).items():
                watch.see((url, vm), now, found)
    if watch.unfinished:
        print(f"never took it up: {watch.unfinished}", file=sys.stderr)
        return 1
    print(json.dumps(union(watch.intervals.values())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
