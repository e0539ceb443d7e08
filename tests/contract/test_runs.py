# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_run: the controller asks, the VM answers with attributes; here the test answers in its place."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance.attributes import RUN_REQUEST, Run, RunRequest

from tests.contract.contract_run import KEPT, run_task, until

DONE = Run(status="finished", round=2, rounds=2, losses=[0.5, 0.25], nodes=4, partitions=[3, 1, 1], seconds=21.5)


@pytest.fixture(scope="module")
def vm(target):
    body = {"roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 1}]}
    run_task("oneflow_template", target.a, target, name=KEPT + "runs", template=body)
    made = run_task("oneflow_service", target.a, target, name=KEPT + "runs", template_name=KEPT + "runs")
    return made["service"]["roles"][0]["nodes"][0]["vm_id"]


@pytest.fixture(autouse=True)
def quiet(run, vm):
    """Make sure that the VM has never been asked for a run."""
    yield
    run("one_vm_attributes", vm_id=vm, state="absent", attributes=dict.fromkeys([RUN_REQUEST, *DONE.format()]))


@pytest.fixture
def requested(oned, vm):
    return lambda: oned.vm(vm)["USER_TEMPLATE"].get(RUN_REQUEST, "")


@pytest.fixture
def publish(run, vm):
    return lambda state: run("one_vm_attributes", vm_id=vm, attributes=state.format())


@pytest.fixture
def answered(requested, publish):
    """Publish these states of the run as soon as it is asked for, as the VM does, while the task follows it."""
    threads = []

    def start(*states):
        def answer():
            asked = RunRequest.parse(until(requested, "the run is asked for"))
            for state in states:
                publish(dataclasses.replace(state, id=asked.id, rounds=asked.rounds))

        threads.append(threading.Thread(target=answer))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def test_a_run_is_asked_for_and_followed(run, vm, requested, answered):
    planned = run("flower_run", vm_id=vm, rounds=2, check=True)
    assert planned["changed"] and planned["run"]["status"] == "requested" and requested() == ""
    answered(dataclasses.replace(DONE, status="running", losses=[0.5]), DONE)
    done = run("flower_run", vm_id=vm, rounds=2, partitions=5, wait_timeout=20)
    assert RunRequest.parse(requested()).partitions == 5, "every SuperNode learns of as many"
    assert done["changed"] and done["run"] == {
        "id": RunRequest.parse(requested()).id,
        "status": "finished",
        "rounds": 2,
        "losses": [0.5, 0.25],
        "nodes": 4,
        "partitions": [1, 3],
        "seconds": 21.5,
    }
    assert set(planned["run"]) == set(done["run"])
    assert done["_progress"] == ["round 1 of 2: loss 0.500000", "round 2 of 2: loss 0.250000"]
    assert run("flower_run", vm_id=vm)["changed"] is False, "a finished run is told about"
    assert run("flower_run", vm_id=vm, again=True, check=True)["changed"] is True


def test_a_run_under_way_is_followed(run, vm, publish, oned):
    oned.vm_update(vm, f'{RUN_REQUEST}="{RunRequest("7", rounds=2).format()}"')
    late = run("flower_run", vm_id=vm, wait_timeout=0, fails=True)
    assert late["error"]["kind"] == "timeout" and late["changed"] is False
    publish(dataclasses.replace(DONE, id="7", status="running"))
    assert run("flower_run", vm_id=vm, check=True)["run"]["status"] == "running"
    publish(dataclasses.replace(DONE, id="7"))
    assert run("flower_run", vm_id=vm)["run"]["id"] == "7"


def test_a_failed_run_says_why(run, vm, answered):
    answered(Run(status="failed", losses=[0.5], error="no SuperNode is online"))
    failed = run("flower_run", vm_id=vm, wait_timeout=20, fails=True)
    assert failed["error"]["kind"] == "failed_state" and failed["changed"] is True
    assert "failed after round 1: no SuperNode is online" in failed["msg"]


@pytest.mark.parametrize("options", [{"rounds": 0}, {"rounds": 10000}, {"vm_id": 2**31}])
def test_what_is_refused(run, vm, options):
    assert run("flower_run", **{"vm_id": vm, **options}, fails=True)["error"]["kind"] == "invalid_request"
