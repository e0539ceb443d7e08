# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service template bodies, without I/O: field names of both generations, comparison, translation, secrets.

The 7.x form (oca/ruby/opennebula/flow/service_template.rb) is the one used everywhere in this collection; 6.x names are read and
written here only.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import typing as t
from collections.abc import Mapping

from .errors import InvalidRequest
from .formats import check_name, check_value, parse_template, render_template, scalar, to_int, version_tuple, without_booleans

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
# 6.x name -> 7.x name
OLD_TOP = {"custom_attrs": "user_inputs", "custom_attrs_values": "user_inputs_values"}
OLD_ROLE = {**OLD_TOP, "vm_template": "template_id", "vm_template_contents": "template_contents"}
DEFAULTS = {"deployment": "none", "type": "vm", "cardinality": 0}
INTEGERS = frozenset({"cardinality", "template_id", "min_vms", "max_vms", "cooldown"})
BOOLEANS = frozenset({"ready_status_gate", "automatic_deletion", "on_hold"})
SERVER_ADDED = frozenset({"registration_time"})
MASK = "********"
# Names whose values never appear in a diff, whatever their declared type.
SECRET_NAME = re.compile(r"(^|_)(PASS|PASSWD|PASSWORD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|PRIVATE_KEY|PSK)(_|$)", re.IGNORECASE)


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
        if not isinstance(role_name, str) or not re.match(r"^\w+$", role_name):
            faults.append(f"{where}name: letters, digits and underscores only")
        elif role_name in seen:
            faults.append(f"{where}name: is used twice")
        seen.add(str(role_name))
        if role.get("template_id") is None:
            faults.append(f"{where}template_id: is missing")
        if "template_contents" in role:
            role["template_contents"] = without_booleans(role["template_contents"])
        check_contents(role.get("template_contents") or {}, f"{where}template_contents", faults)
    faults += [f"{where}: contains ']]>', which OpenNebula cannot store" for where in _broken(result, "")]
    for index, role in enumerate(result["roles"]):
        for parent in role.get("parents") or []:
            if parent not in seen:
                faults.append(f"roles[{role.get('name', index)}].parents: there is no role {parent!r}")
    if faults:
        raise InvalidRequest("the service template is not valid: " + "; ".join(faults))
    return result


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


def as_kept(body: Mapping[str, t.Any], version: str) -> dict[str, t.Any]:
    """Return a body as it will read once the server of that version has it. Raises InvalidRequest, see for_server."""
    result = canonical(for_server(body, version))
    result.setdefault("deployment", DEFAULTS["deployment"])
    result.setdefault("description", "")
    for role in result.get("roles") or []:
        role.setdefault("cardinality", DEFAULTS["cardinality"])
    return result


def needs_vm_context(merge: Mapping[str, t.Any], body: Mapping[str, t.Any], version: str) -> set[int]:
    """Return the ids of the VM templates whose CONTEXT instantiation_for_server wants to know; none for 7.x."""
    if version_tuple(version) >= (7,):
        return set()
    with_values = {role["name"] for role in merge.get("roles") or [] if role.get("user_inputs_values")}
    return {
        int(role["template_id"])
        for role in body.get("roles") or []
        if role.get("template_id") is not None and (merge.get("user_inputs_values") or role.get("name") in with_values)
    }


def instantiation_for_server(
    merge: Mapping[str, t.Any], body: Mapping[str, t.Any], version: str, contexts: Mapping[int, Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """Return what instantiate sends (inputs.merge_template) as the server of that version wants it.

    6.x merges roles by their place, takes a role's text as a whole, and only puts values where the text says $KEY,
    unescaped. So every role is sent, and its text carries what 7.x does by itself: each value in KEY and CONTEXT/KEY, next to
    the CONTEXT of the VM template (contexts, by id).
    """
    if version_tuple(version) >= (7,):
        return dict(merge)
    result = for_server({key: value for key, value in merge.items() if key != "roles"}, version)
    overrides = {role["name"]: role for role in merge.get("roles") or []}
    roles = []
    for role in canonical(body).get("roles") or []:
        given = overrides.get(role.get("name"), {})
        entry: dict[str, t.Any] = {"name": role.get("name")}
        if "cardinality" in given:
            entry["cardinality"] = given["cardinality"]
        if given.get("user_inputs_values"):
            entry["custom_attrs_values"] = given["user_inputs_values"]
        values = {**(merge.get("user_inputs_values") or {}), **(given.get("user_inputs_values") or {})}
        contents = _deep(role.get("template_contents") or {}, given.get("template_contents") or {})
        if values or given.get("template_contents"):
            context = contexts.get(to_int(role.get("template_id")), {})
            entry["vm_template_contents"] = contents_with_values(contents, values, context, version)
        roles.append(entry)
    result["roles"] = roles
    return result


def contents_with_values(
    contents: Mapping[str, t.Any], values: Mapping[str, str], context: Mapping[str, t.Any], version: str
) -> str:
    """Return a role's text for 6.x with its input values, see instantiation_for_server."""
    for name, value in values.items():
        if re.search(r"\$[\w{$]", value):
            raise InvalidRequest(
                f"{name}: OpenNebula {version} would expand the '$' in its value", hint="Encode it in base64, or leave '$' out."
            )
    merged_contents = _expanded(contents, values)
    if values:
        own = merged_contents.get("CONTEXT")
        merged_contents = {**merged_contents, **values}
        merged_contents["CONTEXT"] = {**context, **(own if isinstance(own, Mapping) else {}), **values}
    text = render_template(merged_contents)
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
