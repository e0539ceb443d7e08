# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's template language, without I/O: names, values, text and back."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

from .errors import InvalidRequest

# oned keeps `1A` as `ONE_1A`.
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
# What renaming and one.zone.allocate refuse in a name; one.document.allocate does not (measured, 7.4.0).
NOT_IN_NEW_NAMES = "&|:\\\";/'#{}$<>\t"
_BLANKS = " \t\n\v\f"
_NAMES = "Letters, digits and underscores only, and no digit at the beginning."
LONGEST_NAME = 128  # bytes
LARGEST_ID = 2**31 - 1
# Everything XML 1.0 cannot carry; \r is legal but comes back as \n.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def scalar(value: t.Any) -> str:
    """Return a value as OpenNebula's attributes have it: text, '' for null, YES and NO for what YAML reads as a boolean."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return str(value)


def without_booleans(value: t.Any) -> t.Any:
    """Return attributes with YES and NO for booleans; OneFlow would write "true", which OpenNebula takes for no."""
    if isinstance(value, Mapping):
        return {key: without_booleans(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_booleans(item) for item in value]
    return scalar(value) if isinstance(value, bool) else value


def check_value(name: str, value: str) -> None:
    """Raise InvalidRequest for a value that OpenNebula cannot keep unharmed."""
    if "]]>" in value:
        raise InvalidRequest(f"the value of {name} contains ']]>', which OpenNebula cannot store", hint="Encode it in base64.")
    if FORBIDDEN.search(value):
        raise InvalidRequest(f"the value of {name} contains control characters", hint="Encode it in base64.")


def check_name(what: str, name: t.Any) -> None:
    """Raise InvalidRequest for a name that OpenNebula cannot keep: it stands unescaped in its XML (measured, 7.4.0)."""
    text = str(name)
    if not text.strip():
        raise InvalidRequest(f"{what} is empty", hint="Give a name of 1 to 128 characters.")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LONGEST_NAME:
        raise InvalidRequest(
            f"{what} has {size} bytes in UTF-8", hint=f"OpenNebula takes names of at most {LONGEST_NAME} bytes; ü has two, € three."
        )
    if re.search(r"[<&]|\]\]>", text) or FORBIDDEN.search(text) or "\n" in text or "\r" in text:
        raise InvalidRequest(
            f"{what} {text!r} contains '<', '&' or a control character, which break OpenNebula's XML", hint="Choose another name."
        )


def check_new_name(what: str, name: t.Any) -> None:
    """Raise InvalidRequest for a name that oned refuses to give: in every rename, and for a new zone."""
    check_name(what, name)
    refused = [character for character in NOT_IN_NEW_NAMES if character in str(name)]
    if refused:
        raise InvalidRequest(
            f"{what} {str(name)!r} contains {' '.join('a tab' if c == chr(9) else c for c in refused)}, which OpenNebula refuses"
            " in such a name",
            hint="Choose a name without & | : \\ \" ; / ' # { } $ < > and tabs.",
        )


def check_id(what: str, number: int | None) -> None:
    """Raise InvalidRequest for an id that OpenNebula cannot have given."""
    if number is not None and not 0 <= number <= LARGEST_ID:
        raise InvalidRequest(f"{what} {number} is no OpenNebula id", hint=f"Ids go from 0 to {LARGEST_ID}.")


def stored(value: t.Any) -> t.Any:
    """Return an attribute as OpenNebula returns it: text without outer blanks, a vector of text, or a list of two and more."""
    if isinstance(value, Mapping):
        return {str(key).upper(): stored(scalar(item)) for key, item in value.items()} or ""
    if isinstance(value, (list, tuple)):
        items = [stored(item) for item in value]
        return items if len(items) > 1 else (items or [""])[0]
    return scalar(value).replace("\r\n", "\n").replace("\r", "\n").strip(_BLANKS)


def equal(have: t.Any, want: t.Any) -> bool:
    """Tell whether two attributes are the same to OpenNebula, which takes outer blanks off."""
    if isinstance(have, str) and isinstance(want, str):
        return have.strip(_BLANKS) == want.strip(_BLANKS)
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return have.keys() == want.keys() and all(equal(have[key], want[key]) for key in have)
    if isinstance(have, list) and isinstance(want, list):
        return len(have) == len(want) and all(equal(one, other) for one, other in zip(have, want, strict=True))
    return False


def render_template(attributes: Mapping[str, t.Any]) -> str:
    """Return attributes as template text, or as XML when text cannot carry them.

    Inside double quotes only ``\\"`` is an escape; every other character, a line break included, stands for
    itself, and a backslash at the end would escape the closing quote (src/parsers/template_parser.l). Values may be scalars,
    mappings (vector attributes) and lists of these (repeated attributes).
    """
    flat = list(_pairs(attributes))
    for name, value in flat:
        if not NAME.match(name):
            raise InvalidRequest(f"{name!r} is no attribute name", hint=_NAMES)
        for key, item in value.items() if isinstance(value, Mapping) else ((name, value),):
            if not NAME.match(str(key)):
                raise InvalidRequest(f"{name}/{key} is no attribute name", hint=_NAMES)
            check_value(f"{name}/{key}" if isinstance(value, Mapping) else name, scalar(item))
    values = [scalar(i) for _n, v in flat for i in (v.values() if isinstance(v, Mapping) else (v,))]
    if any(value.endswith("\\") for value in values):
        return _render_xml(flat)
    lines = []
    for name, value in flat:
        if isinstance(value, Mapping):
            inner = ", ".join(f"{key}={_quote(scalar(item))}" for key, item in value.items())
            lines.append(f"{name}=[ {inner} ]")
        else:
            lines.append(f"{name}={_quote(scalar(value))}")
    return "\n".join(lines) + "\n" if lines else ""


def _pairs(attributes: Mapping[str, t.Any]) -> t.Iterator[tuple[str, t.Any]]:
    for name, value in attributes.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            for item in value:
                yield str(name), item
        else:
            yield str(name), value


def _quote(value: str) -> str:
    return '"' + value.replace('"', '\\"') + '"'


def _render_xml(flat: list[tuple[str, t.Any]]) -> str:
    parts = []
    for name, value in flat:
        inner = "".join(_element(key, item) for key, item in value.items()) if isinstance(value, Mapping) else _cdata(value)
        parts.append(f"<{name}>{inner}</{name}>")
    return "<TEMPLATE>" + "".join(parts) + "</TEMPLATE>"


def _element(name: str, value: t.Any) -> str:
    return f"<{name}>{_cdata(value)}</{name}>"


def _cdata(value: t.Any) -> str:
    # Never an empty element: oned would leave it out. Its own documents are written like this.
    return f"<![CDATA[{scalar(value)}]]>"


_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)|(?P<comment>#[^\n]*)|(?P<name>[A-Za-z0-9_]+)[ \t]*=[ \t]*"
    r'(?:(?P<open>\[)|"(?P<quoted>(?:\\"|[^"])*)"|(?P<bare>[^\n,\[\]]*))',
)
_END = re.compile(r"[ \t\r\n]*(?P<sep>,|\])")


def parse_template(text: str) -> dict[str, t.Any]:
    """Return template text as a mapping; a repeated attribute becomes a list. Raises ValueError."""
    result: dict[str, t.Any] = {}
    position, outer = 0, ""
    inside: dict[str, t.Any] | None = None
    while position < len(text):
        if inside is not None:
            end = _END.match(text, position)
            if end:
                position = end.end()
                if end["sep"] == "]":
                    _add(result, outer, inside)
                    inside = None
                continue
        token = _TOKEN.match(text, position)
        if not token:
            raise ValueError(f"cannot read the template text at {text[position : position + 30]!r}")
        position = token.end()
        if not token["name"]:
            continue
        if token["open"]:
            if inside is not None:
                raise ValueError(f"nested brackets at {token['name']}")
            outer, inside = token["name"], {}
            continue
        value = token["quoted"].replace('\\"', '"') if token["quoted"] is not None else token["bare"].strip()
        if inside is None:
            _add(result, token["name"], value)
        else:
            inside[token["name"]] = value
    if inside is not None:
        raise ValueError(f"{outer} is not closed")
    return result


def _add(target: dict[str, t.Any], name: str, value: t.Any) -> None:
    if name not in target:
        target[name] = value
    elif isinstance(target[name], list):
        target[name].append(value)
    else:
        target[name] = [target[name], value]
