# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service template bodies, without I/O: fields, checks, comparison."""

from __future__ import annotations

import difflib
import re
import typing as t
from collections.abc import Mapping

from .errors import InvalidRequest
from .generation6 import OLD_ROLE, OLD_TOP, canonical, for_server
from .template_text import check_name, check_value, parse_template, scalar, without_booleans

TOP_FIELDS = (
    "name",
    "deployment",
    "description",
    "roles",
    "user_inputs",
    "user_inputs_values",
    "networks",
    "networks_values",
    "ready_status_gate",
    "automatic_deletion",
    "on_hold",
    "shutdown_action",
    "labels",
)
ROLE_FIELDS = (
    "name",
    "type",
    "cardinality",
    "template_id",
    "template_contents",
    "user_inputs",
    "user_inputs_values",
    "parents",
    "shutdown_action",
    "min_vms",
    "max_vms",
    "cooldown",
    "on_hold",
    "elasticity_policies",
    "scheduled_policies",
)
DEFAULTS = {"deployment": "none", "type": "vm", "cardinality": 0}
INTEGERS = frozenset({"cardinality", "template_id", "min_vms", "max_vms", "cooldown"})
BOOLEANS = frozenset({"ready_status_gate", "automatic_deletion", "on_hold"})
# What the server takes (oca/ruby/opennebula/flow/service_template.rb).
CHOICES = {
    "deployment": ("none", "straight"),
    "type": ("vm", "vr"),
    "shutdown_action": ("terminate", "terminate-hard", "shutdown", "shutdown-hard"),
}
POLICY_TYPES = ("CHANGE", "CARDINALITY", "PERCENTAGE_CHANGE")
POLICIES = {
    "elasticity_policies": {"expression": True, "period_number": False, "period": False, "cooldown": False},
    "scheduled_policies": {"start_time": False, "recurrence": False},
}
_TERM = r"\(*\s*[A-Za-z_][A-Za-z0-9_.]*\s*(?:>=|<=|==|!=|>|<|=)\s*[+-]?\d+(?:\.\d+)?\s*\)*"
# Compiled when they are needed.
_POLICY_TEXTS = {
    "expression": rf"(?i)^{_TERM}(?:\s*(?:&&?|\|\|?|and|or)\s*{_TERM})*$",
    "start_time": r"^(\d+$|\d{4}-\d{1,2}-\d{1,2}|\d{1,2}:\d{2}|[A-Za-z]{3},? )",
    "recurrence": r"^(?:\S+\s+){4}\S+$",
}
ROLE_NAME = re.compile(r"^[A-Za-z0-9_]+$")
SERVER_ADDED = frozenset({"registration_time"})


def wanted(body: Mapping[str, t.Any], name: str | None) -> dict[str, t.Any]:
    """Return a user's body in 7.x form, checked. name, where given, becomes the body's name.

    Raises InvalidRequest that lists every fault: unknown fields with the nearest known name, wrong types, values that
    OpenNebula would corrupt.
    """
    faults: list[str] = []
    body = {key: value for key, value in body.items() if key not in SERVER_ADDED}
    _refuse_unknown(body, TOP_FIELDS, OLD_TOP, "", faults)
    raw_roles = body.get("roles")
    if not isinstance(raw_roles, list):
        faults.append("roles: a list is needed")
        raw_roles = []
    for index, role in enumerate(raw_roles):
        if not isinstance(role, Mapping):
            faults.append(f"roles[{index}]: a mapping is needed")
            continue
        _refuse_unknown(role, ROLE_FIELDS, OLD_ROLE, f"roles[{role.get('name', index)}].", faults)
        contents = role.get("template_contents", role.get("vm_template_contents"))
        if isinstance(contents, str):
            try:
                parse_template(contents)
            except ValueError as error:
                faults.append(f"roles[{role.get('name', index)}].template_contents: {error}")
    if faults:
        raise InvalidRequest("the service template is not valid: " + "; ".join(faults))
    result = canonical(body)
    if name is not None:
        result["name"] = name
    if not str(result.get("name") or "").strip():
        faults.append("name: is missing")
    else:
        try:
            check_name("name", result["name"])
        except InvalidRequest as fault:
            faults.append(fault.text)
    _coerce(result, "", faults)
    seen: set[str] = set()
    for role in result["roles"]:
        where = f"roles[{role.get('name')}]."
        role.setdefault("type", DEFAULTS["type"])
        _coerce(role, where, faults)
        role_name = role.get("name")
        if not isinstance(role_name, str) or not ROLE_NAME.match(role_name):
            faults.append(f"{where}name: letters, digits and underscores only")
        elif role_name in seen:
            faults.append(f"{where}name: is used twice")
        seen.add(str(role_name))
        if role.get("template_id") is None:
            faults.append(f"{where}template_id: is missing")
        if "template_contents" in role:
            role["template_contents"] = without_booleans(role["template_contents"])
        check_contents(role.get("template_contents") or {}, f"{where}template_contents", faults)
        _check_role(role, where, faults)
    faults += [f"{where}: contains ']]>', which OpenNebula cannot store" for where in _broken(result, "")]
    parents: dict[str, list[str]] = {}
    for role in result["roles"]:
        parents.setdefault(str(role.get("name")), []).extend(str(parent) for parent in role.get("parents") or [])
    check_parents(parents, faults)
    if faults:
        raise InvalidRequest("the service template is not valid: " + "; ".join(faults))
    return result


def _check_role(role: Mapping[str, t.Any], where: str, faults: list[str]) -> None:
    """Add a fault for limits and policies that the server refuses."""
    if role.get("type") == "vr":
        return
    low, high, count = role.get("min_vms"), role.get("max_vms"), role.get("cardinality", DEFAULTS["cardinality"])
    if isinstance(count, int):
        if isinstance(low, int) and count < low:
            faults.append(f"{where}cardinality: {count} is less than min_vms {low}")
        if isinstance(high, int) and count > high:
            faults.append(f"{where}cardinality: {count} is more than max_vms {high}")
    for kind, fields in POLICIES.items():
        policies = role.get(kind)
        if policies in (None, []):
            continue
        if not isinstance(policies, list):
            faults.append(f"{where}{kind}: a list is needed")
            continue
        if low is None or high is None:
            faults.append(f"{where}{kind}: need min_vms and max_vms")
        for index, policy in enumerate(policies):
            _check_policy(policy, fields, f"{where}{kind}[{index}]", faults)


def _check_policy(policy: t.Any, fields: Mapping[str, bool], where: str, faults: list[str]) -> None:
    if not isinstance(policy, Mapping):
        faults.append(f"{where}: a mapping is needed")
        return
    if policy.get("type") not in POLICY_TYPES:
        faults.append(f"{where}.type: {policy.get('type')!r} is not one of {', '.join(POLICY_TYPES)}")
    for key, needed in {"adjust": True, "min_adjust_step": False, **fields}.items():
        value = policy.get(key)
        if value is None:
            if needed:
                faults.append(f"{where}.{key}: is missing")
        elif key in _POLICY_TEXTS:
            if not isinstance(value, str) or not re.match(_POLICY_TEXTS[key], value.strip()):
                faults.append(f"{where}.{key}: {value!r} is not valid")
        elif isinstance(value, bool) or not re.match(r"^-?\d+$" if key == "adjust" else r"^\d+$", str(value)):
            faults.append(f"{where}.{key}: {value!r} is no whole number")
        elif key == "min_adjust_step" and int(value) < 1:
            faults.append(f"{where}.{key}: must be at least 1")
    if "recurrence" in fields and (policy.get("start_time") is None) == (policy.get("recurrence") is None):
        faults.append(f"{where}: needs either start_time or recurrence")


def check_parents(parents: Mapping[str, list[str]], faults: list[str]) -> None:
    """Add a fault for parents that are not there, and for roles that wait for each other: OneFlow would wait for ever."""
    for name, own in parents.items():
        faults += [f"roles[{name}].parents: there is no role {parent!r}" for parent in own if parent not in parents]
    left = {name: {parent for parent in own if parent in parents} for name, own in parents.items()}
    while ready := [name for name, own in left.items() if not own]:
        for name in ready:
            del left[name]
        left = {name: own - set(ready) for name, own in left.items()}
    if left:
        faults.append(f"roles: {', '.join(sorted(left))} wait for each other (parents)")


def _broken(value: t.Any, where: str) -> t.Iterator[str]:
    """Yield the places of texts that would end the CDATA in which OpenNebula keeps a body; contents are checked already."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key != "template_contents":
                yield from _broken(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _broken(item, where)
    elif isinstance(value, str) and "]]>" in value and where != "name":
        yield where


def _refuse_unknown(
    given: Mapping[str, t.Any], known: tuple[str, ...], old: Mapping[str, str], where: str, faults: list[str]
) -> None:
    for key in given:
        if key in old and old[key] in given:
            faults.append(f"{where}{key}: is the 6.x name of {old[key]}, which is given too")
        if key in known or key in old:
            continue
        near = difflib.get_close_matches(str(key), [*known, *old], n=1, cutoff=0.4)
        faults.append(f"{where}{key}: is no known field" + (f", did you mean {near[0]}?" if near else ""))


def _coerce(target: dict[str, t.Any], where: str, faults: list[str]) -> None:
    for key in list(target):
        value = target[key]
        if value is None:
            del target[key]
        elif key in INTEGERS:
            try:
                if isinstance(value, bool) or int(value) < 0:
                    raise ValueError
                target[key] = int(value)
            except (TypeError, ValueError):
                faults.append(f"{where}{key}: {value!r} is no whole number")
        elif key in BOOLEANS and not isinstance(value, bool):
            text = str(value).lower()
            if text not in ("true", "false", "yes", "no"):
                faults.append(f"{where}{key}: {value!r} is neither true nor false")
            target[key] = text in ("true", "yes")
        elif key in CHOICES and value not in CHOICES[key]:
            faults.append(f"{where}{key}: {value!r} is not one of {', '.join(CHOICES[key])}")
        elif key == "parents" and not isinstance(value, list):
            faults.append(f"{where}parents: a list is needed")
            target[key] = []
        elif key in ("user_inputs", "user_inputs_values", "networks", "template_contents") and not isinstance(value, Mapping):
            faults.append(f"{where}{key}: a mapping is needed")


def check_contents(contents: t.Any, where: str, faults: list[str], *, in_context: bool = False) -> None:
    """Add a fault for every value that OneFlow would corrupt when it writes the VM template (measured, 7.4.0)."""
    if isinstance(contents, Mapping):
        for key, value in contents.items():
            check_contents(value, f"{where}.{key}", faults, in_context=in_context or str(key).upper() == "CONTEXT")
    elif isinstance(contents, (list, tuple)):
        for item in contents:
            check_contents(item, where, faults, in_context=in_context)
    else:
        text = scalar(contents)
        try:
            check_value(where, text)
        except InvalidRequest as fault:
            faults.append(fault.text)
        if text.endswith("\\"):
            faults.append(f"{where}: ends in a backslash, which breaks the VM template")
        if in_context and "\n" in text:
            faults.append(f"{where}: line breaks are corrupted in CONTEXT; use a user input, or base64")


def same(wanted_body: Mapping[str, t.Any], server_body: Mapping[str, t.Any]) -> bool:
    """Tell whether the server's body is what was asked for.

    Ignored: what the server adds, defaults spelled out on one side only, unknown keys of the server, the spelling of
    numbers, and a single vector as a list or alone.
    """
    return comparable(wanted_body, wanted_body) == comparable(server_body, wanted_body)


def comparable(body: Mapping[str, t.Any], asked: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the part of a body that is compared, in one spelling; asked says whether labels are of interest."""
    body = canonical(body)
    result = {key: _plain(body[key]) for key in TOP_FIELDS if key in body and key != "roles"}
    if "labels" not in asked:
        result.pop("labels", None)
    result = _without_defaults(result)
    roles = []
    for role in body.get("roles") or []:
        plain = {key: _plain(role[key]) for key in ROLE_FIELDS if key in role}
        if isinstance(plain.get("parents"), list):
            plain["parents"] = sorted(plain["parents"])
        roles.append(_without_defaults(plain))
    result["roles"] = roles
    return result


def _without_defaults(fields: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        key: value for key, value in fields.items() if value not in ("", [], {}, "NO") and value != scalar(DEFAULTS.get(key, ""))
    }


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item) for item in value]
        return items[0] if len(items) == 1 and isinstance(items[0], dict) else items
    return scalar(value)


def merged(wanted_body: Mapping[str, t.Any], server_body: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the body to write: what was asked, and what the server has beyond the fields known here."""
    server = canonical(server_body)
    result = {k: v for k, v in server.items() if k not in TOP_FIELDS or (k == "labels" and k not in wanted_body)}
    result.update(wanted_body)
    kept = {role.get("name"): role for role in server.get("roles") or []}
    result["roles"] = [
        {**{k: v for k, v in kept.get(role.get("name"), {}).items() if k not in ROLE_FIELDS}, **role}
        for role in wanted_body["roles"]
    ]
    return result


def as_kept(body: Mapping[str, t.Any], version: str) -> dict[str, t.Any]:
    """Return a body as it will read once the server of that version has it. Raises InvalidRequest, see for_server."""
    result = canonical(for_server(body, version))
    result.setdefault("deployment", DEFAULTS["deployment"])
    result.setdefault("description", "")
    for role in result.get("roles") or []:
        role.setdefault("cardinality", DEFAULTS["cardinality"])
    return result
