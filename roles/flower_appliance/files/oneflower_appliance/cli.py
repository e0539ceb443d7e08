# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: configure | state | agent | launch UNIT."""

from __future__ import annotations

import os
import sys
from importlib import metadata

from . import flower
from .paths import Paths

USAGE = f"usage: oneflower configure | state | agent | launch {flower.SUPERLINK_UNIT}|{flower.SUPERNODE_UNIT}"


def main(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    paths = Paths()
    match arguments:
        case ["configure", *_stage]:
            from .configure import configure

            return configure(os.environ, paths)
        case ["state"]:
            from .host import service_user
            from .state_disk import keep

            return keep(paths, service_user())
        case ["agent"]:
            from .agent import run

            run(paths, metadata.version("flwr"))
            return 0
        case ["launch", (flower.SUPERLINK_UNIT | flower.SUPERNODE_UNIT) as unit]:
            from .launch import launch

            return launch(unit, paths)
        case _:
            print(USAGE, file=sys.stderr)
            return 2
