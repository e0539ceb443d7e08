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


def secret_inputs(body: Mapping[str, t.Any]) -> set[str]:
    """Return the names of all inputs that are declared as passwords."""
    body = canonical(body)
    declared = [body.get("user_inputs")] + [role.get("user_inputs") for role in body.get("roles") or []]
    return {
        str(name)
        for inputs in declared
        if isinstance(inputs, Mapping)
        for name, descriptor in inputs.items()
        if str(descriptor).split("|")[1:2] == ["password"]
    }


def secret_values(body: Mapping[str, t.Any], *more: t.Any) -> set[str]:
    """Return the values of password inputs found in a body and in other structures, for removal from results."""
    names = secret_inputs(body)
    found: set[str] = set()

    def walk(value: t.Any) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                if key in names and isinstance(item, str) and not item.startswith("$") and "|password|" not in item:
                    found.add(item)
                else:
                    walk(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item)

    for structure in (body, *more):
        walk(structure)
    return {value for value in found if len(value) >= 4}  # shorter ones would blot out unrelated text


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
