# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays the recordings against three fresh lab zones and says, for each, what differs.

Bodies are compared as text. What cannot be the same is made the same first, on both sides: times, addresses (of the
machine and of leases), random UUIDs and digests, monitoring values, the host on which a VM landed, and the line number
that the real parser leaves uninitialised. Ids are not touched: the id counters are set where the recordings leave a gap
because of things that were done and not recorded; those things are done here by hand, see :class:`Story`.
"""

from __future__ import annotations

import base64
import difflib
import http.client
import json
import re
import typing as t
from collections.abc import Callable
from pathlib import Path

from lab.zone.harness import PASSWORD, admin, body, config, flow, one, running, token, until, vm
from tests.fixtures.recording import Recording, all_recordings

HOSTS = {"a": "127.0.0.11", "b": "127.0.0.12", "c": "127.0.0.13"}
PORTS = {"xmlrpc": 2633, "oneflow": 2474, "onegate": 5030}
WRONG = ("oneflow/035", "oneflow/199", "xmlrpc/070")  # wrong passwords, which the recordings mask like the right ones

# A slave's own write, or the master's state, read back too early: what was recorded is the lag of that moment. What
# holds in general is checked instead; see Replay._lag.
LAG = {"xmlrpc/050": "the zone just allocated is not there yet", "xmlrpc/054": "the attribute just written is not there yet"}
# Read at a slave some milliseconds after a write: polled until it is as recorded.
SETTLES = ("xmlrpc/051", "xmlrpc/052", "xmlrpc/061", "xmlrpc/113", "xmlrpc/114", "xmlrpc/121", "xmlrpc/082")
# Headers that are not compared: lengths follow from the bodies, the date is the date.
_IGNORED_HEADERS = ("content-length", "date", "connection", "keep-alive")


class Story:
    """What was done between the recordings without being recorded; `before_<kind>_<number>` runs before that one."""

    def __init__(self, zones: dict[str, t.Any]) -> None:
        self.zones = zones
        self.a, self.b, self.c = zones["a"], zones["b"], zones["c"]

    def counters(self, **numbers: int) -> None:
        admin(self.a, "POST", "/counters", numbers)

    def drop(self, *services: int) -> None:
        for service in services:
            flow(self.a, "POST", f"/service/{service}/action", {"action": {"perform": "recover", "params": {"delete": True}}})
        until(lambda: not any(body(self.a, service) for service in services), f"services {services} are gone")

    def begin(self) -> None:
        for zone in self.zones.values():
            admin(zone, "POST", "/counters", {"vm": 1})
            assert one(zone, "one.template.instantiate", 0, "probe") == 1
        for zone in self.zones.values():
            until(lambda zone=zone: vm(zone, 1) == (3, 3), "probe runs")

    def before_oneflow_081(self) -> None:
        self.drop(13)

    def before_oneflow_096(self) -> None:
        until(lambda: body(self.a, 15)["state"] == 1, "15 deploys")

    def before_oneflow_099(self) -> None:
        until(lambda: body(self.a, 15)["state"] == 2, "15 runs")

    def before_xmlrpc_004(self) -> None:
        until(lambda: vm(self.a, 15) == (3, 3), "VM 15 runs")

    def before_oneflow_144(self) -> None:
        until(lambda: body(self.a, 21)["state"] == 7, "21 failed")

    def before_oneflow_152(self) -> None:
        admin(self.a, "POST", "/vm-faults", {"step": "boot", "match": r"app_0_\(service_23\)"})

    def before_oneflow_158(self) -> None:
        until(lambda: body(self.a, 23)["state"] == 2, "23 runs")

    def before_oneflow_159(self) -> None:
        admin(self.a, "POST", "/vm-faults", {"step": "boot", "match": r"app_1_\(service_23\)"})

    def before_oneflow_167(self) -> None:
        until(lambda: body(self.a, 23)["roles"][0]["cardinality"] == 1, "a node is gone")

    def before_xmlrpc_016(self) -> None:
        update = 'ENDPOINT="http://127.0.0.12:2633/RPC2"\nONEFLOW_ENDPOINT="http://127.0.0.12:2474"'
        live = f'ENDPOINT="{self.b.one.federation.endpoint}"\nONEFLOW_ENDPOINT="http://127.0.0.12:2474"'
        assert update.count("\n") == live.count("\n")
        one(self.a, "one.zone.update", 100, live, 1)

    def before_xmlrpc_105(self) -> None:
        template = self.a.store.get("template", 2)
        template.template.replace("DESCRIPTION", "d")
        self.a.store.put(template)

    def before_xmlrpc_106(self) -> None:
        self.counters(vm=69)

    def before_xmlrpc_108(self) -> None:
        until(lambda: vm(self.a, 69) == (6, 0), "VM 69 is done")

    def before_xmlrpc_119(self) -> None:
        admin(self.a, "POST", "/components", {"name": "oned", "state": "stopped"})

    def before_xmlrpc_124(self) -> None:
        admin(self.a, "POST", "/components", {"name": "oned", "state": "running"})

    def before_oneflow_197(self) -> None:
        admin(self.c, "POST", "/components", {"name": "oned", "state": "stopped"})

    def before_oneflow_200(self) -> None:
        admin(self.c, "POST", "/components", {"name": "oned", "state": "running"})

    def before_onegate_001(self) -> None:
        role: dict[str, t.Any] = {"name": "app", "type": "vm", "cardinality": 1, "template_id": 0}
        self.counters(document=54)
        flow(self.a, "POST", "/service_template", {"name": "q", "roles": [{**role, "user_inputs": {"V": "M|text|x"}}]})
        self.counters(document=129, vm=70)
        contents = {"CONTEXT": {"REPORT_READY": "YES", "TOKEN": "YES"}}
        gated = {"name": "gatesvc", "ready_status_gate": True, "roles": [{**role, "template_contents": contents}]}
        assert flow(self.a, "POST", "/service_template", gated)[0] == 201
        merge = {"action": {"perform": "instantiate", "params": {"merge_template": {"name": "og"}}}}
        assert flow(self.a, "POST", "/service_template/129/action", merge)[1]["DOCUMENT"]["ID"] == "130"
        until(lambda: self.a.store.get("vm", 70) and vm(self.a, 70) == (3, 3), "VM 70 runs")

    def before_onegate_016(self) -> None:
        until(lambda: body(self.a, 130)["state"] == 2, "130 runs")

    def before_oneflow_214(self) -> None:
        until(lambda: body(self.a, 23)["state"] == 10, "23 cools down")
        self.drop(130)

    def before_oneflow_216(self) -> None:
        self.counters(vm=73)

    def before_oneflow_226(self) -> None:
        until(lambda: body(self.a, 136)["roles"][0].get("nodes"), "136 has a VM")

    def before_oneflow_236(self) -> None:
        admin(self.a, "POST", "/vm-faults", {"step": "terminate", "match": r"service_137\)", "times": 1000})

    def before_oneflow_238(self) -> None:
        until(lambda: vm(self.a, 75) == (3, 3), "VM 75 refused")

    def before_xmlrpc_125(self) -> None:
        """Zone b: three gated services, of which the first two are opened by an update."""
        admin(self.b, "POST", "/counters", {"document": 8, "vm": 6})
        role = {"name": "app", "type": "vm", "cardinality": 1, "template_id": 0}
        flow(self.b, "POST", "/service_template", {"name": "gated", "ready_status_gate": True, "roles": [role]})
        for document, number in ((9, 6), (10, 7), (13, 8)):
            admin(self.b, "POST", "/counters", {"document": document, "vm": number})
            flow(self.b, "POST", "/service_template/8/action", {"action": {"perform": "instantiate"}})
            until(lambda number=number: self.b.store.get("vm", number), f"VM {number} is there")

    def after_xmlrpc_125(self) -> None:
        assert body(self.b, 9)["state"] == 1, "an update in XML does not open the gate at once"
        until(lambda: body(self.b, 9)["state"] == 2, "the poll opens the gate")

    def after_xmlrpc_126(self) -> None:
        until(lambda: body(self.b, 10)["state"] == 2, "NOTREADY=YES opens the gate")

    def after_oneflow_245(self) -> None:
        assert body(self.b, 13)["state"] == 1

    def after_oneflow_246(self) -> None:
        until(lambda: body(self.b, 13) is None, "13 is gone")

    def before_oneflow_247(self) -> None:
        for kind in ("template", "image", "vnet"):
            entity = self.a.store.get(kind, 0)
            entity.mode = "644"
            self.a.store.put(entity)
        self.counters(document=145, vm=81)

    def before_oneflow_256(self) -> None:
        self.counters(vm=82)
        self.drop(134, 139, 140)

    def after_oneflow_264(self) -> None:
        assert body(self.a, 148)["state"] == 7

    def before_oneflow_266(self) -> None:
        recover = {"action": {"perform": "recover", "params": {"delete": True}}}
        assert flow(self.a, "POST", "/service/148/action", recover)[0] == 204
        until(lambda: body(self.a, 148)["state"] == 12, "148 waits for a network that never was")


class Replay:
    def __init__(self, zones: dict[str, t.Any]) -> None:
        self.zones, self.story = zones, Story(zones)
        self.addresses: dict[str, str] = {}  # live host:port -> recorded host:port
        for letter, zone in zones.items():
            for api, port in PORTS.items():
                self.addresses[f"127.0.0.1:{zone.ports[api]}"] = f"{HOSTS[letter]}:{port}"
        self.times: dict[str, str] = {}  # recorded registration time -> live one

    # -- requests -----------------------------------------------------------------------------------------------
    def send(self, recording: Recording) -> tuple[int, dict[str, str], str]:
        zone = self.zones[recording.zone]
        headers = {name: value for name, value in recording.headers.items() if name not in ("Host", "Content-Length")}
        if user := re.match(r"Basic <(\w+):", headers.get("Authorization", "")):
            password = "wrong" if recording.key in WRONG else PASSWORD
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user.group(1)}:{password}".encode()).decode()
        if recording.kind == "onegate" and headers.get("X-ONEGATE-TOKEN", "").endswith("=="):
            headers["X-ONEGATE-TOKEN"] = token(zone, 70)
        text = recording.body
        if recording.kind == "xmlrpc" and recording.key in WRONG:
            text = text.replace("oneadmin:***", "oneadmin:wrong")
        if recording.kind == "oneflow":
            text = self._current(recording, text)
        for live, recorded in self.addresses.items():
            if recording.kind == "xmlrpc":
                text = text.replace(recorded, live)
        connection = http.client.HTTPConnection("127.0.0.1", zone.ports[recording.kind], timeout=10)
        try:
            connection.request(recording.verb, recording.path, text.encode() or None, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def _current(self, recording: Recording, text: str) -> str:
        """Put the live times into a document that is sent back whole."""
        for recorded, live in self.times.items():
            text = text.replace(f'"registration_time": {recorded}', f'"registration_time": {live}')
        if recording.verb == "PUT" and recording.path.startswith("/service/") and '"log"' in text:
            sent, current = json.loads(text), body(self.zones[recording.zone], int(recording.path.split("/")[2]))
            text = json.dumps({**sent, **{name: current[name] for name in ("registration_time", "start_time", "log")}})
        return text

    # -- comparison ---------------------------------------------------------------------------------------------
    def check(self, recording: Recording) -> str:
        """Send the request; return what differs, or ''."""
        name = recording.key.replace("/", "_")
        getattr(self.story, f"before_{name}", lambda: None)()
        differs = self._attempt(recording)
        if differs and (recording.is_state or recording.key in SETTLES):
            try:
                until(lambda: not self._attempt(recording), seconds=3)
                differs = ""
            except AssertionError:
                differs = self._attempt(recording)
        getattr(self.story, f"after_{name}", lambda: None)()
        return differs

    def _attempt(self, recording: Recording) -> str:
        status, headers, text = self.send(recording)
        if recording.key in LAG:
            return self._lag(recording, text)
        if status != recording.status:
            return f"status {status} instead of {recording.status}: {text[:300]}"
        wanted, got = (self._headers(found) for found in (recording.answer_headers, headers))
        if wanted != got:
            return f"headers {got} instead of {wanted}"
        left, right = normal(recording.kind, recording.answer, {}), normal(recording.kind, text, self.addresses)
        self._learn(recording.answer, text)
        if left == right:
            return ""
        lines = (re.sub(r"(?=&lt;(?!/))|(?<=,)", "\n", side).splitlines() for side in (left, right))
        return "\n".join(list(difflib.unified_diff(*lines, "recorded", "live", lineterm="", n=1))[:40])

    @staticmethod
    def _lag(recording: Recording, text: str) -> str:
        gone = "via-slave" if recording.key == "xmlrpc/050" else "&lt;K&gt;"
        if gone in recording.answer or gone in text:
            return f"{gone} is there at once"
        return ""

    @staticmethod
    def _headers(headers: dict[str, str]) -> dict[str, str]:
        return {name.lower(): value for name, value in headers.items() if name.lower() not in _IGNORED_HEADERS}

    def _learn(self, recorded: str, live: str) -> None:
        times = (re.findall(r'"registration_time": (\d+)', side) for side in (recorded, live))
        self.times.update(zip(*times, strict=False))


_TIMES = "STIME|ETIME|LAST_POLL|TIMESTAMP|REGTIME|PSTIME|PETIME|RSTIME|RETIME|ESTIME|EETIME"
_MONITORING = "CPU|DISKRDBYTES|DISKRDIOPS|DISKWRBYTES|DISKWRIOPS|MEMORY|NETRX|NETTX"
_XML = (
    (rf"&lt;({_TIMES})&gt;(&lt;!\[CDATA\[)?[1-9]\d*", r"&lt;\1&gt;\2<time>"),
    (r"&lt;(HOSTNAME)&gt;(&lt;!\[CDATA\[)?dummy-[abc]\d", r"&lt;\1&gt;\2<host>"),
    (r"&lt;HID&gt;\d", "&lt;HID&gt;<hid>"),
    (r"&lt;ACTION_ID&gt;\d", "&lt;ACTION_ID&gt;<place in the scheduler's plan>"),
    (r"&lt;REQUEST_ID&gt;\d+", "&lt;REQUEST_ID&gt;<request>"),
    (r"&lt;DEPLOY_ID&gt;dummy-[abc]\d", "&lt;DEPLOY_ID&gt;<host>"),
    (r"&lt;(FEDLOG_INDEX)&gt;\d+", r"&lt;\1&gt;<index>"),
    (r"&lt;(UUID|TOKEN_PASSWORD|PASSWORD)&gt;&lt;!\[CDATA\[[^\]]*", r"&lt;\1&gt;<random>"),
    (r"10\.1[12]\.0\.(?!1\b)\d+", "<lease>"),
    (r"02:00:0a:0[bc]:00:[0-9a-f]{2}", "<mac>"),
    (r"\w{3} \w{3} +\d+ [\d:]{8} \d{4}: DEPLOY: dummy-[abc]\d", "<date>: DEPLOY: <host>"),
    (r"at line \d+", "at line <line>"),
)
_JSON = (
    (r'"((?:registration|start)_time|timestamp)": ?[1-9]\d{8,}', r'"\1": <time>'),
    (r"at line \d+", "at line <line>"),
)
_GATE = (
    (rf'"({_TIMES})":"[1-9]\d*"', r'"\1":"<time>"'),
    (r'"DEPLOY_ID":"dummy-[abc]\d', '"DEPLOY_ID":"<host>'),
    (r'"HOSTNAME":"dummy-[abc]\d","HID":"\d"', '"HOSTNAME":"<host>"'),
    (r'"UUID":"[^"]*"', '"UUID":"<random>"'),
    (r"10\.1[12]\.0\.(?!1\b)\d+", "<lease>"),
    (r"02:00:0a:0[bc]:00:[0-9a-f]{2}", "<mac>"),
)


def normal(kind: str, text: str, addresses: dict[str, str]) -> str:
    """Return an answer without what cannot be the same twice."""
    for live, recorded in addresses.items():
        text = text.replace(live, recorded)
    for pattern, replacement in {"xmlrpc": _XML, "oneflow": _JSON, "onegate": _GATE}[kind]:
        text = re.sub(pattern, replacement, text)
    if kind == "xmlrpc":
        start, end = text.find("&lt;MONITORING&gt;"), text.find("&lt;/MONITORING&gt;")
        if 0 <= start < end:
            text = text[:start] + re.sub(rf"(&lt;(?:{_MONITORING})&gt;&lt;!\[CDATA\[)\d+", r"\1<n>", text[start:end]) + text[end:]
    if kind == "onegate" and '"MONITORING"' in text:
        text = re.sub(
            r'"MONITORING":\{[^}]*\}', lambda found: re.sub(rf'("(?:{_MONITORING})":)"\d+"', r"\1<n>", found.group()), text
        )
    return text.replace("\r\n", "\n").strip()


def replay(folder: Path, report: Callable[[str], None] = lambda line: None) -> dict[str, str]:
    """Return what differs by key of the recording, '' where nothing does."""
    base = {"name": "base", "image": "alpine", "cpu": "0.1", "memory": 64, "vcpu": 1, "nic": "private"}
    with running() as (runner, _):
        zones: dict[str, t.Any] = {}
        for letter, name, number in (("a", "OpenNebula", 0), ("b", "zone-b", 100), ("c", "zone-c", 101)):
            more = {"master": f"http://127.0.0.1:{zones['a'].ports['xmlrpc']}/RPC2"} if zones else {}
            role = "slave" if zones else "master"
            net = f"10.{11 + 'abc'.index(letter)}.0"
            seed = {
                "vnets": [
                    {
                        "name": "private",
                        "bridge": "br0",
                        "first_ip": f"{net}.10",
                        "size": 200,
                        "fixed": [],
                        "mask": "255.255.255.0",
                        "gateway": f"{net}.1",
                    }
                ],
                "vm_templates": [base],
            }
            hosts = [f"dummy-{letter}1", f"dummy-{letter}2"]
            gate = f"http://{HOSTS[letter]}:5030"
            settings = config(folder, name, number, role, hosts=hosts, onegate_endpoint=gate, seed=seed, **more)
            zones[letter] = runner.start(settings)[0]
        until(
            lambda: all(zone.store.value("fedlog") and len(list(zone.store.all("zone"))) == 3 for zone in zones.values()),
            "the federation stands",
        )
        run = Replay(zones)
        run.story.begin()
        differences: dict[str, str] = {}
        for recording in all_recordings():
            try:
                differences[recording.key] = run.check(recording)
            except Exception as error:  # a broken step must not hide the rest
                differences[recording.key] = f"{type(error).__name__}: {error}"
            report(f"{recording.key} {recording.name}: {differences[recording.key] or 'ok'}")
        return differences
