# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest
from oneflower_appliance import training


class FakeSubmission:
    def __init__(self, out="", err=""):
        self.out, self.err, self.done, self.killed = out, err, False, False

    def poll(self):
        return 0 if self.done else None

    def communicate(self):
        return self.out, self.err

    def kill(self):
        self.killed = True


class FakeFlwr:
    def __init__(self):
        self.submitted, self.submission, self.answer = [], FakeSubmission(json.dumps({"run-id": "77"})), ("running", "")

    def submit(self, identifier, rounds, nodes):
        self.submitted.append((identifier, rounds, nodes))
        return self.submission

    def status(self, run_id):
        return self.answer


@pytest.fixture
def world(paths):
    class World:
        now, flwr, log = 0.0, FakeFlwr(), []

    world = World()
    world.paths = paths
    world.make = lambda: training.Training(paths, world.flwr, world.log.append, clock=lambda: world.now)
    world.training = world.make()
    return world


def progress(world, identifier, **state):
    state = {"status": "running", "round": 0, "losses": [], "partitions": [], "nodes": 0, "seconds": 1.0, "error": "", **state}
    (world.paths.runs / f"{identifier}.json").write_text(json.dumps(state))


def tick(world, request="r1 rounds=2", serving=True):
    world.training.tick(request, serving=serving)
    return world.training.attributes()


def test_requests():
    assert training.parse_request("17 rounds=5") == ("17", 5, 1)
    assert training.parse_request("17") == ("17", 3, 1)
    assert training.parse_request("17 nodes=4 rounds=1") == ("17", 1, 4)
    for text in ("../x", "17 rounds=0", "17 rounds=x", "17 rounds=3;reboot", "17 color=red", "x" * 65):
        with pytest.raises(ValueError, match="FL_RUN_REQUEST"):
            training.parse_request(text)


def test_a_run_from_request_to_result(world):
    assert tick(world)["FL_RUN_STATUS"] == "running"
    assert world.flwr.submitted == [("r1", 2, 1)]
    world.flwr.submission.done = True
    assert tick(world)["FL_RUN_ROUND"] == "0"
    progress(world, "r1", round=1, losses=[0.5], partitions=[3, 0, 1, 2], nodes=4, seconds=7.04)
    attributes = tick(world)
    assert (attributes["FL_RUN_ROUND"], attributes["FL_RUN_LOSS"], attributes["FL_RUN_PARTITIONS"]) == ("1", "0.500000", "0,1,2,3")
    progress(world, "r1", status="finished", round=2, losses=[0.5, 0.01], partitions=[0, 1, 2, 3], nodes=4, seconds=14.0)
    attributes = tick(world)
    assert attributes == {
        "FL_RUN_ID": "r1",
        "FL_RUN_STATUS": "finished",
        "FL_RUN_ROUND": "2",
        "FL_RUN_ROUNDS": "2",
        "FL_RUN_LOSS": "0.500000,0.010000",
        "FL_RUN_NODES": "4",
        "FL_RUN_PARTITIONS": "0,1,2,3",
        "FL_RUN_ERROR": "",
        "FL_RUN_SECONDS": "14.0",
    }


def test_one_request_one_run(world):
    tick(world)
    world.flwr.submission.done = True
    progress(world, "r1", status="finished", round=2, losses=[1, 0])
    for _turn in range(5):
        tick(world)
    world.training = world.make()
    tick(world)
    assert len(world.flwr.submitted) == 1
    tick(world, "r2 rounds=1")
    assert len(world.flwr.submitted) == 2


def test_waits_until_the_superlink_serves(world):
    assert tick(world, serving=False) == {}
    assert world.flwr.submitted == []


def test_followed_across_a_restart_of_the_agent(world):
    tick(world)
    world.flwr.submission.done = True
    tick(world)
    world.training = world.make()
    progress(world, "r1", status="finished", round=2, losses=[1, 0])
    assert tick(world)["FL_RUN_STATUS"] == "finished"


def test_refused_submission(world):
    tick(world)
    world.flwr.submission.out, world.flwr.submission.err, world.flwr.submission.done = (
        "",
        "Connection to the SuperLink failed",
        True,
    )
    attributes = tick(world)
    assert attributes["FL_RUN_STATUS"] == "failed"
    assert "Connection to the SuperLink failed" in attributes["FL_RUN_ERROR"]


def test_submission_that_hangs(world):
    tick(world)
    world.now += 61
    assert tick(world)["FL_RUN_STATUS"] == "failed"
    assert world.flwr.submission.killed


def test_run_that_dies_is_noticed(world):
    tick(world)
    world.flwr.submission.done = True
    tick(world)
    world.flwr.answer = ("finished:failed", "out of memory")
    assert tick(world)["FL_RUN_STATUS"] == "running"
    world.now += 21
    assert "out of memory" in tick(world)["FL_RUN_ERROR"]


def test_failure_told_by_the_app(world):
    tick(world)
    world.flwr.submission.done = True
    progress(world, "r1", status="failed", error="TimeoutError: 1 of 4 SuperNodes online")
    assert tick(world)["FL_RUN_ERROR"] == "TimeoutError: 1 of 4 SuperNodes online"


def test_rubbish_in_the_progress_file_is_no_progress(world):
    tick(world)
    world.flwr.submission.done = True
    (world.paths.runs / "r1.json").write_text('{"round": "x"')
    assert tick(world)["FL_RUN_STATUS"] == "running"
