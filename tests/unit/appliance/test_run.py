# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest
from oneflower_appliance.smoke import run


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

    def submit(self, app, run_config):
        self.submitted.append((app.name, run_config))
        return self.submission

    def status(self, run_id):
        return self.answer


@pytest.fixture
def world(paths):
    class World:
        now, flwr, log = 0.0, FakeFlwr(), []

    world = World()
    world.paths = paths
    world.make = lambda: run.Runs(paths, world.flwr, world.log.append, clock=lambda: world.now)
    world.runs = world.make()
    return world


def progress(world, identifier, **state):
    state = {"status": "running", "round": 0, "losses": [], "partitions": [], "nodes": 0, "seconds": 1.0, "error": "", **state}
    (world.paths.runs / f"{identifier}.json").write_text(json.dumps(state))


def tick(world, request="r1 rounds=2", serving=True, active=1):
    world.runs.tick(request, serving=serving, active=active)
    return world.runs.attributes()


def test_a_run_from_request_to_result(world):
    assert tick(world)["FL_RUN_STATUS"] == "running"
    assert world.flwr.submitted == [("smoke_app", 'rounds=2 nodes=1 num-partitions=0 request="r1"')]
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
    world.runs = world.make()
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
    world.runs = world.make()
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


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (("running", ""), "the SuperLink was restarted while the run was under way"),
        (("finished:stopped", "by somebody"), "Flower says finished:stopped: by somebody; its journal has more"),
    ],
)
def test_a_run_that_flower_has_no_more_is_noticed_soon(world, answer, error):
    tick(world)
    world.flwr.submission.done = True
    tick(world)
    world.flwr.answer = answer
    for active in (0, None, 0, 1, 0):
        assert tick(world, active=active)["FL_RUN_STATUS"] == "running"
        world.now += 2
    world.now += 2
    told = tick(world, active=0)
    assert (told["FL_RUN_STATUS"], told["FL_RUN_ERROR"]) == ("failed", error)
    # The next one has its own time.
    tick(world, "r2", active=0)
    assert tick(world, "r2", active=0)["FL_RUN_STATUS"] == "running"


def test_what_the_app_wrote_last_counts_although_flower_has_ended_the_run(world):
    tick(world)
    world.flwr.submission.done = True
    tick(world)
    tick(world, active=0)
    world.now += 60
    progress(world, "r1", status="finished", round=2, losses=[1, 0])
    assert tick(world, active=0)["FL_RUN_STATUS"] == "finished"


def test_failure_told_by_the_app(world):
    tick(world)
    world.flwr.submission.done = True
    progress(world, "r1", status="failed", error="TimeoutError: 1 of 4 SuperNodes online")
    assert tick(world)["FL_RUN_ERROR"] == "TimeoutError: 1 of 4 SuperNodes online"


def test_a_request_that_cannot_be_read_fails_once_and_submits_nothing(world):
    told = tick(world, "r1 color=red")
    assert (told["FL_RUN_ID"], told["FL_RUN_STATUS"]) == ("r1", "failed")
    assert "color=red" in told["FL_RUN_ERROR"]
    tick(world, "r1 color=red")
    assert world.log == [f"run r1: failed {told['FL_RUN_ERROR']}"]
    assert world.flwr.submitted == []


@pytest.mark.parametrize("kept", ["", "[]", "null", '{"id": "r0"', '{"id": "r0", "colour": "red"}'])
def test_a_damaged_memory_of_the_last_run_is_none(world, kept):
    (world.paths.state / "run.json").write_text(kept)
    world.runs = world.make()
    assert world.runs.attributes() == {}
    assert tick(world)["FL_RUN_STATUS"] == "running"


def test_rubbish_in_the_progress_file_is_no_progress(world):
    tick(world)
    world.flwr.submission.done = True
    (world.paths.runs / "r1.json").write_text('{"round": "x"')
    assert tick(world)["FL_RUN_STATUS"] == "running"
    # The app's user writes that file, and the agent is root: a round without a loss must not end the agent.
    progress(world, "r1", round=1, losses=[])
    assert tick(world)["FL_RUN_ROUND"] == "0"
    progress(world, "r1", status="finished", round=1, losses=[0.5])
    assert tick(world)["FL_RUN_STATUS"] == "finished"
