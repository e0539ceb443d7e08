# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every stage of the tests, show progress, and close with one line `N passed, N failed`.

Usage: python tests/run.py [STAGE ...], with stages lint, unit, contract, sanity, molecule, lab. Without one, all of them.
ONEFLOWER_TEST_DEBIAN13=1 runs the appliance's scenario of molecule on Debian 13 as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
RESULTS = ROOT / ".build" / "results"

COMMANDS = {
    "lint": [
        [str(BIN / "ruff"), "check", "."],
        [str(BIN / "ruff"), "format", "--check", "."],
        [str(BIN / "yamllint"), "-s", "."],
        [str(BIN / "ansible-lint"), "--offline", "-q"],
        [str(BIN / "mypy")],
        [str(BIN / "antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", "."],
        [str(BIN / "antsibull-changelog"), "lint"],
    ],
    "sanity": [
        ["tests/sanity.sh"],
        *(["tests/next_core.sh", part] for part in ("sanity", "unit", "syntax")),
        *(["tests/pyone.sh", which] for which in ("oldest", "newest")),
    ],
}
BESIDE = {"sanity": 1}  # that many of a stage's first commands run at the same time as the rest
SKIPPED = 77
PYTEST = {"unit": ["tests/unit"], "contract": ["tests/contract"]}
# Two labs side by side: their tests wait most of the time. Environment and parts of tests/lab of each.
LABS = (
    ({}, ("machine", "appliance", "test_inventories.py", "test_walkthrough.py")),
    (
        {"ONEFLOWER_TEST_LAB": "oftest2"},
        ("test_follow.py", "test_killed_runs.py", "test_replace_superlink.py", "test_replace_sites.py"),
    ),
)
# Scenario of molecule/ and what it is told through its environment.
SCENARIOS: list[tuple[str, dict[str, str]]] = [("default", {}), ("flower_appliance", {}), ("wireguard_gateway", {})]
if os.environ.get("ONEFLOWER_TEST_DEBIAN13"):
    SCENARIOS.append(("flower_appliance", {"ONEFLOWER_MOLECULE_IMAGE": "base-trixie"}))
STAGES = ("lint", "unit", "contract", "sanity", "molecule", "lab")


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
    }


def run_command(stage: str, command: list[str], apart: bool) -> int:
    """Run one command; its output comes at its end when others run beside it."""
    name = " ".join([Path(command[0]).name, *(word for word in command[1:2] if not word.startswith("-"))])
    head = f"--- {stage}: {name}"
    if not apart:
        print(head, flush=True)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        check=False,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE if apart else None,
        stderr=subprocess.STDOUT if apart else None,
    )
    if apart:
        print(f"{head}\n{done.stdout}", end="", flush=True)
    if done.returncode == SKIPPED:
        print(f"{head} was skipped and counts as nothing", flush=True)
    return done.returncode


def run_commands(stage: str) -> tuple[int, int]:
    beside = BESIDE.get(stage, 0)
    lanes = [lane for lane in (COMMANDS[stage][:beside], COMMANDS[stage][beside:]) if lane]
    with ThreadPoolExecutor(len(lanes)) as pool:
        lists = pool.map(lambda lane: [run_command(stage, command, len(lanes) > 1) for command in lane], lanes)
        codes = [code for lane in lists for code in lane]
    return codes.count(0), sum(code not in (0, SKIPPED) for code in codes)


def run_pytest(stage: str) -> tuple[int, int]:
    return pytest(stage, PYTEST[stage])


def run_labs(stage: str) -> tuple[int, int]:
    with ThreadPoolExecutor(len(LABS)) as pool:
        paths = [[f"tests/lab/{part}" for part in parts] for _told, parts in LABS]
        names = [f"{stage}-{number}" for number, _lab in enumerate(LABS, 1)]
        counts = list(pool.map(lambda name, given, lab: pytest(name, given, lab[0], apart=True), names, paths, LABS))
    return sum(passed for passed, _failed in counts), sum(failed for _passed, failed in counts)


def pytest(name: str, paths: list[str], told: Mapping[str, str] | None = None, *, apart: bool = False) -> tuple[int, int]:
    """Run tests and count them; with `apart` every line is shown when it is complete, since others run beside."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = RESULTS / f"{name}.xml"
    result.unlink(missing_ok=True)
    how = ["-v" if apart else "-q", "--durations=5", f"--junit-xml={result}"]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *how, *paths],
        cwd=ROOT,
        env={**environment(), **(told or {})},
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE if apart else None,
        stderr=subprocess.STDOUT if apart else None,
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
    return counted(result, process.returncode)


def counted(result: Path, code: int) -> tuple[int, int]:
    """Count tests passed and failed in a JUnit file; a program that failed although none of its tests did is one failure."""
    if not result.exists():
        return 0, 1
    suite = next(ElementTree.parse(result).getroot().iter("testsuite"))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    passed = int(suite.get("tests", 0)) - failed - int(suite.get("skipped", 0))
    return passed, failed if code == 0 or failed else failed + 1


def run_molecule(stage: str) -> tuple[int, int]:
    """Count a scenario as one test, and every check that its verifier made as one more."""
    passed = failed = 0
    for scenario, told in SCENARIOS:
        print(f"--- {stage}: {' '.join([scenario, *told.values()])}", flush=True)
        result = RESULTS / f"molecule-{scenario}.xml"
        result.unlink(missing_ok=True)
        code = subprocess.run(
            [str(BIN / "molecule"), "test", "-s", scenario],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            check=False,
            env={**environment(), "NO_COLOR": "1", **told},
        ).returncode
        verified = (ROOT / "molecule" / scenario / "tests").is_dir()
        checks_passed, checks_failed = counted(result, code) if verified else (0, int(code != 0))
        passed += checks_passed + (code == 0)
        failed += checks_failed
    return passed, failed


RUNNERS = {"molecule": run_molecule, "lab": run_labs, **dict.fromkeys(COMMANDS, run_commands), **dict.fromkeys(PYTEST, run_pytest)}


def main() -> int:
    stages = sys.argv[1:] or list(STAGES)
    unknown = set(stages) - set(STAGES)
    if unknown:
        sys.exit(f"unknown stage {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
    passed = failed = 0
    for number, stage in enumerate(stages, 1):
        started = time.monotonic()
        print(f"=== {number}/{len(stages)} {stage}", flush=True)
        stage_passed, stage_failed = RUNNERS[stage](stage)
        passed += stage_passed
        failed += stage_failed
        print(f"=== {stage}: {stage_passed} ok, {stage_failed} not ok, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
