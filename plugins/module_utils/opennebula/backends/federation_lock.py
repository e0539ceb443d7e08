# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""federation_lock: one run at a time."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import replace

from ..answers import as_dict, as_list, to_int
from ..errors import InvalidRequest, Locked, NotFound, Refused
from ..locks import IDENTITY, Lock, find_lock
from ..session import Session
from ..template_text import check_new_name
from ..waiting import Telling

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str", "required": True},
    "holder": {"type": "str", "default": ""},
    "identity": {
        "type": "dict",
        "options": {name: {"type": "str", "required": True} for name in IDENTITY},
    },
    "force": {"type": "bool", "default": False},
    "wait_timeout": {"type": "float", "default": 0.0},
}
RULES: dict[str, t.Any] = {"required_if": [("state", "present", ("identity",))]}

FIRST_PAUSE, INTERVAL = 0.25, 5.0


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, lock, diff}; lock is {} where there is none."""
    check_new_name("name", params["name"])
    if params["state"] == "present" and not params["holder"].strip():
        raise InvalidRequest("holder is empty", hint="Say whose run it is; whoever waits for the lock is told.")
    return _absent(params, session) if params["state"] == "absent" else _present(params, session)


def _read(params: dict[str, t.Any], session: Session) -> Lock | None:
    pool = as_dict(session.oned.call("templatepool.info", -2, -1, -1)).get("VMTEMPLATE")
    return find_lock([as_dict(entry) for entry in as_list(pool)], params["name"])


def _mine(params: dict[str, t.Any], lock: Lock) -> bool:
    return params["identity"] is not None and dict(lock.identity) == dict(params["identity"])


def _present(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Take the lock, or wait for whoever has it. Raises Locked at the deadline."""
    mine = Lock(None, params["holder"], int(time.time()), params["identity"])
    telling, before = Telling(session), None
    for left in session.ticks(session.deadline(params["wait_timeout"]), FIRST_PAUSE, INTERVAL):
        found = _read(params, session)
        if found is not None and _mine(params, found):
            return _result(session, before if session.changed else found, found)
        before = found if before is None else before
        held = found is not None and not found.left_behind and not params["force"]
        if session.check_mode:
            if found is not None and held:
                session.warnings.append(f"the lock {params['name']!r} is held by the run of {found.holder}, since {found.clock}")
            return _result(session, found, mine, changed=True)
        if found is None or not held:
            if found is not None:
                why = "has ended" if found.left_behind else "is passed over (force)"
                session.progress(f"the run of {found.holder}, since {found.clock}, {why}: its lock is removed")
                _delete(session, found)
            number = _allocate(params, session, mine)
            # One of another owner with this name may have been first.
            if number is not None and _first(params, session, number):
                return _result(session, before, replace(mine, id=number))
            continue
        if left > 0:
            telling.tell(f"waits for the run of {found.holder}, since {found.clock}")
    found = _read(params, session)
    who = f"the run of {found.holder}, since {found.clock}, on {found.identity['host']}" if found else "another run"
    error = Locked(
        f"the lock {params['name']!r} is held by {who}",
        endpoint=session.oned.endpoint,
        hint="Wait until that run ends, or raise wait_timeout. If it runs no more, state=absent with force=true removes its lock.",
    )
    error.result["lock"] = {} if found is None else found.to_result()
    raise error


def _allocate(params: dict[str, t.Any], session: Session, lock: Lock) -> int | None:
    """Return the id of the lock; None when somebody else was quicker."""
    try:
        return to_int(session.oned.call("template.allocate", lock.template(params["name"])))
    except Refused as error:
        if "already taken" not in error.text:
            raise
        return None


def _first(params: dict[str, t.Any], session: Session, number: int) -> bool:
    """Tell whether the lock of that id counts; if not, it is removed again."""
    found = _read(params, session)
    if found is not None and found.id == number:
        return True
    if found is None:
        raise Refused(f"the lock {params['name']!r} is not there, although the server reported success")
    session.oned.call("template.delete", number, False)
    return False


def _delete(session: Session, lock: Lock) -> None:
    """Remove a lock by its id, which no other lock will ever have."""
    with contextlib.suppress(NotFound):  # somebody else was quicker
        session.oned.call("template.delete", lock.id, False)


def _absent(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Remove the lock if it is the task's own, or with force. Raises Locked for another's."""
    found = _read(params, session)
    if found is None:
        return _result(session, None, None)
    if not (params["force"] or _mine(params, found)):
        error = Locked(
            f"the lock {params['name']!r} is held by the run of {found.holder}, since {found.clock}",
            endpoint=session.oned.endpoint,
            hint="It is removed only by its own run, or with force=true.",
        )
        error.result["lock"] = found.to_result()
        raise error
    if not session.check_mode:
        _delete(session, found)
    return _result(session, found, None)


def _result(session: Session, before: Lock | None, after: Lock | None, *, changed: bool | None = None) -> dict[str, t.Any]:
    shown = [{} if lock is None else lock.to_diff() for lock in (before, after)]
    changed = before != after if changed is None else changed
    lock = {} if after is None else after.to_result()
    return {"changed": changed, "lock": lock, "diff": {"before": shown[0], "after": shown[1]}}
