# SPDX-License-Identifier: GPL-3.0-or-later
"""federation_lock: one run at a time, whoever is killed."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import errors, processes
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import federation_lock

from tests.contract.contract_run import clients, run_task, until

pytestmark = pytest.mark.usefixtures("clean")
ELSEWHERE = {"host": "another", "boot_id": "another boot", "pid": "1", "started": "1"}


@pytest.fixture
def mine():
    return processes.identity(os.getpid())


@pytest.fixture
def asleep():
    """Start a process that lives until it is killed or the test ends."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def lock(run, name, mine):
    """lock(...) as this process, by default."""

    def call(**options):
        given = {"name": name("lock"), "holder": "this run", "identity": mine, **options}
        return run("federation_lock", **given)

    return call


@pytest.fixture
def read(run, name):
    return lambda: run("federation_zone_info", service=name("s"), lock=name("lock"))["lock"]


def test_it_is_taken_and_given_back(lock, read, mine, twice, name):
    taken = twice("federation_lock", name=name("lock"), holder="this run", identity=mine)
    assert taken["lock"]["holder"] == "this run" and taken["lock"].items() >= mine.items()
    assert read() == taken["lock"] and read()["left_behind"] is False
    gone = twice("federation_lock", name=name("lock"), state="absent", identity=mine)
    assert gone["lock"] == {} and read() == {}


def test_no_vm_can_be_made_of_it(lock, oned):
    number = lock()["lock"]["id"]
    attributes = oned.call("template.info", number, False, False)["TEMPLATE"]
    assert "no VM template" in attributes["DESCRIPTION"] and not {"CPU", "MEMORY"} & set(attributes)


def test_another_run_is_refused_and_told_whose_it_is(lock, read):
    held = lock(holder="deploy.yml by anna on ctl2", identity=ELSEWHERE)["lock"]
    refused = lock(fails=True)
    assert refused["error"]["kind"] == "locked" and refused["changed"] is False
    assert "deploy.yml by anna on ctl2, since 20" in refused["msg"] and "on another" in refused["msg"]
    assert "force=true" in refused["error"]["hint"] and refused["lock"] == held
    foretold = lock(check=True)
    assert foretold["changed"] is True and "anna" in foretold["_warnings"][0]
    kept = lock(state="absent", fails=True)
    assert kept["error"]["kind"] == "locked" and read() == held
    assert lock(state="absent", force=True)["changed"] and read() == {}
    lock(identity=ELSEWHERE)
    assert lock(force=True)["lock"]["holder"] == "this run"


def test_it_waits_until_the_other_run_ends(lock, name, target):
    lock(holder="the first", identity=ELSEWHERE)
    given_back = {"name": name("lock"), "state": "absent", "identity": ELSEWHERE}
    timer = threading.Timer(0.5, run_task, ("federation_lock", target.a, target), given_back)
    timer.start()
    taken = lock(wait_timeout=30)
    timer.join()
    assert taken["lock"]["holder"] == "this run"
    assert len(taken["_progress"]) == 1 and taken["_progress"][0].startswith("waits for the run of the first, since ")


def test_the_lock_of_a_killed_run_is_taken_over_at_once(lock, read, asleep):
    killed = processes.identity(asleep.pid)
    lock(holder="the killed one", identity=killed)
    assert lock(fails=True)["error"]["kind"] == "locked", "it lives"
    asleep.kill()
    until(lambda: read()["left_behind"], "it has ended")
    assert lock(check=True)["_warnings"] == []
    taken = lock()
    assert taken["changed"] and taken["lock"]["holder"] == "this run"
    assert "the run of the killed one" in taken["_progress"][0] and "has ended" in taken["_progress"][0]


@pytest.mark.parametrize("other", [{"host": "another"}, {"boot_id": "another"}])
def test_of_a_process_elsewhere_nobody_knows(lock, asleep, other):
    lock(identity={**processes.identity(asleep.pid), **other})
    asleep.kill()
    asleep.wait()
    assert lock(fails=True)["lock"]["left_behind"] is False


def test_a_pid_that_another_process_has_now_is_no_excuse(lock, mine):
    lock(holder="an old one", identity={**mine, "started": "1"})
    assert lock()["lock"]["holder"] == "this run"


def test_many_at_once_one_gets_it(name, target, asleep):
    """All of them find the lock of a killed run, and may remove it; still only one of them is the next."""
    killed = processes.identity(asleep.pid)
    run_task("federation_lock", target.a, target, name=name("lock"), holder="killed", identity=killed)
    asleep.kill()
    asleep.wait()
    results = []

    def take(number):
        identity = {**ELSEWHERE, "pid": str(number)}
        task = {"name": name("lock"), "holder": f"run {number}", "identity": identity}
        results.append(run_task("federation_lock", target.a, target, **task))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([result for result in results if not result.get("failed")]) == 1
    assert {result["error"]["kind"] for result in results if result.get("failed")} == {"locked"}


def test_a_lock_of_another_owner_counts(lock, target, name, second):
    """oned lets every owner have the name: the lower id was first. Here the other lock comes while ours is being made."""
    lock(**second)
    refused = lock(identity=ELSEWHERE, fails=True)
    assert refused["error"]["kind"] == "locked"


def test_the_lower_id_of_two_owners_wins(lock, name, oned, second, target, monkeypatch):
    allocate = federation_lock._allocate

    def and_somebody_is_quicker(params, session, mine):
        monkeypatch.setattr(federation_lock, "_allocate", allocate)
        task = {"name": name("lock"), "holder": "the quicker one", "identity": ELSEWHERE, **second}
        assert run_task("federation_lock", target.a, target, **task)["changed"]
        return allocate(params, session, mine)

    monkeypatch.setattr(federation_lock, "_allocate", and_somebody_is_quicker)
    refused = lock(fails=True)
    assert refused["lock"]["holder"] == "the quicker one"
    names = [entry["NAME"] for entry in clients(target.a)[0].call("templatepool.info", -2, -1, -1)["VMTEMPLATE"]]
    assert names.count(name("lock")) == 1, "ours is removed again"


@pytest.mark.parametrize("options", [{"name": "a/b"}, {"name": "a<b"}, {"holder": " "}])
def test_what_is_refused(lock, options):
    assert lock(**options, fails=True)["error"]["kind"] == "invalid_request"


@pytest.mark.lab
def test_a_lost_answer_leaves_a_lock_of_ones_own(lock, target):
    target.a.lab.faults.add({"api": "oned", "match": "template.allocate", "kind": "cut", "times": 1})
    cut = lock(fails=True)
    assert cut["error"]["kind"] == "unreachable" and cut["changed"] is True
    assert lock()["changed"] is False, "running the task again finds it done"


def test_one_that_is_quicker_is_waited_for(lock, name, target, monkeypatch):
    """It takes the lock between our look and our attempt."""
    read = federation_lock._read

    def and_somebody_is_quicker(params, session):
        found = read(params, session)
        monkeypatch.setattr(federation_lock, "_read", read)
        run_task("federation_lock", target.a, target, name=name("lock"), holder="the quicker one", identity=ELSEWHERE)
        return found

    monkeypatch.setattr(federation_lock, "_read", and_somebody_is_quicker)
    refused = lock(fails=True)
    assert refused["error"]["kind"] == errors.Locked.kind and refused["lock"]["holder"] == "the quicker one"
