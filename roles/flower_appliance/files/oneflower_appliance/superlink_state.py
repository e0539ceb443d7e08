# SPDX-License-Identifier: GPL-3.0-or-later
"""The SuperLink's own database, read: how many SuperNodes are online (about 1 ms; the flwr command takes 1 s).

Flower sets a node to "offline" only when somebody asks it, so the time a node is good for is looked at as well, exactly
as Flower does. Table and columns as in Flower 1.37 to 1.39.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path


def nodes_online(database: Path, now: float | None = None) -> int | None:
    """Return the number of SuperNodes online at `now` (seconds since 1970); None while the database does not tell."""
    try:
        # mode=ro cannot create the file and takes no write lock.
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0.2)
        try:
            row = connection.execute(
                "SELECT COUNT(*) FROM node WHERE status = 'online' AND online_until > ?", (now or time.time(),)
            ).fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return None
    return int(row[0])
