# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone in a few hundred lines: what the OpenNebula modules call, answering as a real 7.4 does where it matters.

It is driven by reads: every GET of a service takes the next step of its life. `Fake.script` replaces those steps, `Fake.lies`
makes calls succeed without effect, as OneFlow does for a lack of rights.
"""

from __future__ import annotations

import base64
import json
import threading
import xmlrpc.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import answers, template_text
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.states import ROLE_STATES, SERVICE_STATES

USERS = {"oneadmin": 0, "alice": 2, "bob": 3}
GROUPS = {"oneadmin": 0, "users": 1}
SECRET = "pass:with:colons"
RIGHTS = [f"{who}_{what}" for who in ("OWNER", "GROUP", "OTHER") for what in "UMA"]
WAY_UP = ["DEPLOYING_NETS", "DEPLOYING", "RUNNING"]


def to_xml(tag: str, value: object) -> str:
    if isinstance(value, dict):
        inner = "".join(to_xml(key, item) for key, item in value.items())
        return f"<{tag}>{inner}</{tag}>"
    if isinstance(value, list):
        return "".join(to_xml(tag, item) for item in value)
    return f"<{tag}>{escape(str(value))}</{tag}>"


class Fake:
    """One zone with both its ports. Use as a context manager."""

    def __init__(self, version: str = "7.4.0") -> None:
        self.version = version
        self.documents: dict[int, dict] = {}
        self.vms: dict[int, dict] = {}
        self.zones: dict[int, dict] = {}
        self.queue: dict[int, list[str]] = {}
        self.next_id = 0
        self.calls: list[str] = []
        self.lies: set[str] = set()
        self.way_up = list(WAY_UP)
        self.on_state: dict[str, object] = {}
        self.oned_down = False
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, kind)) for kind in ("oned", "oneflow")]
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._servers[0].server_port}/RPC2"
        self.oneflow_endpoint = f"http://127.0.0.1:{self._servers[1].server_port}"
        self.add_zone(0, "OpenNebula", {"ENDPOINT": self.endpoint, "ONEFLOW_ENDPOINT": self.oneflow_endpoint})

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_exc: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def connection(self) -> dict[str, object]:
        return {"endpoint": self.endpoint, "username": "oneadmin", "password": SECRET}

    def writes(self) -> list[str]:
        reads = (
            "GET",
            "one.system.version",
            "one.zonepool.info",
            "one.zone.info",
            "one.vm.info",
            "one.vmpool",
            "one.user",
            "one.group",
            "one.zone.raft",
            "one.template.info",
        )
        return [call for call in self.calls if not call.startswith(reads)]

    # -- documents --------------------------------------------------------------------------------------------------

    def add_document(self, kind: int, body: dict, *, name: str | None = None, owner: str = "oneadmin") -> int:
        number, self.next_id = self.next_id, self.next_id + 1
        self.documents[number] = {
            "ID": str(number),
            "UID": str(USERS[owner]),
            "GID": "0",
            "UNAME": owner,
            "GNAME": "oneadmin",
            "NAME": name or body["name"],
            "TYPE": str(kind),
            "PERMISSIONS": {**dict.fromkeys(RIGHTS, "0"), "OWNER_U": "1", "OWNER_M": "1"},
            "TEMPLATE": {"BODY": body},
        }
        return number

    def add_template(self, body: dict, **kwargs: object) -> int:
        body = self._completed(json.loads(json.dumps(body)))
        body["registration_time"] = 1
        return self.add_document(101, body, **kwargs)  # type: ignore[arg-type]

    @staticmethod
    def _completed(body: dict) -> dict:
        body.setdefault("deployment", "none")
        body.setdefault("description", "")
        for role in body["roles"]:
            role.setdefault("cardinality", 0)
        return body

    def add_service(self, body: dict, state: str = "RUNNING", **kwargs: object) -> int:
        body = json.loads(json.dumps(body))
        number = self.add_document(100, body, **kwargs)  # type: ignore[arg-type]
        body["log"] = []
        for role in body["roles"]:
            role.setdefault("cardinality", 0)
            role["nodes"] = []
        self.set_state(number, state)
        return number

    def body(self, number: int) -> dict:
        return self.documents[number]["TEMPLATE"]["BODY"]

    def set_state(self, number: int, state: str, error: str | None = None) -> None:
        body = self.body(number)
        body["state"] = SERVICE_STATES.index(state)
        for role in body["roles"]:
            role["state"] = ROLE_STATES.index(state) if state in ROLE_STATES else 0
        if error:
            body["log"].append({"timestamp": 1, "severity": "E", "message": error})
        body["log"].append({"timestamp": len(body["log"]), "severity": "I", "message": f"New state: {state}"})
        if state in ("DEPLOYING", "RUNNING", "SCALING"):
            self._populate(number)

    def _populate(self, number: int) -> None:
        for role in self.body(number)["roles"]:
            while len(role["nodes"]) > role["cardinality"]:
                self.vms[role["nodes"].pop()["deploy_id"]]["STATE"] = "6"
            while len(role["nodes"]) < role["cardinality"]:
                vm_id = len(self.vms)
                name = f"{role['name']}_{len(role['nodes'])}_(service_{number})"
                values = {**(self.body(number).get("user_inputs_values") or {}), **(role.get("user_inputs_values") or {})}
                self.vms[vm_id] = {
                    "ID": str(vm_id),
                    "NAME": name,
                    "STATE": "3",
                    "LCM_STATE": "3",
                    "TEMPLATE": {"NIC": [{"NIC_ID": "0", "IP": f"10.0.0.{vm_id + 1}"}]},
                    "USER_TEMPLATE": {**values, "SERVICE_ID": str(number), "ROLE_NAME": role["name"]},
                }
                role["nodes"].append({"deploy_id": vm_id, "vm_info": {"VM": {"ID": str(vm_id), "NAME": name}}})

    def step(self, number: int) -> None:
        """One step in a service's life, taken with each GET."""
        queue = self.queue.get(number)
        if not queue:
            return
        state = queue.pop(0)
        if state == "GONE":
            for role in self.body(number)["roles"]:
                for node in role["nodes"]:
                    self.vms[node["deploy_id"]]["STATE"] = "6"
            del self.documents[number]
            return
        state, dummy, error = state.partition(": ")
        self.set_state(number, state, error or None)
        hook = self.on_state.get(state)
        if callable(hook):
            hook(number)

    # -- OneFlow ----------------------------------------------------------------------------------------------------

    def oneflow(self, verb: str, path: str, body: bytes, auth: str | None) -> tuple[int, str]:
        self.calls.append(f"{verb} {path}")
        expected = "Basic " + base64.b64encode(f"oneadmin:{SECRET}".encode()).decode()
        if self.oned_down or auth != expected:
            return 401, "Invalid credentials"
        data = json.loads(body) if body.strip() else {}
        parts = path.strip("/").split("/")
        kind = {"service": 100, "service_template": 101}[parts[0]]
        if len(parts) == 1 and verb == "GET":
            found = [document for document in self.documents.values() if document["TYPE"] == str(kind)]
            return 200, json.dumps({"DOCUMENT_POOL": {"DOCUMENT": found} if found else {}})
        if len(parts) == 1:
            if not data.get("name") or "roles" not in data:
                return 400, "Mandatory document key 'roles (array)' is missing"
            return 201, self._json(self.add_template(data))
        number = int(parts[1]) if parts[1].isdigit() else 0
        if number not in self.documents:
            lying = kind == 101 and len(parts) == 3 and data["action"]["perform"] in ("rename", "chmod")
            return (204, "") if lying else (404, f"[one.document.info] Error getting document [{number}].")
        if self.documents[number]["TYPE"] != str(kind):
            return 500, f"[DocumentInfo] Error getting document [{number}]."
        if verb == "GET":
            if kind == 100:
                self.step(number)
            if number not in self.documents:
                return 404, f"[one.document.info] Error getting document [{number}]."
            return 200, self._json(number)
        return self._template(verb, parts, number, data) if kind == 101 else self._service(verb, parts, number, data)

    def _json(self, number: int) -> str:
        return json.dumps({"DOCUMENT": self.documents[number]})

    def _template(self, verb: str, parts: list[str], number: int, data: dict) -> tuple[int, str]:
        document = self.documents[number]
        if verb == "DELETE":
            del self.documents[number]
            return 204, ""
        if verb == "PUT":
            data.setdefault("registration_time", 1)
            document["TEMPLATE"]["BODY"] = self._completed(data)
            return 200, self._json(number)
        perform, params = data["action"]["perform"], data["action"].get("params") or {}
        if perform == "instantiate":
            return self._instantiate(number, params.get("merge_template") or {})
        if perform == "clone":
            mode = params.get("recursive")
            copy = self.add_document(101, json.loads(json.dumps(document["TEMPLATE"]["BODY"])), name=params["name"])
            self.calls.append(f"clone mode {mode}")
            return 201, self._json(copy)
        if perform == "update":
            document["TEMPLATE"]["BODY"].update(json.loads(params["template_json"]))
            return 204, ""
        self._access(document, perform, params)
        return 204, ""

    def _access(self, document: dict, perform: str, params: dict) -> None:
        if perform in self.lies:
            return
        if perform == "rename":
            document["NAME"] = params["name"]
        elif perform == "chmod":
            for who, digit in zip(("OWNER", "GROUP", "OTHER"), params["octet"], strict=True):
                for what, bit in (("U", 4), ("M", 2), ("A", 1)):
                    document["PERMISSIONS"][f"{who}_{what}"] = "1" if int(digit) & bit else "0"
        elif perform == "chown":
            document["UID"], document["GID"] = str(params["owner_id"]), str(params.get("group_id") or 0)
            document["UNAME"] = {str(v): k for k, v in USERS.items()}[document["UID"]]
            document["GNAME"] = {str(v): k for k, v in GROUPS.items()}[document["GID"]]

    def _instantiate(self, number: int, merge: dict) -> tuple[int, str]:
        body = json.loads(json.dumps(self.body(number)))
        roles = {role["name"]: role for role in merge.get("roles") or []}
        values_key = "user_inputs_values" if self.version.startswith("7") else "custom_attrs_values"
        inputs_key = "user_inputs" if self.version.startswith("7") else "custom_attrs"
        for declared, values in [(body.get(inputs_key), merge.get(values_key))] + [
            (role.get(inputs_key), roles.get(role["name"], {}).get(values_key)) for role in body["roles"]
        ]:
            if declared and set(declared) - set(values or {}):
                return 400, "Verify that every User Input have its corresponding value defined"
        body.update({key: value for key, value in merge.items() if key != "roles"})
        for role in body["roles"]:
            role.update(roles.get(role["name"], {}))
        service = self.add_service(body, "PENDING")
        self.queue[service] = list(self.way_up)
        if "lost instantiate" in self.lies:
            return 0, ""
        if "bad network" in self.lies:
            return 404, "[one.vntemplate.instantiate] Error getting virtual network template [99]."
        return 201, self._json(service)

    def _service(self, verb: str, parts: list[str], number: int, data: dict) -> tuple[int, str]:
        state = SERVICE_STATES[self.body(number)["state"]]
        if verb == "DELETE":
            if state.startswith("FAILED") or state in ("DEPLOYING", "DEPLOYING_NETS", "SCALING", "COOLDOWN", "UNDEPLOYING_NETS"):
                return 500, f"Service cannot be undeployed in state: {state}"
            self.set_state(number, "UNDEPLOYING")
            self.queue[number] = ["UNDEPLOYING", "GONE"]
            return 204, ""
        if parts[2] == "scale":
            if "force" not in data:
                return 500, json.dumps({"message": "Internal server error", "reason": "unexpected token"})
            if state != "RUNNING":
                return 500, f"Service cannot be scaled in state: {state}"
            role = next(role for role in self.body(number)["roles"] if role["name"] == data["role_name"])
            if data["cardinality"] > role.get("max_vms", 99) and not data["force"]:
                return 500, f"Can't scale service {number}: Maximum cardinality is {role['max_vms']}"
            role["cardinality"] = data["cardinality"]
            self.set_state(number, "SCALING")
            self.queue[number] = ["COOLDOWN", "RUNNING"]
            return 204, ""
        perform, params = data["action"]["perform"], data["action"].get("params") or {}
        if perform == "recover":
            if params.get("delete"):
                self.queue[number] = ["UNDEPLOYING", "GONE"]
            elif state == "RUNNING":
                return 500, "Service cannot be recovered in state: RUNNING"
            else:
                self.queue[number] = [state, "DEPLOYING", "RUNNING"]
                self.body(number)["log"].pop()  # the repeated state adds this entry again
        elif perform == "release":
            self.queue[number] = ["DEPLOYING", "RUNNING"]
        elif perform == "add_role":
            self.body(number)["roles"].append({**params["role"], "nodes": []})
            self.set_state(number, "DEPLOYING")
            self.queue[number] = ["RUNNING"]
        elif perform == "remove_role":
            self.set_state(number, "UNDEPLOYING")
            self.body(number)["roles"] = [r for r in self.body(number)["roles"] if r["name"] != params["role"]]
            self.queue[number] = ["UNDEPLOYING", "RUNNING"]
        else:
            self._access(self.documents[number], perform, params)
        return 204, ""

    # -- oned -------------------------------------------------------------------------------------------------------

    def add_zone(self, number: int, name: str, attributes: dict) -> None:
        self.zones[number] = {"ID": str(number), "NAME": name, "STATE": "0", "TEMPLATE": dict(attributes), "SERVER_POOL": {}}

    def oned(self, method: str, session: str, *params: object) -> list:
        self.calls.append(method)
        if session != f"oneadmin:{SECRET}":
            return [False, f"[{method}] User couldn't be authenticated, aborting call.", 256, -1, -1]
        handler = getattr(self, "do_" + method.removeprefix("one.").replace(".", "_"), None)
        if handler is None:
            raise xmlrpc.client.Fault(-506, f"Method '{method}' not defined")
        try:
            return [True, handler(*params), 0]
        except KeyError as error:
            return [False, f"[{method}] Error getting object [{error}].", 1024, -1, -1]
        except ValueError as error:
            return [False, f"[{method}] {error}", 2048, -1, -1]

    def do_system_version(self) -> str:
        return self.version

    def do_zonepool_info(self) -> str:
        return to_xml("ZONE_POOL", {"ZONE": [self.zones[number] for number in sorted(self.zones, reverse=True)]})

    def do_zone_info(self, number: int) -> str:
        return to_xml("ZONE", self.zones[number])

    def do_zone_raftstatus(self) -> str:
        return to_xml("RAFT", {"SERVER_ID": -1, "STATE": 0, "TERM": 0, "FEDLOG_INDEX": 7})

    def do_zone_allocate(self, text: str) -> int:
        attributes = template_text.parse_template(text)
        number = max(100, *(number + 1 for number in self.zones))
        self.add_zone(number, str(attributes.pop("NAME")), attributes)
        return number

    def do_zone_update(self, number: int, text: str, append: int = 0) -> int:
        new = template_text.parse_template(text)
        self.zones[number]["TEMPLATE"] = {**self.zones[number]["TEMPLATE"], **new} if append == 1 else {"ENDPOINT": "-", **new}
        return number

    def do_zone_rename(self, number: int, name: str) -> int:
        self.zones[number]["NAME"] = name
        return number

    def do_zone_delete(self, number: int) -> int:
        if number < 100:
            raise ValueError("Cannot delete zone. System Zones (ID &lt; 100) cannot be deleted.")
        del self.zones[number]
        return number

    def do_zone_enable(self, number: int, enable: bool) -> int:
        if number != 0:
            raise ValueError("Enable/disable mode have to be set through the target zone endpoints")
        self.zones[number]["STATE"] = "0" if enable else "1"
        return number

    def do_zone_addserver(self, number: int, text: str) -> int:
        server = template_text.parse_template(text)["SERVER"]
        pool = self.zones[number]["SERVER_POOL"].setdefault("SERVER", [])
        pool.append({"ID": str(len(pool)), "STATE": "2", **server})
        return number

    def do_zone_delserver(self, number: int, server: int) -> int:
        pool = self.zones[number]["SERVER_POOL"]
        pool["SERVER"] = [entry for entry in pool["SERVER"] if entry["ID"] != str(server)]
        return number

    def do_template_info(self, number: int, _extended: bool, _decrypt: bool) -> str:
        return to_xml("VMTEMPLATE", {"ID": number, "TEMPLATE": {"CONTEXT": {"TOKEN": "YES"}}})

    def do_document_rename(self, number: int, name: str) -> int:
        self._access(self.documents[number], "rename", {"name": name})
        return number

    def do_document_chmod(self, number: int, *bits: int) -> int:
        octet = "".join(str(4 * bits[i] + 2 * bits[i + 1] + bits[i + 2]) for i in (0, 3, 6))
        self._access(self.documents[number], "chmod", {"octet": octet})
        return number

    def do_document_chown(self, number: int, uid: int, gid: int) -> int:
        document = self.documents[number]
        group = int(document["GID"]) if gid < 0 else gid
        self._access(document, "chown", {"owner_id": int(document["UID"]) if uid < 0 else uid, "group_id": group})
        return number

    def do_vm_info(self, number: int) -> str:
        return to_xml("VM", self.vms[number])

    def do_vmpool_infoextended(self, _who: int, first: int, last: int, state: int, _query: str) -> str:
        found = [
            vm for number, vm in self.vms.items() if (first < 0 or first <= number <= last) and (state == -2 or vm["STATE"] != "6")
        ]
        return to_xml("VM_POOL", {"VM": found})

    def do_vm_update(self, number: int, text: str, append: int) -> int:
        new = answers.xml_to_data(text) if text.startswith("<") else template_text.parse_template(text)
        old = self.vms[number]["USER_TEMPLATE"] if append == 1 else {}
        if "lost update" not in self.lies:
            self.vms[number]["USER_TEMPLATE"] = {**old, **{key.upper(): value for key, value in new.items()}}
        return number

    def do_userpool_info(self) -> str:
        return to_xml("USER_POOL", {"USER": [{"ID": number, "NAME": name} for name, number in USERS.items()]})

    def do_grouppool_info(self) -> str:
        return to_xml("GROUP_POOL", {"GROUP": [{"ID": number, "NAME": name} for name, number in GROUPS.items()]})


def _handler(fake: Fake, kind: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if kind == "oned":
                params, method = xmlrpc.client.loads(body)
                try:
                    answer = xmlrpc.client.dumps((fake.oned(str(method), *params),), methodresponse=True)
                except xmlrpc.client.Fault as fault:
                    answer = xmlrpc.client.dumps(fault, methodresponse=True)
                status, text, content = 200, answer, "text/xml"
            else:
                status, text = fake.oneflow(self.command, self.path, body, self.headers.get("Authorization"))
                content = "text/html;charset=utf-8"
            if status == 0:
                self.close_connection = True
                return
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_DELETE = do_POST

        def log_message(self, *_args: object) -> None:
            pass

    return Handler
