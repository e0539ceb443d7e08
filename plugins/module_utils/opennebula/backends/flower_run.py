# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_run: have the SuperLink's VM run the smoke-test training and follow it."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Mapping

from ..answers import as_dict, to_int
from ..errors import InvalidRequest, NotFound, WaitFailed, WaitTimedOut
from ..session import Session
from ..template_text import render_template

ARGUMENTS: dict[str, t.Any] = {
    "vm_id": {"type": "int", "required": True},
    "rounds": {"type": "int", "default": 3},
    "again": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 600},
}
RULES: dict[str, t.Any] = {}

POLL_S = 1.0


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, run}; a run that was asked for before is followed, a finished one is only told about."""
    if params["rounds"] < 1:
        raise InvalidRequest("rounds must be at least 1")
    vm_id = params["vm_id"]
    attributes = _attributes(session, vm_id)
    request = attributes.get("FL_RUN_REQUEST", "").split(" ")[0]
    under_way = bool(request) and (attributes.get("FL_RUN_ID") != request or attributes.get("FL_RUN_STATUS") == "running")
    if not under_way:
        if attributes.get("FL_RUN_STATUS") == "finished" and not params["again"]:
            return {"changed": False, "run": describe(attributes)}
        request = str(max(int(time.time()), to_int(request, 0) + 1))
        session.changed = True
        if session.check_mode:
            return {"changed": True, "run": {**describe({}), "id": request, "status": "requested"}}
        session.oned.vm_update(vm_id, render_template({"FL_RUN_REQUEST": f"{request} rounds={params['rounds']}"}))
    elif session.check_mode:
        return {"changed": False, "run": describe(attributes)}
    return {"changed": session.changed, "run": _follow(params, session, request)}


def _follow(params: dict[str, t.Any], session: Session, request: str) -> dict[str, t.Any]:
    deadline = session.deadline(params["wait_timeout"])
    told = 0
    while True:
        attributes = _attributes(session, params["vm_id"])
        if attributes.get("FL_RUN_ID") == request:
            state = describe(attributes)
            for number, loss in enumerate(state["losses"][told:], told + 1):
                session.progress(f"round {number} of {state['rounds']}: loss {loss:.6f}")
            told = len(state["losses"])
            if state["status"] == "finished":
                return state
            if state["status"] == "failed":
                raise WaitFailed(
                    f"the training failed after round {told}: {attributes.get('FL_RUN_ERROR', 'no reason given')}",
                    hint="The journal of the SuperLink's VM has the whole of it.",
                )
        if not deadline.left():
            raise WaitTimedOut(
                f"the training did not finish within {params['wait_timeout']} s; {told} round(s) are done",
                hint="Run this again to go on following it, or raise wait_timeout.",
            )
        session.sleep(POLL_S)


def describe(attributes: Mapping[str, str]) -> dict[str, t.Any]:
    """Read what the appliance publishes about a run; text that is no number is left out, as a VM may say anything."""
    return {
        "id": attributes.get("FL_RUN_ID", ""),
        "status": attributes.get("FL_RUN_STATUS", "none"),
        "rounds": max(0, to_int(attributes.get("FL_RUN_ROUNDS"), 0)),
        "losses": _numbers(attributes.get("FL_RUN_LOSS", ""), float),
        "nodes": max(0, to_int(attributes.get("FL_RUN_NODES"), 0)),
        "partitions": sorted(set(_numbers(attributes.get("FL_RUN_PARTITIONS", ""), int))),
        "seconds": next(iter(_numbers(attributes.get("FL_RUN_SECONDS", ""), float)), None),
    }


def _numbers(text: str, kind: type) -> list:
    numbers = []
    for part in text.split(","):
        try:
            numbers.append(kind(part))
        except ValueError:
            continue
    return numbers


def _attributes(session: Session, vm_id: int) -> dict[str, str]:
    vm = session.oned.vm(vm_id)
    if str(vm.get("STATE")) == "6":
        raise NotFound(f"VM {vm_id} is terminated", endpoint=session.oned.endpoint)
    return {key: str(value) for key, value in as_dict(vm.get("USER_TEMPLATE")).items()}
