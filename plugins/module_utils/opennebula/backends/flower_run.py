# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_run: have the SuperLink's VM run the smoke-test training and follow it."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.oneflower.federation.plugins.module_utils.appliance.attributes import RUN_REQUEST, Run, RunRequest

from ..answers import to_int
from ..errors import InvalidRequest, NotFound, WaitFailed, WaitTimedOut
from ..session import Session
from ..template_text import check_id, render_template
from ..vms import Vm

ARGUMENTS: dict[str, t.Any] = {
    "vm_id": {"type": "int", "required": True},
    "rounds": {"type": "int", "default": 3},
    "partitions": {"type": "int", "default": 0},
    "again": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 600},
}
RULES: dict[str, t.Any] = {}

POLL_S = 1.0
MOST_ROUNDS = 9999


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, run}; a run that was asked for before is followed, a finished one is only told about."""
    check_id("vm_id", params["vm_id"])
    if not 1 <= params["rounds"] <= MOST_ROUNDS:
        raise InvalidRequest(f"rounds must be from 1 to {MOST_ROUNDS}")
    request, last = _read(session, params["vm_id"])
    if not request or (last.id == request and last.status != "running"):
        if last.status == "finished" and not params["again"]:
            return {"changed": False, "run": to_result(last)}
        request = str(max(int(time.time()), to_int(request, 0) + 1))
        if session.check_mode:
            return {"changed": True, "run": to_result(Run(id=request, status="requested"))}
        asked = RunRequest(request, rounds=params["rounds"], partitions=params["partitions"])
        session.oned.vm_update(params["vm_id"], render_template({RUN_REQUEST: asked.format()}))
    elif session.check_mode:
        return {"changed": False, "run": to_result(last)}
    return {"changed": session.changed, "run": to_result(_follow(params, session, request))}


def _follow(params: dict[str, t.Any], session: Session, request: str) -> Run:
    """Return the run that was asked for once it is finished."""
    told = 0
    for _left in session.ticks(session.deadline(params["wait_timeout"]), POLL_S, POLL_S):
        _request, seen = _read(session, params["vm_id"])
        if seen.id != request:
            continue
        for number, loss in enumerate(seen.losses[told:], told + 1):
            session.progress(f"round {number} of {seen.rounds}: loss {loss:.6f}")
        told = len(seen.losses)
        if seen.status == "finished":
            return seen
        if seen.status == "failed":
            raise WaitFailed(
                f"the training failed after round {told}: {seen.error or 'no reason given'}",
                hint="The journal of the SuperLink's VM has the whole of it.",
            )
    raise WaitTimedOut(
        f"the training did not finish within {params['wait_timeout']} s; {told} round(s) are done",
        hint="Run this again to go on following it, or raise wait_timeout.",
    )


def to_result(run: Run) -> dict[str, t.Any]:
    """Return {id, status, rounds, losses, nodes, partitions, seconds}."""
    return {name: getattr(run, name) for name in ("id", "status", "rounds", "losses", "nodes", "partitions", "seconds")}


def _read(session: Session, vm_id: int) -> tuple[str, Run]:
    """Return the id of the run that the VM is asked for, "" when there is none, and what it says about its last run."""
    vm = Vm.from_document(session.oned.vm(vm_id))
    if vm.done:
        raise NotFound(f"VM {vm_id} is terminated", endpoint=session.oned.endpoint)
    return str(vm.attributes.get(RUN_REQUEST, "")).partition(" ")[0], Run.parse(vm.attributes)
