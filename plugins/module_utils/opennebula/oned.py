# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oned over XML-RPC, its calls written by pyone. No policy.

On the controller pyone is imported once, before the workers are forked, so a task does not pay for it.
"""

from __future__ import annotations

import typing as t
import xmlrpc.client
from collections.abc import Callable
from xml.parsers.expat import ExpatError

from .answers import as_dict, as_list, to_int, xml_to_data
from .errors import (
    AuthenticationFailed,
    BadAnswer,
    InvalidRequest,
    NotAllowed,
    NotFound,
    OpenNebulaError,
    Refused,
    may_have_happened,
)
from .hints import hint_for
from .pyone_adapter import Pyone
from .template_text import FORBIDDEN
from .transport import HttpClient, check_status, excerpt, is_html

_ERRORS: dict[int, type[OpenNebulaError]] = {0x100: AuthenticationFailed, 0x200: NotAllowed, 0x400: NotFound}
_READS = frozenset({"info", "infoextended", "version", "raftstatus", "config"})


class Oned:
    """One oned. Ids in and out are ints, XML documents come as dicts (see answers.xml_to_data).

    on_write is called after each writing call that was, or may have been, carried out.
    """

    def __init__(
        self,
        endpoint: str,
        username: str,
        password: str,
        *,
        on_write: Callable[[], None] = lambda: None,
        **http: t.Any,
    ) -> None:
        self._http = HttpClient(endpoint, **http)
        self._on_write = on_write
        self._method, self._repeatable = "", False
        self.endpoint = self._http.url
        self._pyone = Pyone(self.endpoint, f"{username}:{password}", self._send)

    def limit(self, seconds: float) -> None:
        """Let no call take longer than that from now on."""
        self._http.timeout = seconds

    def call(self, method: str, *params: t.Any) -> t.Any:
        """Return the value of one.<method>: int, str, or dict for XML. Raises OpenNebulaError."""
        name = f"one.{method}"
        for param in params:
            if isinstance(param, str) and FORBIDDEN.search(param):
                raise InvalidRequest("control characters cannot be sent", endpoint=self.endpoint, method=name)
            if isinstance(param, int) and not -(2**31) <= param < 2**31:
                raise InvalidRequest(f"{param} is no OpenNebula id", endpoint=self.endpoint, method=name)
        self._method, self._repeatable = name, method.rsplit(".", 1)[-1] in _READS
        try:
            answer = self._pyone.call(method, *params)
        except OpenNebulaError as error:
            if not self._repeatable and may_have_happened(error):
                self._on_write()
            raise
        if not isinstance(answer, (list, tuple)) or len(answer) < 2 or (not answer[0] and len(answer) < 3):
            raise BadAnswer("the answer has not oned's form", endpoint=self.endpoint, method=name)
        if answer[0] is not True and answer[0] != 1:
            raise self._refusal(name, str(answer[1]), to_int(answer[2]))
        if not self._repeatable:
            self._on_write()
        value = answer[1]
        if isinstance(value, str) and value.startswith("<"):
            try:
                return xml_to_data(value)
            except ValueError as error:
                raise BadAnswer(f"the document is not XML: {error}", endpoint=self.endpoint, method=name) from None
        return value

    def _send(self, body: bytes) -> t.Any:
        """Carry one call; return the values of its answer."""
        answer = self._http.request(
            "POST", "", body, {"Content-Type": "text/xml"}, method=self._method, repeatable=self._repeatable
        )
        check_status(answer, self.endpoint, self._method)
        if answer.status != 200 or is_html(answer):
            raise self._strange(excerpt(answer.body), code=answer.status)
        try:
            values = xmlrpc.client.loads(answer.body)[0]
            return values[0] if len(values) == 1 else values
        except xmlrpc.client.Fault as fault:
            raise Refused(
                fault.faultString,
                code=fault.faultCode,
                endpoint=self.endpoint,
                method=self._method,
                hint=hint_for(fault.faultString),
            ) from None
        except (ExpatError, xmlrpc.client.ResponseError, ValueError, LookupError, TypeError) as error:
            raise self._strange(f"{excerpt(answer.body)} ({type(error).__name__})") from None

    def _strange(self, what: str, code: int | None = None) -> BadAnswer:
        return BadAnswer(
            f"not an XML-RPC answer: {what}",
            code=code,
            endpoint=self.endpoint,
            method=self._method,
            hint="Is this oned's XML-RPC endpoint (http://HOST:2633/RPC2)?",
        )

    def _refusal(self, name: str, text: str, code: int) -> OpenNebulaError:
        text = text.replace("&lt;", "<").replace("&gt;", ">").removeprefix(f"[{name}] ")
        return _ERRORS.get(code, Refused)(text, code=code, endpoint=self.endpoint, method=name, hint=hint_for(text))

    def version(self) -> str:
        """Return e.g. "7.4.0"."""
        return str(self.call("system.version"))

    def zones(self) -> list[dict]:
        """Return the zone documents as this oned knows them (a slave may lag behind the master)."""
        return [as_dict(zone) for zone in as_list(as_dict(self.call("zonepool.info")).get("ZONE"))]

    def zone(self, zone_id: int) -> dict:
        """Return one zone document."""
        return as_dict(self.call("zone.info", zone_id))

    def raft_status(self) -> dict:
        """Return RAFT of the server behind the endpoint; FEDLOG_INDEX tells how far it follows the federation."""
        return as_dict(self.call("zone.raftstatus"))

    def vm(self, vm_id: int) -> dict:
        """Return one VM document; terminated ones (state DONE) stay readable."""
        return as_dict(self.call("vm.info", vm_id))

    def vms(self, first: int = -1, last: int = -1, *, with_done: bool = False) -> list[dict]:
        """Return the full documents of the VMs with first <= id <= last (-1, -1: all) that the user may see."""
        pool = self.call("vmpool.infoextended", -2, first, last, -2 if with_done else -1, "")
        return [as_dict(vm) for vm in as_list(as_dict(pool).get("VM"))]

    def vm_update(self, vm_id: int, template: str, *, replace: bool = False) -> None:
        """Merge template text into a VM's user template, or replace the whole of it."""
        self.call("vm.update", vm_id, template, 0 if replace else 1)
