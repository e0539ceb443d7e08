# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes are unregistered when; tests/lab/appliance does it in Flower."""

import json

import pytest
from oneflower_appliance import forget

from tests.unit.appliance.test_run import FakeSubmission


class FakeFlwr:
    def __init__(self):
        self.asked, self.call = [], None

    def unregister(self, node):
        self.asked.append(node)
        self.call = FakeSubmission(json.dumps({"success": True, "node-id": int(node)}))
        return self.call


@pytest.fixture
def world():
    class World:
        now, flwr, log = 0.0, FakeFlwr(), []

        def tick(self, asked, registered, serving=True):
            return self.forgetting.tick(asked, registered, serving=serving)

        def finish(self, out=None):
            self.flwr.call.out = self.flwr.call.out if out is None else out
            self.flwr.call.done = True

    world = World()
    world.forgetting = forget.Forgetting(world.flwr, world.log.append, lambda: world.now)
    return world


def test_one_after_the_other_and_each_once(world):
    world.tick("7,8,9", {"7": True, "9": False})
    assert (world.flwr.asked, world.forgetting.busy) == (["7"], True)
    world.tick("7,8,9", {"7": True, "9": False})
    assert world.flwr.asked == ["7"]
    world.finish()
    world.tick("7,8,9", {"9": False})
    assert world.flwr.asked == ["7", "9"]
    world.finish()
    for _turn in range(3):
        assert world.tick("7,8,9", {}) is None
    assert (world.flwr.asked, world.forgetting.busy) == (["7", "9"], False)


def test_waits_until_the_superlink_serves(world):
    world.tick("7", {"7": False}, serving=False)
    assert (world.flwr.asked, world.forgetting.busy) == ([], True)
    world.tick("7", {"7": False})
    assert world.flwr.asked == ["7"]


def test_a_failure_is_tried_again_and_told_when_it_lasts(world):
    fault = None
    for _second in range(60):
        assert fault is None or world.now > 45
        fault = world.tick("7", {"7": False})
        if world.flwr.call:
            world.finish('{"success": false, "error-message": "no such node"}')
        world.now += 1
    assert fault.startswith("FL_NODES_FORGET: node 7 cannot be unregistered") and "no such node" in fault
    assert 5 < len(world.flwr.asked) < 15
    # Gone by another way, or not asked for any more: no fault is left.
    world.tick("7", {})
    assert world.tick("7", {}) is None


def test_a_command_that_hangs_is_ended(world):
    world.tick("7", {"7": False})
    world.flwr.call.out = ""
    hanging = world.flwr.call
    world.now += 61
    world.tick("7", {"7": False})
    assert hanging.killed
    world.now += 6
    world.tick("7", {"7": False})
    assert world.flwr.asked == ["7", "7"]
