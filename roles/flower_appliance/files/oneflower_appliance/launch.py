# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts one of Flower's own programs in this process, with keepalive installed in its gRPC."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from . import keepalive
from .appliance import settings
from .paths import Paths


def launch(unit: str, paths: Paths) -> int:
    """Run the program `unit` (flower-superlink or flower-supernode) with the arguments of its file; return its exit code."""
    arguments = (paths.etc / f"{unit}.args").read_text().splitlines()
    time_s, timeout_s = os.environ.get(settings.KEEPALIVE_TIME), os.environ.get(settings.KEEPALIVE_TIMEOUT)
    if time_s and timeout_s:
        import grpc

        state = Path(os.environ.get("RUNTIME_DIRECTORY", paths.unit_state(unit).parent)) / "grpc.json"
        keepalive.install(grpc, int(time_s), int(timeout_s), keepalive.Recorder(state))
    (program,) = metadata.entry_points(group="console_scripts", name=unit)
    sys.argv = [unit, *arguments]
    code: int = program.load()()
    return code
