# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""onezone: a zone of the federation as the task describes it."""

from __future__ import annotations

import typing as t

from ..errors import InvalidRequest, NotFound, Refused
from ..secrets import named_values
from ..session import Session
from ..template_text import check_id, check_new_name, equal, render_template, scalar, stored
from ..zones import (
    ENABLED,
    FIRST_DELETABLE,
    AddServer,
    Allocate,
    Federation,
    RemoveServer,
    Rename,
    Step,
    Switch,
    Write,
    Zone,
    named,
)

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

Params = dict[str, t.Any]


def run(params: Params, session: Session) -> dict[str, t.Any]:
    """Return {changed, zone, diff}; zone is None when it is absent."""
    session.secrets |= named_values(params["attributes"])
    asked = _asked(params)
    federation = Federation(session)
    current = _find(params, federation)
    before = {} if current is None else current.to_diff()
    if params["state"] == "absent":
        if current is not None:
            _delete(current, federation)
        return {"changed": current is not None, "zone": None, "diff": {"before": before, "after": {}}}
    steps = _steps(params, current, asked)
    zone = current
    for step in steps:
        zone = step.predict(zone) if session.check_mode else federation.apply(step, zone)
    if zone is None:
        raise AssertionError("a step makes the zone where there is none")
    return {"changed": bool(steps), "zone": zone.to_result(), "diff": {"before": before, "after": zone.to_diff()}}


def _asked(params: Params) -> dict[str, t.Any]:
    """Return the attributes that the task asks for, as OpenNebula keeps them. Raises InvalidRequest."""
    check_id("id", params["id"])
    for option in ("name", "new_name"):
        if params[option] is not None and params["state"] == "present":
            check_new_name(option, params[option])
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
    asked = {key: stored(value) for key, value in asked.items()}
    render_template(asked)  # refuses names and values
    return asked


def _find(params: Params, federation: Federation) -> Zone | None:
    if params["id"] is not None:
        found = next((zone for zone in federation.zones if zone.id == params["id"]), None)
        if found is None and params["state"] == "present":
            raise NotFound(f"there is no zone {params['id']}", hint="Zone ids are given by OpenNebula; create zones by name.")
        return found
    return named(federation.zones, params["name"]) or named(federation.zones, params["new_name"])


def _delete(zone: Zone, federation: Federation) -> None:
    if t.cast(int, zone.id) < FIRST_DELETABLE:
        raise InvalidRequest(
            f"zone {zone.id} cannot be deleted", hint="Zones with an id below 100 are part of the installation and stay."
        )
    if not federation.session.check_mode:
        federation.delete(zone)


def _steps(params: Params, current: Zone | None, asked: dict[str, t.Any]) -> list[Step]:
    """Return what has to be done; faults in it show before anything is written."""
    name = params["new_name"] or params["name"]
    steps: list[Step] = []
    if current is None:
        if "ENDPOINT" not in asked:
            raise NotFound(f"there is no zone {name!r}", hint="Give zone_endpoint to create it.")
        create = Allocate(name, asked)
        steps.append(create)
        current = create.predict(None)
    elif params["new_name"] is None and params["id"] is None:
        name = current.name
    switch = [] if params["enabled"] in (None, current.state == ENABLED) else [Switch(params["enabled"])]
    if params["enabled"]:  # first: a disabled zone takes no writes
        steps += switch
    new = {key: value for key, value in asked.items() if not equal(current.attributes.get(key), value)}
    if new:
        steps.append(Write(new))
    if name not in (None, current.name):
        steps.append(Rename(name))
    steps += _server_steps(params, current)
    if not params["enabled"]:
        steps += switch
    return steps


def _server_steps(params: Params, zone: Zone) -> list[Step]:
    steps: list[Step] = []
    for server in params["servers"]:
        have = zone.server(server["name"])
        if server["state"] == "absent":
            if have:
                steps.append(RemoveServer(have))
        elif have is None:
            if not server["endpoint"]:
                raise InvalidRequest(f"server {server['name']} needs an endpoint")
            steps.append(AddServer(server["name"], server["endpoint"]))
        elif server["endpoint"] and server["endpoint"] != have.endpoint:
            raise Refused(
                f"server {server['name']} has endpoint {have.endpoint}; OpenNebula cannot change it",
                hint="Remove the server (state: absent), then add it.",
            )
    return steps
