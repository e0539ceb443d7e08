# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that tests can inject, through an API of its own (``listen.admin``, bind it to loopback). Not OpenNebula.

``POST /faults`` with one rule: ``api`` ("oned" | "oneflow" | "onegate"), ``kind``, ``match`` (regex on "GET /service/1", for
oned on the XML-RPC method; default: everything), ``times`` (how many requests; default: until removed) and

- slow: ``seconds`` before the right answer
- silent: no answer, the connection stays open
- cut: half of the right answer (nothing of one without a body), then the connection is closed
- status: ``status`` (500) with ``body``
- html: an HTML page with ``status`` (502), as a proxy in front sends it
- garbage: bytes that are neither JSON nor XML, with status 200
- redirect: ``status`` (302) to ``location``

``DELETE /faults`` removes all; ``GET /faults`` lists them.

``POST /vm-faults``: ``step`` ("boot" | "terminate"), ``match`` (regex on the VM's name), ``times`` (default 1).
``POST /components``: ``name`` ("oned" | "oneflow" | "onegate"), ``state`` ("stopped" | "running"): its port is closed or opened.
``POST /counters``: {"document": 129, "vm": 70, ...}: the id that the next object gets.
``GET /state``: names and numbers of what the zone holds.
"""

from __future__ import annotations

import asyncio
import re
import typing as t
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KINDS = ("slow", "silent", "cut", "status", "html", "garbage", "redirect")


class Faults:
    def __init__(self) -> None:
        self.rules: list[dict[str, t.Any]] = []

    def add(self, rule: dict[str, t.Any]) -> None:
        if rule.get("kind") not in _KINDS or rule.get("api") not in ("oned", "oneflow", "onegate"):
            raise ValueError(f"not a fault: {rule}")
        re.compile(rule.get("match", ""))
        self.rules.append(dict(rule))

    def wrap(self, api: str, handler: Handler) -> Handler:
        """The handler of an API with the faults in front of it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            rule = await self._take(api, request) if self.rules else None
            if rule is None:
                return await handler(request)
            return await self._inject(rule, request, handler)

        return handle

    async def _take(self, api: str, request: web.Request) -> dict[str, t.Any] | None:
        what = f"{request.method} {request.path}"
        if api == "oned":
            found = re.search(rb"<methodName>([^<]*)", await request.read())
            what = found.group(1).decode() if found else ""
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
        if kind == "cut":
            right = await handler(request)
            body = right.body if isinstance(right, web.Response) and isinstance(right.body, bytes) else b""
            if not body and request.transport:
                request.transport.abort()
                raise ConnectionResetError("cut off")
            cut = web.StreamResponse(status=right.status, headers=right.headers)
            cut.content_length = max(len(body), 2)
            await cut.prepare(request)
            await cut.write(body[: len(body) // 2] or b"{")
            if request.transport:
                request.transport.abort()
            return cut
        if kind == "status":
            return web.Response(status=status or 500, text=rule.get("body", ""))
        if kind == "html":
            page = rule.get("body", "<html><body><h1>502 Bad Gateway</h1></body></html>")
            return web.Response(status=status or 502, text=page, content_type="text/html")
        if kind == "redirect":
            return web.Response(status=status or 302, headers={"Location": rule.get("location", "/elsewhere")})
        return web.Response(status=200, body=b"\x00\xff}{<<garbage>>", content_type="application/octet-stream")
