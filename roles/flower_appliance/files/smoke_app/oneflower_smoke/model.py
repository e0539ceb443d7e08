# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic, without Flower: a linear model with one weight per partition.

A partition's rows hold its own feature only, so its SuperNode can learn one weight and no other; the loss over all
partitions comes near zero only when every one of them took part.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

# Local gradient steps per round and their rate: one round leaves about 40 % of a weight's error, 16 % of its loss.
STEPS, RATE = 4, 0.1


def load(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a partition file: feature number, x and y of each row. Raises ValueError for a file without rows."""
    with path.open(newline="") as handle:
        rows = [(int(row["feature"]), float(row["x"]), float(row["y"])) for row in csv.DictReader(handle)]
    if not rows:
        raise ValueError(f"{path} holds no rows")
    feature, x, y = zip(*rows, strict=True)
    return np.array(feature), np.array(x), np.array(y)


def loss(weights: np.ndarray, feature: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared error of the model on the rows."""
    return float(np.mean((weights[feature] * x - y) ** 2))


def train(weights: np.ndarray, feature: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights after STEPS steps of gradient descent on the rows."""
    weights = weights.copy()
    for _step in range(STEPS):
        error = weights[feature] * x - y
        gradient, count = np.zeros_like(weights), np.bincount(feature, minlength=len(weights))
        np.add.at(gradient, feature, 2 * error * x)
        weights -= RATE * gradient / np.maximum(count, 1)
    return weights


def aggregate(weights: np.ndarray, replies: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return new weights: each the mean over the SuperNodes that hold rows of its feature, weighted with their row counts.

    `replies` are (weights, rows per feature); a weight nobody holds rows of stays as it is.
    """
    total = sum((rows for _weights, rows in replies), np.zeros_like(weights))
    summed = sum((learned * rows for learned, rows in replies), np.zeros_like(weights))
    return np.where(total > 0, summed / np.maximum(total, 1), weights)
