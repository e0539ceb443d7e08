# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values are secret, and their masking, without I/O."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

from .generation6 import canonical

MASK = "********"
# Names whose values never appear in a diff, whatever their declared type.
SECRET_NAME = re.compile(r"(^|_)(PASS|PASSWD|PASSWORD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|PRIVATE_KEY|PSK)(_|$)", re.IGNORECASE)


# Types of inputs whose values may be shown. Every other, also one that nobody declared, may be a secret.
HARMLESS = frozenset(
    {"text", "text64", "number", "number-float", "range", "range-float", "boolean", "list", "list-multiple", "fixed"}
)
# Shorter values are hidden where they stand only: removed from all texts they would blot out unrelated ones.
SHORTEST = 4


def _scopes(body: Mapping[str, t.Any]) -> t.Iterator[tuple[Mapping[str, t.Any], Mapping[str, t.Any]]]:
    """Yield (declarations, values) of the service and of each role."""
    roles = body.get("roles")
    for part in [body, *(role for role in (roles if isinstance(roles, list) else []) if isinstance(role, Mapping))]:
        declared, values = part.get("user_inputs"), part.get("user_inputs_values")
        yield declared if isinstance(declared, Mapping) else {}, values if isinstance(values, Mapping) else {}


def _type(descriptor: t.Any) -> str:
    parts = str(descriptor).split("|", 2)
    return parts[1].strip() if len(parts) > 1 else ""


def survey(body: Mapping[str, t.Any]) -> tuple[set[str], set[str]]:
    """Return the names of all declared inputs, and of those that are secret.

    Secret are the inputs whose type is not known to be harmless, and values without a declaration.
    """
    names: set[str] = set()
    secret: set[str] = set()
    service: t.Collection[str] | None = None
    for declared, values in _scopes(canonical(body)):
        if service is None:  # the first scope; a role's values may be of the service's inputs
            service = declared.keys()
        names |= declared.keys()
        secret |= {name for name, descriptor in declared.items() if _type(descriptor) not in HARMLESS}
        secret |= {name for name in values if name not in declared and name not in service}
    return names, secret


def secret_inputs(body: Mapping[str, t.Any]) -> set[str]:
    """Return the names of secret inputs, see survey."""
    return survey(body)[1]


def secret_values(body: Mapping[str, t.Any], names: set[str] | None = None) -> set[str]:
    """Return the values and defaults of secret inputs (names, else the body's) in a body, for removal from results."""
    names = secret_inputs(body) if names is None else names
    if not names:
        return set()
    found: set[str] = set()

    def walk(value: t.Any) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                if key in names and _is_text(item):
                    found.add(_default(str(item)))
                else:
                    walk(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item)

    walk(body)
    return {value for value in found if _is_secret(value)}


def _default(text: str) -> str:
    """Return the default of a declaration, any other text as it is."""
    parts = text.split("|", 4)
    if len(parts) >= 3 and parts[0] in ("M", "O"):
        return parts[4].strip() if len(parts) > 4 else ""
    return text


def _is_secret(text: str) -> bool:
    return len(text) >= SHORTEST and text.upper() != "FALSE" and not text.startswith("$")


def named_values(attributes: t.Any, *, secret: bool = False) -> set[str]:
    """Return the values of attributes whose names look secret, for removal from results."""
    if isinstance(attributes, Mapping):
        parts = [named_values(item, secret=secret or bool(SECRET_NAME.search(str(name)))) for name, item in attributes.items()]
        return set().union(*parts)
    if isinstance(attributes, (list, tuple)):
        return set().union(*(named_values(item, secret=secret) for item in attributes))
    return {str(attributes)} if secret and _is_text(attributes) and _is_secret(str(attributes)) else set()


def given_values(values: t.Any, harmless: t.Container[str]) -> set[str]:
    """Return the texts in the values that a task gives to inputs that are not known to be harmless."""
    if not isinstance(values, Mapping):
        return set()
    found: set[str] = set()
    for name, value in values.items():
        if name not in harmless:
            items = value if isinstance(value, (list, tuple)) else [value]
            found |= {str(item) for item in items if _is_text(item)}
            if len(items) > 1:
                found.add(",".join(str(item) for item in items))
    return {value for value in found if _is_secret(value)}


def hidden_values(values: t.Any, harmless: t.Container[str]) -> t.Any:
    """Return a copy of the values that a task gives to inputs, with those that may be secret hidden."""
    if not isinstance(values, Mapping):
        return values if values is None else MASK
    return {name: value if name in harmless or value is None else MASK for name, value in values.items()}


def masked(value: t.Any, names: t.Container[str] = (), *, by_name: bool = False) -> t.Any:
    """Return a copy in which the values of the named keys are hidden; by_name also hides names that look secret."""
    if isinstance(value, Mapping):
        return {
            key: _masked_item(item)
            if _is_text(item) and (key in names or (by_name and SECRET_NAME.search(str(key))))
            else masked(item, names, by_name=by_name)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [masked(item, names, by_name=by_name) for item in value]
    return value


def _is_text(item: t.Any) -> bool:
    return isinstance(item, (str, int, float)) and not isinstance(item, bool)


def _masked_item(item: t.Any) -> t.Any:
    text = str(item)
    if text.upper() in ("", "YES", "NO", "TRUE", "FALSE") or text.startswith("$"):
        return item  # a switch such as TOKEN="YES", or a reference
    parts = text.split("|", 4)
    if len(parts) >= 3 and parts[0] in ("M", "O"):  # a declaration: only its default is a secret
        return "|".join([*parts[:4], MASK]) if len(parts) > 4 and parts[4].strip() else item
    return MASK
