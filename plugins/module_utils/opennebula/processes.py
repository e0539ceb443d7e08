# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of this host, told apart from those of other hosts, of other boots and of other containers."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

PROC = Path("/proc")


def identity(pid: int) -> dict[str, str]:
    """Return {host, boot_id, pid, started}, which no other process has, past ones included.

    boot_id also names the process namespace, as containers of one host share its boot. started counts the kernel's ticks since
    the boot. What the system does not tell is "". Raises ProcessLookupError where there is no such process.
    """
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(f"there is no process {pid}")
    return {"host": socket.gethostname(), "boot_id": _boot_id(), "pid": str(pid), "started": started}


def is_over(process: Mapping[str, str]) -> bool:
    """Tell whether the process of an identity has certainly ended: it was of this host and boot, and is there no more."""
    boot_id = _boot_id()
    if not boot_id or process.get("boot_id") != boot_id or process.get("host") != socket.gethostname():
        return False
    pid = process.get("pid", "")
    if not pid.isdigit() or int(pid) <= 0:
        return False
    started = _started(int(pid))
    return started is None or bool(started) and started != process.get("started")


def _boot_id() -> str:
    """Return the id of the kernel's boot and of the process namespace, "" where the system has none."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process started; None when there is none, "" where the system does not say."""
    try:
        os.kill(pid, 0)  # /proc may hide the processes of other users
    except ProcessLookupError:
        return None
    except OSError:
        pass
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # a command's name may have blanks and brackets
    # The third field is the state: a zombie has ended. The 22nd is the start.
    return None if fields[0] in "ZX" else fields[19]
