# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the lab: written down with their start time, found again by it, and ended by id alone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on, or [] where there is no such process (or only its remains)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return []
    return [] if fields[0] in "ZX" else fields


def started_at(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, or "" where there is none."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def remember(file: Path, pid: int) -> None:
    """Write down a process so that it can be told from a later one with the same id."""
    file.write_text(f"{pid} {started_at(pid)}\n")


def recall(file: Path) -> int:
    """Return the process written down in `file`, or 0 where it has ended."""
    try:
        pid, started = file.read_text().split()
    except (OSError, ValueError):
        return 0
    return int(pid) if started_at(int(pid)) == started else 0


def reap(process: subprocess.Popen) -> None:
    """Collect the child when it ends, whoever of us is still there then."""
    threading.Thread(target=process.wait, daemon=True).start()


def every() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def children(pid: int) -> list[int]:
    """Return its children, oldest first."""
    found: list[int] = []
    try:
        for file in Path(f"/proc/{pid}/task").glob("[0-9]*/children"):
            found += [int(child) for child in file.read_text().split()]
    except OSError:
        return []
    return sorted((child for child in found if _stat(child)), key=lambda child: int(started_at(child) or 0))


def ancestors() -> set[int]:
    """Return this process and those that it came from."""
    found, pid = set(), os.getpid()
    while pid and pid not in found:
        found.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
    return found


def gone(pid: int, timeout: float) -> bool:
    """Wait until a process has ended; return whether it has."""
    deadline = time.monotonic() + timeout
    while started_at(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill(pids: Iterable[int], timeout: float = 5.0) -> None:
    """End processes at once, in the order given, and wait until they are gone."""
    pids = [pid for pid in pids if pid]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for pid in pids:
        gone(pid, timeout)


def terminate(pid: int, timeout: float = 10.0) -> None:
    """Ask a process to end, and end it where it does not in time."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    if not gone(pid, timeout):
        kill([pid])


def in_groups(groups: Iterable[Path]) -> list[int]:
    """Return the processes in control groups and the groups below them."""
    found: list[int] = []
    for group in groups:
        for file in group.rglob("cgroup.procs"):
            try:
                found += [int(line) for line in file.read_text().split()]
            except OSError:
                continue
    return sorted({pid for pid in found if pid})


def in_namespaces(paths: Iterable[Path]) -> list[int]:
    """Return the processes in network namespaces, but neither this one nor those it came from."""
    wanted = {(found.st_dev, found.st_ino) for found in (path.stat() for path in paths)}
    own = ancestors()
    found = []
    for pid in every():
        try:
            namespace = os.stat(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        if (namespace.st_dev, namespace.st_ino) in wanted and pid not in own:
            found.append(pid)
    return found
