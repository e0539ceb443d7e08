# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of OneGate, over urllib.

OneGate rewrites the text of an update (it adds quotes around `,`, `=`, `[` and `\\` wherever they stand), so values that
hold such characters arrive broken. Updates therefore go out as XML with every such character as a reference, which it
passes on untouched. OneFlow's gate however only sees READY in an update written as text: `ready` writes that.
"""

from __future__ import annotations

import json
import re
import typing as t
import urllib.error
import urllib.request
from collections.abc import Mapping

from .appliance.attributes import GATE_READY
from .context import Gate

TIMEOUT_S = 5.0
MAX_ANSWER = 16 * 1024 * 1024


class GateError(Exception):
    """OneGate cannot be reached or refuses; the text says which, without the token. `code` is that of HTTP, if any."""

    def __init__(self, text: str, code: int | None = None):
        super().__init__(text)
        self.code = code


class NoService(GateError):
    """The VM is in no OneFlow service."""


def encode(values: Mapping[str, str]) -> bytes:
    """Return attributes as one line of XML without any character that OneGate rewrites. Raises ValueError for a bad name."""
    parts = []
    for name, value in values.items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"attribute name {name!r}")
        text = "".join(char if char.isascii() and (char.isalnum() or char in " ._:/+-") else f"&#{ord(char)};" for char in value)
        parts.append(f"<{name}>{text}</{name}>")
    return f"<TEMPLATE>{''.join(parts)}</TEMPLATE>".encode("ascii")


def printable(text: str) -> str:
    """Return text without control characters, which XML cannot carry; line breaks become blanks."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


class OneGate:
    """One VM's OneGate. Every method raises GateError."""

    def __init__(self, gate: Gate, timeout_s: float = TIMEOUT_S):
        self._gate = gate
        self._timeout_s = timeout_s
        # No proxy: OneGate is on the VM's own network.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            self._gate.endpoint + path,
            data=body,
            method=method,
            headers={
                "X-ONEGATE-TOKEN": self._gate.token,
                "X-ONEGATE-VMID": self._gate.vm_id,
                "Accept": "application/json",
                "Content-Type": "text/plain",
            },
        )
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                content: bytes = answer.read(MAX_ANSWER)
                return content
        except urllib.error.HTTPError as error:
            with error:
                reason = printable(error.read(300).decode("utf-8", "replace"))
            text = f"OneGate {self._gate.endpoint} answers {method} {path} with {error.code} {reason}"
            raise GateError(text, error.code) from None
        except (OSError, ValueError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            raise GateError(f"OneGate {self._gate.endpoint} cannot be reached: {cause}") from None

    def _get(self, path: str) -> dict[str, t.Any]:
        try:
            answer = json.loads(self._call("GET", path))
        except json.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise GateError(f"OneGate {self._gate.endpoint} answers GET {path} with something that is no JSON object")
        return answer

    def attributes(self) -> dict[str, str]:
        """Return the user attributes of this VM; an empty one is "" whatever OneGate makes of it."""
        template = ((self._get("/vm").get("VM") or {}).get("USER_TEMPLATE")) or {}
        return {name: value if isinstance(value, str) else "" for name, value in template.items()}

    def service(self) -> dict[str, t.Any]:
        """Return the OneFlow service of this VM with its siblings as they are. Raises NoService for a VM outside of one.

        Unless it is asked for more, OneGate tells of a sibling what OneFlow noted when it made it, which is nothing it published.
        """
        try:
            return self._get("/service?extended=true")
        except GateError as error:
            if error.code == 400 and "SERVICE_ID" in str(error):
                raise NoService(str(error), error.code) from None
            raise

    def update(self, values: Mapping[str, str]) -> None:
        """Set attributes of this VM, all in one update."""
        self._call("PUT", "/vm", encode({name: printable(value) for name, value in values.items()}))

    def ready(self, value: str) -> None:
        """Set READY, as text: YES opens OneFlow's gate."""
        self._call("PUT", "/vm", f"{GATE_READY}={value}".encode())

    def remove(self, name: str) -> None:
        """Remove one attribute of this VM."""
        self._call("PUT", "/vm?type=2", name.encode())
