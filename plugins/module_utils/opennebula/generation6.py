# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service template fields of OpenNebula 6.x and those of 7.x, without I/O: one form inside, two towards the server.

The 7.x form (oca/ruby/opennebula/flow/service_template.rb) is the one used everywhere in this collection; 6.x names are read and
written here only.
"""

from __future__ import annotations

import contextlib
import re
import typing as t
from collections.abc import Mapping

from .answers import to_int, version_tuple
from .errors import InvalidRequest
from .template_text import parse_template, render_template

# 6.x name -> 7.x name
OLD_TOP = {"custom_attrs": "user_inputs", "custom_attrs_values": "user_inputs_values"}
OLD_ROLE = {**OLD_TOP, "vm_template": "template_id", "vm_template_contents": "template_contents"}


def canonical(body: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return any body with 7.x names; unknown keys stay, nothing is refused."""
    result = {OLD_TOP.get(key, key): value for key, value in body.items()}
    roles = result.get("roles")
    if isinstance(roles, list):
        result["roles"] = [_canonical_role(role) for role in roles if isinstance(role, Mapping)]
    return result


def _canonical_role(role: Mapping[str, t.Any]) -> dict[str, t.Any]:
    result = {OLD_ROLE.get(key, key): value for key, value in role.items()}
    if isinstance(result.get("template_contents"), str):
        with contextlib.suppress(ValueError):
            result["template_contents"] = parse_template(result["template_contents"])
    return result


def for_server(body: Mapping[str, t.Any], version: str) -> dict[str, t.Any]:
    """Return a 7.x body as the server of that version wants it. Raises InvalidRequest where 6.x has no such thing."""
    if version_tuple(version) >= (7,):
        return dict(body)
    new_top = {new: old for old, new in OLD_TOP.items()}
    new_role = {new: old for old, new in OLD_ROLE.items()}
    result = {new_top.get(key, key): value for key, value in body.items()}
    roles = []
    for role in body.get("roles") or []:
        if role.get("type", "vm") != "vm":
            raise InvalidRequest(f"role {role.get('name')}: OpenNebula {version} knows only roles of type vm")
        translated = {new_role.get(key, key): value for key, value in role.items() if key != "type"}
        if isinstance(translated.get("vm_template_contents"), Mapping):
            translated["vm_template_contents"] = render_template(translated["vm_template_contents"])
        roles.append(translated)
    if "roles" in body:
        result["roles"] = roles
    return result


def needs_vm_templates(merge: Mapping[str, t.Any], body: Mapping[str, t.Any], version: str) -> set[int]:
    """Return the ids of the VM templates that instantiation_for_server wants to know; none for 7.x."""
    if version_tuple(version) >= (7,):
        return set()
    return {
        to_int(role["template_id"])
        for role, values, contents in _roles(merge, body)
        if role.get("template_id") is not None and (values or _vectors(contents))
    }


def _roles(
    merge: Mapping[str, t.Any], body: Mapping[str, t.Any]
) -> t.Iterator[tuple[Mapping[str, t.Any], dict[str, str], dict[str, t.Any]]]:
    """Yield (role, the values it gets, its contents) of the roles that an instantiation makes."""
    overrides = {role["name"]: role for role in merge.get("roles") or []}
    for role in canonical(body).get("roles") or []:
        given = overrides.get(role.get("name"), {})
        values = {**(merge.get("user_inputs_values") or {}), **(given.get("user_inputs_values") or {})}
        own = role.get("template_contents")
        yield role, values, _deep(own if isinstance(own, Mapping) else {}, given.get("template_contents") or {})


def instantiation_for_server(
    merge: Mapping[str, t.Any], body: Mapping[str, t.Any], version: str, vm_templates: Mapping[int, Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """Return what instantiate sends (inputs.merge_template) as the server of that version wants it.

    6.x merges roles by their place, takes a role's text as a whole, and only puts values where the text says $KEY,
    unescaped. So every role is sent, and its text carries what 7.x does by itself: each value in KEY and CONTEXT/KEY, next to
    what the vectors of the VM template (vm_templates, by id) have.
    """
    if version_tuple(version) >= (7,):
        return dict(merge)
    result = for_server({key: value for key, value in merge.items() if key != "roles"}, version)
    overrides = {role["name"]: role for role in merge.get("roles") or []}
    roles = []
    for role, values, contents in _roles(merge, body):
        given = overrides.get(role.get("name"), {})
        entry: dict[str, t.Any] = {"name": role.get("name")}
        if "cardinality" in given:
            entry["cardinality"] = given["cardinality"]
        if given.get("user_inputs_values"):
            entry["custom_attrs_values"] = given["user_inputs_values"]
        if values or given.get("template_contents") or _vectors(contents):
            vm_template = vm_templates.get(to_int(role.get("template_id")), {})
            entry["vm_template_contents"] = contents_with_values(contents, values, vm_template, version)
        roles.append(entry)
    result["roles"] = roles
    return result


def _vectors(contents: Mapping[str, t.Any]) -> list[str]:
    return [key for key, value in contents.items() if isinstance(value, Mapping)]


def contents_with_values(
    contents: Mapping[str, t.Any], values: Mapping[str, str], vm_template: Mapping[str, t.Any], version: str
) -> str:
    """Return a role's text for 6.x with its input values, see instantiation_for_server.

    6.x replaces a vector of the VM template (CONTEXT, OS) by the one in the text, 7.x merges them.
    """
    for name, value in values.items():
        if re.search(r"\$[\w{$]", value):
            raise InvalidRequest(
                f"{name}: OpenNebula {version} would expand the '$' in its value", hint="Encode it in base64, or leave '$' out."
            )
    result = {**_expanded(contents, values), **values}
    if values:
        own = result.get("CONTEXT")
        result["CONTEXT"] = {**(own if isinstance(own, Mapping) else {}), **values}
    for key in _vectors(result):
        under = vm_template.get(key.upper())
        if isinstance(under, Mapping):
            result[key] = _deep(under, result[key])
    text = render_template(result)
    if text.startswith("<"):
        raise InvalidRequest(f"a value ends in a backslash, which OpenNebula {version} cannot keep", hint="Encode it in base64.")
    return text


def _deep(target: Mapping[str, t.Any], other: Mapping[str, t.Any]) -> dict[str, t.Any]:
    result = dict(target)
    for key, value in other.items():
        have = result.get(key)
        result[key] = _deep(have, value) if isinstance(have, Mapping) and isinstance(value, Mapping) else value
    return result


def _expanded(value: t.Any, values: Mapping[str, str]) -> t.Any:
    if isinstance(value, Mapping):
        return {key: _expanded(item, values) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_expanded(item, values) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), value)
    return value
