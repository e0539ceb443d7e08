# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_template: a service template as the task describes it."""

from __future__ import annotations

import contextlib
import typing as t

from ..bodies import as_kept, comparable, merged, same, wanted
from ..documents import (
    ACCESS_ARGUMENTS,
    access_wanted,
    body_of,
    change_access,
    gone,
    identity,
    predicted,
    select,
)
from ..errors import Ambiguous, NotFound, Refused
from ..generation6 import canonical, for_server
from ..secrets import masked, secret_inputs, secret_values
from ..session import Session
from ..template_text import check_name

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str"},
    "id": {"type": "int"},
    "template": {"type": "dict"},
    "new_name": {"type": "str"},
    "clone_of": {"type": "str"},
    "clone_mode": {"type": "str", "choices": ["none", "templates", "all"], "default": "none"},
    "delete_type": {"type": "str", "choices": ["none", "templates", "all"], "default": "none"},
    **ACCESS_ARGUMENTS,
}
RULES: dict[str, t.Any] = {
    "required_one_of": [("name", "id")],
}

Params = dict[str, t.Any]


def describe(document: dict) -> dict[str, t.Any]:
    """Return {id, name, uid, gid, uname, gname, mode, body}, the body with 7.x names and without password values."""
    body = body_of(document)
    return {**identity(document), "body": masked(canonical(body), secret_inputs(body))}


def run(params: Params, session: Session) -> dict[str, t.Any]:
    """Return {changed, template, diff}; template is None when it is absent."""
    for option in ("name", "new_name"):
        if params[option] is not None and params["state"] == "present":
            check_name(option, params[option])
    current = find(params, session)
    body = None
    if params["template"] is not None:
        name = params["new_name"] or params["name"] or params["template"].get("name") or (current or {}).get("NAME")
        body = wanted(params["template"], name)
    for source in (body, params["template"], body_of(current) if current else None):
        session.secrets |= secret_values(source or {})
    if params["state"] == "absent":
        return _absent(params, session, current)
    if current is None:
        return _create(params, session, body)
    return _update(params, session, current, body)


def find(params: Params, session: Session) -> dict | None:
    """Return the document meant by id or name, or None."""
    if params["id"] is not None:
        try:
            return session.flow.template(params["id"])
        except NotFound:
            if params["state"] == "present":
                raise
            return None
    documents = session.flow.templates()
    owner, caller = params["owner"], session.username
    current = select(documents, params["name"], "service template", caller=caller, owner=owner)
    if params["new_name"] and params["state"] == "present":
        renamed = select(documents, params["new_name"], "service template", caller=caller, owner=owner)
        if current is not None and renamed is not None and current is not renamed:
            raise Ambiguous(
                f"{params['name']!r} (id {current['ID']}) cannot become {params['new_name']!r}: id {renamed['ID']} has that name"
            )
        return current or renamed
    return current


def _absent(params: Params, session: Session, current: dict | None) -> dict[str, t.Any]:
    if current is None:
        return {"changed": False, "template": None, "diff": {"before": {}, "after": {}}}
    before = describe(current)
    if not session.check_mode:
        with contextlib.suppress(NotFound):
            session.flow.delete_template(before["id"], params["delete_type"])
        if not gone(lambda: session.flow.template(before["id"])):
            raise Refused(f"service template {before['id']} is still there, although the server reported success")
    return {"changed": True, "template": None, "diff": {"before": _shown(before), "after": {}}}


def _create(params: Params, session: Session, body: dict | None) -> dict[str, t.Any]:
    name = params["new_name"] or params["name"]
    source = _clone_source(params, session)
    if source is None and body is None:
        raise NotFound(f"there is no service template {name!r}", hint="Give template, or clone_of, to create it.")
    if session.check_mode:
        if body is None:
            body = {**canonical(body_of(source or {})), "name": name}
        elif source is not None:
            body = merged(body, body_of(source))
        body = as_kept(body, session.version)
        entry = {"id": None, "name": body["name"], "uid": None, "gid": None, "uname": session.username, "gname": None}
        entry["mode"] = "600"
        fresh = {"NAME": body["name"], "PERMISSIONS": {"OWNER_U": "1", "OWNER_M": "1"}}
        entry = predicted(entry, access_wanted(fresh, params))
        after = {**entry, "body": masked(body, secret_inputs(body))}
        return {"changed": True, "template": after, "diff": {"before": {}, "after": _shown(after)}}
    if source is not None:
        document = session.flow.clone_template(identity(source)["id"], name, params["clone_mode"])
        template_id = identity(document)["id"]
        session.flow.merge_template(template_id, {"name": name})
        document = session.flow.template(template_id)
        if body is not None:
            document = _write_body(session, document, body)
    else:
        document = session.flow.create_template(for_server(body or {}, session.version))
    document = _access(params, session, document)
    after = describe(document)
    return {"changed": True, "template": after, "diff": {"before": {}, "after": _shown(after)}}


def _clone_source(params: Params, session: Session) -> dict | None:
    if params["clone_of"] is None:
        return None
    if params["clone_of"].isdigit():
        return session.flow.template(int(params["clone_of"]))
    found = select(session.flow.templates(), params["clone_of"], "service template", caller=session.username, owner=None)
    if found is None:
        raise NotFound(f"there is no service template {params['clone_of']!r} to clone")
    return found


def _update(params: Params, session: Session, current: dict, body: dict | None) -> dict[str, t.Any]:
    before = describe(current)
    name = params["new_name"] or params["name"] or (body or {}).get("name") or before["name"]
    if body is not None:
        body = {**body, "name": name}
    rename = name != before["name"]
    rewrite = body is not None and not same(body, body_of(current))
    access = access_wanted(current, params)
    if not (rename or rewrite or access):
        return {"changed": False, "template": before, "diff": {"before": _shown(before), "after": _shown(before)}}
    if session.check_mode:
        after = predicted(before, access)
        after["name"] = name
        if rewrite and body is not None:
            new_body = as_kept(merged(body, body_of(current)), session.version)
            after["body"] = masked(new_body, secret_inputs(new_body))
        elif rename:
            after["body"] = {**before["body"], "name": name}
        return {"changed": True, "template": after, "diff": {"before": _shown(before), "after": _shown(after)}}
    document = current
    if rewrite and body is not None:
        document = _write_body(session, document, body)
    if rename:
        document = _rename(session, document, name, with_body=body is None)
    document = _access(params, session, document)
    after_now = describe(document)
    return {"changed": True, "template": after_now, "diff": {"before": _shown(before), "after": _shown(after_now)}}


def _write_body(session: Session, document: dict, body: dict) -> dict:
    template_id = identity(document)["id"]
    new_body = merged(body, body_of(document))
    session.flow.replace_template(template_id, for_server(new_body, session.version))
    after = session.flow.template(template_id)
    if not same(body, body_of(after)):
        left = _differing(body, body_of(after))
        raise Refused(f"service template {template_id} was written, but the server keeps other values in: {', '.join(left)}")
    return after


def _differing(body: dict, server_body: dict) -> list[str]:
    one, two = comparable(body, body), comparable(server_body, body)
    return sorted(key for key in {*one, *two} if one.get(key) != two.get(key))


def _rename(session: Session, document: dict, name: str, *, with_body: bool) -> dict:
    template_id = identity(document)["id"]
    session.flow.template_action(template_id, "rename", {"name": name})
    if with_body:  # rename changes only the document's name; new services are named after the body's
        session.flow.merge_template(template_id, {"name": name})
    after = session.flow.template(template_id)
    if after.get("NAME") != name:
        raise Refused(
            f"service template {template_id} is still named {after.get('NAME')!r}, although the server reported success",
            hint="The user probably lacks the right to manage it.",
        )
    return after


def _access(params: Params, session: Session, document: dict) -> dict:
    template_id = identity(document)["id"]
    return change_access(
        session,
        document,
        access_wanted(document, params),
        lambda perform, values: session.flow.template_action(template_id, perform, values),
        lambda: session.flow.template(template_id),
    )


def _shown(entry: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what a diff shows: no server bookkeeping, no secrets."""
    body = {key: value for key, value in entry["body"].items() if key != "registration_time"}
    return {
        "name": entry["name"],
        "owner": entry["uname"] or entry["uid"],
        "group": entry["gname"] or entry["gid"],
        "mode": entry["mode"],
        "body": masked(body, by_name=True),
    }
