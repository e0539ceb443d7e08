# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the VM's user attributes as the agent wants them, and sends only what differs."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from .onegate import printable


class GateClient(t.Protocol):
    """What is needed of OneGate; see `onegate.OneGate`."""

    def attributes(self) -> dict[str, str]: ...
    def update(self, attributes: Mapping[str, str]) -> None: ...
    def ready(self, value: str) -> None: ...
    def remove(self, name: str) -> None: ...


class Publisher:
    """`known` are all user attributes as last seen; None until OneGate answered once."""

    def __init__(self, client: GateClient):
        self._client = client
        self.known: dict[str, str] | None = None

    def refresh(self) -> dict[str, str]:
        """Read the attributes. Raises GateError."""
        self.known = self._client.attributes()
        return self.known

    def publish(self, wanted: Mapping[str, str | None], *, ready: bool) -> None:
        """Make the attributes so (None: absent), then READY and FL_READY. Raises GateError.

        The text READY=YES opens OneFlow's gate and FL_READY=YES contains it, so both come last: who sees them finds
        everything else in place. When the VM is not ready any more they go first.
        """
        known = self.refresh() if self.known is None else self.known
        state = "YES" if ready else "NO"
        if not ready:
            self._ready(known, state)
        changes = {
            name: printable(value) for name, value in wanted.items() if value is not None and known.get(name) != printable(value)
        }
        if changes:
            self._client.update(changes)
            known.update(changes)
        for name, value in wanted.items():
            if value is None and name in known:
                self._client.remove(name)
                del known[name]
        if ready:
            self._ready(known, state)

    def _ready(self, known: dict[str, str], state: str) -> None:
        if known.get("FL_READY") != state and (state == "YES" or "FL_READY" in known or known.get("READY") == "YES"):
            self._client.update({"FL_READY": state})
            known["FL_READY"] = state
        if known.get("READY") != state and (state == "YES" or "READY" in known):
            self._client.ready(state)
            known["READY"] = state
