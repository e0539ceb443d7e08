# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: configure | agent | launch UNIT."""

from __future__ import annotations

import os
import sys
from importlib import metadata

from . import flower
from .paths import Paths

USAGE = f"usage: oneflower configure | agent | launch {flower.SUPERLINK_UNIT}|{flower.SUPERNODE_UNIT}"


def main(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    paths = Paths()
    match arguments:
        case ["configure", *_stage]:
            from .configure import configure

            return configure(os.environ, paths)
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
