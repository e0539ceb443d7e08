# SPDX-License-Identifier: GPL-3.0-or-later
"""Unregisters nodes that the controller asks the SuperLink to forget: SuperNodes that went away without a farewell."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable, Collection

from .appliance.attributes import NODES_FORGET, parse_node_ids
from .host import GRACE_S, Lasting

TIMEOUT_S = 60.0
# After a failure the next attempt is made this much later.
PAUSE_S = 5.0


class Call(t.Protocol):
    """A command under way; see `subprocess.Popen`."""

    def poll(self) -> int | None: ...
    def communicate(self) -> tuple[str, str]: ...
    def kill(self) -> None: ...


class Unregisterer(t.Protocol):
    """What is needed of the flwr command; see `flwr.Flwr`."""

    def unregister(self, node: str) -> Call: ...


class Forgetting:
    """One node after the other. Asking again does no harm: an id that is not registered any more is passed over."""

    def __init__(self, flwr: Unregisterer, log: Callable[[str], None], clock: Callable[[], float]):
        self._flwr, self._log, self._clock = flwr, log, clock
        self._call: Call | None = None
        self._node = ""
        self._since = 0.0
        self._not_before = clock()
        self._reason = ""
        self._failing = Lasting(clock)
        self._waiting = False

    @property
    def busy(self) -> bool:
        """Tell whether a node is still to be forgotten."""
        return self._call is not None or self._waiting

    def tick(self, asked: str, registered: Collection[str], *, serving: bool) -> str | None:
        """Take up the next of the nodes `asked` for that is `registered`; return a fault once nothing went for long."""
        if self._call is not None and not self._done(self._call):
            return None
        left = [node for node in parse_node_ids(asked) if node in registered]
        self._waiting = bool(left)
        if not left:
            self._reason = ""
        lasted = self._failing.seconds(bool(self._reason))
        if left and serving and self._clock() >= self._not_before:
            self._node, self._since = left[0], self._clock()
            self._call = self._flwr.unregister(self._node)
        return f"{NODES_FORGET}: {self._reason}" if lasted > GRACE_S else None

    def _done(self, call: Call) -> bool:
        if call.poll() is None:
            if self._clock() - self._since <= TIMEOUT_S:
                return False
            call.kill()
        out, err = call.communicate()
        self._call = None
        try:
            forgotten = json.loads(out)["success"] is True
        except (ValueError, KeyError, TypeError):
            forgotten = False
        if forgotten:
            self._reason = ""
            self._log(f"node {self._node} forgotten")
        else:
            self._reason = f"node {self._node} cannot be unregistered: {' '.join((out + err).split())[-200:]}"
            self._not_before = self._clock() + PAUSE_S
            self._log(self._reason)
        return True
