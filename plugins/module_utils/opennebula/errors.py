# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors that everything in this package raises."""

from __future__ import annotations


class OpenNebulaError(Exception):
    """A call that did not succeed.

    Attributes: ``text`` (the server's own words, or ours when it never spoke), ``code`` (HTTP status, oned error
    code, or None), ``endpoint`` (URL without credentials), ``method`` (what was asked), ``hint`` (what to do).
    """

    kind = "error"

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        endpoint: str | None = None,
        method: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(text)
        self.text = " ".join(str(text).split()) if "\n" in str(text) else str(text)
        self.code = code
        self.endpoint = endpoint
        self.method = method
        self.hint = hint
        self.result: dict = {}  # what is already known and belongs in the task's result, e.g. the failed service

    def __str__(self) -> str:
        message = self.text
        where = " at ".join(part for part in (self.method, self.endpoint) if part)
        if where:
            message = f"{where}: {message}"
        if self.code is not None:
            message += f" (code {self.code})"
        if self.hint:
            message = message.rstrip(".") + ". " + self.hint
        return message

    def as_dict(self) -> dict:
        """Return the error for a task result: kind, code, text, endpoint, method, hint."""
        return {
            "kind": self.kind,
            "code": self.code,
            "text": self.text,
            "endpoint": self.endpoint,
            "method": self.method,
            "hint": self.hint,
        }


class Unreachable(OpenNebulaError):
    """No answer: refused, silent, cut off. ``sent`` tells whether the request may have reached the server."""

    kind = "unreachable"
    sent = False


class Untrusted(OpenNebulaError):
    """The TLS handshake failed."""

    kind = "tls"


class BadAnswer(OpenNebulaError):
    """An answer that the API never gives: HTML, garbage, a redirect."""

    kind = "bad_answer"


class AuthenticationFailed(OpenNebulaError):
    """The credentials were not accepted (OneFlow says the same when its oned is down)."""

    kind = "authentication"


class NotAllowed(OpenNebulaError):
    """The user lacks the right."""

    kind = "authorization"


class NotFound(OpenNebulaError):
    """No such object."""

    kind = "not_found"


class Refused(OpenNebulaError):
    """The server understood and said no."""

    kind = "refused"


class InvalidRequest(OpenNebulaError):
    """Refused on this side, before anything was sent."""

    kind = "invalid_request"


class Ambiguous(OpenNebulaError):
    """A name that stands for more than one object."""

    kind = "ambiguous"


class WaitFailed(OpenNebulaError):
    """What was waited for cannot come any more."""

    kind = "failed_state"


class Locked(OpenNebulaError):
    """Somebody else holds the lock."""

    kind = "locked"


class WaitTimedOut(OpenNebulaError):
    """What was waited for did not come in time."""

    kind = "timeout"


def may_have_happened(error: OpenNebulaError) -> bool:
    """Tell whether a writing call that ended in this error may have been carried out nevertheless."""
    return isinstance(error, BadAnswer) or (isinstance(error, Unreachable) and error.sent)
