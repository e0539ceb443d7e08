# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a name to the one thing it stands for: one rule for services, service templates, VM templates, networks and accounts.

Names of services and service templates are not unique, those of VM templates and networks only for each owner. The rule:
the owner that the task names comes first, else the user's own, else the only one of that name that the user may use. What
belongs to somebody else is used like the user's own; whether it may be changed is the server's to say. Only to remove it takes
its owner or id: OneFlow does not always ask for the right (measured, 7.4.0).
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping

from .answers import as_dict, as_list, to_int
from .errors import Ambiguous, NotFound

if t.TYPE_CHECKING:
    from .oned import Oned

Thing = Mapping[str, t.Any]


def owned_by(thing: Thing, owner: str) -> bool:
    """Tell whether a document or an entry of a pool belongs to the user of that name or id."""
    return owner == thing.get("UNAME") or owner == str(thing.get("UID"))


def by_name(
    things: Iterable[Thing], name: str, kind: str, *, caller: str, owner: str | None = None, option: str = "id"
) -> Thing | None:
    """Return the one document, or entry of a pool, that has the name; None when there is none.

    With an owner only what belongs to the owner or to the caller counts. kind is what a person calls it; option is what the
    task can say instead. Raises Ambiguous that names ids and owners.
    """
    named = [thing for thing in things if thing.get("NAME") == name]
    for who in (owner, caller):
        if who is not None:
            found = [thing for thing in named if owned_by(thing, who)]
            if found:
                return _only(found, name, kind, option)
    return _only(named, name, kind, option) if named and owner is None else None


def refuse_anothers(thing: Thing | None, name: str, kind: str, *, caller: str, owner: str | None) -> None:
    """Raise Ambiguous for what is to be removed by its name alone and belongs to somebody else."""
    if thing is not None and owner is None and not owned_by(thing, caller):
        raise Ambiguous(
            f"the {kind} named {name!r} belongs to somebody else: {thing.get('ID')} of {thing.get('UNAME')}",
            hint="Say owner or id to remove it nevertheless.",
        )


def _only(found: list[Thing], name: str, kind: str, option: str) -> Thing:
    if len(found) == 1:
        return found[0]
    found = sorted(found, key=lambda thing: to_int(thing.get("ID")))
    ids = ", ".join(str(thing.get("ID")) for thing in found)
    whose = sorted({str(thing.get("UNAME")) for thing in found})
    of_each = "; ".join(f"{thing.get('ID')} belongs to {thing.get('UNAME')}" for thing in found)
    raise Ambiguous(
        f"{len(found)} {kind}s are named {name!r}: ids {ids}" + (f" of {whose[0]}" if len(whose) == 1 else f" ({of_each})"),
        hint=f"Say which one with {option}.",
    )


def in_pool(pool: Iterable[Thing], asked: str, kind: str, *, caller: str, endpoint: str) -> Thing:
    """Return the entry of a pool that has the name, else the one that has it as its id. Raises NotFound or Ambiguous."""
    entries = list(pool)
    found = by_name(entries, asked, kind, caller=caller)
    if found is None and asked.isdigit():
        found = next((entry for entry in entries if str(entry.get("ID")) == asked), None)
    if found is None:
        known = ", ".join(sorted(repr(entry.get("NAME")) for entry in entries)) or "none"
        raise NotFound(f"there is no {kind} {asked!r} that {caller} may use", endpoint=endpoint, hint=f"There is: {known}.")
    return found


def account(oned: Oned, kind: str, name: str) -> int:
    """Return the id of a user or group ("user", "group"); a number is taken as the id. Raises NotFound."""
    if name.isdigit():
        return int(name)
    pool = [as_dict(entry) for entry in as_list(as_dict(oned.call(f"{kind}pool.info")).get(kind.upper()))]
    found = by_name(pool, name, kind, caller=name)
    if found is None:
        raise NotFound(f"there is no {kind} {name!r}", endpoint=oned.endpoint, method=f"one.{kind}pool.info")
    return to_int(found.get("ID"))
