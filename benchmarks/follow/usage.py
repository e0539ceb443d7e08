# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command costs this machine: seconds, CPU and memory of all its processes, those that it left running included.

    python benchmarks/follow/usage.py FIGURES.json COMMAND [ARGUMENT ...]

Processes that the command detaches, as ssh does with the connection it shares, become children of this one (it is their
subreaper), are ended with the command, and count. Memory is the sum of the processes' proportional sets (PSS), so a page that
forks share counts once; it is looked at twice a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_S = 0.5


@dataclass(frozen=True)
class Usage:
    """Of one command: wall clock and CPU in seconds, the highest memory seen in MiB, its exit status and its output."""

    seconds: float
    cpu: float
    memory: float
    status: int
    output: str = ""


def below(pid: int) -> list[int]:
    """Return all descendants of a process."""
    found, left = [], [pid]
    while left:
        parent = left.pop()
        try:
            threads = list(Path(f"/proc/{parent}/task").glob("*/children"))
            children = [int(child) for thread in threads for child in thread.read_text().split()]
        except OSError:
            continue
        found += children
        left += children
    return found


def pss(pid: int) -> int:
    """Return the proportional set of a process in KiB, 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except OSError:
        return 0


def run(command: list[str], cwd: Path, environment: Mapping[str, str], folder: Path) -> Usage:
    """Run a command and return what it cost; its figures and output go through `folder`."""
    figures, output = folder / "usage.json", folder / "output"
    with output.open("wb") as out:
        subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), str(figures), *command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    return Usage(**{**json.loads(figures.read_text()), "output": output.read_text(errors="replace")})


class _Memory(threading.Thread):
    """Samples the memory of this process's descendants; `highest` in KiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest, self.end = 0, threading.Event()

    def run(self) -> None:
        while not self.end.wait(SAMPLE_S):
            self.highest = max(self.highest, sum(pss(pid) for pid in below(os.getpid())))


def main() -> int:
    figures, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    memory = _Memory()
    memory.start()
    started = time.monotonic()
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_signal: child.terminate())
    status = child.wait()
    seconds = time.monotonic() - started
    memory.end.set()
    memory.join()
    for pid in below(os.getpid()):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = Usage(seconds, used.ru_utime + used.ru_stime, memory.highest / 1024, status)
    Path(figures).write_text(json.dumps({name: value for name, value in asdict(found).items() if name != "output"}))
    return status


if __name__ == "__main__":
    sys.exit(main())
