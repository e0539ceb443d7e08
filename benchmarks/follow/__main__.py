# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to follow an inventory: nothing to do, a changed setting, everything to do, and all of it in large fleets.

    sudo .venv/bin/python -m benchmarks.follow [--only lab] [--only fleets] [--base REVISION] [--rounds N] [--sizes 3,10,30,100]

`lab`: on the three-zone lab with real Flower, a fresh one each round and revision: the deployment from nothing over its own
critical path, a run with nothing to do, and (this checkout only) a changed keepalive above the time in which VMs were taking it
up. `fleets`: lab zones without guests and real gateways (see `fleet`): seconds, controller CPU and memory of the plan, of a
deployment with nothing to do, and of one more SuperNode at every site; the first two also of the other revision. Every run
starts without open SSH connections. Gateways, zones and guests share the cores with the controller: their CPU is shown beside
its own. Needs root and `make setup`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks import checkouts
from benchmarks.checkouts import ROOT
from benchmarks.follow import layout, usage
from benchmarks.follow.appliance import settings

LAB = "follow"
ENDPOINTS = tuple(f"http://192.0.2.{number}:2633/RPC2" for number in (21, 22, 23))
KEEPALIVE = ("-e", "federation_keepalive_time=30", "-e", "federation_keepalive_timeout=10")
# The issue's own measures. Ratios beside another revision are shown with them.
GOALS = {
    "nothing to do": 5.0,
    "changed keepalive, above the restarts": 5.0,
    "deployment : critical path": 1.3,
    "largest fleet, nothing to do": 45.0,
    "largest fleet, memory": 1024.0,
}
COSTS = {"seconds": "time", "cpu": "CPU", "memory": "memory"}
Figures = dict[str, list[float]]


def playbook(place: Path) -> str:
    """Return the playbook that does everything in a checkout; before deploy.yml, it trained too."""
    return next(name for name in ("playbooks/deploy.yml", "playbooks/walkthrough.yml") if (place / name).exists())


def changed(output: str) -> int:
    """Return how many tasks a run of ansible-playbook says changed something, over all hosts."""
    return sum(int(number) for number in re.findall(r"\bchanged=(\d+)", output))


# --- three zones with real Flower -------------------------------------------------------------------------------------


def _watch() -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "benchmarks.follow.watch", f"/run/{LAB}-lab/one_auth", settings.KEEPALIVE_TIME]
    inside = ["nsenter", f"--net=/run/netns/{LAB}-mgmt"]
    watch = subprocess.Popen([*inside, *program, *ENDPOINTS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if not watch.stdout or watch.stdout.readline().strip() != "watching":
        sys.exit("the zones cannot be watched")
    return watch


def three_zones(place: Path, *, change: bool) -> dict[str, float]:
    """Return what one round on a fresh lab of a checkout takes, in seconds; `change` says whether to change the keepalive too."""
    with tempfile.TemporaryDirectory(prefix="follow-") as folder:
        report = Path(folder) / "report.json"
        inside = ("nsenter", f"--net=/run/netns/{LAB}-mgmt", "ansible-playbook", "-i", "inventories/lab", playbook(place))
        play = (*inside, "-e", f"federation_report_path={report}")
        checkouts.lab(place, LAB, "down")
        try:
            checkouts.lab(place, LAB, "up")
            whole = checkouts.run(place, LAB, *play)
            timeline = json.loads(report.read_text())["timeline"]
            found = {
                "deployment from nothing": whole - timeline["training_seconds"],
                "critical path": timeline["critical_path_seconds"],
                "deployment : critical path": (whole - timeline["training_seconds"]) / timeline["critical_path_seconds"],
                "nothing to do": checkouts.run(place, LAB, *play),
            }
            if change:
                watch = _watch()
                try:
                    seconds = checkouts.run(place, LAB, *play, *KEEPALIVE)
                finally:
                    watch.terminate()
                    told, _none = watch.communicate(timeout=30)
                if watch.returncode:
                    sys.exit("the changed keepalive was not taken up")
                busy = sum(end - begin for begin, end in json.loads(told))
                found |= {"changed keepalive": seconds, "changed keepalive, above the restarts": seconds - busy}
            return found
        finally:
            checkouts.lab(place, LAB, "down")


def measure_lab(places: Sequence[Path], rounds: int) -> list[Figures]:
    """Return the figures of each checkout; they take turns at going first."""
    found: list[Figures] = [{} for _place in places]
    for number in range(rounds):
        order = range(len(places)) if number % 2 == 0 else reversed(range(len(places)))
        for index in order:
            print(f"lab, round {number + 1} of {rounds}: {places[index]}", file=sys.stderr, flush=True)
            for name, value in three_zones(places[index], change=index == 0).items():
                found[index].setdefault(name, []).append(value)
    return found


# --- fleets -----------------------------------------------------------------------------------------------------------


def without_training(place: Path) -> str:
    """Return the playbook that deploys in a checkout and does not train: a fleet has no Flower. Makes one where there is none."""
    if (place / "playbooks/deploy.yml").exists():
        return "playbooks/deploy.yml"
    plays = yaml.safe_load((place / "playbooks/walkthrough.yml").read_text())
    kept = [play for play in plays if play.get("ansible.builtin.import_playbook") != "train.yml"]
    (place / "playbooks/untrained.yml").write_text(yaml.safe_dump(kept))
    return "playbooks/untrained.yml"


def measure_fleet(place: Path, size: int, rounds: int, revision: str = "") -> list[dict[str, t.Any]]:
    """Return a row for each kind of run of a checkout on a fleet of that size; `revision` is "" for this checkout.

    Ends the benchmark where a run fails or does what it should not.
    """
    from benchmarks.follow import fleet as fleets  # gives this process a lab name of its own

    deploy, quiet = without_training(place), ("plan", "nothing to do")
    kinds: list[tuple[str, str, tuple[str, ...], int]] = [
        ("from nothing", deploy, (), 1),
        ("plan", "playbooks/plan.yml", (), rounds),
        ("nothing to do", deploy, (), rounds),
    ]
    if not revision:  # the older ones cannot
        more = ("-e", "federation_supernodes=2", "-e", "federation_wait_timeout=120")
        kinds.append(("one more SuperNode at every site", deploy, more, 1))
    written = ("report",) if revision else ("report", "changes")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(place / ".build/collections")}
    rows = []
    with tempfile.TemporaryDirectory(prefix="follow-") as folder, fleets.running(size) as fleet:
        for kind, name, options, times in kinds:
            runs = []
            for number in range(times):
                print(
                    f"fleet of {size}{f' ({revision})' * bool(revision)}: {kind}, {number + 1} of {times}",
                    file=sys.stderr,
                    flush=True,
                )
                files = [f"-efederation_{file}_path={folder}/{file}.json" for file in written]
                command = fleet.command(name, *files, *options)
                others = fleet.gateway_cpu(), fleet.zones_cpu()
                used = usage.run(command, place, environment, Path(folder))
                if used.status or (kind in quiet and changed(used.output)):
                    sys.exit(
                        f"fleet of {size}: {kind} ended with {used.status}, {changed(used.output)} changed\n{used.output[-3000:]}"
                    )
                runs.append((used.seconds, used.cpu, used.memory, fleet.gateway_cpu() - others[0], fleet.zones_cpu() - others[1]))
            columns = ("seconds", "cpu", "memory", "gateways_cpu", "zones_cpu")
            middle = {column: statistics.median(values) for column, values in zip(columns, zip(*runs, strict=True), strict=True)}
            rows.append({"zones": size, "kind": kind, "revision": revision, **middle})
    return rows


# --- what is printed --------------------------------------------------------------------------------------------------


def lab_lines(this: Figures, other: Figures, revision: str) -> list[str]:
    """Return the table of the three-zone lab."""
    lines = [f"{'three zones: median (lowest - highest)':<42}{'this checkout':>26}{revision:>26}{'that : this':>13}"]
    for name, values in this.items():
        cells = [
            f"{statistics.median(row):.2f} ({min(row):.2f} - {max(row):.2f})" if row else "-"
            for row in (values, other.get(name, []))
        ]
        ratio = f"{statistics.median(other[name]) / statistics.median(values):.2f}" if name in other else "-"
        lines.append(f"{name:<42}{cells[0]:>26}{cells[1]:>26}{ratio:>13}")
    return lines


def fleet_lines(rows: Sequence[Mapping[str, t.Any]]) -> list[str]:
    """Return the table of the fleets, how each cost grows, and the other revision's costs over this one's."""
    lines = [f"{'zones':>5}  {'run':<44}{'seconds':>9}{'CPU s':>8}{'MiB':>7}{'gateways CPU s':>16}{'zones CPU s':>13}"]
    for row in rows:
        numbers = (
            f"{row['seconds']:>9.1f}{row['cpu']:>8.1f}{row['memory']:>7.0f}{row['gateways_cpu']:>16.1f}{row['zones_cpu']:>13.1f}"
        )
        lines.append(f"{row['zones']:>5}  {' '.join([row['kind'], row['revision']]):<44}{numbers}")
    ours = [row for row in rows if not row["revision"]]
    sizes = sorted({row["zones"] for row in ours})
    if len(sizes) >= 3:
        lines += ["", f"cost of a zone more from {sizes[-2]} to {sizes[-1]}, over that from {sizes[0]} to {sizes[-2]} (1: linear)"]
        for kind in dict.fromkeys(row["kind"] for row in ours):
            grown = {
                unit: layout.growth({row["zones"]: row[what] for row in ours if row["kind"] == kind})
                for what, unit in COSTS.items()
            }
            lines.append(f"  {kind:<36}{', '.join(f'{unit} {times:.2f}' for unit, times in grown.items())}")
    beside = [row for row in rows if row["revision"]]
    if beside:
        lines += ["", f"{beside[0]['revision']} : this checkout"]
    for row in beside:
        own = next(this for this in ours if (this["zones"], this["kind"]) == (row["zones"], row["kind"]))
        ratios = ", ".join(f"{unit} {row[what] / own[what]:.2f}" for what, unit in COSTS.items())
        lines.append(f"{row['zones']:>5}  {row['kind']:<31}{ratios}")
    return lines


def goal_lines(this: Figures, rows: Sequence[Mapping[str, t.Any]]) -> list[str]:
    """Return one line per measure of the issue that was taken."""
    found = {name: statistics.median(values) for name, values in this.items() if name in GOALS}
    idle = [row for row in rows if row["kind"] == "nothing to do" and not row["revision"]]
    if idle:
        largest = max(idle, key=lambda row: row["zones"])
        found |= {"largest fleet, nothing to do": largest["seconds"], "largest fleet, memory": largest["memory"]}
    return [
        f"{name:<42}{value:>8.2f}, goal {GOALS[name]:g}: {'met' if value <= GOALS[name] else 'missed'}"
        for name, value in found.items()
    ]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.follow", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=("lab", "fleets"), help="one part of it; may be repeated")
    parser.add_argument("--base", default="b8a0572", help="the other revision")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=_numbers, default=[3, 10, 30, 100])
    parser.add_argument("--base-sizes", type=_numbers, default=[3, 10, 30], help="fleets that the other revision runs on too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    chosen = arguments.only or ["lab", "fleets"]
    load = f"{os.getloadavg()[0]:.2f}"
    this: Figures = {}
    other: Figures = {}
    rows: list[dict[str, t.Any]] = []
    with checkouts.checked_out(arguments.base, LAB) as base:
        if "lab" in chosen:
            for place in (ROOT, base):
                checkouts.lab(place, LAB, "image")
                checkouts.lab(place, LAB, "down")  # of building, and of a benchmark that was killed
            this, other = measure_lab([ROOT, base], arguments.rounds)
        for size in arguments.sizes if "fleets" in chosen else []:
            rows += measure_fleet(ROOT, size, arguments.rounds)
            if size in arguments.base_sizes:
                rows += measure_fleet(base, size, 1, arguments.base)
    print(f"{len(os.sched_getaffinity(0))} cores, load {load} before; {arguments.rounds} rounds\n")
    if this:
        print("\n".join([*lab_lines(this, other, arguments.base), ""]))
    if rows:
        print("\n".join([*fleet_lines(rows), ""]))
    print("\n".join(goal_lines(this, rows)))
    if arguments.json:
        arguments.json.write_text(json.dumps({"lab": this, "base": other, "fleets": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
