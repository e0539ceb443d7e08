# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_template: a service template as the task describes it."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Mapping
from dataclasses import replace

from ..answers import parse_mode
from ..bodies import as_kept, comparable, merged, same, wanted
from ..documents import (
    ACCESS_ARGUMENTS,
    NEW_MODE,
    Chmod,
    Own,
    Rename,
    ServiceTemplate,
    access_steps,
    find_template,
    gone,
)
from ..errors import Ambiguous, NotFound, Refused
from ..generation6 import for_server
from ..lookup import by_name, refuse_anothers
from ..session import Session
from ..template_text import check_name, check_new_name

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str"},
    "id": {"type": "int"},
    # no_log: its declarations say which defaults and values are secret. See runner.
    "template": {"type": "dict", "no_log": True},
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


def run(params: Params, session: Session) -> dict[str, t.Any]:
    """Return {changed, template, diff}; template is None when it is absent."""
    session.learn(params["template"] or {})
    for option in ("name", "new_name"):
        if params[option] is not None and params["state"] == "present":
            check_name(option, params[option])
    parse_mode(params["mode"])
    current = _find(params, session)
    if current is not None:
        session.learn(current.body)
    if params["state"] == "absent":
        return _absent(params, session, current)
    name = params["new_name"] or params["name"] or (params["template"] or {}).get("name") or (current.name if current else None)
    body = None if params["template"] is None else wanted(params["template"], name)
    done = 0
    template = current
    # The name first: refused, it leaves the body as it was. Then the body, then who may do what with it.
    for stage in (_names, _bodies, _rights):
        for step in stage(params, session, template, name, body):
            done += 1
            template = (step.predict if session.check_mode else step.apply)(session, template)
    if template is None:
        raise AssertionError("a step makes the template where there is none")
    after = template.to_diff()
    before = after if not done else {} if current is None else current.to_diff()
    return {"changed": done > 0, "template": template.to_result(), "diff": {"before": before, "after": after}}


def _find(params: Params, session: Session) -> ServiceTemplate | None:
    """Return the template meant by id or name, or None."""
    if params["id"] is not None:
        try:
            return ServiceTemplate.from_document(session.flow.template(params["id"]))
        except NotFound:
            if params["state"] == "present":
                raise
            return None
    documents = session.flow.templates()

    def named(name: str) -> Mapping[str, t.Any] | None:
        return by_name(documents, name, "service template", caller=session.username, owner=params["owner"])

    current = named(params["name"])
    if params["state"] == "absent":
        refuse_anothers(current, params["name"], "service template", caller=session.username, owner=params["owner"])
    elif params["new_name"]:
        renamed = named(params["new_name"])
        if current is not None and renamed is not None and current is not renamed:
            raise Ambiguous(
                f"{params['name']!r} (id {current['ID']}) cannot become {params['new_name']!r}: id {renamed['ID']} has that name"
            )
        current = current or renamed
    return None if current is None else ServiceTemplate.from_document(current)


def _absent(params: Params, session: Session, current: ServiceTemplate | None) -> dict[str, t.Any]:
    if current is not None and not session.check_mode:
        number = t.cast(int, current.id)
        with contextlib.suppress(NotFound):
            session.flow.delete_template(number, params["delete_type"])
        if not gone(lambda: session.flow.template(number)):
            raise Refused(f"service template {number} is still there, although the server reported success")
    before = {} if current is None else current.to_diff()
    return {"changed": current is not None, "template": None, "diff": {"before": before, "after": {}}}


# -- the steps ----------------------------------------------------------------------------------------------------------


class Create(t.NamedTuple):
    """Make a template with this body."""

    body: Mapping[str, t.Any]

    def apply(self, session: Session, template: ServiceTemplate | None) -> ServiceTemplate:
        """Carry it out."""
        return ServiceTemplate.from_document(session.flow.create_template(for_server(self.body, session.version)))

    def predict(self, session: Session, template: ServiceTemplate | None) -> ServiceTemplate:
        """Return the template as it would be."""
        return _new(session, as_kept(self.body, session.version))


class Clone(t.NamedTuple):
    """Make a template like another one."""

    source: ServiceTemplate
    name: str
    mode: str

    def apply(self, session: Session, template: ServiceTemplate | None) -> ServiceTemplate:
        """Carry it out; the clone's body has the source's name at first."""
        document = session.flow.clone_template(t.cast(int, self.source.id), self.name, self.mode)
        number = int(document["ID"])
        session.flow.merge_template(number, {"name": self.name})
        return _read(session, number)

    def predict(self, session: Session, template: ServiceTemplate | None) -> ServiceTemplate:
        """Return the template as it would be."""
        return _new(session, as_kept({**self.source.body, "name": self.name}, session.version))


class WriteBody(t.NamedTuple):
    """Give a template another body."""

    body: Mapping[str, t.Any]

    def apply(self, session: Session, template: ServiceTemplate) -> ServiceTemplate:
        """Carry it out. Raises Refused when the server keeps something else."""
        number = t.cast(int, template.id)
        session.flow.replace_template(number, for_server(merged(self.body, template.body), session.version))
        after = _read(session, number)
        if not same(self.body, after.body):
            one, two = comparable(self.body, self.body), comparable(after.body, self.body)
            left = sorted(key for key in {*one, *two} if one.get(key) != two.get(key))
            raise Refused(f"service template {number} was written, but the server keeps other values in: {', '.join(left)}")
        return after

    def predict(self, session: Session, template: ServiceTemplate) -> ServiceTemplate:
        """Return the template as it would be."""
        return replace(template, body=as_kept(merged(self.body, template.body), session.version))


class Access(t.NamedTuple):
    """Change the name, owner, group or mode. The body's name follows the template's: new services are named after it."""

    step: Rename | Own | Chmod

    def apply(self, session: Session, template: ServiceTemplate) -> ServiceTemplate:
        """Carry it out."""
        number = t.cast(int, template.id)
        after = self.step.apply(session, template, lambda: _read(session, number))
        if not isinstance(self.step, Rename):
            return after
        session.flow.merge_template(number, {"name": self.step.name})
        return _read(session, number)

    def predict(self, session: Session, template: ServiceTemplate) -> ServiceTemplate:
        """Return the template as it would be."""
        after = self.step.predict(template)
        return replace(after, body={**after.body, "name": self.step.name}) if isinstance(self.step, Rename) else after


Body: t.TypeAlias = "Mapping[str, t.Any] | None"


def _names(params: Params, session: Session, template: ServiceTemplate | None, name: str | None, body: Body) -> list[t.Any]:
    """Return the renaming of a template that is there."""
    if template is None or name in (None, template.name):
        return []
    check_new_name("the new name", name)
    return [Access(Rename(str(name)))]


def _bodies(params: Params, session: Session, template: ServiceTemplate | None, name: str | None, body: Body) -> list[t.Any]:
    """Return what has to be done to the body, or to have a template at all."""
    if template is not None:
        return [WriteBody(body)] if body is not None and not same(body, template.body) else []
    source = _clone_source(params, session)
    if source is None:
        if body is None:
            raise NotFound(f"there is no service template {name!r}", hint="Give template, or clone_of, to create it.")
        return [Create(body)]
    session.learn(source.body)
    clone = Clone(source, str(name), params["clone_mode"])
    return [clone] if body is None or same(body, {**source.body, "name": name}) else [clone, WriteBody(body)]


def _rights(params: Params, session: Session, template: ServiceTemplate | None, name: str | None, body: Body) -> list[t.Any]:
    """Return the changes of owner, group and mode."""
    return [Access(step) for step in access_steps(t.cast(ServiceTemplate, template), params, None)]


def _clone_source(params: Params, session: Session) -> ServiceTemplate | None:
    if params["clone_of"] is None:
        return None
    if params["clone_of"].isdigit():
        return ServiceTemplate.from_document(session.flow.template(int(params["clone_of"])))
    return find_template(session, params["clone_of"], purpose=" to clone")


def _read(session: Session, number: int) -> ServiceTemplate:
    return ServiceTemplate.from_document(session.flow.template(number))


def _new(session: Session, body: Mapping[str, t.Any]) -> ServiceTemplate:
    """Return a template that does not exist yet."""
    return ServiceTemplate(
        id=None,
        name=str(body["name"]),
        uid=None,
        gid=None,
        uname=session.username,
        gname=None,
        mode=NEW_MODE,
        body=body,
    )
