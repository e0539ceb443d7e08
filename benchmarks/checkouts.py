# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Revisions of the repository side by side: each checked out in a folder, and the lab and the playbooks of each run from there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(place: Path, lab_name: str) -> dict[str, str]:
    """Return the environment of a command in a checkout; all use this Python environment."""
    return {
        **os.environ,
        "ONEFLOWER_LAB": lab_name,
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(place / ".build/collections"),
        "PYTHONPATH": str(place),
    }


def run(place: Path, lab_name: str, *command: str) -> float:
    """Run a command in a checkout and return its seconds; ends the benchmark where the command fails."""
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=place,
        env=environment(place, lab_name),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{place}: {' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return time.monotonic() - started


def lab(place: Path, lab_name: str, command: str) -> None:
    """Run a command of a checkout's lab."""
    run(place, lab_name, str(ROOT / ".venv/bin/python"), "-m", "lab", command)


@contextlib.contextmanager
def checked_out(revision: str, name: str) -> Iterator[Path]:
    """Check a revision out below .build; yields its folder, and removes it in the end."""
    place = ROOT / ".build" / name
    remove = ["git", "worktree", "remove", "--force", str(place)]
    subprocess.run(remove, cwd=ROOT, check=False, capture_output=True)  # of a benchmark that was killed
    run(ROOT, name, "git", "worktree", "add", "--force", "--detach", str(place), revision)
    try:
        (place / ".venv").symlink_to(ROOT / ".venv")
        collection = place / ".build/collections/ansible_collections/oneflower"
        collection.mkdir(parents=True)
        (collection / "federation").symlink_to("../../../..")
        yield place
    finally:
        subprocess.run(remove, cwd=ROOT, check=False)
