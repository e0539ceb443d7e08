# SPDX-License-Identifier: GPL-3.0-or-later
"""OneGate: what a VM sees of itself and of its service (recordings: onegate 001-017).

A VM shows the token of its context disk and its id. It may read and change its own user attributes, and read the other
VMs of its service; with ``extended`` it sees their CONTEXT, secrets included. Every 500 has the same empty words.
"""

from __future__ import annotations

import hmac
import json
import re
import typing as t

from aiohttp import web

from ..oned import context
from ..oned.core import Oned, OneError
from ..oned.vms import vm_xml
from ..oneflow.lifecycle import ServiceLifecycle
from ..oneflow.schema import RubyError, to_i
from ..oneflow.services import FlowError, Service
from ..store import Entity
from ..template_text import xml_to_hash

_RESTRICTED = ("SCHED_REQUIREMENTS", "SERVICE_ID", "ROLE_NAME")
_NIC = ("IP", "IP6_LINK", "IP6_SITE", "IP6_GLOBAL", "NETWORK", "MAC", "NAME", "PARENT", "EXTERNAL", "EXTERNAL_IP")
_HEADERS = {"Content-Type": "application/json;charset=utf-8", "X-Content-Type-Options": "nosniff"}
_ACTIONS = ("hold", "resume", "release", "stop", "suspend", "terminate", "reboot", "poweroff", "undeploy", "delete", "shutdown")


class Halt(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def escape_attributes(text: str) -> str:
    """OneGate puts values that have no quotes into quotes before oned parses them."""
    out, quoting = "", False
    for index, char in enumerate(text):
        before, after = text[index - 1] if index else text[-1:], text[index + 1 : index + 2]
        if char == "=" and quoting:
            out += char
        elif char == "=" and after not in ("[", '"'):
            out, quoting = out + '="', True
        elif char == "," and before != '"':
            out += '",'
        elif char == "[" and before not in ("=", '"'):
            out += '"['
        elif char == "]" and before not in ("=", '"'):
            out, quoting = out + '"]', False
        elif char == "\\" and before != '"':
            out, quoting = out + '"\\', False
        elif char == "\n" and before != '"':
            out, quoting = out + '"\n', False
        else:
            out += char
    out = out.replace("\\n", "\n")
    return out + '"' if quoting and out[-1:] not in ("]", '"') else out


class GateApi:
    """Handler of every request to OneGate's port."""

    def __init__(self, one: Oned, lifecycle: ServiceLifecycle) -> None:
        self.one, self.lifecycle = one, lifecycle

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = (await request.read()).decode("utf-8", "replace")
        try:
            status, body = self._dispatch(request, text)
        except Halt as halt:
            status, body = halt.status, "Internal server error" if halt.status == 500 else halt.text
        except OneError:
            status, body = 500, "Internal server error"
        return web.Response(status=status, body=body.encode(), headers=_HEADERS)

    def _dispatch(self, request: web.Request, text: str) -> tuple[int, str]:
        verb, path = request.method, request.path
        if verb == "GET" and path == "/":
            self._source(request)
            base = f"http://{request.host}"
            return 200, _json({"vm_info": f"{base}/vm", "service_info": f"{base}/service"})
        if path == "/vm" and verb in ("GET", "PUT"):
            vm = self._source(request)
            if verb == "GET":
                return 200, _json(self._vm_hash(vm))
            return self._update(vm, text, request.query.get("type"))
        if (match := re.fullmatch(r"/vms/([^/]+)", path)) and verb in ("GET", "PUT"):
            vm = self._requested(self._source(request), to_i(match.group(1)))
            if verb == "GET":
                return 200, _json(self._vm_hash(vm))
            return self._update(vm, text, request.query.get("type"))
        if (match := re.fullmatch(r"/vms/([^/]+)/action", path)) and verb == "POST":
            return self._action(self._requested(self._source(request), to_i(match.group(1))), text)
        if path == "/service" and verb == "GET":
            vm = self._source(request)
            extended = request.query.get("extended", "").lower() == "true"
            return 200, _json(self._service(vm, vm.id, extended))
        if (match := re.fullmatch(r"/service/role/([^/]+)", path)) and verb == "PUT":
            return self._scale(self._source(request), match.group(1), text)
        raise Halt(400, "OneGate server doesn't support this feature")

    # -- who asks -----------------------------------------------------------------------------------------------
    def _source(self, request: web.Request) -> Entity:
        token, number = request.headers.get("X-ONEGATE-TOKEN", ""), request.headers.get("X-ONEGATE-VMID", "")
        vm = self.one.store.get("vm", int(number)) if re.fullmatch(r"\d+", number) and not self.one.down else None
        if vm is None or not hmac.compare_digest(context.token_of(self.one, vm).encode(), token.encode()):
            raise Halt(401, "Not authorized")
        return vm

    def _owner(self, vm: Entity) -> Entity:
        return self.one.user(vm.uid)

    def _requested(self, source: Entity, number: int) -> Entity:
        if source.id == number:
            return source
        if not source.user_template.get("SERVICE_ID"):
            raise Halt(
                400, "This VM does not belong to any Virtual Router or Service, so it cannot retrieve information from other VMs"
            )
        self._service(source, number, False)
        return self.one.find("vm", number)

    # -- answers ------------------------------------------------------------------------------------------------
    def _vm_hash(self, vm: Entity) -> dict[str, t.Any]:
        seen = xml_to_hash(vm_xml(self.one, vm))["VM"]
        attributes = {name: value for name, value in seen["USER_TEMPLATE"].items() if name != "SCHED_MESSAGE"}
        nics = {}
        for kind in ("NIC", "NIC_ALIAS"):
            found = seen["TEMPLATE"].get(kind, [])
            found = found if isinstance(found, list) else [found]
            nics[kind] = [{name: value for name, value in nic.items() if name in _NIC} for nic in found]
        head = {name: seen[name] for name in ("NAME", "ID", "STATE", "LCM_STATE")}
        return {"VM": {**head, "USER_TEMPLATE": attributes, "TEMPLATE": nics}}

    def _service(self, source: Entity, wanted: int, extended: bool) -> dict[str, t.Any]:
        """Return the service of `source`, when the VM `wanted` is in it."""
        number = source.user_template.get("SERVICE_ID")
        if not re.fullmatch(r"\d+", number):
            raise Halt(400, "Empty or invalid SERVICE_ID")
        try:
            service = Service(self.one, self._owner(source), int(number))
        except FlowError:
            raise Halt(404, f"Service {number} not found") from None
        roles = []
        for role in service.body["roles"]:
            nodes = []
            for node in role.get("nodes", []):
                info = node.get("vm_info")
                if extended:
                    info = xml_to_hash(vm_xml(self.one, self.one.find("vm", node["deploy_id"])))
                nodes.append({"deploy_id": node["deploy_id"], "running": None, "vm_info": info})
            head = {name: role.get(name) for name in ("name", "cardinality", "state")}
            roles.append({**head, "nodes": nodes})
        if wanted not in [node["deploy_id"] for role in roles for node in role["nodes"]]:
            raise Halt(400, f"Service {number} does not contain VM {wanted}.")
        head = {"name": service.document.name, "id": str(service.id), "state": service.body["state"]}
        return {"SERVICE": {**head, "roles": roles}}

    # -- changes ------------------------------------------------------------------------------------------------
    def _update(self, vm: Entity, text: str, kind: str | None) -> tuple[int, str]:
        text = escape_attributes(text)
        append = kind is None or to_i(kind) == 1
        for line in text.split("\n"):
            name = line.split("=")[0]
            if name.upper() in _RESTRICTED:
                raise Halt(403, f"Attribute ({name}) cannot be {'modified' if append else 'deleted'}")
        if append:
            self.one.call(self._owner(vm), "one.vm.update", vm.id, text, 1)
            return 200, ""
        if not vm.user_template.has(text.strip()):
            raise Halt(500, "attribute not found")
        rest = vm.user_template.copy()
        rest.erase(text.strip())
        self.one.call(self._owner(vm), "one.vm.update", vm.id, rest.text(), 0)
        return 200, ""

    def _action(self, vm: Entity, text: str) -> tuple[int, str]:
        try:
            perform = json.loads(text)["action"]["perform"]
        except (ValueError, KeyError, TypeError):
            raise Halt(400, "Error parsing JSON: Wrong resource type") from None
        if perform not in _ACTIONS:
            raise Halt(500, f"{perform} action not  available for this resource")
        action = {"delete": "terminate-hard", "shutdown": "terminate"}.get(perform, perform)
        self.one.call(self._owner(vm), "one.vm.action", action, vm.id)
        return 204, ""

    def _scale(self, vm: Entity, role: str, text: str) -> tuple[int, str]:
        self._service(vm, vm.id, False)
        number = vm.user_template.get("SERVICE_ID")
        try:
            cardinality = to_i(json.loads(text)["cardinality"])
            self.lifecycle.scale(self._owner(vm), int(number), role, cardinality, False)
        except (FlowError, RubyError, ValueError, KeyError, TypeError):
            raise Halt(400, f"Error performing action on service {number} role {role}") from None
        return 200, ""


def _json(value: t.Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
