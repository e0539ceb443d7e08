# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API through which tests and drills inject faults (``listen.admin``); its requests are in lab.self.faults."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Awaitable, Callable

from aiohttp import web

from .faults import VM_STEPS, Faults
from .oned.core import Oned
from .oneflow.lifecycle import ServiceLifecycle
from .oneflow.services import FlowError


class AdminApi:
    """Handler of the fault API."""

    def __init__(
        self, one: Oned, flow: ServiceLifecycle, faults: Faults, set_component: Callable[[str, bool], Awaitable[None]]
    ) -> None:
        self.one, self.flow, self.faults, self.set_component = one, flow, faults, set_component

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.text() or "null")
            return web.json_response(await self._dispatch(request.method, request.path, body))
        except (FlowError, ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _dispatch(self, verb: str, path: str, body: t.Any) -> t.Any:
        match verb, path:
            case "GET", "/faults":
                return self.faults.rules
            case "POST", "/faults":
                self.faults.add(body)
                return self.faults.rules
            case "DELETE", "/faults":
                self.faults.rules.clear()
                return []
            case "POST", "/vm-faults":
                if body["step"] not in VM_STEPS:
                    raise ValueError(f"not a step: {body['step']}")
                self.one.vms.failures.append({"match": "", **body, "times": int(body.get("times", 1))})
                return self.one.vms.failures
            case "DELETE", "/vm-faults":
                self.one.vms.failures.clear()
                return []
            case "POST", "/service-state":
                self.flow.force(int(body["id"]), body["state"], body.get("errors", []))
                return body
            case "GET", "/requests":
                return list(self.faults.requests)
            case "DELETE", "/requests":
                self.faults.requests.clear()
                return []
            case "POST", "/components":
                await self.set_component(body["name"], body["state"] == "running")
                return {"name": body["name"], "state": body["state"]}
            case "POST", "/counters":
                for kind, number in body.items():
                    self.one.store.set_value(f"next:{kind}", int(number))
                return body
            case "GET", "/state":
                store = self.one.store
                kinds = ("zone", "user", "template", "vnet", "vm", "document")
                return {kind: {entity.id: entity.name for entity in store.all(kind)} for kind in kinds}
        raise KeyError(f"{verb} {path}")
