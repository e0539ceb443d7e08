# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd, as far as the agent needs it."""

from __future__ import annotations

import json
import subprocess
import typing as t

from .paths import Paths


def _run(*command: str, timeout_s: float = 30.0) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


class Units:
    """Units by name, without ".service"."""

    def __init__(self, paths: Paths):
        self._paths = paths

    def processes(self, unit: str) -> set[int]:
        """Return the processes of a running unit; empty while it does not run."""
        try:
            return {int(line) for line in self._paths.cgroup(unit).read_text().split()}
        except (OSError, ValueError):
            return set()

    def start(self, unit: str) -> None:
        """Start, unless systemd is about to: that would cut short the pause after a failure."""
        if _run("systemctl", "show", "--value", "-p", "ActiveState", f"{unit}.service").strip() != "activating":
            _run("systemctl", "--no-block", "start", f"{unit}.service")

    def restart(self, unit: str) -> None:
        """Restart, and return when the old processes are gone: nothing may be read from them any more."""
        _run("systemctl", "stop", f"{unit}.service", timeout_s=60.0)
        self.start(unit)

    def stop(self, unit: str) -> None:
        """Stop, and return when the processes are gone."""
        _run("systemctl", "stop", f"{unit}.service", timeout_s=60.0)

    def last_words(self, unit: str) -> str:
        """Return the last line of a unit's journal that tells of a failure, "" without one."""
        lines = _run("journalctl", "-u", unit, "-n", "20", "-o", "cat", "--no-pager", timeout_s=5.0).splitlines()
        telling = [line.strip() for line in lines if any(word in line.lower() for word in ("error", "fail", "code:", "in use"))]
        return (telling or [""])[-1][:300]

    def grpc(self, unit: str) -> dict[str, t.Any] | None:
        """Return what gRPC in the unit's running process was given; None while there is no such process."""
        try:
            state = json.loads(self._paths.unit_state(unit).read_text())
            return state if int(state["pid"]) in self.processes(unit) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def addresses() -> list[str]:
    """Return the lasting addresses of this VM beyond loopback, IPv4 first."""
    found: dict[str, list[str]] = {"inet": [], "inet6": []}
    try:
        links = json.loads(_run("ip", "-j", "address", "show", timeout_s=5.0) or "[]")
    except ValueError:
        return []
    for link in links:
        for entry in link.get("addr_info", []):
            # Addresses that IPv6 makes up by itself come and go; they are in no certificate.
            if entry.get("scope") == "global" and not (entry.get("family") == "inet6" and entry.get("dynamic")):
                found.setdefault(entry.get("family", ""), []).append(entry.get("local", ""))
    return [address for family in ("inet", "inet6") for address in found[family] if address]
