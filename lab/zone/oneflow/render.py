# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging and rendering in OneFlow: from a role to the text that one.template.instantiate gets.

The text is made without escaping anything but quotes, and the elements of a vector are joined line by line: a line
break inside CONTEXT becomes ``,\\n``, a backslash at the end of a value eats the closing quote. Measured in
value_rendering_matrix.json.
"""

from __future__ import annotations

import copy
import re
import typing as t
from collections.abc import Callable


def deep_merge(target: dict, other: dict, *, arrays: bool = True) -> dict:
    """Return a new dict: hashes are merged, arrays joined (equal hashes once) when `arrays`, everything else is replaced."""
    merged = dict(target)
    for key, value in other.items():
        current = merged.get(key)
        if isinstance(value, dict) and isinstance(current, dict):
            merged[key] = deep_merge(current, value, arrays=arrays)
        elif isinstance(value, list) and isinstance(current, list) and arrays:
            joined = current + value
            if all(isinstance(item, dict) for item in joined):
                joined = [item for index, item in enumerate(joined) if item not in joined[:index]]
            merged[key] = joined
        else:
            merged[key] = value
    return merged


def to_raw(content: dict[str, t.Any]) -> str:
    """Return a hash as template text, the way OneFlow writes it."""
    text = ""
    for key, value in content.items():
        if isinstance(value, dict):
            lines = to_raw(value).split("\n")
            while lines and not lines[-1]:
                lines.pop()
            text += f"{key} = [\n" + ",\n".join(lines) + "\n]\n"
        elif isinstance(value, list):
            text += "".join(to_raw({key: item}) for item in value)
        else:
            text += f'{key} = "{to_s(value)}"\n'
    return text


def to_s(value: t.Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace('"', '\\"')


def merge_instantiation(body: dict, merge_template: dict) -> dict:
    """Return the body of a new service: `merge_template` over the service template's body.

    Roles are matched by name, unknown ones are ignored; networks_values replace those of the same network.
    """
    body, extra = copy.deepcopy(body), copy.deepcopy(merge_template)
    networks = extra.get("networks_values") or []
    if networks:
        values = body.get("networks_values") or []
        for network in networks:
            if not isinstance(network, dict) or not network:
                continue
            name = next(iter(network))
            index = next((i for i, known in enumerate(values) if name in known), None)
            if index is None:
                values.append(network)
            else:
                values[index] = network
        body["networks_values"] = values
        extra["networks_values"] = []
    if roles := extra.get("roles", []):
        for index, role in enumerate(body["roles"]):
            if found := next((item for item in roles if item.get("name") == role["name"]), None):
                body["roles"][index] = deep_merge(role, found)
        del extra["roles"]
    return deep_merge(body, extra)


def fill_contents(body: dict) -> None:
    """Put inputs and networks into the template_contents of every role: KEY and CONTEXT[KEY]="$KEY"."""
    inputs, networks = body.get("user_inputs_values") or {}, body.get("networks_values") or []
    for role in body["roles"]:
        contents = role.get("template_contents") or {}
        for nic in contents.get("NIC") or []:
            identity = nic.get("NETWORK_ID")
            match = re.search(r"\$(\w+)", identity, re.ASCII) if isinstance(identity, str) else None
            network = next((n for n in networks if match.group(1) in n), None) if match else None
            if match and network:
                nic["NETWORK_ID"] = network[match.group(1)].get("id")
        values = deep_merge(inputs, role.get("user_inputs_values") or {})
        if values:
            context = contents.setdefault("CONTEXT", {})
            for key, value in values.items():
                contents[key] = value
                context[key] = f"${key}"
        role["template_contents"] = contents


def evaluate(text: str, parents: list[str], look_up: Callable[[str, list[str]], str | None]) -> str:
    """Replace ``${parent.PATH}`` by what a VM of the parent role has there; anything else in ``${}`` vanishes."""
    for expression in re.findall(r"\$\{(.*?)\}", text):
        parent, *path = expression.split(".")
        found = look_up(parent, path) if parent in parents else None
        text = text.replace(f"${{{expression}}}", found or "")
    return text
