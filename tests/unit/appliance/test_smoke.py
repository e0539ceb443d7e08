# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from oneflower_appliance.smoke.rows import rows
from oneflower_smoke import model


@pytest.fixture
def partitions(tmp_path):
    loaded = []
    for number in range(4):
        path = tmp_path / f"{number}.csv"
        path.write_text(rows(number))
        loaded.append(model.load(path))
    return loaded


def rounds(partitions, taking_part, number):
    weights, losses = np.zeros(4), []
    for _round in range(number):
        replies = []
        for index in taking_part:
            held = np.bincount(partitions[index][0], minlength=4).astype(float)
            replies.append((model.train(weights, *partitions[index]), held))
        weights = model.aggregate(weights, replies)
        losses.append(float(np.mean([model.loss(weights, *held) for held in partitions])))
    return losses


def test_three_rounds_bring_the_loss_near_zero(partitions):
    losses = rounds(partitions, range(4), 3)
    assert losses[0] > 3 * losses[1] > 9 * losses[2]
    assert losses[-1] < 0.05


def test_one_partition_missing_shows(partitions):
    losses = rounds(partitions, [0, 1, 3], 10)
    assert losses[-1] > 0.5


def test_two_supernodes_with_the_same_partition_average(partitions):
    weights = np.zeros(4)
    one = np.array([0, 2.0, 0, 0]), np.array([0, 100.0, 0, 0])
    other = np.array([0, 4.0, 0, 0]), np.array([0, 300.0, 0, 0])
    assert model.aggregate(weights, [one, other]).tolist() == [0, 3.5, 0, 0]


def test_empty_file_is_a_fault(tmp_path):
    (tmp_path / "empty.csv").write_text("feature,x,y\n")
    with pytest.raises(ValueError, match="holds no rows"):
        model.load(tmp_path / "empty.csv")


def test_rows_are_deterministic_and_of_one_feature_only():
    assert rows(3) == rows(3) != rows(4)
    lines = rows(3).splitlines()
    assert lines[0] == "feature,x,y"
    assert {line.split(",")[0] for line in lines[1:]} == {"3"}
