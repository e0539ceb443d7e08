# SPDX-License-Identifier: GPL-3.0-or-later
"""A command's cost includes what it started and left running, and nothing of it stays."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.follow import usage

BUSY = """
import sys, time
kept = bytearray(80 * 2**20)
kept[::4096] = b"x" * len(kept[::4096])
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    pass
"""


def run(tmp_path: Path, program: str, *arguments: str) -> usage.Usage:
    return usage.run([sys.executable, "-c", program, *arguments], tmp_path, os.environ, tmp_path)


def test_time_memory_status_and_output_of_a_command(tmp_path: Path) -> None:
    used = run(tmp_path, BUSY + "print('done')\nsys.exit(3)", "1.2")
    assert used.status == 3 and used.output == "done\n"
    assert used.cpu >= 1.2 and used.seconds >= 1.2 and used.memory >= 80


def test_a_process_that_detached_itself_counts_and_is_ended(tmp_path: Path) -> None:
    program = f"""
import subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", {BUSY!r} + "time.sleep(600)", "0.5"], start_new_session=True)
open("left", "w").write(str(left.pid))
time.sleep(2)
"""
    used = run(tmp_path, program)
    assert used.status == 0 and used.cpu >= 0.5
    assert not Path("/proc", (tmp_path / "left").read_text()).exists()
