# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs killed at random moments of a settings change, a scale-up and a removal: the next run finishes, a further one changes nothing.

ONEFLOWER_KILLED_RUNS is how many are killed, 3 without it: one of each kind. ONEFLOWER_KILLED_SEED begins another series of moments.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.lab.follow import NOTHING, Follow, children, compare_settled, differing, variant

RUNS = int(os.environ.get("ONEFLOWER_KILLED_RUNS", "3"))
SEED = int(os.environ.get("ONEFLOWER_KILLED_SEED", "7"))


def two_supernodes(inventory) -> None:
    children(inventory, "training_sites")["zone-b"]["federation_supernodes"] = 2


FULL = variant()
# What is killed: (playbook, inventory, arguments), and the inventory that is deployed afterwards to be where it began.
KINDS = {
    "settings": ("deploy", variant(federation_keepalive_time=30, federation_keepalive_timeout=10), ()),
    "scale-up": ("deploy", variant(two_supernodes), ()),
    "removal": ("remove_site", FULL, ("-e", "site=zone-c")),
}


@pytest.fixture(scope="module")
def follow(lab, tmp_path_factory):
    lab.lab("image")
    lab.lab("down")
    lab.lab("up")
    instance = Follow(lab, tmp_path_factory.mktemp("killed"))
    instance.run("deploy", instance.write(FULL))
    yield instance
    lab.lab("down")


@pytest.fixture(scope="module")
def lasting(follow):
    """How long the last whole run of each kind took, in seconds; each begins with a guess."""
    return dict.fromkeys(KINDS, 12.0)


MOMENTS = [(number, list(KINDS)[number % len(KINDS)]) for number in range(RUNS)]


@pytest.mark.parametrize(("number", "kind"), MOMENTS, ids=[f"{number}-{kind}" for number, kind in MOMENTS])
def test_the_next_run_finishes_what_a_killed_one_began(follow, lasting, number, kind):
    playbook, inventory, arguments = KINDS[kind]
    path = follow.write(inventory)
    # The plan takes the first second of a run, and touches nothing.
    moment = 1 + random.Random(SEED * 1000 + number).random() * lasting[kind]
    before = follow.world()
    process = follow.background(playbook, path, *arguments)
    time.sleep(moment)
    finished = process.poll() is not None
    if not finished:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    output = follow.printed.read_text()
    where = [line for line in output.splitlines() if line.startswith(("PLAY [", "TASK ["))][-1:]
    print(f"{kind} {'was over before' if finished else 'killed'} at {moment:.1f} s in {where}")
    started = time.monotonic()
    follow.run(playbook, path, *arguments)
    lasting[kind] = max(6.0, time.monotonic() - started)
    rest = path if playbook == "deploy" else follow.write(variant(without="c"))
    again = follow.run("deploy", rest)
    assert NOTHING in again and differing(again) == set(), again[-3000:]
    after = follow.world()
    compare_settled(before, after, gone="c" if kind == "removal" else "")
    if kind == "settings":
        (superlink,) = after.of_site("a").values()
        sites = [vm for site in "bc" for vm in after.of_site(site).values()]
        assert all(vm.started > superlink.started for vm in sites), "a site was restarted before the SuperLink ran again"
    follow.run("deploy", follow.write(FULL))
