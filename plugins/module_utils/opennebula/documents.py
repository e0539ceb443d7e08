# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What service templates and services have in common: a document with an owner, a group and a mode."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from . import lookup
from .answers import as_dict, parse_mode, permissions_to_mode, to_int
from .errors import NotFound, Refused
from .generation6 import canonical
from .secrets import masked, secret_inputs
from .session import Session
from .template_text import check_new_name

ACCESS_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "raw"},
}
# The mode that OpenNebula gives to new documents.
NEW_MODE = "600"


def body_of(document: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return TEMPLATE/BODY."""
    return as_dict(as_dict(document.get("TEMPLATE")).get("BODY"))


@dataclass(frozen=True)
class Document:
    """One document of OneFlow. body has 7.x names; id, uid, gid, uname and gname are None where check mode cannot know them."""

    id: int | None
    name: str
    uid: int | None
    gid: int | None
    uname: str | None
    gname: str | None
    mode: str
    body: Mapping[str, t.Any]

    @classmethod
    def from_document(cls, document: Mapping[str, t.Any]) -> t.Self:
        """Return the object of a document as OneFlow gives it."""
        return cls(**cls._fields(document, canonical(body_of(document))))

    @classmethod
    def _fields(cls, document: Mapping[str, t.Any], body: Mapping[str, t.Any]) -> dict[str, t.Any]:
        return {
            "id": to_int(document.get("ID")),
            "name": str(document.get("NAME", "")),
            "uid": to_int(document.get("UID")),
            "gid": to_int(document.get("GID")),
            "uname": str(document.get("UNAME", "")),
            "gname": str(document.get("GNAME", "")),
            "mode": permissions_to_mode(as_dict(document.get("PERMISSIONS"))),
            "body": body,
        }

    @cached_property
    def hidden_inputs(self) -> set[str]:
        """Names of the inputs whose values are never shown."""
        return secret_inputs(self.body)

    def identity(self) -> dict[str, t.Any]:
        """Return {id, name, uid, gid, uname, gname, mode}."""
        return {name: getattr(self, name) for name in ("id", "name", "uid", "gid", "uname", "gname", "mode")}

    def access(self) -> dict[str, t.Any]:
        """Return what a diff shows of the document: {name, owner, group, mode}."""
        return {"name": self.name, "owner": self.uname or self.uid, "group": self.gname or self.gid, "mode": self.mode}


class ServiceTemplate(Document):
    """One service template."""

    def to_result(self) -> dict[str, t.Any]:
        """Return {id, name, uid, gid, uname, gname, mode, body}, without the values of secret inputs."""
        return {**self.identity(), "body": masked(self.body, self.hidden_inputs)}

    def to_diff(self) -> dict[str, t.Any]:
        """Return what a diff shows: no server bookkeeping, no secrets."""
        body = {key: value for key, value in self.body.items() if key != "registration_time"}
        return {**self.access(), "body": masked(masked(body, self.hidden_inputs), by_name=True)}


def find_template(session: Session, name: str, *, option: str = "id", purpose: str = "") -> ServiceTemplate:
    """Return the service template of that name, see lookup. Raises NotFound or Ambiguous."""
    kind = "service template"
    found = lookup.by_name(session.flow.templates(), name, kind, caller=session.username, option=option)
    if found is None:
        raise NotFound(f"there is no {kind} {name!r}{purpose}", endpoint=session.flow.endpoint)
    return ServiceTemplate.from_document(found)


_Some = t.TypeVar("_Some", bound=Document)


class Rename(t.NamedTuple):
    """Give a document another name."""

    name: str

    def apply(self, session: Session, document: _Some, reread: Callable[[], _Some]) -> _Some:
        """Carry it out and return the document as it then is.

        oned is asked, not OneFlow: that answers 204 to a rename that oned refuses, and keeps the reason to itself.
        """
        return _written(session, document, reread, ["name"], self, "document.rename", document.id, self.name)

    def predict(self, document: _Some) -> _Some:
        """Return the document as it would be."""
        return replace(document, name=self.name)


class Own(t.NamedTuple):
    """Give a document to another owner or group (name or id)."""

    owner: str | None
    group: str | None

    def apply(self, session: Session, document: _Some, reread: Callable[[], _Some]) -> _Some:
        """Carry it out and return the document as it then is."""
        uid = -1 if self.owner is None else lookup.account(session.oned, "user", self.owner)
        gid = -1 if self.group is None else lookup.account(session.oned, "group", self.group)
        return _written(session, document, reread, ["uid", "gid"], self, "document.chown", document.id, uid, gid)

    def predict(self, document: _Some) -> _Some:
        """Return the document as it would be; an id does not tell the name, nor a name the id."""
        changes: dict[str, t.Any] = {}
        for value, name, number in ((self.owner, "uname", "uid"), (self.group, "gname", "gid")):
            if value is not None:
                changes[name], changes[number] = (None, int(value)) if value.isdigit() else (value, None)
        return replace(document, **changes)


class Chmod(t.NamedTuple):
    """Give a document other permissions (three octal digits)."""

    mode: str

    def apply(self, session: Session, document: _Some, reread: Callable[[], _Some]) -> _Some:
        """Carry it out and return the document as it then is."""
        bits = [int(digit) >> shift & 1 for digit in self.mode for shift in (2, 1, 0)]
        return _written(session, document, reread, ["mode"], self, "document.chmod", document.id, *bits)

    def predict(self, document: _Some) -> _Some:
        """Return the document as it would be."""
        return replace(document, mode=self.mode)


def _written(
    session: Session,
    document: _Some,
    reread: Callable[[], _Some],
    fields: list[str],
    step: t.Any,
    method: str,
    *params: t.Any,
) -> _Some:
    """Call oned and return the document as it then is. Raises Refused when the server said yes and did nothing."""
    before = session.changed
    session.oned.call(method, *params)
    after = reread()
    if not is_done(step, after):
        if all(getattr(after, field) == getattr(document, field) for field in fields):
            session.changed = before
        shown = ", ".join(f"{field} {getattr(after, field)!r}" for field in fields)
        raise Refused(f"document {document.id} still has {shown}, although the server reported success", method=f"one.{method}")
    return after


def is_done(step: Rename | Own | Chmod, document: Document) -> bool:
    """Tell whether a document is already as the step would make it."""
    if isinstance(step, Rename):
        return step.name == document.name
    if isinstance(step, Chmod):
        return step.mode == document.mode
    return (step.owner is None or step.owner in (document.uname, str(document.uid))) and (
        step.group is None or step.group in (document.gname, str(document.gid))
    )


def access_steps(document: Document, params: Mapping[str, t.Any], name: str | None) -> list[Rename | Own | Chmod]:
    """Return what has to be done to name (None: any), owner, group and mode. Raises InvalidRequest for a bad mode."""
    mode = parse_mode(params.get("mode"))
    steps: list[Rename | Own | Chmod] = []
    if name is not None:
        steps.append(Rename(name))
    for option in ("owner", "group"):
        if params.get(option) is not None:
            own = Own(**{"owner": None, "group": None, option: str(params[option])})
            if not is_done(own, document):
                steps.append(own)
    if mode is not None:
        steps.append(Chmod(mode))
    merged = [step for step in steps if not is_done(step, document)]
    for step in merged:
        if isinstance(step, Rename):
            check_new_name("the new name", step.name)
    owns = [step for step in merged if isinstance(step, Own)]
    if len(owns) == 2:  # one call for both: after the first the right to the second may be gone
        merged[merged.index(owns[0])] = Own(owns[0].owner, owns[1].group)
        merged.remove(owns[1])
    # The mode before the owner, for the same reason.
    return sorted(merged, key=lambda step: isinstance(step, Own))


def gone(read: Callable[[], t.Any]) -> bool:
    """Tell whether reading says that there is no such document."""
    try:
        read()
    except NotFound:
        return True
    return False
