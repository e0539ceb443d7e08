# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this checkout takes beside another revision of the repository, in turns on the same machine.

Each round starts a fresh lab of either revision (not counted), one at a time and the first one alternating, and takes the
walkthrough from nothing and a run with nothing to do. Then come the tasks of benchmarks/api_tasks. Both revisions use this
Python environment; each has its own lab code and images. Needs root and `make setup`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import checkouts
from benchmarks.checkouts import ROOT

LAB = "beside"
API_TASKS = ("service", "vm")
API_ZONES = 10


def run(place: Path, *command: str) -> float:
    """Run a command in a checkout and return its seconds; ends the benchmark where the command fails."""
    return checkouts.run(place, LAB, *command)


def lab(place: Path, command: str) -> None:
    checkouts.lab(place, LAB, command)


def walkthrough(place: Path) -> dict[str, float]:
    """Return the seconds of the walkthrough on a fresh lab, and of the run after it."""
    play = ("nsenter", f"--net=/run/netns/{LAB}-mgmt", "ansible-playbook", "-i", "inventories/lab", "playbooks/walkthrough.yml")
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        report = ("-e", f"federation_report_path={folder}/report.json")
        lab(place, "down")
        try:
            lab(place, "up")
            return {"walkthrough from nothing": run(place, *play, *report), "nothing to do": run(place, *play, *report)}
        finally:
            lab(place, "down")


def api_tasks(place: Path) -> dict[str, float]:
    """Return the seconds per task and zone that benchmarks/api_tasks of a checkout finds."""
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        file = Path(folder, "api.json")
        choice = ["--zones", str(API_ZONES), "--repeats", "1", "--only", ",".join(API_TASKS), "--json", str(file)]
        run(place, str(ROOT / ".venv/bin/python"), "benchmarks/api_tasks", *choice)
        rows = {row["key"]: row for row in json.loads(file.read_text())["rows"]}
    found = {}
    for key in API_TASKS:
        for what, name in (("cpu_ms", "CPU"), ("wall_ms", "time")):
            found[f"API task {key}, {name} per zone"] = rows[key]["first"][what]["median"] / 1000
    return found


def measure(places: list[Path], rounds: int) -> list[dict[str, list[float]]]:
    """Return, for each checkout, the values of every round by what was measured; the checkouts take turns at going first."""
    found: list[dict[str, list[float]]] = [{} for _place in places]
    for number in range(rounds):
        order = list(range(len(places)))
        for kind in (walkthrough, api_tasks):
            for index in order if number % 2 == 0 else reversed(order):
                print(f"round {number + 1} of {rounds}: {kind.__name__} of {places[index]}", file=sys.stderr, flush=True)
                for name, seconds in kind(places[index]).items():
                    found[index].setdefault(name, []).append(seconds)
    return found


def show(this: dict[str, list[float]], other: dict[str, list[float]], revision: str) -> None:
    """Print medians, ranges and ratios."""
    print(f"{'seconds: median (lowest - highest)':<36}{'this checkout':>30}{revision:>30}{'that : this':>13}")
    for name, values in this.items():
        cells = [f"{statistics.median(row):.4g} ({min(row):.4g} - {max(row):.4g})" for row in (values, other[name])]
        less = statistics.median(values)
        ratio = f"{statistics.median(other[name]) / less:.2f}" if less > 0 else "-"
        print(f"{name:<36}{cells[0]:>30}{cells[1]:>30}{ratio:>13}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="b8a0572", help="the other revision")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    load = f"{os.getloadavg()[0]:.2f}"
    with checkouts.checked_out(arguments.base, LAB) as other:
        for place in (ROOT, other):
            lab(place, "image")
            lab(place, "down")  # of building, and of a benchmark that was killed
        this_one, that_one = measure([ROOT, other], arguments.rounds)
    print(f"{len(os.sched_getaffinity(0))} cores, load {load} before; {arguments.rounds} rounds\n")
    show(this_one, that_one, arguments.base)


if __name__ == "__main__":
    main()
