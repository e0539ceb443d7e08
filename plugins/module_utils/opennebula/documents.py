# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service templates and services have in common: one name that must mean one document, owner, group, mode."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from .answers import as_dict, parse_mode, permissions_to_mode, to_int
from .errors import Ambiguous, NotFound, Refused
from .session import Session

ACCESS_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "raw"},
}


def identity(document: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return {id, name, uid, gid, uname, gname, mode} of a document."""
    return {
        "id": to_int(document.get("ID")),
        "name": str(document.get("NAME", "")),
        "uid": to_int(document.get("UID")),
        "gid": to_int(document.get("GID")),
        "uname": str(document.get("UNAME", "")),
        "gname": str(document.get("GNAME", "")),
        "mode": permissions_to_mode(as_dict(document.get("PERMISSIONS"))),
    }


def body_of(document: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return TEMPLATE/BODY."""
    return as_dict(as_dict(document.get("TEMPLATE")).get("BODY"))


def _owned_by(document: Mapping[str, t.Any], owner: str) -> bool:
    return owner in (document.get("UNAME"), document.get("UID")) or str(document.get("UID")) == owner


def select(documents: list[dict], name: str, kind: str, *, caller: str, owner: str | None) -> dict | None:
    """Return the one document of that name, or None.

    Names are not unique in OneFlow. The owner asked for comes first, then the caller's own; a document of somebody else
    is never taken by its name alone. Raises Ambiguous, naming the ids.
    """
    named = [document for document in documents if document.get("NAME") == name]
    for who in (owner, caller):
        if who is None:
            continue
        mine = [document for document in named if _owned_by(document, who)]
        if len(mine) > 1:
            ids = ", ".join(sorted((str(document.get("ID")) for document in mine), key=int))
            raise Ambiguous(f"{len(mine)} {kind}s of {who} are named {name!r}: ids {ids}", hint="Say which one with id.")
        if mine:
            return mine[0]
    if named and owner is None:
        whose = ", ".join(f"{document.get('ID')} of {document.get('UNAME')}" for document in named)
        raise Ambiguous(
            f"the {kind}s named {name!r} belong to others: {whose}", hint="Say id to use one, or owner to have another."
        )
    return None


def access_wanted(document: Mapping[str, t.Any], params: Mapping[str, t.Any]) -> dict[str, str]:
    """Return what of owner, group and mode differs from the document. Raises InvalidRequest for a bad mode."""
    is_now = identity(document)
    result = {}
    for option, name, number in (("owner", "uname", "uid"), ("group", "gname", "gid")):
        value = params.get(option)
        if value is not None and value not in (is_now[name], str(is_now[number])):
            result[option] = str(value)
    mode = parse_mode(params.get("mode"))
    if mode is not None and mode != is_now["mode"]:
        result["mode"] = mode
    return result


def change_access(
    session: Session,
    document: dict,
    changes: Mapping[str, str],
    act: Callable[[str, dict[str, t.Any]], t.Any],
    reread: Callable[[], dict],
) -> dict:
    """Apply what access_wanted found and return the document as it then is.

    Raises Refused when the server said yes and did nothing, which it does (204) for a lack of rights.
    """
    if not changes:
        return document
    if "owner" in changes or "group" in changes:
        uid = session.oned.id_of("user", changes["owner"]) if "owner" in changes else to_int(document.get("UID"))
        gid = session.oned.id_of("group", changes["group"]) if "group" in changes else to_int(document.get("GID"))
        # Without group_id the server would set group 0.
        act("chown", {"owner_id": str(uid), "group_id": str(gid)})
    if "mode" in changes:
        act("chmod", {"octet": changes["mode"]})
    after = reread()
    is_now = identity(after)
    if "owner" in changes and changes["owner"] not in (is_now["uname"], str(is_now["uid"])):
        raise Refused(f"the owner is still {is_now['uname']}, although the server reported success", hint=_RIGHTS)
    if "group" in changes and changes["group"] not in (is_now["gname"], str(is_now["gid"])):
        raise Refused(f"the group is still {is_now['gname']}, although the server reported success", hint=_RIGHTS)
    if "mode" in changes and changes["mode"] != is_now["mode"]:
        raise Refused(f"the mode is still {is_now['mode']}, although the server reported success", hint=_RIGHTS)
    return after


_RIGHTS = "The user probably lacks the right; oneadmin has it."


def predicted(entry: dict[str, t.Any], changes: Mapping[str, str]) -> dict[str, t.Any]:
    """Return an identity as it will be after the changes, for check mode."""
    result = dict(entry)
    for option, name, number in (("owner", "uname", "uid"), ("group", "gname", "gid")):
        if option in changes:
            value = changes[option]
            result[name], result[number] = (None, int(value)) if value.isdigit() else (value, None)
    if "mode" in changes:
        result["mode"] = changes["mode"]
    return result


def gone(read: Callable[[], t.Any]) -> bool:
    """Tell whether reading says that there is no such document."""
    try:
        read()
    except NotFound:
        return True
    return False
