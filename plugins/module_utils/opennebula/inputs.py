# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User inputs of service templates, without I/O: declarations, defaults, typed values, what is missing.

OneFlow checks only that every declared key is present; types, options, defaults and M|O are the client's business.
"""

from __future__ import annotations

import difflib
import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InvalidRequest
from .template_text import check_value, scalar, without_booleans


@dataclass(frozen=True)
class Declaration:
    """One declared input: "M|number|Help|options|default"."""

    name: str
    mandatory: bool
    type: str
    help: str
    options: str
    default: str


def declarations(inputs: t.Any) -> dict[str, Declaration]:
    """Return the declarations of a user_inputs mapping."""
    result = {}
    for name, text in (inputs if isinstance(inputs, Mapping) else {}).items():
        parts = [part.strip() for part in str(text).split("|", 4)] + [""] * 5
        result[str(name)] = Declaration(str(name), parts[0] == "M", parts[1], parts[2], parts[3], parts[4])
    return result


def fill(inputs: t.Any, given: Mapping[str, t.Any], preset: t.Any, where: str, faults: list[str]) -> dict[str, str]:
    """Return a value for every declared input: the given one, else the template's, else the default, else "".

    faults grows by one line for every missing mandatory input, wrong value, and value for an undeclared input.
    """
    declared = declarations(inputs)
    preset = preset if isinstance(preset, Mapping) else {}
    values: dict[str, str] = {}
    for name, declaration in declared.items():
        value = given.get(name)
        if value is None:
            value = preset.get(name)
        if value is None:
            value = declaration.default
        try:
            values[name] = render(declaration, value)
        except InvalidRequest as fault:
            faults.append(f"{where}{fault.text}")
            continue
        if declaration.mandatory and values[name] == "":
            faults.append(f"{where}{name}: is mandatory and has no value" + (f" ({declaration.help})" if declaration.help else ""))
    for name in given:
        if name not in declared:
            near = difflib.get_close_matches(str(name), list(declared), n=1)
            faults.append(f"{where}{name}: the template declares no such input" + (f", did you mean {near[0]}?" if near else ""))
    return values


def text_of(value: t.Any) -> str:
    """Return a value as OpenNebula's text, a list as its items with commas between them."""
    if isinstance(value, (list, tuple)):
        return ",".join(scalar(item) for item in value)
    return scalar(value)


def render(declaration: Declaration, value: t.Any) -> str:
    """Return a typed value as OpenNebula's text. Raises InvalidRequest when it does not fit its declaration."""
    name, kind = declaration.name, declaration.type
    if isinstance(value, Mapping):
        raise InvalidRequest(f"{name}: a mapping is no value")
    value = text_of(value)
    if kind == "boolean":
        text = {"true": "YES", "yes": "YES", "false": "NO", "no": "NO", "": ""}.get(scalar(value).lower())
        if text is None:
            raise InvalidRequest(f"{name}: {value!r} is neither YES nor NO")
        return text
    text = scalar(value)
    check_value(name, text)
    if text.endswith("\\"):
        raise InvalidRequest(f"{name}: ends in a backslash, which breaks the VM template")
    if "${" in text:
        raise InvalidRequest(f"{name}: contains '${{', which OneFlow would remove")
    if text == "":
        return text
    number = float if kind in ("number-float", "range-float") else int
    if kind in ("number", "number-float", "range", "range-float"):
        try:
            parsed = number(text)
        except ValueError:
            raise InvalidRequest(f"{name}: {text!r} is no number") from None
        low, dots, high = declaration.options.partition("..")
        if kind.startswith("range") and dots and not float(low) <= parsed <= float(high):
            raise InvalidRequest(f"{name}: {text} is not within {declaration.options}")
    if kind in ("list", "list-multiple") and declaration.options:
        options = [option.strip() for option in declaration.options.split(",")]
        for item in text.split(",") if kind == "list-multiple" else [text]:
            if item.strip() not in options:
                raise InvalidRequest(f"{name}: {item!r} is not one of {', '.join(options)}")
    if kind == "fixed" and text != declaration.default:
        raise InvalidRequest(f"{name}: is fixed to {declaration.default!r}")
    return text


def merge_template(
    body: Mapping[str, t.Any],
    *,
    name: str | None,
    values: Mapping[str, t.Any],
    networks_values: list[Mapping[str, t.Any]],
    roles: list[Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    """Return what instantiate sends, in 7.x names: every declared input has a value, every role with inputs appears.

    roles: {name, cardinality, user_inputs_values, template_contents}, None where not given. Raises InvalidRequest that
    names every missing and wrong input at once.
    """
    faults: list[str] = []
    result: dict[str, t.Any] = {}
    if name is not None:
        result["name"] = name
    service = fill(body.get("user_inputs"), values, body.get("user_inputs_values"), "", faults)
    if service:
        result["user_inputs_values"] = service
    overrides = {str(role["name"]): role for role in roles}
    merged = []
    known = [str(role.get("name")) for role in body.get("roles") or []]
    for role in body.get("roles") or []:
        override = overrides.get(str(role.get("name")), {})
        given = override.get("user_inputs_values") or {}
        filled = fill(role.get("user_inputs"), given, role.get("user_inputs_values"), f"role {role.get('name')}: ", faults)
        entry: dict[str, t.Any] = {}
        if filled:
            entry["user_inputs_values"] = filled
        for key in ("cardinality", "template_contents"):
            if override.get(key) is not None:
                entry[key] = without_booleans(override[key])
        if entry:
            merged.append({"name": role.get("name"), **entry})
    for role_name in overrides:
        if role_name not in known:
            faults.append(f"there is no role {role_name!r}, only {', '.join(known)}")
    networks = _networks(body.get("networks"), networks_values, faults)
    if faults:
        raise InvalidRequest("the service cannot be instantiated: " + "; ".join(faults))
    if merged:
        result["roles"] = merged
    if networks:
        result["networks_values"] = networks
    return result


_KINDS = ("id", "template_id", "reserve_from")


def _networks(declared: t.Any, given: list[Mapping[str, t.Any]], faults: list[str]) -> list[dict[str, t.Any]]:
    """Return a value for every declared network: the given one, else the default of its declaration ("id:5")."""
    declared = declared if isinstance(declared, Mapping) else {}
    result: list[dict[str, t.Any]] = []
    names: set[str] = set()
    for entry in given:
        for name, value in entry.items():
            name = str(name)
            if name in names:
                faults.append(f"network {name}: has two values")
            elif name not in declared:
                faults.append(f"network {name}: the template declares no such network")
            else:
                _check_network(name, value, faults)
                result.append({name: value})
            names.add(name)
    for name, descriptor in declared.items():
        if name in names:
            continue
        default = (str(descriptor).split("|") + [""] * 5)[4].strip()
        kind, _colon, value = default.partition(":")
        if not value.strip():
            faults.append(f"network {name}: has no value and no default; give it in networks_values")
            continue
        found = {kind.strip(): value.strip()}
        _check_network(str(name), found, faults)
        result.append({str(name): found})
    return result


def _check_network(name: str, value: t.Any, faults: list[str]) -> None:
    """Add a fault for a value with which OneFlow makes a service that it cannot deploy (measured, 7.4.0)."""
    if not isinstance(value, Mapping):
        faults.append(f"network {name}: a mapping with one of {', '.join(_KINDS)} is needed")
        return
    kinds = [key for key in value if key in _KINDS]
    unknown = [str(key) for key in value if key not in (*_KINDS, "extra")]
    if unknown:
        faults.append(f"network {name}: {', '.join(unknown)} is no known key")
    if len(kinds) != 1:
        faults.append(
            f"network {name}: needs exactly one of {', '.join(_KINDS)}" + (f", not {' and '.join(kinds)}" if kinds else "")
        )
        return
    if not str(value[kinds[0]]).strip().isdigit():
        faults.append(f"network {name}: {kinds[0]} {value[kinds[0]]!r} is no id")
    if kinds[0] == "reserve_from" and not re.search(r"(^|[\s,])SIZE\s*=\s*\"?[1-9]", str(value.get("extra") or ""), re.IGNORECASE):
        faults.append(f"network {name}: reserve_from needs extra: SIZE=n, the number of addresses; give both in networks_values")


def network_ids(networks_values: t.Any) -> list[tuple[str, str, int]]:
    """Return (network, kind, id) of checked values; kind is id, template_id or reserve_from."""
    return [
        (str(name), kind, int(str(value[kind])))
        for entry in networks_values or []
        for name, value in entry.items()
        for kind in _KINDS
        if kind in value
    ]
