# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows a SuperNode of the smoke test holds: made once, on that VM, from its partition number. Deterministic."""

from __future__ import annotations

import math
import random

ROWS = 100


def rows(partition: int) -> str:
    """Return the CSV of one partition: only its own feature, and y = weight * x with a little noise (x has variance 1)."""
    source = random.Random(partition)
    weight = 1.0 + 0.5 * (partition % 7)
    lines = ["feature,x,y"]
    for _row in range(ROWS):
        x = source.uniform(-math.sqrt(3), math.sqrt(3))
        lines.append(f"{partition},{x:.6f},{weight * x + source.gauss(0, 0.01):.6f}")
    return "\n".join(lines) + "\n"
