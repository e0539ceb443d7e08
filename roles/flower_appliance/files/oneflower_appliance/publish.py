# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishes what the agent has to say as user attributes of the VM, and sends only what differs."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from .appliance import settings
from .appliance.attributes import GATE_READY, READY
from .onegate import printable


class GateClient(t.Protocol):
    """What is needed of OneGate; see `onegate.OneGate`."""

    def attributes(self) -> dict[str, str]: ...
    def update(self, values: Mapping[str, str]) -> None: ...
    def ready(self, value: str) -> None: ...
    def remove(self, name: str) -> None: ...
    def service(self) -> dict[str, t.Any]: ...


class Publisher:
    """`known` are all user attributes as last seen; None until OneGate answered once."""

    def __init__(self, client: GateClient):
        self._client = client
        self.known: dict[str, str] | None = None

    def refresh(self) -> dict[str, str]:
        """Read the attributes. Raises GateError."""
        self.known = self._client.attributes()
        return self.known

    def publish(self, values: Mapping[str, str | None], *, ready: bool) -> None:
        """Set the attributes (None: absent), then the two that tell readiness. Raises GateError.

        The text READY=YES opens OneFlow's gate, and the appliance's own attribute contains it, so both come last: who sees
        them finds everything else in place. When the VM is not ready any more they go first.
        """
        known = self.refresh() if self.known is None else self.known
        state = settings.YES if ready else settings.NO
        if not ready:
            self._ready(known, state)
        # An update cannot carry an empty value (oned drops empty elements of XML), so such an attribute is absent.
        wanted = {name: printable(value or "") for name, value in values.items()}
        changes = {name: value for name, value in wanted.items() if value and known.get(name) != value}
        if changes:
            self._client.update(changes)
            known.update(changes)
        for name, value in wanted.items():
            if not value and name in known:
                self._client.remove(name)
                del known[name]
        if ready:
            self._ready(known, state)

    def withdraw(self, name: str) -> None:
        """Remove one attribute, now. Raises GateError."""
        known = self.refresh() if self.known is None else self.known
        if name in known:
            self._client.remove(name)
            del known[name]

    def _ready(self, known: dict[str, str], state: str) -> None:
        yes = settings.YES
        if known.get(READY) != state and (state == yes or READY in known or known.get(GATE_READY) == yes):
            self._client.update({READY: state})
            known[READY] = state
        if known.get(GATE_READY) != state and (state == yes or GATE_READY in known):
            self._client.ready(state)
            known[GATE_READY] = state
