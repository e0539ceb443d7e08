# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""onezone: a zone of the federation as the task describes it."""

from __future__ import annotations

import contextlib
import functools
import typing as t
from collections.abc import Callable

from ..answers import as_dict, to_int
from ..errors import InvalidRequest, NotFound, Refused
from ..oned import Oned
from ..secrets import masked
from ..session import Session
from ..template_text import check_name, render_template, scalar
from ..zones import client_of, describe, master

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str"},
    "id": {"type": "int"},
    "zone_endpoint": {"type": "str"},
    "zone_oneflow_endpoint": {"type": "str"},
    "attributes": {"type": "dict", "default": {}},
    "new_name": {"type": "str"},
    "enabled": {"type": "bool"},
    "servers": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "endpoint": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    },
}
RULES: dict[str, t.Any] = {"required_one_of": [("name", "id")]}

# How long a slave may take to show what the master wrote (6-11 ms measured on loopback), seconds.
SETTLE = 10.0

Params = dict[str, t.Any]


def run(params: Params, session: Session) -> dict[str, t.Any]:
    """Return {changed, zone, diff}; zone is None when it is absent."""
    asked = _asked(params)
    zones = [describe(zone) for zone in session.oned.zones()]
    current = _find(params, zones)
    if params["state"] == "absent":
        return _absent(session, zones, current)
    if current is None:
        return _create(params, session, zones, asked)
    return _update(params, session, zones, current, asked)


def _asked(params: Params) -> dict[str, t.Any]:
    for option in ("name", "new_name"):
        if params[option] is not None and params["state"] == "present":
            check_name(option, params[option])
    asked = {str(key).upper(): value for key, value in params["attributes"].items()}
    for option, key in (("zone_endpoint", "ENDPOINT"), ("zone_oneflow_endpoint", "ONEFLOW_ENDPOINT")):
        if params[option] is not None:
            asked[key] = params[option]
    if "NAME" in asked:
        raise InvalidRequest("attributes cannot hold NAME: it would not rename the zone", hint="Use new_name.")
    for key in ("ENDPOINT", "ONEFLOW_ENDPOINT"):
        if key in asked and not scalar(asked[key]).startswith(("http://", "https://")):
            raise InvalidRequest(
                f"{key} {asked[key]!r} is not an http:// or https:// URL", hint="Without it the zone cannot be reached."
            )
    render_template(asked)
    return {key: _text(value) for key, value in asked.items()}


def _text(value: t.Any) -> t.Any:
    return {str(k).upper(): scalar(v) for k, v in value.items()} if isinstance(value, dict) else scalar(value)


def _find(params: Params, zones: list[dict]) -> dict | None:
    if params["id"] is not None:
        found = [zone for zone in zones if zone["id"] == params["id"]]
        if not found and params["state"] == "present":
            raise NotFound(f"there is no zone {params['id']}", hint="Zone ids are given by OpenNebula; create zones by name.")
        return found[0] if found else None
    found = [zone for zone in zones if zone["name"] == params["name"]]
    if not found and params["new_name"]:
        found = [zone for zone in zones if zone["name"] == params["new_name"]]
    return found[0] if found else None  # names are unique in a federation


def _absent(session: Session, zones: list[dict], current: dict | None) -> dict[str, t.Any]:
    diff = {"before": _shown(current), "after": {}}
    if current is None:
        return {"changed": False, "zone": None, "diff": diff}
    if not session.check_mode:
        oned = master(session, zones)
        with contextlib.suppress(NotFound):
            oned.call("zone.delete", current["id"])
        _settle(session, lambda: current["id"] not in [to_int(zone.get("ID")) for zone in session.oned.zones()])
    return {"changed": True, "zone": None, "diff": diff}


def _create(params: Params, session: Session, zones: list[dict], asked: dict[str, t.Any]) -> dict[str, t.Any]:
    name = params["new_name"] or params["name"]
    if "ENDPOINT" not in asked:
        raise NotFound(f"there is no zone {name!r}", hint="Give zone_endpoint to create it.")
    _server_steps(params, {"servers": []})  # a fault in them shows before anything is written
    if session.check_mode:
        servers = [
            {"id": None, "name": server["name"], "endpoint": server["endpoint"], "state": None}
            for server in params["servers"]
            if server["state"] == "present"
        ]
        zone = {
            "id": None,
            "name": name,
            "endpoint": asked["ENDPOINT"],
            "oneflow_endpoint": asked.get("ONEFLOW_ENDPOINT", ""),
            "state": "DISABLED" if params["enabled"] is False else "ENABLED",
            "attributes": asked,
            "servers": servers,
        }
        return {"changed": True, "zone": zone, "diff": {"before": {}, "after": _shown(zone)}}
    oned = master(session, zones)
    zone_id = to_int(oned.call("zone.allocate", render_template({"NAME": name, **asked})))
    zone = _reread(session, oned, zone_id, lambda zone: True)
    zones = [*zones, zone]
    zone = _switch(params, session, zones, zone)
    zone = _servers(params, session, zones, zone)
    return {"changed": True, "zone": zone, "diff": {"before": {}, "after": _shown(zone)}}


def _update(params: Params, session: Session, zones: list[dict], current: dict, asked: dict) -> dict[str, t.Any]:
    name = params["new_name"] or (params["name"] if params["id"] is not None else None) or current["name"]
    new = {key: value for key, value in asked.items() if current["attributes"].get(key) != value}
    _server_steps(params, current)
    if session.check_mode:
        return _predicted(params, current, name, new)
    zone = current
    if params["enabled"]:  # first: a disabled zone takes no writes
        zone = _switch(params, session, zones, zone)
    if new or name != zone["name"]:
        oned = master(session, zones)
        if new:
            # append: replacing would drop ENDPOINT and cut the zone off.
            oned.call("zone.update", zone["id"], render_template(new), 1)
        if name != zone["name"]:
            oned.call("zone.rename", zone["id"], name)
        zone = _reread(
            session,
            oned,
            zone["id"],
            lambda zone: zone["name"] == name and all(zone["attributes"].get(key) == value for key, value in new.items()),
        )
        zones = [zone if entry["id"] == zone["id"] else entry for entry in zones]
    zone = _servers(params, session, zones, zone)
    zone = _switch(params, session, zones, zone)
    return {"changed": session.changed, "zone": zone, "diff": {"before": _shown(current), "after": _shown(zone)}}


def _predicted(params: Params, current: dict, name: str, new: dict) -> dict[str, t.Any]:
    attributes = {**current["attributes"], **new}
    servers = list(current["servers"])
    for step, server in _server_steps(params, current):
        if step == "add":
            servers.append({"id": None, "name": server["name"], "endpoint": server["endpoint"], "state": None})
        else:
            servers = [entry for entry in servers if entry["name"] != server["name"]]
    zone = {
        **current,
        "name": name,
        "attributes": attributes,
        "endpoint": attributes.get("ENDPOINT", ""),
        "oneflow_endpoint": attributes.get("ONEFLOW_ENDPOINT", ""),
        "servers": servers,
    }
    if params["enabled"] is not None:
        zone["state"] = "ENABLED" if params["enabled"] else "DISABLED"
    return {"changed": zone != current, "zone": zone, "diff": {"before": _shown(current), "after": _shown(zone)}}


def _switch(params: Params, session: Session, zones: list[dict], zone: dict) -> dict:
    """Enable or disable, at the zone's own oned."""
    state = {True: "ENABLED", False: "DISABLED", None: zone["state"]}[params["enabled"]]
    if state == zone["state"]:
        return zone
    oned = client_of(session, zones, zone["id"])
    oned.call("zone.enable", zone["id"], bool(params["enabled"]))
    return _reread(session, oned, zone["id"], lambda entry: entry["state"] == state)


def _server_steps(params: Params, zone: dict) -> list[tuple[str, Params]]:
    existing = {server["name"]: server for server in zone["servers"]}
    steps: list[tuple[str, Params]] = []
    for server in params["servers"]:
        have = existing.get(server["name"])
        if server["state"] == "absent":
            if have:
                steps.append(("remove", {**server, "id": have["id"]}))
        elif have is None:
            if not server["endpoint"]:
                raise InvalidRequest(f"server {server['name']} needs an endpoint")
            steps.append(("add", server))
        elif server["endpoint"] and server["endpoint"] != have["endpoint"]:
            raise Refused(
                f"server {server['name']} has endpoint {have['endpoint']}; OpenNebula cannot change it",
                hint="Remove the server (state: absent), then add it.",
            )
    return steps


def _servers(params: Params, session: Session, zones: list[dict], zone: dict) -> dict:
    steps = _server_steps(params, zone)
    if not steps:
        return zone
    oned = client_of(session, zones, zone["id"])
    for step, server in steps:
        if step == "add":
            text = render_template({"SERVER": {"NAME": server["name"], "ENDPOINT": server["endpoint"]}})
            oned.call("zone.addserver", zone["id"], text)
        else:
            oned.call("zone.delserver", zone["id"], server["id"])
        zone = _reread(session, oned, zone["id"], functools.partial(_has_server, server["name"], step == "add"))
    return zone


def _has_server(name: str, present: bool, zone: dict) -> bool:
    return (name in [server["name"] for server in zone["servers"]]) == present


def _reread(session: Session, oned: Oned, zone_id: int, reached: Callable[[dict], bool]) -> dict:
    """Return the zone as it is once the write shows: where it was written, and at the endpoint of the task.

    A slave that passed it on lags behind the master; the next task asks the slave again and must find what was done.
    """
    seen: dict[str, dict] = {}

    def look(at: Oned) -> bool:
        try:
            seen["zone"] = describe(as_dict(at.zone(zone_id)))
        except NotFound:
            return False
        return reached(seen["zone"])

    for at in [oned] if oned is session.oned else [oned, session.oned]:
        _settle(session, functools.partial(look, at))
    return seen["zone"]


def _settle(session: Session, reached: Callable[[], bool]) -> None:
    deadline, pause = session.deadline(SETTLE), 0.01
    while not reached():
        if deadline.left() <= 0:
            raise Refused(f"the change was accepted, but does not show after {SETTLE:g} s", hint="Is replication working?")
        session.sleep(pause)
        pause = min(pause * 2, 0.5)


def _shown(zone: dict | None) -> dict[str, t.Any]:
    if zone is None:
        return {}
    return {
        "name": zone["name"],
        "state": zone["state"],
        "attributes": masked(zone["attributes"], by_name=True),
        "servers": {server["name"]: server["endpoint"] for server in zone["servers"]},
    }
