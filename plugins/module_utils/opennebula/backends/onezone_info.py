# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""onezone_info: all zones of the federation, and how far each lags behind the master."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ..answers import to_int
from ..errors import InvalidRequest, OpenNebulaError
from ..oned import Oned
from ..session import Deadline, Session
from ..states import raft_state_name
from ..template_text import check_id
from ..zones import MASTER_ZONE, Zone, usable

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str"},
    "id": {"type": "int"},
    "status": {"type": "bool", "default": True},
}
RULES: dict[str, t.Any] = {"mutually_exclusive": [("name", "id")]}

# A silent zone occupies a thread for the whole of `timeout`; with this many the others do not queue behind a few of them.
WORKERS = 64


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, zones}, ordered by id. A zone that cannot be asked has its reason in status.error."""
    check_id("id", params["id"])
    zones = _pool(session.oned)
    found = [zone for zone in zones if params["name"] in (None, zone.name) and params["id"] in (None, zone.id)]
    results = [zone.to_result() for zone in found]
    if params["status"]:
        asked = {zone.id: zone for zone in [*found, *(z for z in zones if z.id == MASTER_ZONE)]}
        clients = {zone_id: _client(session, zones, zone) for zone_id, zone in asked.items()}
        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            answers = pool.map(lambda client: _status(client, session.deadline(params["timeout"])), clients.values())
            statuses = dict(zip(clients, answers, strict=True))
        for result in results:
            result["status"] = _compared(statuses[result["id"]], statuses.get(MASTER_ZONE))
    return {"changed": False, "zones": results}


def _pool(oned: Oned) -> list[Zone]:
    return sorted(map(Zone.from_document, oned.zones()), key=lambda zone: t.cast(int, zone.id))


def _client(session: Session, zones: list[Zone], zone: Zone) -> Oned | OpenNebulaError:
    """Return a client of its own for a zone's thread; never another zone's."""
    here = session.oned.endpoint
    try:
        if usable(zone.endpoint, here):
            return session.oned_at(zone.endpoint)
        # Zone 0 is born as http://localhost: the only one of that kind is the one that answers here.
        strangers = [entry for entry in zones if not usable(entry.endpoint, here)]
        if len(strangers) == 1 and all(entry.endpoint.rstrip("/") != here for entry in zones):
            return session.oned_at(here)
        raise InvalidRequest(
            f"the zone pool names {zone.endpoint or 'nothing'} as its endpoint, which leads nowhere from here",
            hint="Correct the zone's ENDPOINT with onezone.",
        )
    except OpenNebulaError as error:
        return error


def _status(oned: Oned | OpenNebulaError, deadline: Deadline) -> dict[str, t.Any]:
    """Ask one zone, all calls within one deadline."""
    status: dict[str, t.Any] = {
        "reachable": False,
        "version": None,
        "raft_state": None,
        "term": None,
        "fedlog_index": None,
        "error": None,
        "pool": None,
    }
    try:
        if isinstance(oned, OpenNebulaError):
            raise oned
        status["version"] = oned.version()
        status["reachable"] = True
        oned.limit(deadline.left())
        status["pool"] = _pool(oned)
        oned.limit(deadline.left())
        raft = oned.raft_status()  # for oneadmin only
        status["raft_state"] = raft_state_name(to_int(raft.get("STATE")))
        status["term"] = to_int(raft.get("TERM"))
        status["fedlog_index"] = to_int(raft.get("FEDLOG_INDEX"))
    except OpenNebulaError as error:
        status["error"] = str(error)
    return status


def _compared(status: dict[str, t.Any], master: dict[str, t.Any] | None) -> dict[str, t.Any]:
    """Add lag (entries of the federation's log, None when not comparable) and in_step (same zone pool as the master)."""
    result = {key: value for key, value in status.items() if key != "pool"}
    result["lag"], result["in_step"] = None, None
    if master is None:
        return result
    if status["pool"] is not None and master["pool"] is not None:
        result["in_step"] = status["pool"] == master["pool"]
    here, there = status["fedlog_index"], master["fedlog_index"]
    if here is not None and there is not None and there >= here >= 0:
        result["lag"] = there - here
    return result
