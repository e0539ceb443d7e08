# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the API tasks runs, and finds its proof, with one zone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_one_round_on_one_zone(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.api_tasks", "--zones", "1", "--repeats", "1", "--only", "service,one_call,floor"]
    done = subprocess.run([*command, "--json", str(figures)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(figures.read_text())
    assert [row["key"] for row in result["rows"]] == ["empty", "service", "floor", "one_call"]
    assert result["versions"]["community.general"] and "oneflow_service_info, in-process" in done.stdout
