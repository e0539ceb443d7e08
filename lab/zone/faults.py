# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that tests inject, through an API of its own (``listen.admin``, bind it to loopback). Not OpenNebula.

``POST /faults`` with one rule: ``api`` ("oned" | "oneflow" | "onegate"), ``kind``, ``match`` (regex on what is asked: "GET
/service/1", for an action "POST /service/1/action rename", for oned the XML-RPC method; default: everything), ``times`` (how many
requests; default: until removed) and

- slow: ``seconds`` before the right answer
- silent: no answer, the connection stays open
- cut: half of the right answer (nothing of one without a body), then the connection is closed
- lost: the request is done, its answer never comes: the connection is closed
- lie: nothing is done, and the answer says it was: 204 from OneFlow, the object's id from oned
- status: ``status`` (500) with ``body``
- html: an HTML page with ``status`` (502), as a proxy in front sends it
- garbage: bytes that are neither JSON nor XML, with status 200
- redirect: ``status`` (302) to ``location``

``DELETE /faults`` removes all; ``GET /faults`` lists them.

``POST /vm-faults``: ``step``, ``match`` (regex on the VM's name), ``times`` (default 1). Steps:

- schedule: no host is found; the VM stays PENDING with a SCHED_MESSAGE until the scheduler has tried ``times`` times
- boot: the driver fails, with ``error`` in the VM's ERROR where it is given; the VM is in BOOT_FAILURE
- die: the VM runs, and is terminated at once by somebody
- off: the VM runs, and powers itself off
- terminate: the driver refuses; the VM goes on running
- leak: OneFlow hears that the VM is gone, and it goes on running

``DELETE /vm-faults`` removes all.

``POST /service-state``: ``id``, ``state``, ``errors`` (lines for its log): the service and its roles are in that state, and nothing
moves it on. ``GET /requests`` lists what was asked since ``DELETE /requests``, as ``match`` sees it, its API in front.
``POST /components``: ``name`` ("oned" | "oneflow" | "onegate"), ``state`` ("stopped" | "running"): its port is closed or opened.
``POST /counters``: {"document": 129, "vm": 70, ...}: the id that the next object gets.
``GET /state``: names and numbers of what the zone holds.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import re
import typing as t
import xmlrpc.client
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KINDS = ("slow", "silent", "cut", "lost", "lie", "status", "html", "garbage", "redirect")
VM_STEPS = ("schedule", "boot", "die", "off", "terminate", "leak")


class Faults:
    """The rules of one zone, and what it was asked."""

    def __init__(self) -> None:
        self.rules: list[dict[str, t.Any]] = []
        self.requests: collections.deque[str] = collections.deque(maxlen=10_000)

    def add(self, rule: dict[str, t.Any]) -> None:
        """Add one rule. Raises ValueError for what is none."""
        if rule.get("kind") not in _KINDS or rule.get("api") not in ("oned", "oneflow", "onegate"):
            raise ValueError(f"not a fault: {rule}")
        re.compile(rule.get("match", ""))
        self.rules.append(dict(rule))

    def wrap(self, api: str, handler: Handler) -> Handler:
        """Return the handler of an API with the faults in front of it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            what = await _asked(api, request)
            self.requests.append(f"{api} {what}")
            rule = self._take(api, what)
            if rule is None:
                return await handler(request)
            return await self._inject(rule, request, handler)

        return handle

    def _take(self, api: str, what: str) -> dict[str, t.Any] | None:
        for rule in self.rules:
            if rule["api"] == api and re.search(rule.get("match", ""), what):
                if "times" in rule:
                    rule["times"] -= 1
                    if rule["times"] <= 0:
                        self.rules.remove(rule)
                return rule
        return None

    @staticmethod
    async def _inject(rule: dict[str, t.Any], request: web.Request, handler: Handler) -> web.StreamResponse:
        kind, status = rule["kind"], rule.get("status")
        if kind == "slow":
            await asyncio.sleep(float(rule.get("seconds", 1)))
            return await handler(request)
        if kind == "silent":
            await asyncio.sleep(float(rule.get("seconds", 3600)))
            return web.Response(status=200)
        if kind in ("cut", "lost"):
            right = await handler(request)
            body = right.body if isinstance(right, web.Response) and isinstance(right.body, bytes) else b""
            if (kind == "lost" or not body) and request.transport:
                request.transport.abort()
                raise ConnectionResetError("cut off")
            cut = web.StreamResponse(status=right.status, headers=right.headers)
            cut.content_length = max(len(body), 2)
            await cut.prepare(request)
            await cut.write(body[: len(body) // 2] or b"{")
            if request.transport:
                request.transport.abort()
            return cut
        if kind == "lie":
            if rule["api"] != "oned":
                return web.Response(status=204)
            number = xmlrpc.client.loads(await request.read())[0][1]
            answer = xmlrpc.client.dumps(([True, number, 0],), methodresponse=True)  # type: ignore[arg-type]
            return web.Response(body=answer.encode(), content_type="text/xml")
        if kind == "status":
            return web.Response(status=status or 500, text=rule.get("body", ""))
        if kind == "html":
            page = rule.get("body", "<html><body><h1>502 Bad Gateway</h1></body></html>")
            return web.Response(status=status or 502, text=page, content_type="text/html")
        if kind == "redirect":
            return web.Response(status=status or 302, headers={"Location": rule.get("location", "/elsewhere")})
        return web.Response(status=200, body=b"\x00\xff}{<<garbage>>", content_type="application/octet-stream")


async def _asked(api: str, request: web.Request) -> str:
    """Return what is asked in one line, see the module."""
    if api == "oned":
        found = re.search(rb"<methodName>([^<]*)", await request.read())
        return found.group(1).decode() if found else ""
    what = f"{request.method} {request.path}"
    if request.path.endswith("action"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            what += f" {json.loads(await request.text())['action']['perform']}"
    return what
