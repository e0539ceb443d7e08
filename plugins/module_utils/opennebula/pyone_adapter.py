# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyone behind one class, by public names only; what differs between its versions stands here.

pyone (6.8 to 7.3) writes the calls: session, casts, XML. It does not carry them, as its transport has no deadline, and it does
not read their answers: its XML binding ends in an IndexError on an empty string and drops the error code's context.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

try:
    import pyone
except ImportError:
    pyone = None


class Pyone:
    """pyone's client of one oned. `send` carries a request's XML and returns the answer's values."""

    def __init__(self, endpoint: str, session: str, send: Callable[[bytes], Sequence[t.Any]]) -> None:
        try:
            # From 7.2 on, ONEAPI_PROTOCOL=grpc in the environment would make it a client of another API.
            self._server = pyone.OneServer(endpoint, session, protocol="xmlrpc")
        except TypeError:
            self._server = pyone.OneServer(endpoint, session)
        self._send = send
        self._answer: Sequence[t.Any] = ()
        self._server("transport").request = self._carry

    def call(self, method: str, *params: t.Any) -> Sequence[t.Any]:
        """Return what `send` returned for one.<method>."""
        getattr(self._server, method)(*params)
        return self._answer

    def _carry(self, _host: t.Any, _handler: str, body: bytes, verbose: bool = False) -> t.Any:
        self._answer = self._send(body)
        return ([True, 0, 0],)  # a success without a document: nothing is left for pyone to read
