# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps from one service to its successor, from any state in which a run may have been killed."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.handover import (
    Add,
    End,
    Resize,
    Side,
    Take,
    free_numbers,
    next_step,
)


def side(*numbers, born=(), going=False):
    return Side(numbers, frozenset(born), going)


def walked(source, target, wanted, planned):
    """Carry all steps out, as OneFlow and the appliance would: [(VMs of both, numbers held)], and what is left."""
    seen = []
    for _step in range(100):
        step = next_step(source, target, wanted, planned)
        if step is None:
            return seen, target
        if isinstance(step, Add):
            born = target.born if target else {step.number}
            own = sorted(set(born) - set(target.partitions)) if target else [step.number]
            taken = own[0] if own else free_numbers(planned, source, target)[0]
            assert taken == step.number
            target = Side((*(target.partitions if target else ()), taken), frozenset(born))
            assert step.vms == len(target.partitions)
        elif isinstance(step, Take):
            source = Side(source.partitions[1:], source.born)
            assert step.vms == len(source.partitions)
        elif isinstance(step, End):
            source = None
        else:
            target = Side(target.partitions[-step.vms :], target.born)
        held = [number for one in (source, target) if one for number in one.partitions if number is not None]
        assert len(set(held)) == len(held), "no number is held twice"
        seen.append(len(held))
    raise AssertionError("it never ends")


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1, 4))))
def test_never_more_than_one_is_missing_and_the_numbers_stay(order):
    seen, target = walked(side(*order, born=(0, 1, 4)), None, 3, [0, 1, 4])
    assert sorted(target.partitions) == [0, 1, 4] and seen == [2, 3, 2, 3, 2, 3]
    assert target.partitions == order, "each takes the number that became free"


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_what_was_begun_is_finished(moved):
    """The run was killed after so many VMs of the successor were made, before or after the next one of the old service went."""
    for gone in (moved - 1, moved):
        old = side(*range(moved, 3)) if moved < 3 else None
        new = side(*range(gone), born=(0,)) if gone else None
        if old is None and new is None:
            continue
        seen, target = walked(old, new, 3, range(3))
        assert sorted(target.partitions) == [0, 1, 2] and min(seen, default=3) >= 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("moved", [1, 2, 3])
def test_going_back_makes_no_number_twice(order, moved):
    """A VM that is added to the first service takes the lowest number of those that it was made with, whoever has it elsewhere."""
    old, new = side(*order[moved:], born=range(4)), side(*order[:moved], born=order[:1])
    seen, target = walked(new, old, 4, range(4))
    assert sorted(target.partitions) == [0, 1, 2, 3] and min(seen) >= 4 - moved - 1


@pytest.mark.parametrize("wanted", [1, 2, 3, 5])
def test_the_site_gets_the_vms_that_it_is_to_have(wanted):
    seen, target = walked(side(0, 1, 2), None, wanted, range(max(wanted, 3)))
    assert len(target.partitions) == wanted and min(seen) >= min(wanted, 3) - 1


def test_a_pin_elsewhere_moves_every_number():
    _seen, target = walked(side(0, 1), None, 2, [1, 2])
    assert sorted(target.partitions) == [1, 2]


@pytest.mark.parametrize(
    ("source", "target", "step"),
    [
        (side(0, 1, going=True), None, End()),
        (side(), side(0), End()),
        (side(0), side(1, born=(1,)), End()),
        (side(None, 0), side(1, born=(1,)), Take(1)),
        (None, side(0, 1, 2, born=(0,)), Resize(2)),
        (None, side(0, born=(0,)), Add(1, 2)),
        (None, side(0, 1, born=(0,)), None),
        (None, None, Add(0, 1)),
        (None, side(0, born=(0, 7)), None),
    ],
)
def test_each_state_has_its_step(source, target, step):
    assert next_step(source, target, 2, [0, 1]) == step
