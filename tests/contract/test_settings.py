# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_settings and flower_settings_info. No guest runs here: the test answers in the place of the VM's appliance."""

from __future__ import annotations

import base64
import hashlib
import threading
import time

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_settings
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.template_text import render_template

from tests.contract.contract_run import until

pytestmark = pytest.mark.usefixtures("clean")
DER = b"a certificate, as far as this test goes"
PEM = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(DER) + b"\n-----END CERTIFICATE-----\n"
CA = settings.format_pem(PEM)
FINGERPRINT = f"sha256:{hashlib.sha256(DER).hexdigest()}"
BORN = {settings.SUPERLINK_ADDRESS: "10.0.0.5:9092", settings.CA_CERTIFICATE: CA, settings.PARTITIONS: "0-1"}
VALUES = {key: value for key, value in BORN.items() if key != settings.PARTITIONS}


@pytest.fixture
def site(run, name, target):
    """Make a training site of two VMs, as the federation's roles do; return the ids of its VMs."""
    role = {
        "name": settings.SUPERNODE,
        "template_id": target.a.vm_template,
        "cardinality": 2,
        "user_inputs": settings.user_inputs(settings.SUPERNODE),
    }
    run("oneflow_template", name=name("s"), template={"roles": [role]})
    given = [{"name": settings.SUPERNODE, "user_inputs_values": BORN}]
    made = run("oneflow_service", name=name("s"), template_name=name("s"), roles=given)
    return [node["vm_id"] for node in made["service"]["roles"][0]["nodes"]]


@pytest.fixture
def publish(oned):
    """publish(vm, NAME=value) as the appliance does."""
    return lambda vm, given: oned.vm_update(vm, render_template(given))


def works(role=settings.SUPERNODE, values=None, **more):
    """Return what a VM of the appliance publishes that works with the values."""
    return {attributes.SETTINGS_DIGEST: settings.digest(role, values or VALUES), attributes.READY: "YES", **more}


@pytest.fixture
def appliance(oned, publish):
    """Play the appliance of VMs: once a user attribute is there, publish what works with these settings, VM by VM."""
    threads = []

    def play(vms, name, value, published):
        def answer():
            for vm in vms:
                until(lambda vm=vm: oned.vm(vm)["USER_TEMPLATE"].get(name) == value, f"{name} is written to VM {vm}", 30)
            for vm in vms:
                publish(vm, published)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()

    yield play
    for thread in threads:
        thread.join()


def test_settings_are_written_and_waited_for(run, name, site, publish, appliance):
    for vm in site:
        publish(vm, works())
    read = {"service": name("s")}
    assert run("flower_settings", **read, values=VALUES)["changed"] is False, "the inputs of its birth are in force"
    new = {**VALUES, settings.KEEPALIVE_TIME: "30", settings.LOG_LEVEL: "INFO"}
    plan = run("flower_settings", **read, values=new, check=True)
    assert plan["changed"] is True and [entry["in_force"] for entry in plan["vms"]] == [False, False]
    differing = {settings.KEEPALIVE_TIME: {"before": "60", "after": "30"}}
    assert [entry["differing"] for entry in plan["vms"]] == [differing, differing], "a default that is given is no difference"
    appliance(site, settings.KEEPALIVE_TIME, "30", works(values=new))
    done = run("flower_settings", **read, values=new, wait_timeout=30)
    assert done["changed"] is True and done["diff"] == plan["diff"]
    assert [(entry["vm_id"], entry["role"], entry["differing"], entry["in_force"]) for entry in done["vms"]] == [
        (vm, settings.SUPERNODE, differing, True) for vm in site
    ]
    assert any("settings in force in 0/2 VMs, waits for VM" in line for line in done["_progress"])
    again = run("flower_settings", **read, values=new)
    assert again["changed"] is False and again["diff"] == {"before": {}, "after": {}}
    back = run("flower_settings", **read, values=VALUES, check=True)
    assert back["vms"][0]["differing"] == {settings.KEEPALIVE_TIME: {"before": "30", "after": "60"}}, "no value is the default"


def test_only_what_differs_is_written_and_all_before_any_is_waited_for(run, name, site, oned, publish):
    publish(site[0], {settings.LOG_LEVEL: "DEBUG"})
    before = [oned.vm(vm)["USER_TEMPLATE"] for vm in site]
    written = run("flower_settings", service=name("s"), values={**VALUES, settings.LOG_LEVEL: "DEBUG"}, wait=False)
    after = [oned.vm(vm)["USER_TEMPLATE"] for vm in site]
    assert after == [before[0], {**before[1], settings.LOG_LEVEL: "DEBUG"}]
    assert [bool(entry["differing"]) for entry in written["vms"]] == [False, True] and written["changed"]


def test_certificates_are_shown_by_their_fingerprints(run, name, site):
    other = settings.format_pem(PEM.replace(base64.b64encode(DER), base64.b64encode(DER + b"2")))
    plan = run("flower_settings", service=name("s"), values={**VALUES, settings.CA_CERTIFICATE: other}, check=True)
    change = plan["vms"][0]["differing"][settings.CA_CERTIFICATE]
    assert change["before"] == FINGERPRINT and change["after"] == f"sha256:{hashlib.sha256(DER + b'2').hexdigest()}"
    assert CA not in str(plan) and other not in str(plan)
    info = run("flower_settings_info", service=name("s"))
    assert info["vms"][0]["settings"][settings.CA_CERTIFICATE] == FINGERPRINT


def test_partitions_go_to_those_who_hold_none(run, name, site, publish, oned):
    publish(site[0], {attributes.PARTITION: "1"})
    done = run("flower_settings", service=name("s"), values=VALUES, partitions="1-2", wait=False)
    change = {settings.PARTITIONS: {"before": "0-1", "after": "1-2"}}
    assert [entry["differing"] for entry in done["vms"]] == [{}, change]
    assert [oned.vm(vm)["USER_TEMPLATE"][settings.PARTITIONS] for vm in site] == ["0-1", "1-2"]


def test_what_is_read(run, name, site, publish):
    publish(site[1], works(**{attributes.PARTITION: "7"}))
    found = run("flower_settings_info", service=name("s"))
    assert found["changed"] is False and [entry["vm_id"] for entry in found["vms"]] == site
    first, second = found["vms"]
    assert (first["digest"], first["ready"], first["partition"]) == ("", False, "")
    assert (second["digest"], second["ready"], second["partition"]) == (settings.digest(settings.SUPERNODE, VALUES), True, "7")
    assert set(first["settings"]) == {entry.name for entry in settings.of_role(settings.SUPERNODE) if entry.live}
    assert first["settings"][settings.SUPERLINK_ADDRESS] == "10.0.0.5:9092" and first["settings"][settings.KEEPALIVE_TIME] == "60"


def test_it_names_the_vm_that_is_late(run, name, site, publish):
    publish(site[0], works())
    late = run("flower_settings", service=name("s"), values=VALUES, wait_timeout=0.3, fails=True)
    assert late["error"]["kind"] == "timeout" and late["changed"] is False
    assert f"VM {site[1]} " in late["msg"] and "is not ready" in late["msg"] and f"VM {site[0]}" not in late["msg"]
    assert [entry["in_force"] for entry in late["vms"]] == [True, False]
    publish(site[1], {attributes.SETTINGS_DIGEST: "0" * 16, attributes.READY: "YES"})
    assert "other settings" in run("flower_settings", service=name("s"), values=VALUES, wait_timeout=0, fails=True)["msg"]


def test_a_new_complaint_ends_the_wait(run, name, site, publish):
    publish(site[0], works())
    publish(site[1], {attributes.ERROR: "no route to the SuperLink"})
    begin = time.monotonic()
    failed = run("flower_settings", service=name("s"), values=VALUES, wait_timeout=60, fails=True)
    assert failed["error"]["kind"] == "failed_state" and "no route to the SuperLink" in failed["msg"]
    assert time.monotonic() - begin < 30, "at once, not at the deadline"
    late = run("flower_settings", service=name("s"), values=VALUES, settling=60, wait_timeout=0.3, fails=True)
    assert late["error"]["kind"] == "timeout", "what it complains of is being changed, so that ends no wait"


def test_an_old_complaint_is_told_at_the_deadline_only(run, name, site, publish):
    """What the VM said before the run is older than the run's change."""
    publish(site[0], works())
    publish(site[1], {attributes.ERROR: "no route to the SuperLink; no partition"})
    before = {str(site[1]): "no partition; no route to the SuperLink; a cured one"}
    late = run("flower_settings", service=name("s"), values=VALUES, failures_before=before, wait_timeout=0.3, fails=True)
    assert late["error"]["kind"] == "timeout"
    assert f"VM {site[1]} says: no route to the SuperLink; no partition" in late["msg"]
    assert any(f"VM {site[1]} says: no route" in line for line in late["_progress"])
    publish(site[1], {attributes.ERROR: "no partition; something new"})
    failed = run("flower_settings", service=name("s"), values=VALUES, failures_before=before, wait_timeout=60, fails=True)
    assert "something new" in failed["msg"] and "no partition" not in failed["msg"]


def test_what_a_vm_said_when_it_was_written_to_is_old(run, name, site, publish, appliance):
    for vm in site:
        publish(vm, {attributes.ERROR: "the SuperLink's certificate is not trusted"})
    new = {**VALUES, settings.SUPERLINK_ADDRESS: "10.0.0.6:9092"}
    appliance(site, settings.SUPERLINK_ADDRESS, "10.0.0.6:9092", works(values=new))
    done = run("flower_settings", service=name("s"), values=new, wait_timeout=30)
    assert all(entry["in_force"] for entry in done["vms"])


def test_a_vm_that_is_down_ends_the_wait(run, name, site, publish, oned, target):
    publish(site[0], works())
    oned.call("vm.action", "poweroff-hard", site[1])
    until(lambda: oned.vm(site[1])["STATE"] == "8", "it is off", target.wait)
    failed = run("flower_settings", service=name("s"), values=VALUES, wait_timeout=60, fails=True)
    assert failed["error"]["kind"] == "failed_state" and f"VM {site[1]} " in failed["msg"] and "POWEROFF" in failed["msg"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"values": {**VALUES, settings.KEEPALIVE_TIME: "5"}}, "10 to 7200"),
        ({"values": {**VALUES, settings.KEEPALIVE_TIME: "20"}}, "must be less than"),
        ({"values": {**VALUES, settings.EXTRA_SAN: "DNS:x"}}, "supernode has no such setting"),
        ({"values": {**VALUES, settings.VERSION: "1.39.0"}}, "no live setting"),
        ({"values": {**VALUES, settings.PARTITIONS: "1"}}, "option partitions"),
        ({"values": {}}, "is mandatory and has no value"),
        ({"values": VALUES, "partitions": "2-1"}, "numbers and ranges"),
        ({"values": VALUES, "failures_before": {"x": "y"}}, "no id of a VM"),
    ],
)
def test_what_is_refused_before_anything_is_written(run, name, site, oned, options, says):
    before = [oned.vm(vm)["USER_TEMPLATE"] for vm in site]
    for check in (True, False):
        refused = run("flower_settings", service=name("s"), **options, check=check, fails=True)
        assert refused["error"]["kind"] == "invalid_request" and says in refused["msg"] and refused["changed"] is False
    assert [oned.vm(vm)["USER_TEMPLATE"] for vm in site] == before


def test_a_service_of_something_else(run, name, template):
    run("oneflow_service", name=name("s"), template_id=template())
    for module, options in (("flower_settings", {"values": {}}), ("flower_settings_info", {})):
        refused = run(module, service=name("s"), **options, fails=True)
        assert refused["error"]["kind"] == "not_found" and settings.SUPERNODE in refused["msg"]


@pytest.mark.lab
def test_settings_that_were_not_written(run, name, site, target):
    target.a.lab.faults.add({"api": "oned", "match": "vm.update", "kind": "lie", "times": 2})
    values = {**VALUES, settings.KEEPALIVE_TIME: "30"}
    lied = run("flower_settings", service=name("s"), values=values, wait_timeout=10, fails=True)
    assert "although the server reported success" in lied["msg"] and settings.KEEPALIVE_TIME in lied["msg"]
    target.a.lab.faults.rules.clear()


@pytest.mark.lab
def test_it_takes_few_calls(run, name, site, target, publish):
    for vm in site:
        publish(vm, works())
    requests = target.a.lab.faults.requests
    requests.clear()
    run("flower_settings", service=name("s"), values=VALUES)
    assert len(requests) <= 3, list(requests)


def test_the_wait_says_again_since_when(run, name, site, monkeypatch):
    from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import waiting

    monkeypatch.setattr(waiting, "REPEAT", 0.1)
    monkeypatch.setattr(flower_settings, "INTERVAL", 0.05)
    late = run("flower_settings", service=name("s"), values=VALUES, wait_timeout=0.6, fails=True)
    first, *more = late["_progress"]
    assert "since" not in first and more and all(line.startswith(f"{first}, since ") and line.endswith(" s)") for line in more)
