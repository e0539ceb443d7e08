# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab zone as a process: start, kill, restart, several zones in one, faults, the federation."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from pathlib import Path

import pytest

from lab.zone import harness as zones

ROOT = Path(__file__).resolve().parents[3]
ROLE = {"name": "app", "type": "vm", "cardinality": 1, "template_id": 0}


class Process:
    """A `python -m lab.zone`; looks like a Zone to the functions of zones.py."""

    def __init__(self, folder: Path, *names: str, **more):
        self.folder, self.files = folder, []
        (folder / "one_auth").write_text(f"oneadmin:{zones.PASSWORD}\n")
        free = iter(free_ports(4 * len(names)))
        for number, name in enumerate(names):
            ports = {api: next(free) for api in ("xmlrpc", "oneflow", "onegate", "admin")}
            raw = {
                "name": name,
                "zone_id": 0,
                "role": "standalone",
                "auth_file": str(folder / "one_auth"),
                "database": str(folder / f"{name}.db"),
                "listen": {api: ["127.0.0.1", port] for api, port in ports.items()},
                "onegate_endpoint": "http://127.0.0.1:5030",
                "timings": zones.FAST,
                "seed": {
                    "vnets": [{"name": "lan", "bridge": "lan", "first_ip": "10.0.0.100", "size": 50}],
                    "vm_templates": [{"name": "base", "nic": "lan"}],
                },
                **more,
            }
            file = folder / f"{number}.json"
            file.write_text(json.dumps(raw))
            self.files.append(file)
            if number == 0:
                self.ports = ports
        self.start()

    def start(self):
        arguments = [argument for file in self.files for argument in ("--config", str(file))]
        self.process = subprocess.Popen([sys.executable, "-m", "lab.zone", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(10) == 0
        self.process.stdout.close()


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]
    finally:
        for found in sockets:
            found.close()


@pytest.fixture
def process(tmp_path):
    made = []

    def make(*names, **more):
        made.append(Process(tmp_path, *names, **more))
        return made[-1]

    yield make
    for found in made:
        found.end()


def create(zone, **more):
    body = {"name": "s", "roles": [ROLE], **more}
    template = zones.flow(zone, "POST", "/service_template", body)[1]["DOCUMENT"]["ID"]
    action = {"action": {"perform": "instantiate"}}
    return int(zones.flow(zone, "POST", f"/service_template/{template}/action", action)[1]["DOCUMENT"]["ID"])


def test_killed_zone_goes_on_where_it_was(process):
    zone = process("kill")
    zones.one(zone, "one.user.allocate", "alice", zones.PASSWORD, "core", [1])
    gated = create(zone, ready_status_gate=True)
    zones.until(lambda: zones.body(zone, gated)["state"] == 1, "DEPLOYING")
    going = create(zone)
    zone.kill()
    zone.start()
    zones.until(lambda: zones.body(zone, going)["state"] == 2, "the other service comes up after the restart")
    assert zones.body(zone, gated)["state"] == 1
    vm = zones.body(zone, gated)["roles"][0]["nodes"][0]["deploy_id"]
    assert len(zones.body(zone, gated)["roles"][0]["nodes"]) == 1
    zones.one(zone, "one.vm.update", vm, "READY=YES", 1)
    zones.until(lambda: zones.body(zone, gated)["state"] == 2, "the gate opens")
    assert "READY" in zones.one(zone, "one.vm.info", vm)
    assert "alice" in zones.one(zone, "one.userpool.info")
    assert zones.flow(zone, "DELETE", f"/service/{going}")[0] == 204
    zone.kill()
    zone.start()
    zones.until(lambda: zones.body(zone, going) is None, "the deletion is finished after the restart")
    assert int(zones.flow(zone, "POST", "/service_template", {"name": "n", "roles": []})[1]["DOCUMENT"]["ID"]) > going


def test_killed_again_and_again_while_it_deploys(process):
    zone = process("again")
    service = create(zone, roles=[{**ROLE, "cardinality": 3}])
    for pause in (0.0, 0.02, 0.05, 0.08):
        time.sleep(pause)
        zone.kill()
        zone.start()
    body = zones.until(lambda: (body := zones.body(zone, service))["state"] == 2 and body, "RUNNING")
    nodes = [node["deploy_id"] for node in body["roles"][0]["nodes"]]
    assert len(nodes) == len(set(nodes)) == 3
    for vm in nodes:
        zones.until(lambda vm=vm: "<STATE>3</STATE><LCM_STATE>3</LCM_STATE>" in zones.one(zone, "one.vm.info", vm), "runs")


def test_database_is_private(process, tmp_path):
    process("private")
    assert os.stat(tmp_path / "private.db").st_mode & 0o077 == 0


def test_many_zones_in_one_process(process):
    names = [f"zone-{number}" for number in range(20)]
    start = time.monotonic()
    process(*names)
    assert time.monotonic() - start < 10


def test_bad_configuration_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown keys: colour"):
        zones.config(tmp_path, "bad", colour="red")
    with pytest.raises(ValueError, match="a slave needs the URL of its master"):
        zones.config(tmp_path, "bad", 100, "slave")
    with pytest.raises(ValueError, match="unknown timings: never"):
        zones.config(tmp_path, "bad", timings={"never": 1})


# -- faults -------------------------------------------------------------------------------------------------------
@pytest.fixture
def zone(tmp_path):
    with zones.running(zones.config(tmp_path, "faulty")) as (_, (zone,)):
        yield zone


def test_faults_come_and_go(zone):
    def fault(**rule):
        assert zones.admin(zone, "POST", "/faults", {"api": "oneflow", "times": 1, **rule})[0] == 200

    fault(kind="status", status=503, body="busy", match="^GET /service$")
    assert zones.flow(zone, "GET", "/service_template")[0] == 200
    assert zones.flow(zone, "GET", "/service") == (503, "busy")
    assert zones.flow(zone, "GET", "/service")[0] == 200
    fault(kind="html")
    assert zones.flow(zone, "GET", "/service") == (502, "<html><body><h1>502 Bad Gateway</h1></body></html>")
    fault(kind="slow", seconds=0.3)
    start = time.monotonic()
    assert zones.flow(zone, "GET", "/service")[0] == 200
    assert time.monotonic() - start >= 0.3
    fault(kind="redirect", location="/service_template")
    connection = http.client.HTTPConnection("127.0.0.1", zone.ports["oneflow"])
    connection.request("GET", "/service")
    assert (answer := connection.getresponse()).status == 302 and answer.headers["Location"] == "/service_template"
    connection.close()
    fault(kind="cut")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        zones.flow(zone, "GET", "/service")
    fault(kind="silent")
    with pytest.raises(TimeoutError):
        quick = http.client.HTTPConnection("127.0.0.1", zone.ports["oneflow"], timeout=0.3)
        quick.request("GET", "/service")
        quick.getresponse()
    quick.close()
    fault(kind="garbage", times=5)
    with pytest.raises(UnicodeDecodeError):
        zones.flow(zone, "GET", "/service")
    assert zones.admin(zone, "DELETE", "/faults") == (200, [])
    assert zones.flow(zone, "GET", "/service")[0] == 200
    assert zones.admin(zone, "POST", "/faults", {"api": "nothing", "kind": "cut"})[0] == 400


def test_fault_of_one_xmlrpc_method(zone):
    zones.admin(zone, "POST", "/faults", {"api": "oned", "kind": "status", "match": "^one.vm.info$"})
    assert zones.one(zone, "one.zonepool.info")
    with pytest.raises(Exception, match="500"):
        zones.one(zone, "one.vm.info", 0)


def test_stopped_oned_looks_like_bad_credentials(zone):
    zones.admin(zone, "POST", "/components", {"name": "oned", "state": "stopped"})
    assert zones.flow(zone, "GET", "/service") == (401, "Invalid credentials")
    with pytest.raises(ConnectionRefusedError):
        zones.one(zone, "one.zonepool.info")
    zones.admin(zone, "POST", "/components", {"name": "oneflow", "state": "stopped"})
    with pytest.raises(urllib.error.URLError):
        zones.flow(zone, "GET", "/service")
    for name in ("oned", "oneflow"):
        zones.admin(zone, "POST", "/components", {"name": name, "state": "running"})
    assert zones.flow(zone, "GET", "/service")[0] == 200


# -- federation ---------------------------------------------------------------------------------------------------
def test_slave_started_before_its_master_joins_later(tmp_path):
    port = free_ports(1)[0]
    master = zones.config(tmp_path, "zone-a", 0, "master")
    master.listen["xmlrpc"] = ("127.0.0.1", port)
    slave = zones.config(tmp_path, "zone-b", 100, "slave", master=f"http://127.0.0.1:{port}/RPC2")
    with zones.running() as (runner, _):
        b = runner.start(slave)[0]
        assert "zone-a" not in zones.one(b, "one.zonepool.info")
        a = runner.start(master)[0]
        zones.until(lambda: "zone-a" in zones.one(b, "one.zonepool.info"), "the slave has joined")
        assert zones.one(b, "one.zone.allocate", 'NAME="x"\nENDPOINT="http://127.0.0.1:1/RPC2"') == 101
        zones.until(lambda: "<NAME>x</NAME>" in zones.one(b, "one.zonepool.info"), "it is replicated")
        zones.one(a, "one.zone.update", 100, 'X="y"', 0)  # wipes the ENDPOINT: zone-b is cut off
        zones.one(a, "one.zone.rename", 101, "renamed")
        time.sleep(0.5)
        assert "renamed" not in zones.one(b, "one.zonepool.info")
        runner.stop(b)
        b = runner.start(slave)[0]
        assert "<NAME>x</NAME>" in zones.one(b, "one.zonepool.info"), "a slave keeps what it had"


def test_a_slave_cannot_change_its_own_record_without_the_master(tmp_path):
    with zones.running() as (runner, _):
        a = runner.start(zones.config(tmp_path, "zone-a", 0, "master"))[0]
        master = zones.url(a, "xmlrpc", "/RPC2")
        b = runner.start(zones.config(tmp_path, "zone-b", 100, "slave", master=master))[0]
        zones.until(lambda: "zone-a" in zones.one(b, "one.zonepool.info"), "the slave has joined")
        assert zones.one(b, "one.zone.addserver", 100, 'SERVER=[NAME="s1", ENDPOINT="http://127.0.0.1:1/RPC2"]') == 100
        assert "<NAME><![CDATA[s1]]></NAME>" in zones.one(a, "one.zone.info", 100)
        assert zones.one(b, "one.zone.delserver", 100, 0) == 100
        assert "<SERVER_POOL></SERVER_POOL>" in zones.one(a, "one.zone.info", 100)
        zones.admin(a, "POST", "/components", {"name": "oned", "state": "stopped"})
        with pytest.raises(AssertionError, match="Could not connect to the federation master oned"):
            zones.one(b, "one.zone.enable", 100, False)
        assert "<STATE>0</STATE>" in zones.one(b, "one.zone.info", 100)


def test_a_new_auth_file_is_honoured(tmp_path):
    settings = zones.config(tmp_path, "auth")
    with zones.running() as (runner, _):
        zone = runner.start(settings)[0]
        runner.stop(zone)
        (tmp_path / "one_auth").write_text("oneadmin:other\n")
        zone = runner.start(settings)[0]
        assert zones.one(zone, "one.system.version", session="oneadmin:other") == "7.4.0"
        with pytest.raises(AssertionError, match="couldn't be authenticated"):
            zones.one(zone, "one.system.version")
