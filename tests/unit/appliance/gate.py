# SPDX-License-Identifier: GPL-3.0-or-later
"""A OneGate of one or more VMs, for the appliance's tests; it rewrites updates as the real one does.

The rewriting and the template language are those of the lab zone, which is held to recordings of the real one.
"""

from __future__ import annotations

import json
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.zone.onegate.api import escape_attributes
from lab.zone.template_text import Template


class Gate:
    """`attributes[vm]` are the user attributes, `updates` what came in, `roles` the service's roles and their VMs."""

    def __init__(self, address: tuple[str, int], roles: dict[str, list[int]]):
        self.roles = roles
        self.attributes: dict[int, dict[str, str]] = {vm: {} for vms in roles.values() for vm in vms}
        self.updates: list[tuple[int, str]] = []
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_arguments: t.Any) -> None:
                pass

            def _answer(self, code: int, body: bytes = b"") -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _vm(self) -> int | None:
                vm = int(self.headers.get("X-ONEGATE-VMID", "-1"))
                return vm if self.headers.get("X-ONEGATE-TOKEN") == f"token-{vm}" else None

            def do_GET(self) -> None:
                vm = self._vm()
                if vm is None:
                    self._answer(401, b"Not authorized")
                elif self.path == "/vm":
                    self._answer(200, json.dumps(gate.show(vm)).encode())
                elif not any(vm in vms for vms in gate.roles.values()):
                    self._answer(400, b"Empty or invalid SERVICE_ID")
                else:
                    self._answer(200, json.dumps(gate.service(extended=self.path == "/service?extended=true")).encode())

            def do_PUT(self) -> None:
                vm, body = self._vm(), self.rfile.read(int(self.headers["Content-Length"])).decode()
                if vm is None:
                    self._answer(401, b"Not authorized")
                elif self.path == "/vm?type=2":
                    self._answer(200 if gate.attributes[vm].pop(body, None) is not None else 500)
                else:
                    gate.updates.append((vm, body))
                    gate.attributes[vm].update(Template.parse(escape_attributes(body)).pairs)
                    self._answer(200)

        self._server = ThreadingHTTPServer(address, Handler)
        self.url = f"http://{address[0]}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def show(self, vm: int) -> dict[str, t.Any]:
        # An empty XML element becomes an empty object in the real one's JSON.
        return {"VM": {"ID": str(vm), "USER_TEMPLATE": {name: value or {} for name, value in self.attributes[vm].items()}}}

    def service(self, *, extended: bool = True) -> dict[str, t.Any]:
        """Return the service; unless it is extended its VMs are as they were when they were made (recordings: onegate 005, 006)."""

        def node(vm: int) -> dict[str, t.Any]:
            return self.show(vm) if extended else {"VM": {"ID": str(vm), "USER_TEMPLATE": {}}}

        return {
            "SERVICE": {
                "roles": [
                    {"name": role, "cardinality": len(vms), "nodes": [{"deploy_id": vm, "vm_info": node(vm)} for vm in vms]}
                    for role, vms in self.roles.items()
                ]
            }
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
