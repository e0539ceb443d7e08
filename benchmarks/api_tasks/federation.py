# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A federation of lab zones on loopback, each with one running service of one VM."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lab.zone import harness as lab
from lab.zone.server import Zone

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "bench"
USER, PASSWORD = "oneadmin", lab.PASSWORD
ROLE = {"name": "supernode", "type": "vm", "template_id": 0, "cardinality": 1, "template_contents": {"FL_ROLE": "supernode"}}
TEMPLATE = {"name": SERVICE, "deployment": "straight", "roles": [ROLE]}


@contextlib.contextmanager
def running(count: int, folder: Path) -> Iterator[list[Zone]]:
    """Yield that many zones, the first one the federation's master; they are gone afterwards."""
    with lab.running() as (runner, _none):
        master = runner.start(lab.config(folder, "zone-000", 0, "master"))[0]
        url = lab.url(master, "xmlrpc", "/RPC2")
        slaves = [lab.config(folder, f"zone-{n:03}", 99 + n, "slave", master=url) for n in range(1, count)]
        found = [master, *(runner.start(*slaves) if slaves else [])]
        for zone in found:
            _fill(zone)
        for zone in found:
            lab.until(partial(_knows, zone, count), "a zone pool with every zone", 60)
        for zone in found:
            endpoint = f'ONEFLOW_ENDPOINT="{oneflow_url(zone)}"'
            lab.one(master, "one.zone.update", zone.config.zone_id, endpoint, 1)
        yield found


def _knows(zone: Zone, count: int) -> bool:
    return lab.one(zone, "one.zonepool.info").count("<ZONE>") == count


def _fill(zone: Zone) -> None:
    status, answer = lab.flow(zone, "POST", "/service_template", TEMPLATE)
    assert status == 201, answer
    number = answer["DOCUMENT"]["ID"]
    action = {"action": {"perform": "instantiate", "params": {"merge_template": {"name": SERVICE}}}}
    status, answer = lab.flow(zone, "POST", f"/service_template/{number}/action", action)
    assert status == 201, answer
    service = int(answer["DOCUMENT"]["ID"])
    lab.until(lambda: (lab.body(zone, service) or {}).get("state") == 2, "a running service", 60)


def oned_url(zone: Zone) -> str:
    """Return the zone's XML-RPC endpoint."""
    return lab.url(zone, "xmlrpc", "/RPC2")


def oneflow_url(zone: Zone) -> str:
    """Return the zone's OneFlow endpoint."""
    return lab.url(zone, "oneflow")
