# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_vm_attributes: user attributes of a VM, merged or removed."""

from __future__ import annotations

import typing as t

from ..answers import as_dict
from ..errors import InvalidRequest, Refused
from ..secrets import masked, named_values
from ..session import Session
from ..template_text import check_id, equal, render_template, stored

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "vm_id": {"type": "int", "required": True},
    "attributes": {"type": "dict", "required": True},
}
RULES: dict[str, t.Any] = {}

# How often a removal starts again when the VM itself writes at the same time.
ATTEMPTS = 5


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, attributes, diff}, all about the attributes that the task names.

    Others may be secrets that only their service knows to be such.
    """
    session.secrets |= named_values(params["attributes"])
    check_id("vm_id", params["vm_id"])
    asked = {str(key).upper(): stored(value) for key, value in params["attributes"].items()}
    if not asked:
        raise InvalidRequest("attributes is empty")
    render_template(asked)  # refuses names and values before anything is read
    before = _read(session, params["vm_id"])
    if params["state"] == "present":
        after = {**before, **{key: value for key, value in asked.items() if not equal(before.get(key), value)}}
    else:
        after = {key: value for key, value in before.items() if key not in asked}
    changed = after != before
    if changed and not session.check_mode:
        if params["state"] == "present":
            after = _merge(session, params["vm_id"], {k: after[k] for k in after if after[k] != before.get(k)})
        else:
            after = _remove(session, params["vm_id"], before, set(asked))
    shown = _named(after, asked)
    return {"changed": changed, "attributes": shown, "diff": {"before": _named(before, asked), "after": shown}}


def _named(attributes: dict[str, t.Any], names: t.Container[str]) -> dict[str, t.Any]:
    return masked({key: value for key, value in attributes.items() if key in names}, by_name=True)


def _read(session: Session, vm_id: int) -> dict[str, t.Any]:
    return as_dict(session.oned.vm(vm_id).get("USER_TEMPLATE"))


def _merge(session: Session, vm_id: int, new: dict[str, t.Any]) -> dict[str, t.Any]:
    session.oned.vm_update(vm_id, render_template(new))
    after = _read(session, vm_id)
    lost = sorted(key for key, value in new.items() if key not in after)
    if lost:
        raise Refused(f"VM {vm_id} does not have {', '.join(lost)}, although the server reported success")
    return after


def _remove(session: Session, vm_id: int, before: dict[str, t.Any], names: set[str]) -> dict[str, t.Any]:
    """Write everything but the names back; oned has no call that removes one attribute.

    What the VM writes between reading and writing would be lost: the reading is repeated right before the write, and
    a write that follows a change of others is put off.
    """
    for _attempt in range(ATTEMPTS):
        now = _read(session, vm_id)
        if now != before:
            before = now
            continue
        keep = {key: value for key, value in now.items() if key not in names}
        if len(keep) == len(now):
            return now
        session.oned.vm_update(vm_id, render_template(keep), replace=True)
        after = _read(session, vm_id)
        left = sorted(names & set(after))
        if left:
            raise Refused(f"VM {vm_id} still has {', '.join(left)}, although the server reported success")
        return after
    raise Refused(f"the attributes of VM {vm_id} keep changing; nothing was removed", hint="Try again.")
