# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTEXT as one-context hands it over. Pure: text and mappings in, plain values out.

`context.sh` is shell: NAME='value' lines in which a quote is written '\\'' and a value may span lines. one-context keeps
the OneGate token in `one_env` (export TOKENTXT="...") and, while its hooks run, in MOUNT_DIR/token.txt.
"""

from __future__ import annotations

import re
import shlex
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from .appliance import settings

# OpenNebula's own variables that the appliance reads.
VM_ID, GATE_ENDPOINT, GATE_TOKEN = "VMID", "ONEGATE_ENDPOINT", "ONEGATE_TOKEN"


def parse_shell(text: str) -> dict[str, str]:
    """Return the assignments of a shell file that holds nothing else. Raises ValueError when a quote is left open."""
    values: dict[str, str] = {}
    for token in shlex.split(text, comments=True):
        name, equals, value = token.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            values[name] = value
    return values


@dataclass(frozen=True)
class Gate:
    """How to reach OneGate: its URL, the VM's id and token. The token is a secret."""

    endpoint: str
    vm_id: str
    token: str

    def __repr__(self) -> str:
        return f"Gate({self.endpoint!r}, {self.vm_id!r})"


def gate(values: Mapping[str, str], token: str) -> Gate | None:
    """Return OneGate from CONTEXT, or None when the VM has none (TOKEN is not YES)."""
    endpoint, vm_id = values.get(GATE_ENDPOINT, "").rstrip("/"), values.get(VM_ID, "")
    if not (re.match(r"^https?://", endpoint) and vm_id.isdigit() and token):
        return None
    return Gate(endpoint, vm_id, token)


def relevant(values: Mapping[str, str]) -> dict[str, str]:
    """Return the part of CONTEXT that concerns the appliance."""
    return {name: value for name, value in values.items() if name.startswith(settings.PREFIXES) or name in (VM_ID, GATE_ENDPOINT)}


def latest(
    state: Mapping[str, t.Any], context: Mapping[str, str], attributes: Mapping[str, str] | None
) -> dict[str, dict[str, str]]:
    """Return which value of each live setting holds: of CONTEXT and the VM's user attribute, the one changed last.

    `state` is what this returned before ({} at first), `attributes` the user attributes now, None while unknown. An
    attribute that goes away leaves its value in force, one that is emptied brings the default back. Returns {"context",
    "attributes", "values"}, each by name.
    """
    before_context = state.get("context", {})
    before_attributes = state.get("attributes", {})
    values = dict(state.get("values", {}))
    seen = dict(before_attributes)
    now = {name: context[name] for name in settings.LIVE if context.get(name)}
    for name in settings.LIVE:
        if now.get(name) != before_context.get(name):
            values.pop(name, None)
            if name in now:
                values[name] = now[name]
        if attributes is not None and name in attributes and attributes[name] != before_attributes.get(name, ""):
            values[name] = seen[name] = attributes[name]
    return {"context": now, "attributes": seen, "values": values}
