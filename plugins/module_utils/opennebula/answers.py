# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the APIs answer, without I/O: XML to data, numbers, permissions."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping
from xml.etree import ElementTree

from .errors import InvalidRequest


def xml_to_data(xml: str) -> dict[str, t.Any]:
    """Return the children of a document's root: leaves as str, repeated elements as lists.

    Raises ValueError when it is not XML.
    """
    try:
        value = _element(ElementTree.fromstring(xml))
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    return value if isinstance(value, dict) else {}


def _element(element: ElementTree.Element) -> t.Any:
    if not len(element):
        return element.text or ""
    result: dict[str, t.Any] = {}
    for child in element:
        value = _element(child)
        if child.tag not in result:
            result[child.tag] = value
        elif isinstance(result[child.tag], list):
            result[child.tag].append(value)
        else:
            result[child.tag] = [result[child.tag], value]
    return result


def as_list(value: t.Any) -> list:
    """Return a list for what XML gives as nothing, one thing, or several."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def as_dict(value: t.Any) -> dict:
    """Return a dict for an element that is empty ('') when it has no children."""
    return value if isinstance(value, dict) else {}


def to_int(value: t.Any, default: int = -1) -> int:
    """Return an int for what the API gives as int or str; default when it is neither."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return default


def version_tuple(version: str) -> tuple[int, ...]:
    """Return (7, 4, 0) for "7.4.0"; anything unreadable counts as 0."""
    return tuple(to_int(part, 0) for part in version.strip().split(".")[:3])


def permissions_to_mode(permissions: Mapping[str, t.Any]) -> str:
    """Return three octal digits, e.g. "640", from OWNER_U.. (use 4, manage 2, admin 1)."""
    digits = []
    for who in ("OWNER", "GROUP", "OTHER"):
        bits = [str(permissions.get(f"{who}_{what}", "0")) == "1" for what in "UMA"]
        digits.append(str(bits[0] * 4 + bits[1] * 2 + bits[2]))
    return "".join(digits)


def parse_mode(mode: t.Any) -> str | None:
    """Return three octal digits from "640" or "0640". Raises InvalidRequest.

    A number is refused: YAML reads 440 as four hundred and forty and 0440 as 288, and nobody can tell any more which was meant.
    """
    if mode is None:
        return None
    if isinstance(mode, int) and not isinstance(mode, bool):
        octal = f', or mode: "0{mode:03o}" if it was written 0{mode:03o}' if 0 <= mode <= 0o777 else ""
        raise InvalidRequest(f"mode {mode} is a number without quotes", hint=f'Quote its digits: mode: "{mode}"{octal}.')
    if isinstance(mode, str) and re.match(r"^0?[0-7]{3}$", mode):
        return mode[-3:]
    raise InvalidRequest(f"mode {str(mode)!r} is not three octal digits", hint='Quote it: mode: "640".')
