# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones: their documents, and which oned accepts which call.

oned takes allocate, update, rename and delete at the federation's master (zone 0; slaves pass them on), and enable and the
servers only at the zone itself (rm/api/ZoneAPI.cc).
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from urllib.parse import urlsplit

from .answers import as_dict, as_list, to_int
from .oned import Oned
from .session import Session
from .states import raft_state_name, zone_state_name

MASTER_ZONE = 0


def describe(zone: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return {id, name, endpoint, oneflow_endpoint, state, attributes, servers} of a zone document."""
    attributes = as_dict(zone.get("TEMPLATE"))
    servers = []
    for entry in as_list(as_dict(zone.get("SERVER_POOL")).get("SERVER")):
        server = as_dict(entry)
        state = to_int(server.get("STATE"))
        servers.append(
            {
                "id": to_int(server.get("ID")),
                "name": str(server.get("NAME", "")),
                "endpoint": str(server.get("ENDPOINT", "")),
                "state": raft_state_name(state) if state >= 0 else None,
            }
        )
    return {
        "id": to_int(zone.get("ID")),
        "name": str(zone.get("NAME", "")),
        "endpoint": attributes.get("ENDPOINT", ""),
        "oneflow_endpoint": attributes.get("ONEFLOW_ENDPOINT", ""),
        "state": zone_state_name(to_int(zone.get("STATE"))),
        "attributes": attributes,
        "servers": servers,
    }


def usable(endpoint: str, from_endpoint: str) -> bool:
    """Tell whether an endpoint from the pool can be used from here; zone 0 is born as http://localhost:2633/RPC2."""
    try:
        host = urlsplit(endpoint).hostname or ""
        here = urlsplit(from_endpoint).hostname or ""
    except ValueError:
        return False
    return endpoint.startswith(("http://", "https://")) and host != "" and (not _loopback(host) or _loopback(here))


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def client_of(session: Session, zones: list[dict[str, t.Any]], zone_id: int) -> Oned:
    """Return the oned of a zone; the one behind the option endpoint when the pool does not know better."""
    found = [zone for zone in zones if zone["id"] == zone_id]
    endpoint = str(found[0]["endpoint"]).rstrip("/") if found else ""
    if endpoint == session.oned.endpoint or not usable(endpoint, session.oned.endpoint):
        return session.oned
    return session.oned_at(endpoint)


def master(session: Session, zones: list[dict[str, t.Any]]) -> Oned:
    """Return the oned for writes to the zone pool.

    When the endpoint in use is not in the pool under that name it may be the master by another address; it is kept, and
    passes the call on if it is a slave.
    """
    own = [zone for zone in zones if str(zone["endpoint"]).rstrip("/") == session.oned.endpoint]
    if not own or own[0]["id"] == MASTER_ZONE:
        return session.oned
    return client_of(session, zones, MASTER_ZONE)
