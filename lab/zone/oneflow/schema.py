# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates: what OneFlow 7.x accepts, and how it says no (recordings: oneflow 002-030, 041-055).

Validation changes the body: integers given as strings become integers, defaults are added at the end. A false or null
value counts as absent. Templates in the 6.x spelling are rewritten when every role is.
"""

from __future__ import annotations

import json
import re
import typing as t


class ParseError(ValueError):
    """The body is refused; OneFlow answers 400 with this text."""


class RubyError(Exception):
    """The real server would have raised here and answered 500 with a JSON body; the text is its reason."""


def parse_json(text: str) -> t.Any:
    """Parse as Ruby's JSON.parse does; the error text shows all that was left to parse."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise ParseError(f"unexpected token at '{text}'") from None


def compact(value: t.Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_SHUTDOWN = {"type": "string", "enum": ("terminate", "terminate-hard", "shutdown", "shutdown-hard")}
_NUMBER = {"type": "integer", "minimum": 0}
_OBJECT = {"type": "object"}
_FLAG = {"type": "boolean"}
_ROLE_BASE = {
    "name": {"type": "string", "required": True, "regex": True},
    "type": {"type": "string", "required": True},
    "cardinality": {"type": "integer", "default": 0, "minimum": 0},
    "template_id": {"type": "integer", "required": True},
    "template_contents": _OBJECT,
    "user_inputs": _OBJECT,
    "user_inputs_values": _OBJECT,
    "parents": {"type": "array", "items": {"type": "string"}},
}
_POLICY = {
    "type": {"type": "string", "enum": ("CHANGE", "CARDINALITY", "PERCENTAGE_CHANGE"), "required": True},
    "adjust": {"type": "integer", "required": True},
    "min_adjust_step": {"type": "integer", "minimum": 1},
}
VM_ROLE = {
    **_ROLE_BASE,
    "type": {"type": "string", "enum": ("vm",), "required": True},
    "shutdown_action": _SHUTDOWN,
    "min_vms": _NUMBER,
    "max_vms": _NUMBER,
    "cooldown": _NUMBER,
    "on_hold": _FLAG,
    "elasticity_policies": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                **_POLICY,
                "period_number": _NUMBER,
                "period": _NUMBER,
                "expression": {"type": "string", "required": True},
                "cooldown": _NUMBER,
            },
        },
    },
    "scheduled_policies": {
        "type": "array",
        "items": {"type": "object", "properties": {**_POLICY, "start_time": {"type": "string"}, "recurrence": {"type": "string"}}},
    },
}
_VR_ROLE = {**_ROLE_BASE, "type": {"type": "string", "enum": ("vr",), "required": True}, "on_hold": _FLAG}
TEMPLATE = {
    "name": {"type": "string", "required": True},
    "deployment": {"type": "string", "enum": ("none", "straight"), "default": "none"},
    "description": {"type": "string", "default": ""},
    "shutdown_action": _SHUTDOWN,
    "roles": {"type": "array", "required": True},
    "user_inputs": _OBJECT,
    "user_inputs_values": _OBJECT,
    "ready_status_gate": _FLAG,
    "automatic_deletion": _FLAG,
    "networks": _OBJECT,
    "networks_values": {"type": "array", "items": {"type": "object"}},
    "on_hold": _FLAG,
}


def _check(value: t.Any, schema: dict, key: str) -> t.Any:
    return globals()[f"_check_{schema['type']}"](value, schema, key)


def _check_object(value: t.Any, schema: dict, key: str) -> t.Any:
    if not isinstance(value, dict):
        raise ParseError(f"KEY: '{key}' must be an Object;")
    for name, wanted in schema.get("properties", {}).items():
        given = value.get(name)
        if given is not None and given is not False:
            value[name] = _check(given, wanted, name)
        elif wanted.get("required"):
            raise ParseError(f"Mandatory document key '{name} ({wanted['type']})' is missing from {compact(value)}")
        elif "default" in wanted:
            value[name] = wanted["default"]
    return value


def _check_array(value: t.Any, schema: dict, key: str) -> t.Any:
    if not isinstance(value, list):
        raise ParseError(f"KEY: '{key}' must be an Array;")
    return [_check(item, schema["items"], key) for item in value] if "items" in schema else value


def _check_string(value: t.Any, schema: dict, key: str) -> t.Any:
    if not isinstance(value, str):
        raise ParseError(f"KEY: '{key}' must be a String;")
    if "enum" in schema and value not in schema["enum"]:
        raise ParseError(f"KEY: '{key}' must be one of {', '.join(schema['enum'])};")
    if "regex" in schema and not re.search(r"^\w+$", value, re.MULTILINE | re.ASCII):
        raise ParseError(rf"KEY: '{key}' must match regexp /^\w+$/;")
    return value


def _check_integer(value: t.Any, schema: dict, key: str) -> t.Any:
    if isinstance(value, (bool, dict, list)):
        raise RubyError(f"can't convert {_ruby_class(value)} into Integer")
    try:
        number = int(value) if isinstance(value, float) else int(str(value), 0)
    except ValueError:
        raise ParseError(f"KEY: '{key}' must be an Integer;") from None
    if "minimum" in schema and number < schema["minimum"]:
        raise ParseError(f"KEY: '{key}' must be greater than or equal to {schema['minimum']};")
    return number


def _ruby_class(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "Hash" if isinstance(value, dict) else "Array"


def _check_boolean(value: t.Any, schema: dict, key: str) -> t.Any:
    if value is not True:
        raise ParseError(f"KEY: '{key}' is not allowed in {{:type=>:boolean, :required=>false}};")
    return value


def validate_role(role: dict) -> None:
    kind = role.get("type", "vm") if isinstance(role, dict) else "vm"
    if kind not in ("vm", "vr"):
        raise ParseError(f'Unsupported role type "{kind}"')
    _check_object(role, {"properties": VM_ROLE if kind == "vm" else _VR_ROLE}, "")


def validate(template: t.Any) -> None:
    """Check and complete a service template in place. Raises ParseError or RubyError."""
    if not isinstance(template, dict):
        where = "\n\n            body.key?('roles') && body['roles'].all? do |role|\n                ^^^^^"
        shown = compact(template)
        kind = {list: "Array", str: "String", int: "Integer", float: "Float"}.get(type(template), "NilClass")
        raise RubyError(f"undefined method `key?' for {shown}:{kind}{where}")
    if _old_format(template):
        _convert(template)
    _check_object(template, {"properties": TEMPLATE}, "")
    for role in template["roles"]:
        validate_role(role)
    validate_values(template["roles"])


def validate_values(roles: list[dict]) -> None:
    """Check what the schema cannot say. Raises ParseError."""
    names: set[str] = set()
    for role in roles:
        if role["name"] in names:
            raise ParseError(f"Role name '{role['name']}' is repeated")
        names.add(role["name"])
        _validate_cardinality(role)


def _validate_cardinality(role: dict) -> None:
    if role.get("type", "vm") != "vm":
        return
    name, cardinality = role["name"], role["cardinality"]
    if role.get("min_vms") is not None and role["min_vms"] > cardinality:
        raise ParseError(f"Role '{name}' 'cardinality' must be greater than or equal to 'min_vms'")
    if role.get("max_vms") is not None and role["max_vms"] < cardinality:
        raise ParseError(f"Role '{name}' 'cardinality' must be lower than or equal to 'max_vms'")
    policies = role.get("elasticity_policies") or role.get("scheduled_policies")
    if policies and (role.get("min_vms") is None or role.get("max_vms") is None):
        raise ParseError(
            f"Role '{name}' with  'elasticity_policies' or 'scheduled_policies'must define both 'min_vms' and 'max_vms'"
        )
    for index, policy in enumerate(role.get("elasticity_policies") or []):
        _validate_expression(f"Role '{name}', elasticity policy #{index} 'expression'", policy["expression"])
    for index, policy in enumerate(role.get("scheduled_policies") or []):
        _validate_time(f"Role '{name}', scheduled policy #{index}", policy)


def _validate_expression(where: str, text: str) -> None:
    """Accept comparisons such as ``CPU > 80``, joined by && and ||, with parentheses; the parser's own words differ."""
    if not text:
        raise ParseError(f"{where} cannot be empty")
    rest, before = re.sub(r"\s*[A-Za-z]\w*\s*(?:[<>]=?|==|!=)\s*\d+(?:\.\d+)?\s*", "T", text, flags=re.ASCII), ""
    while rest != before:
        rest, before = re.sub(r"\s*\(\s*T\s*\)\s*|T\s*(?:&&|\|\|)\s*T", "T", rest), rest
    if rest != "T":
        raise ParseError(f"{where} parse error: {text}")


def _validate_time(where: str, policy: dict) -> None:
    start, recurrence = policy.get("start_time"), policy.get("recurrence")
    if start is not None and recurrence is not None:
        raise ParseError(f"{where} must define 'start_time' or 'recurrence', but not both")
    if start is None and recurrence is None:
        raise ParseError(f"{where} must define 'start_time' or 'recurrence'")
    if start is not None and not re.search(r"^\d+$|\d+[-/:]\d+", start):
        raise ParseError(f"{where} 'start_time' is not a valid Time. Try with YYYY-MM-DD hh:mm:ss or 0YYY-MM-DDThh:mm:ssZ")
    if recurrence is not None and not re.fullmatch(r"\s*(?:[\d*/,\-A-Za-z]+\s+){4}[\d*/,\-A-Za-z]+\s*", recurrence):
        raise ParseError(f"{where} 'recurrence' is not a valid cron expression")


check_object = _check_object


# -- the 6.x spelling ---------------------------------------------------------------------------------------------
def _old_format(body: dict) -> bool:
    roles = body.get("roles")
    if not isinstance(roles, list):
        return False
    return "roles" in body and all("vm_template" in role or "vm_template_contents" in role for role in roles)


def _convert(body: dict) -> None:
    for role in body["roles"]:
        role["template_id"] = to_i(role.get("vm_template"))
        role["type"] = "vm"
        if role.get("custom_attrs"):
            role["user_inputs"] = role["custom_attrs"]
        if role.get("vm_template_contents"):
            role["template_contents"] = _convert_contents(role["vm_template_contents"])
        for name in ("vm_template", "vm_template_contents", "custom_attrs", "custom_attrs_values"):
            role.pop(name, None)
    for old, new in (("custom_attrs", "user_inputs"), ("custom_attrs_values", "user_inputs_values")):
        if body.get(old):
            body[new] = body.pop(old)


def _convert_contents(text: str) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {}
    for line in re.split(r"\n(?![^\[]*\])", text):
        if "=" not in line:
            continue
        key, raw = (part.strip() for part in line.split("=", 1))
        raw = raw.replace('"', "")
        value: t.Any = raw
        if raw.startswith("[") and raw.endswith("]"):
            pairs = (element.split("=", 1) for element in re.split(r"\s*,\s*", raw[1:-1]))
            value = {name.strip(): rest[0].strip() if rest else None for name, *rest in pairs}
        if key not in result:
            result[key] = [value] if isinstance(value, dict) else value
        elif isinstance(result[key], list):
            result[key].append(value)
        else:
            result[key] = [result[key], value]
    return result


def to_i(value: t.Any) -> int:
    """Return what Ruby's to_i does: the number at the start of a string, else 0."""
    match = re.match(r"\s*([+-]?\d+)", str(value)) if value is not None and not isinstance(value, bool) else None
    return int(match.group(1)) if match else 0
