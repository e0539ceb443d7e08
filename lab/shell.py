# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the system's commands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from lab import topology


class LabError(RuntimeError):
    """Something in the lab did not work; the message says what and where."""


def run(*command: object, check: bool = True, text_in: str | None = None) -> str:
    """Run a command and return what it printed; raises LabError with its error output."""
    done = subprocess.run(
        [str(part) for part in command],
        input=text_in,
        stdin=subprocess.DEVNULL if text_in is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise LabError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


def inside(host: str, *command: object, check: bool = True, text_in: str | None = None) -> str:
    """Run a command of this machine in a lab host's network namespace."""
    return run("nsenter", f"--net=/run/netns/{topology.namespace(host)}", *command, check=check, text_in=text_in)


def batch(host: str, commands: Sequence[str]) -> None:
    """Run lines of `ip` in a lab host's network namespace, in one process."""
    run("ip", "-n", topology.namespace(host), "-batch", "-", text_in="\n".join(commands) + "\n")


def say(message: str) -> None:
    """Show progress."""
    print(f"lab: {message}", flush=True)


def fail(message: str) -> int:
    print(f"lab: {message}", file=sys.stderr, flush=True)
    return 1
