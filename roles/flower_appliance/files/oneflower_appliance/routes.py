# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the routes that a setting names in the kernel, and no others of its own.

OpenNebula hands routes to a guest from its NIC only from 7.2 on, and never to one that runs.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import typing as t
from collections.abc import Callable, Mapping, Sequence

from .appliance.settings import Route

# Marks the agent's own routes; no routing daemon has this number (iproute2's rt_protos).
PROTOCOL = "198"
KERNEL = "2"
TIMEOUT_S = 5.0


Network: t.TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Found: t.TypeAlias = dict[Network, list[dict[str, t.Any]]]


def ip(*arguments: str) -> tuple[str, str]:
    """Run the command `ip`; return what it says and what is wrong, "" where nothing is."""
    try:
        done = subprocess.run(("ip", *arguments), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return done.stdout, "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


class Routes:
    """The routes of this VM; `command` runs `ip` (another in tests)."""

    def __init__(self, log: Callable[[str], None], command: Callable[..., tuple[str, str]] = ip):
        self._log, self._ip = log, command
        self._clean: set[int] = set()

    def keep(self, wanted: Sequence[Route]) -> list[str]:
        """Add what is missing, remove what only this class can have added, and return one sentence for each that fails.

        A route of somebody else to the same network by the same neighbour will do; one by another is replaced, except the
        kernel's own, without which the VM leaves its network.
        """
        faults = []
        for version in (4, 6):
            ours = {route.network: route for route in wanted if route.network.version == version}
            if not ours and version in self._clean:
                continue
            found, fault = self._found(version)
            if fault:
                faults.append(f"the routes cannot be read: {fault}")
                continue
            faults += [text for route in ours.values() if (text := self._add(route, found.get(route.network, [])))]
            if _stale(found, ours):
                # Read again: what was replaced is gone already.
                for entry in _stale(self._found(version)[0], ours):
                    self._remove(entry)
            self._clean = self._clean - {version} if ours else self._clean | {version}
        return faults

    def _found(self, version: int) -> tuple[Found, str]:
        """Return the entries of the main table by network, and what is wrong."""
        text, fault = self._ip("-N", "-j", f"-{version}", "route", "show", "table", "main")
        if fault:
            return {}, fault
        found: Found = {}
        try:
            for entry in json.loads(text or "[]"):
                network = _network(str(entry.get("dst", "")))
                if network is not None:
                    protocol = str(entry.get("protocol", ""))
                    found.setdefault(network, []).append({**entry, "network": network, "protocol": protocol})
        except (ValueError, AttributeError) as error:
            return {}, str(error)
        return found, ""

    def _add(self, route: Route, there: Sequence[dict[str, t.Any]]) -> str:
        if any(_is(entry, route) for entry in there):
            return ""
        if any(entry["protocol"] == KERNEL for entry in there):
            return f"the route {route} is not made: the VM itself is in that network"
        _text, fault = self._ip("route", "replace", str(route.network), "via", str(route.via), "proto", PROTOCOL)
        if not fault:
            self._log(f"route {route} made")
        return f"the route {route} cannot be made: {fault}" if fault else ""

    def _remove(self, entry: dict[str, t.Any]) -> None:
        via = ("via", str(entry["gateway"])) if "gateway" in entry else ()
        _text, fault = self._ip("route", "del", str(entry["network"]), *via, "proto", PROTOCOL)
        self._log(f"route {entry['network']} removed{f': {fault}' if fault else ''}")


def _stale(found: Found, ours: Mapping[Network, Route]) -> list[dict[str, t.Any]]:
    """Return the agent's own entries that are not wanted."""
    entries = [entry for there in found.values() for entry in there if entry["protocol"] == PROTOCOL]
    return [entry for entry in entries if not _is(entry, ours.get(entry["network"]))]


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None  # "default", and kinds such as "unreachable"


def _is(entry: dict[str, t.Any], route: Route | None) -> bool:
    """Tell whether a kernel's entry is that route."""
    return route is not None and entry["network"] == route.network and entry.get("gateway") == str(route.via)
