# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task on the OpenNebula APIs costs the controller, side by side on the same lab zones.

A task's cost is a whole `ansible-playbook` run with it minus the run of an empty play over the same hosts in the same round,
divided by the number of zones. That includes what only the first task of its kind pays, such as imports; the rows "each
further" are the difference between a play with several of the same task and a play with one. CPU is that of ansible-playbook
and all its children; the lab zones run outside of it. The rounds interleave the tasks, so that a disturbance meets all of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterable
from pathlib import Path

import yaml

from benchmarks.api_tasks.federation import ROOT, oned_url, oneflow_url, running
from benchmarks.api_tasks.tasks import KINDS, Kind

FURTHER = {1: 5, 10: 2}  # zones: tasks in a play besides the first
GOAL_MS, GOAL_TIMES = 25, 8
CONNECTIONS = ROOT / "tests" / "unit" / "opennebula" / "connection"


@dataclasses.dataclass
class Cost:
    """Milliseconds of one ansible-playbook run."""

    cpu: float
    wall: float

    def above(self, baseline: Cost, share: int) -> Cost:
        return Cost((self.cpu - baseline.cpu) / share, (self.wall - baseline.wall) / share)


class Plays:
    """Writes the plays and runs them."""

    def __init__(self, folder: Path, zones: list[t.Any], forks: int) -> None:
        self.folder, self.forks = folder, forks
        self.output = folder / "output"
        self.sizes: dict[int, Path] = {}
        self.zones = zones
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ONE", "ANSIBLE", "PYTHON"))},
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_CONNECTION_PLUGINS": str(CONNECTIONS),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "NO_COLOR": "1",
        }
        (folder / "ansible.cfg").write_text(f"[defaults]\nforks = {forks}\nretry_files_enabled = false\n")

    def inventory(self, count: int) -> Path:
        if count not in self.sizes:
            hosts = {
                zone.config.name: {"oned": oned_url(zone), "oneflow": oneflow_url(zone), "zone_count": len(self.zones)}
                for zone in self.zones[:count]
            }
            self.sizes[count] = self.folder / f"zones-{count}.yml"
            self.sizes[count].write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
        return self.sizes[count]

    def play(self, kind: Kind | None, times: int, proof: bool) -> Path:
        path = self.folder / f"{kind.key if kind else 'empty'}-{'proof' if proof else times}.yml"
        if not path.exists():
            tasks: list[dict[str, t.Any]] = []
            if kind:
                tasks += [{**kind.task(), "register": "r"} if proof else kind.task()] * times
                if proof:
                    tasks.append({"name": "Prove it", "ansible.builtin.assert": {"that": [kind.proof], "quiet": True}})
            play = {"name": "Play", "hosts": "all", "connection": kind.connection if kind else "local", "gather_facts": False}
            path.write_text(json.dumps([{**play, "tasks": tasks}]))
        return path

    def run(self, kind: Kind | None, count: int, times: int = 1, proof: bool = False) -> Cost:
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            str(self.inventory(count)),
            str(self.play(kind, times, proof)),
        ]
        with self.output.open("wb") as output:
            started = time.monotonic()
            child = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            _pid, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - started
            child.returncode = os.waitstatus_to_exitcode(status)
        text = self.output.read_text(errors="replace")
        done = len(re.findall(rf"^zone-\d+ +: ok={times + proof} ", text, re.MULTILINE))
        if child.returncode or (kind and done != count):
            sys.exit(f"{kind.title if kind else 'empty play'} on {count} zones: exit code {child.returncode}, {done} ok\n{text}")
        return Cost((usage.ru_utime + usage.ru_stime) * 1000, wall * 1000)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "ansible-core": importlib.metadata.version("ansible-core")}
    import ansible_collections.community.general as general  # comes with the `ansible` package

    manifest = Path(next(iter(general.__path__))) / "MANIFEST.json"
    found["community.general"] = json.loads(manifest.read_text())["collection_info"]["version"]
    found["oneflower.federation"] = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    return found


def summary(costs: Iterable[Cost]) -> dict[str, dict[str, float]]:
    costs = list(costs)
    return {
        what: {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}
        for what, values in (("cpu_ms", [cost.cpu for cost in costs]), ("wall_ms", [cost.wall for cost in costs]))
    }


def measure(plays: Plays, sizes: list[int], repeats: int, kinds: list[Kind]) -> list[dict[str, t.Any]]:
    for kind in kinds:  # also compiles and caches what the first run of each would pay for
        plays.run(kind, 1, proof=True)
    rows = []
    for size in sizes:
        chosen = [kind for kind in kinds if not kind.one_call or size == len(plays.zones)]
        more = FURTHER.get(size, 0)
        first: dict[str, list[Cost]] = {kind.key: [] for kind in chosen}
        further: dict[str, list[Cost]] = {kind.key: [] for kind in chosen}
        baselines = []
        for number in range(repeats):
            print(f"zones {size}, round {number + 1} of {repeats}", file=sys.stderr, flush=True)
            baseline = {count: plays.run(None, count) for count in {size, 1}}
            baselines.append(baseline[size])
            turn = number % len(chosen)
            for kind in chosen[turn:] + chosen[:turn]:
                hosts = 1 if kind.one_call else size
                cost = plays.run(kind, hosts)
                first[kind.key].append(cost.above(baseline[hosts], size))
                if more:
                    further[kind.key].append(plays.run(kind, hosts, 1 + more).above(cost, size * more))
        rows.append({"key": "empty", "title": "empty play, whole", "zones": size, "first": summary(baselines), "further": None})
        rows += [
            {
                "key": kind.key,
                "title": kind.title,
                "zones": size,
                "first": summary(first[kind.key]),
                "further": summary(further[kind.key]) if more else None,
            }
            for kind in chosen
        ]
    return rows


def ratios(rows: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Say how many times as much controller CPU and time one task needs as another."""
    found = []
    for size in sorted({row["zones"] for row in rows}):
        named = {row["key"]: row for row in rows if row["zones"] == size}
        for less, much in (
            ("service", "general"),
            ("service", "service_module"),
            ("service", "noop"),
            ("vm", "vm_module"),
            ("floor", "service"),
        ):
            if less in named and much in named:
                entry: dict[str, t.Any] = {"zones": size, "of": named[much]["title"], "to": named[less]["title"]}
                for which in ("first", "further"):
                    if named[less][which]:
                        pair = named[much][which], named[less][which]
                        entry[which] = {what: _ratio(pair[0][what], pair[1][what]) for what in ("cpu_ms", "wall_ms")}
                found.append(entry)
    return found


def _ratio(much: dict[str, float], less: dict[str, float]) -> float | None:
    return round(much["median"] / less["median"], 1) if less["median"] > 0 else None


def goals(rows: list[dict[str, t.Any]]) -> list[str]:
    """Hold the in-process task against the goals, with the medians of CPU."""
    lines = []
    for row in (row for row in rows if row["key"] == "service"):
        other = next((entry for entry in rows if entry["key"] == "general" and entry["zones"] == row["zones"]), None)
        for which in ("first", "further"):
            if row[which] and other:
                ours, theirs = row[which]["cpu_ms"]["median"], other[which]["cpu_ms"]["median"]
                cheap, times = ours <= GOAL_MS, theirs >= GOAL_TIMES * ours
                lines.append(
                    f"{row['zones']:>5}  {which:<8} {ours:6.1f} ms, goal {GOAL_MS}: {'met' if cheap else 'missed':<8}"
                    f"{theirs / ours:6.1f} times cheaper, goal {GOAL_TIMES}: {'met' if times else 'missed'}"
                )
    return lines


def show(result: dict[str, t.Any]) -> None:
    machine = result["machine"]
    print(
        f"{machine['cores']} cores ({machine['processor']}), load {machine['load_before']} before and {machine['load_after']} after"
    )
    print(", ".join(f"{name} {version}" for name, version in result["versions"].items()))
    print(f"forks {result['forks']}, {result['repeats']} rounds; ms per zone: median (lowest - highest)\n")
    print(f"{'zones':>5}  {'task':<42}{'CPU':>26}{'wall clock':>26}")
    for row in result["rows"]:
        for which, note in (("first", ""), ("further", ", each further")):
            if row[which]:
                cpu, wall = ("{median:.1f} ({min:.1f} - {max:.1f})".format(**row[which][what]) for what in ("cpu_ms", "wall_ms"))
                print(f"{row['zones']:>5}  {row['title'] + note:<48}{cpu:>24}{wall:>26}")
    print(f"\n{'zones':>5}  {'how many times as much':<68}{'CPU':>7}{'wall':>7}{'further: CPU':>15}{'wall':>7}")
    for row in result["ratios"]:
        cells = [row.get(which, {}).get(what) for which in ("first", "further") for what in ("cpu_ms", "wall_ms")]
        texts = ["-" if cell is None else str(cell) for cell in cells]
        pair = f"{row['of']} : {row['to']}"
        print(f"{row['zones']:>5}  {pair:<68}{texts[0]:>7}{texts[1]:>7}{texts[2]:>15}{texts[3]:>7}")
    print("\nzones  oneflow_service_info in-process beside community.general.one_service, controller CPU per zone")
    print("\n".join(result["goals"]))


def processor() -> str:
    names = re.findall(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_tasks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--zones", type=lambda text: [int(part) for part in text.split(",")], default=[1, 10, 100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"of {', '.join(kind.key for kind in KINDS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    kinds = [kind for kind in KINDS if not arguments.only or kind.key in arguments.only]
    load = [f"{os.getloadavg()[0]:.2f}"]
    with tempfile.TemporaryDirectory(prefix="api-tasks-") as name:
        folder = Path(name)
        (folder / "zones").mkdir()
        with running(max(arguments.zones), folder / "zones") as zones:
            plays = Plays(folder, zones, arguments.forks)
            rows = measure(plays, arguments.zones, arguments.repeats, kinds)
    load.append(f"{os.getloadavg()[0]:.2f}")
    result = {
        "machine": {"cores": len(os.sched_getaffinity(0)), "processor": processor(), "load_before": load[0], "load_after": load[1]},
        "versions": versions(),
        "forks": arguments.forks,
        "repeats": arguments.repeats,
        "rows": rows,
        "ratios": ratios(rows),
        "goals": goals(rows),
    }
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
