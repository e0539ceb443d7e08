# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTEXT: what a VM's template becomes for its guest.

Three steps, as in oned: variables (``$NAME``, ``$USER[ATTR]``, ``$NETWORK[ATTR, NIC_ID="0"]``) are put into the CONTEXT
attributes, with the real parser's errors; NETWORK="YES" adds ``ETH<n>_*`` made from the NICs and their networks;
TOKEN="YES" adds ONEGATE_ENDPOINT, VMID and the file token.txt.

Mind: the ``ETH<n>_*`` made from a NIC REPLACE those written into CONTEXT by hand, with an empty value too. Routes for a
guest therefore belong into the NIC (``NIC=[NETWORK="lan", ROUTES="..."]``) or into its network, not into
``CONTEXT=[ETH0_ROUTES="..."]`` - from 7.2 on; before, it is the other way round (lab.zone.versions).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

from ..store import Entity
from .core import Oned, OneError

_SEPARATOR = "@^_^@"

# CONTEXT name, NIC attribute, alternative NIC attribute, looked up in the network when the NIC lacks it
_NETWORK = (
    ("IP", "IP", "", False),
    ("MAC", "MAC", "", False),
    ("MASK", "NETWORK_MASK", "", True),
    ("NETWORK", "NETWORK_ADDRESS", "", True),
    ("GATEWAY", "GATEWAY", "", True),
    ("DNS", "DNS", "", True),
    ("SEARCH_DOMAIN", "SEARCH_DOMAIN", "", True),
    ("MTU", "GUEST_MTU", "", True),
    ("METRIC", "METRIC", "", True),
    ("METHOD", "METHOD", "", True),
    ("VLAN_ID", "VLAN_ID", "", True),
    ("VROUTER_IP", "VROUTER_IP", "", False),
    ("VROUTER_MANAGEMENT", "VROUTER_MANAGEMENT", "", False),
    ("EXTERNAL", "EXTERNAL", "", False),
    ("ROUTES", "ROUTES", "", True),
    ("IP6", "IP6_GLOBAL", "IP6", False),
    ("IP6_ULA", "IP6_ULA", "", False),
    ("IP6_GATEWAY", "GATEWAY6", "", True),
    ("IP6_METRIC", "IP6_METRIC", "", True),
    ("IP6_METHOD", "IP6_METHOD", "", True),
    ("IP6_PREFIX_LENGTH", "PREFIX_LENGTH", "", True),
    ("VROUTER_IP6", "VROUTER_IP6_GLOBAL", "VROUTER_IP6", False),
)


def is_yes(value: str | None) -> bool:
    return (value or "").upper() in ("YES", "TRUE", "1")


def resolve(one: Oned, vm: Entity) -> None:
    """Fill the VM's CONTEXT at allocation. Raises OneError when a variable cannot be parsed or TOKEN has no OneGate."""
    context = vm.template.vector("CONTEXT")
    if context is None:
        return
    text = _SEPARATOR.join(f"{name}={context[name]}" for name in sorted(context))
    parsed = substitute(one, vm, text)
    context = dict(part.split("=", 1) for part in parsed.split(_SEPARATOR))
    vm.template.replace("CONTEXT", context)
    add_network(one, vm, context)
    if is_yes(context.get("TOKEN")):
        if not one.config.onegate_endpoint:
            raise OneError("TOKEN set, but onegate endpoint was not defined in oned.conf.")
        context["ONEGATE_ENDPOINT"] = one.config.onegate_endpoint
        context["VMID"] = str(vm.id)
        vm.template.replace("CREATED_BY", str(vm.uid))


def add_network(one: Oned, vm: Entity, context: dict[str, str]) -> None:
    if not is_yes(context.get("NETWORK")):
        return
    for nic in vm.template.vectors("NIC"):
        vnet = one.store.get("vnet", int(nic.get("NETWORK_ID") or -1))
        for name, attribute, alternative, look_up in _NETWORK:
            if name == "ROUTES" and not one.config.facts.routes_from_nics:
                continue
            value = nic.get(attribute, "") or (nic.get(alternative, "") if alternative else "")
            if not value and look_up and vnet:
                value = vnet.template.get(attribute)
            context[f"ETH{nic['NIC_ID']}_{name}"] = value


def substitute(one: Oned, vm: Entity, text: str) -> str:
    """Expand the variables of `text`; raises OneError with the real parser's words (value_rendering_matrix.json)."""
    out: list[str] = []
    try:
        _expand(one, vm, text, out)
    except _SyntaxError as error:
        raise OneError(f"Error parsing: {text}. {error}") from None
    return "".join(out)


class _SyntaxError(Exception):
    pass


_PLAIN = re.compile(r"(?:[^$\\]|\\\$|\\[^$])+", re.DOTALL)
_VAR = (
    (re.compile(r"[ \t]*=[ \t]*"), "EQUAL"),
    (re.compile(r"[ \t]*,[ \t]*"), "COMMA"),
    (re.compile(r"\[[ \t]*"), "OBRACKET"),
    (re.compile(r"[ \t]*\]"), "CBRACKET"),
    (re.compile(r"[A-Za-z0-9_]+"), "VARIABLE"),
    (re.compile(r"\$"), "EOA"),
    (re.compile(r"[^\n]"), "EOA"),
)
_VALUE = ((re.compile(r'"[^"]*"'), "STRING"), (re.compile(r"[A-Za-z0-9]+"), "STRING"))
# What the grammar expects after the tokens of a variable so far.
_SHAPES = (
    "VARIABLE EOA",
    "VARIABLE OBRACKET VARIABLE CBRACKET EOA",
    "VARIABLE OBRACKET VARIABLE COMMA VARIABLE EQUAL STRING CBRACKET EOA",
)
_ORDER = ("EQUAL", "COMMA", "OBRACKET", "CBRACKET", "EOA", "STRING", "VARIABLE")


def _expand(one: Oned, vm: Entity, text: str, out: list[str]) -> None:
    position, state, started, line, first, last = 0, "plain", False, 0, 1, 1
    seen: list[tuple[str, str]] = []
    while True:
        at_end = position >= len(text)
        token, string = "", ""
        if at_end:
            token = "EOA" if state == "var" else "$end"
            state = "plain"
        elif state == "plain":
            match = _PLAIN.match(text, position)
            string = match.group() if match else text[position]
            token = "RSTRING" if match else ""
            state = "plain" if match or string != "$" else "var"
        else:
            best = ""
            for pattern, name in _VAR if state == "var" else _VALUE:
                match = pattern.match(text, position)
                if match and len(match.group()) > len(best):
                    best, token = match.group(), name
            string = best or text[position]
            if token == "EQUAL":
                state = "value"
            elif token == "STRING":
                state = "var"
            elif token == "EOA" and string != "$":
                state = "plain"
        if not at_end:
            position += len(string)
            line += string.count("\n")
            first, last = last, last + len(string.encode())
        if not token:
            continue
        wanted = _wanted(seen, started)
        if token not in wanted:
            raise _SyntaxError(
                f"syntax error, unexpected {token}, expecting {' or '.join(wanted)} at line {line}, columns {first}:{last}"
            )
        if token == "$end":
            return
        started = True
        if token == "RSTRING":
            out.append(string)
            continue
        seen.append((token, string))
        if token == "EOA":
            out.append(_lookup(one, vm, seen))
            out.append("" if string == "$" else string)
            seen = []


def _wanted(seen: list[tuple[str, str]], started: bool) -> list[str]:
    if not seen:
        return ["$end", "VARIABLE", "RSTRING"] if started else ["VARIABLE", "RSTRING"]
    so_far = [token for token, _ in seen]
    after = {shape.split()[len(seen)] for shape in _SHAPES if shape.split()[: len(seen)] == so_far}
    return [token for token in _ORDER if token in after]


def _lookup(one: Oned, vm: Entity, seen: list[tuple[str, str]]) -> str:
    words = [string.strip('"') for token, string in seen if token in ("VARIABLE", "STRING")]
    name = words[0].upper()
    if len(words) == 1:
        own = {
            "UID": str(vm.uid),
            "GID": str(vm.gid),
            "NAME": vm.name,
            "UNAME": one.user_name(vm.uid),
            "GNAME": one.group_name(vm.gid),
        }
        return own[name] if name in own else vm.template.get(name) or vm.user_template.get(name)
    attribute = words[1].upper()
    key, value = (words[2].upper(), words[3]) if len(words) > 3 else ("", "")
    if name == "USER":
        return one.user(vm.uid).template.get(attribute)
    vectors = vm.template.vectors("NIC" if name == "NETWORK" else name)
    chosen = next((vector for vector in vectors if not key or vector.get(key) == value), None)
    if name == "NETWORK":
        vnet = one.store.get("vnet", int(chosen.get("NETWORK_ID") or -1)) if chosen and key else None
        return vnet.template.get(attribute) if vnet else ""
    return chosen.get(attribute, "") if chosen else ""


def token_of(one: Oned, vm: Entity) -> str:
    """Return the VM's OneGate token: 16 bytes in base64, as long as the real one."""
    message = f"{vm.id}:{vm.data['stime']}".encode()
    return base64.b64encode(hmac.new(one.store.value("secret").encode(), message, hashlib.sha256).digest()[:16]).decode()


def files(one: Oned, vm: Entity) -> Mapping[str, bytes]:
    """Return the files of the context disk; none without CONTEXT."""
    context = vm.template.vector("CONTEXT")
    if context is None:
        return {}
    lines = ["# Context variables generated by OpenNebula"]
    for name in sorted(context):
        escaped = context[name].replace("'", "'\\''")
        lines.append(f"{name}='{escaped}'")
    found = {"context.sh": ("\n".join(lines) + "\n").encode()}
    if is_yes(context.get("TOKEN")):
        found["token.txt"] = (token_of(one, vm) + "\n").encode()
    return found
