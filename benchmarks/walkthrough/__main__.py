# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the walkthrough takes on a lab that was just started, step by step, and beside its own critical path.

The critical path is what no playbook can shorten: VM boots, Flower starts and tunnel handshakes, and Flower's training. Both
are read from the same run's report. Needs root, and the images of `make setup`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAB = "bench"


class Walkthrough:
    """A lab of its own, and the playbooks in it."""

    def __init__(self, report: Path) -> None:
        self.report = report
        self.environment = {**os.environ, "ONEFLOWER_LAB": LAB, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def _run(self, *command: str) -> float:
        started = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return time.monotonic() - started

    def lab(self, command: str) -> float:
        return self._run(sys.executable, "-m", "lab", command)

    def play(self) -> tuple[float, dict]:
        """Seconds of the whole ansible-playbook, and the report's timeline."""
        seconds = self._run(
            "nsenter",
            f"--net=/run/netns/{LAB}-mgmt",
            "ansible-playbook",
            "-i",
            "inventories/lab",
            "playbooks/walkthrough.yml",
            "-e",
            f"federation_report_path={self.report}",
        )
        return seconds, json.loads(self.report.read_text())["timeline"]


def measure(walkthrough: Walkthrough, rounds: int) -> list[dict]:
    found = []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        walkthrough.lab("down")
        up = walkthrough.lab("up")
        first, timeline = walkthrough.play()
        again, _timeline = walkthrough.play()
        found.append({"up": up, "first": first, "again": again, "timeline": timeline})
    return found


def line(name: str, values: list[float], unit: str = "s") -> str:
    return f"{name:<40}{statistics.median(values):>8.2f} {unit}  ({min(values):.2f} - {max(values):.2f})"


def show(runs: list[dict], load: str) -> None:
    print(
        f"{len(os.sched_getaffinity(0))} cores, load {load} before; Python {platform.python_version()}; {len(runs)} rounds; "
        "median (lowest - highest)\n"
    )
    for index, step in enumerate(runs[0]["timeline"]["steps"]):
        mark = " *" if step["waits"] or step["training"] else ""
        print(line(step["step"] + mark, [run["timeline"]["steps"][index]["seconds"] for run in runs]))
    print("  * on the critical path\n")
    print(line("lab up", [run["up"] for run in runs]))
    print(line("deployment", [run["timeline"]["deployment_seconds"] for run in runs]))
    print(line("  of it waits", [run["timeline"]["critical_path_seconds"] for run in runs]))
    print(line("training", [run["timeline"]["training_seconds"] for run in runs]))
    print(line("ansible-playbook, first run", [run["first"] for run in runs]))
    print(line("ansible-playbook, second run", [run["again"] for run in runs]))
    critical = [run["timeline"]["critical_path_seconds"] + run["timeline"]["training_seconds"] for run in runs]
    print(line("first run : critical path", [run["first"] / path for run, path in zip(runs, critical, strict=True)], "x"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/walkthrough", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    load = f"{os.getloadavg()[0]:.2f}"
    with tempfile.TemporaryDirectory(prefix="walkthrough-") as folder:
        walkthrough = Walkthrough(Path(folder) / "report.json")
        try:
            runs = measure(walkthrough, arguments.rounds)
        finally:
            walkthrough.lab("down")
    show(runs, load)


if __name__ == "__main__":
    main()
