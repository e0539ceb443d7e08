# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab.zone --config ZONE.json [--config OTHER.json ...]``

Prints one line ``ready`` on stdout when every port of every zone listens; SIGTERM and SIGINT end it cleanly.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from .config import ZoneConfig
from .server import serve


async def run(configs: list[ZoneConfig]) -> None:
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    async with serve(*configs):
        print("ready", flush=True)
        await end.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.zone", description="Serve lab zones (test doubles of OpenNebula).")
    parser.add_argument("--config", action="append", required=True, metavar="FILE", help="a zone's JSON; may be repeated")
    parser.add_argument("--log-level", default="INFO", help="of the log on stderr (default: INFO)")
    arguments = parser.parse_args()
    logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(run([ZoneConfig.load(path) for path in arguments.config]))


if __name__ == "__main__":
    main()
