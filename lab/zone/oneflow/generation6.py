# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow of the 6.x generation: what it does differently from 7.x. Serves zones whose ``version`` starts with "6.".

This follows the published source of 6.10, NOT recordings: no OpenNebula 6 was at hand. Where the two generations share
code (states, life cycle, HTTP) the recorded behaviour of 7.4 is assumed for both.

- Roles have ``vm_template`` (a number) and ``vm_template_contents`` (text); inputs are ``custom_attrs`` and
  ``custom_attrs_values``. The names of 7.x are unknown keys here: kept, and without effect.
- Instantiating merges the roles by their PLACE in the list, not by name, and a role's text is replaced as a whole.
- A value only replaces ``$KEY`` in the text of the roles, when the service is made and without any escaping; it is not
  put into the VM by itself.
- The text goes to one.template.instantiate as it is, so that a CONTEXT in it replaces the VM template's.
"""

from __future__ import annotations

import copy
import re
import typing as t

from . import schema
from .schema import ParseError

_ROLE = {
    "name": {"type": "string", "required": True, "regex": True},
    "cardinality": {"type": "integer", "default": 0, "minimum": 0},
    "vm_template": {"type": "integer", "required": True},
    "vm_template_contents": {"type": "string"},
    "custom_attrs": {"type": "object"},
    "custom_attrs_values": {"type": "object"},
    **{
        name: schema.VM_ROLE[name]
        for name in (
            "parents",
            "shutdown_action",
            "min_vms",
            "max_vms",
            "cooldown",
            "on_hold",
            "elasticity_policies",
            "scheduled_policies",
        )
    },
}
_TEMPLATE = {
    **{name: schema.TEMPLATE[name] for name in ("name", "deployment", "description", "shutdown_action")},
    "roles": {"type": "array", "items": {"type": "object", "properties": _ROLE}, "required": True},
    "custom_attrs": {"type": "object"},
    "custom_attrs_values": {"type": "object"},
    **{
        name: schema.TEMPLATE[name]
        for name in ("ready_status_gate", "automatic_deletion", "networks", "networks_values", "on_hold")
    },
}


def validate_role(role: t.Any) -> None:
    schema.check_object(role, {"properties": _ROLE}, "")


def validate(template: t.Any) -> None:
    """Check and complete a service template in place. Raises ParseError or RubyError."""
    schema.check_object(template, {"properties": _TEMPLATE}, "")
    schema.validate_values(template["roles"])


def check_values(body: dict, merge: dict) -> None:
    """Every declared input needs a value; a role with inputs that is left out makes Ruby stumble, which is a 400 here."""
    _check(body.get("custom_attrs"), merge.get("custom_attrs_values"))
    for role in body["roles"]:
        if role.get("custom_attrs") is None:
            continue
        given = merge.get("roles")
        if given is None:
            raise ParseError(
                f"The Service template specifies custom attributes for the role {role['name']} but no values have been found"
            )
        if not isinstance(given, list) or not given:
            raise ParseError("The role custom attributes are empty or do not have a valid format")
        found = next((item for item in given if item.get("name") == role["name"]), None)
        if found is None:
            raise ParseError("undefined method `[]' for nil:NilClass")
        _check(role["custom_attrs"], found.get("custom_attrs_values"))


def _check(inputs: t.Any, values: t.Any) -> None:
    if not inputs:
        return
    if values is None:
        raise ParseError("The Service template specifies custom attributes but no values have been found")
    if not isinstance(inputs, dict) or not isinstance(values, dict):
        raise ParseError("Wrong custom_attrs or custom_attrs_values format")
    if set(inputs) - set(values):
        raise ParseError("Verify that every custom attribute have its corresponding value defined")


def merge_instantiation(body: dict, merge: dict) -> dict:
    """Return the body of a new service, with the values in the text of its roles."""
    service = _merge(copy.deepcopy(body), copy.deepcopy(merge))
    everywhere = service.get("custom_attrs_values") or {}
    for role in service["roles"]:
        if text := role.get("vm_template_contents"):
            role["vm_template_contents"] = _resolve(text, {**everywhere, **(role.get("custom_attrs_values") or {})})
    return service


def _merge(target: t.Any, other: dict) -> dict:
    for key, value in other.items():
        current = target.get(key)
        if isinstance(value, dict) and isinstance(current, dict):
            target[key] = _merge(current, value)
        elif isinstance(value, list) and isinstance(current, list):
            for place, item in enumerate(value):
                if place < len(current) and isinstance(current[place], dict) and isinstance(item, dict):
                    current[place] = _merge(current[place], item)
                else:
                    target[key] = current = value
        else:
            target[key] = value
    return target


def _resolve(text: str, values: dict[str, t.Any]) -> str:
    for key in re.findall(r"\$(\w+)", text, re.ASCII):
        if key in values:
            text = text.replace(f"${key}", str(values[key]))
    return text


def resolve_networks(body: dict) -> None:
    """Put the ids of the networks in the place of their names, once they are known."""
    networks = {name: net for entry in body.get("networks_values") or [] for name, net in entry.items()}
    for role in body["roles"]:
        if text := role.get("vm_template_contents"):
            for key in re.findall(r"\$(\w+)", text, re.ASCII):
                if key in networks:
                    text = text.replace(f"${key}", str(networks[key].get("id", "")))
            role["vm_template_contents"] = text
