# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory as typed values: every variable of every host is read once, and every fault is told once. Pure."""

from __future__ import annotations

import difflib
import typing as t
from collections.abc import Iterable, Mapping

from . import topology, variables
from .findings import Finding
from .topology import Topology
from .variables import COORDINATOR, FEDERATION, GATEWAY, HUB, RUN, SITE, SPOKE, VARIABLES, ZONE, Variable


class Unreadable:
    """A value that Ansible could not make, with the reason."""

    def __init__(self, reason: str):
        self.reason = reason


class Inventory:
    """Typed values of the inventory's variables.

    `get` returns the typed value, the default where the variable is not set, and None where there is neither or where the
    value is wrong; that was added to `found` when the inventory was read, and is not told again.
    """

    def __init__(self, known: Topology, hosts: Mapping[str, Mapping[str, t.Any]], found: list[Finding]):
        self._topology, self._hosts, self._found = known, hosts, found
        self._values: dict[tuple[str, str], t.Any] = {}
        self._read()

    def get(self, host: str, variable: Variable) -> t.Any:
        """Return the typed value of a variable of a host; for those of the federation, that of the coordinator."""
        return self._values.get((self._reader(host, variable), variable.name), variable.default)

    def federation(self, variable: Variable) -> t.Any:
        """Return the typed value of a variable of the whole federation."""
        return self.get(self._topology.coordinator, variable)

    def shown(self) -> dict[str, dict[str, str]]:
        """Return what the federation follows from, {host: {variable: value as text}}: no secrets."""
        told: dict[str, dict[str, str]] = {}
        for variable in VARIABLES:
            if variable.scope == RUN or variable.secret or variable.access:
                continue
            for host in self.readers(variable):
                value = self.get(host, variable)
                if value is not None:
                    told.setdefault(host, {})[variable.name] = str(value)
        return told

    def _reader(self, host: str, variable: Variable) -> str:
        return next(iter(self.readers(variable)), "") if variable.scope in (FEDERATION, RUN) else host

    def readers(self, variable: Variable) -> list[str]:
        """Return the hosts whose value of a variable is read; where the groups are wrong, those that may be meant."""
        members, hub = self._topology.members, self._topology.hub
        coordinators, sites = members[topology.COORDINATOR], members[topology.TRAINING_SITES]
        spokes = [gateway for gateway in self._topology.gateways.values() if gateway != hub]
        by_part: dict[tuple[str, str], Iterable[str]] = {
            (FEDERATION, ""): coordinators[:1],
            (RUN, ""): coordinators[:1],
            (ZONE, ""): dict.fromkeys([*coordinators, *sites]),
            (ZONE, COORDINATOR): coordinators,
            (ZONE, SITE): sites,
            (GATEWAY, ""): members[topology.GATEWAYS],
            (GATEWAY, HUB): [hub] if hub else [],
            (GATEWAY, SPOKE): spokes,
        }
        return list(by_part[variable.scope, variable.only])

    def _read(self) -> None:
        for host, given in self._hosts.items():
            self._refuse_unknown(host, given)
        for variable in VARIABLES:
            readers = self.readers(variable)
            for host in readers:
                self._read_one(host, variable)
            self._refuse_elsewhere(variable, readers)

    def _read_one(self, host: str, variable: Variable) -> None:
        raw = self._raw(host, variable)
        key = (host, variable.name)
        if raw is None:
            if variable.required:
                self._values[key] = None
                self._found.append(Finding("inventory.missing", host, variable.name, f"is not set; it is {variable.required}"))
            return
        if isinstance(raw, Unreadable):
            self._values[key] = None
            self._found.append(Finding("inventory.unreadable", host, variable.name, raw.reason))
            return
        try:
            self._values[key] = variable.typed(raw)
        except ValueError as error:
            self._values[key] = None
            self._found.append(Finding("inventory.value", host, variable.name, str(error)))

    def _raw(self, host: str, variable: Variable) -> t.Any:
        value = self._hosts.get(host, {}).get(variable.name)
        if isinstance(value, str):
            value = value.strip()
        return None if value == "" else value

    def _refuse_unknown(self, host: str, given: Mapping[str, t.Any]) -> None:
        for name in given:
            if not name.startswith(variables.PREFIX) or name in variables.BY_NAME or name in variables.FACTS:
                continue
            near = difflib.get_close_matches(name, list(variables.BY_NAME), n=1)
            text = "is no variable of the federation" + (f"; did you mean {near[0]}?" if near else "")
            if self._first_with(name) == host:  # one that stands in a group is told once
                self._found.append(Finding("inventory.unknown", host, name, text))

    def _first_with(self, name: str) -> str:
        return next(host for host, given in self._hosts.items() if name in given)

    def _refuse_elsewhere(self, variable: Variable, readers: list[str]) -> None:
        """Refuse a value on a host that does not read it, unless it comes from a group that those who do are in as well."""
        if not readers:
            return  # the groups are wrong, which is told
        shared = [self._raw(host, variable) for host in readers]
        placed = self._topology.gateways.values()
        unplaced = [host for host in self._topology.members[topology.GATEWAYS] if variable.only and host not in placed]
        for host in self._hosts:
            if host in unplaced:
                continue  # whose gateway it is does not follow from its zone, which is told
            raw = self._raw(host, variable)
            if host in readers or raw is None or all(_same(raw, value) for value in shared):
                continue
            if variable.scope in (FEDERATION, RUN):
                text = f"is read from the coordinator, {readers[0]}, and has another value here; set it once for all hosts"
            else:
                whose = variable.only or {ZONE: "zones", GATEWAY: "gateways"}[variable.scope]
                text = f"is read from {whose} and from no other host; move it there"
            self._found.append(Finding("inventory.scope", host, variable.name, text))


def _same(one: t.Any, other: t.Any) -> bool:
    if isinstance(one, Unreadable) or isinstance(other, Unreadable):
        return isinstance(one, Unreadable) and isinstance(other, Unreadable)
    return bool(one == other)
