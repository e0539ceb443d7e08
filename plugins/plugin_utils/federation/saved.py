# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The saved plan: the changes with the facts that they follow from, so that a later run makes exactly these or refuses. Pure.

docs/changes.schema.json describes the document.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings

from .changes import Change, real, shown_setting
from .findings import Finding
from .gateways import Gateway
from .observation import Observation, Zone

FORMAT = 1
Facts = Mapping[str, Mapping[str, str]]


def document(
    plan: Mapping[str, t.Any], observed: Observation, found: Iterable[Change], told: Iterable[Finding], *, written: str
) -> dict[str, t.Any]:
    """Return {format, federation, written, digest, changed, changes, findings, inventory, observed}.

    `written` is the time of day in UTC. `inventory` and `observed` are the facts, {host: {name: text}}; the digest is over both.
    """
    made, given = facts(observed), _inventory(plan)
    found = list(found)
    return {
        "format": FORMAT,
        "federation": plan["name"],
        "written": written,
        "digest": digest(given, made),
        "changed": bool(real(found)),
        "changes": [change.to_result() for change in found],
        "findings": [finding.to_result() for finding in told],
        "inventory": given,
        "observed": made,
    }


def digest(inventory: Facts, observed: Facts) -> str:
    """Return 32 hex digits that tell one state of inventory and federation from another."""
    text = json.dumps([inventory, observed], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def moved(saved: Mapping[str, t.Any], plan: Mapping[str, t.Any], observed: Observation) -> list[str]:
    """Return what is not as it was when the plan was saved, a line each; none where the plan still holds.

    Raises ValueError for a document that is no saved plan of this federation.
    """
    if not isinstance(saved, Mapping) or saved.get("format") != FORMAT or not isinstance(saved.get("digest"), str):
        raise ValueError("is no saved plan of this version; write it with plan.yml")
    if saved.get("federation") != plan["name"]:
        raise ValueError(f"is a plan of the federation {saved.get('federation')!r}, and this is {plan['name']!r}")
    given, now = _inventory(plan), facts(observed)
    if saved["digest"] == digest(given, now):
        return []
    lines = [
        *_differing(_facts_of(saved, "inventory"), given),
        *_differing(_facts_of(saved, "observed"), now),
    ]
    return lines or ["its digest does not fit its own facts; it was edited"]


def _inventory(plan: Mapping[str, t.Any]) -> dict[str, dict[str, str]]:
    """Return the facts of the inventory, and what leaves: a plan that was approved for a deployment removes nothing."""
    given = {host: dict(entry) for host, entry in plan["inventory"].items()}
    for host in plan["source"]["leaving"]:
        given.setdefault(host, {})["leaves"] = "yes, its service stays" if plan["source"]["keep_services"] else "yes"
    return given


def _facts_of(saved: Mapping[str, t.Any], part: str) -> Facts:
    found = saved.get(part)
    if not isinstance(found, Mapping):
        return {}
    return {
        str(host): {str(name): str(value) for name, value in entry.items()}
        for host, entry in found.items()
        if isinstance(entry, Mapping)
    }


def _differing(old: Facts, new: Facts) -> Iterator[str]:
    for host in sorted({*old, *new}):
        before, after = old.get(host, {}), new.get(host, {})
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield f"{host}: {name}: {before.get(name, 'nothing')} -> {after.get(name, 'nothing')}"


def facts(observed: Observation) -> dict[str, dict[str, str]]:
    """Return what the changes follow from, {host: {name: text}}: nothing that moves by itself, nothing secret."""
    zones = {name: dict(_zone(zone)) for name, zone in observed.zones.items()}
    return {**zones, **{name: dict(_gateway(gateway)) for name, gateway in observed.gateways.items()}}


def _zone(zone: Zone) -> Iterator[tuple[str, str]]:
    if zone.unread:
        yield "unread", "yes"
        return
    yield "service", "none" if zone.absent else f"id {zone.id}, {zone.state}"
    if zone.successor is not None:
        yield "successor", f"id {zone.successor.id}, {zone.successor.state}"
    yield "service template", _short(zone.template) if zone.template is not None else "none"
    yield "VM template", str(zone.vm_template)
    yield "network", str(zone.network)
    for vm in zone.vms:
        yield f"VM {vm.id}", f"role {vm.role}, partition {vm.attributes.get(attributes.PARTITION, 'none')}"
        for name in settings.LIVE:
            if name in vm.attributes:
                yield f"VM {vm.id} {name}", shown_setting(name, vm.attributes[name])
        if attributes.NODE_ID in vm.attributes:
            yield f"VM {vm.id} {attributes.NODE_ID}", vm.attributes[attributes.NODE_ID]
    if zone.superlink is not None and (ca := zone.superlink.attributes.get(attributes.CA_CERTIFICATE)):
        yield attributes.CA_CERTIFICATE, shown_setting(settings.CA_CERTIFICATE, ca)
    if zone.superlink is not None and attributes.NODES in zone.superlink.attributes:
        # Whether a node is online moves by itself.
        yield attributes.NODES, attributes.format_node_ids(attributes.parse_nodes(zone.superlink.attributes[attributes.NODES]))
    if zone.superlink is not None and (state := zone.superlink.attributes.get(attributes.STATE)):
        yield attributes.STATE, state


# What a gateway tells that moves by itself.
_MOVING = ("latest_handshake_age", "received", "sent", "endpoint")


def _gateway(gateway: Gateway) -> Iterator[tuple[str, str]]:
    if gateway.unread:
        yield "unread", "yes"
        return
    found = gateway.as_result()
    del found["others"]
    if not found["stored"].get("listen_port"):  # any port that was free when the interface came up
        found["live"] = {name: value for name, value in found["live"].items() if name != "listen_port"}
    for part, value in found.items():
        yield from _flat(part, value)


def _flat(name: str, value: t.Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not (name.startswith("live") and key in _MOVING):
                yield from _flat(f"{name} {key}", item)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) and "public_key" in item for item in value):
        for item in value:
            yield from _flat(f"{name} {item['public_key']}", {k: v for k, v in item.items() if k != "public_key"})
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        yield name, ", ".join(sorted(" ".join(str(part) for part in item.values()) for item in value))
    elif isinstance(value, (list, tuple)):
        yield name, ", ".join(str(item) for item in value)
    else:
        yield name, str(value)


def _short(value: t.Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
