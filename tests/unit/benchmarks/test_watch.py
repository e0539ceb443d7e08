# SPDX-License-Identifier: GPL-3.0-or-later
"""When a VM counts as busy with a change."""

from __future__ import annotations

from benchmarks.follow import watch
from benchmarks.follow.appliance import attributes, settings

SETTING = settings.KEEPALIVE_TIME


def says(value: str, digest: str, ready: str = settings.YES) -> dict[str, str]:
    return {SETTING: value, attributes.SETTINGS_DIGEST: digest, attributes.READY: ready}


def test_a_vm_is_busy_from_the_writing_until_it_is_ready_with_other_settings() -> None:
    seen = watch.Watch(SETTING)
    story = [
        (1.0, says("60", "old")),
        (2.0, says("30", "old")),
        (3.0, says("30", "")),
        (4.0, says("30", "new", settings.NO)),
        (5.0, says("30", "new")),
        (9.0, says("30", "new")),
    ]
    for now, found in story:
        seen.see("vm", now, found)
    assert seen.intervals == {"vm": (2.0, 5.0)} and not seen.unfinished


def test_a_vm_that_nobody_changed_is_not_busy_and_one_that_never_takes_it_up_is_told() -> None:
    seen = watch.Watch(SETTING)
    for now in (1.0, 2.0):
        seen.see("same", now, says("60", "old"))
        seen.see("stuck", now, says("60" if now == 1.0 else "30", "old"))
    assert not seen.intervals and seen.unfinished == ["stuck"]


def test_times_that_overlap_count_once() -> None:
    assert watch.union([(5.0, 6.0), (1.0, 3.0), (2.0, 4.0), (2.5, 2.6)]) == [(1.0, 4.0), (5.0, 6.0)]
