# SPDX-License-Identifier: GPL-3.0-or-later
"""The SuperLink's own database, read: its nodes and the runs under way (about 1 ms; the flwr command takes 1 s).

Flower notes that a node is offline, or that a run has died, only when somebody asks it, so the time that each is good for is
looked at as well, exactly as Flower does. Tables and columns as in Flower 1.37 to 1.39.
"""

from __future__ import annotations

import datetime
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

# A node that never connected is in the table too; one that was unregistered stays there, and counts no more.
NODES = "SELECT node_id, status = 'online' AND online_until > ? FROM node WHERE status != 'unregistered'"
# The state of a run is that of its first task. One that is running and has lost its heartbeat has failed, and so has one that
# began before the SuperLink did: its process died with the former one. A claim that was never taken up goes back to the queue.
RUNS = """SELECT COUNT(*) FROM run JOIN task ON task.task_id = run.primary_task_id WHERE task.finished_at IS NULL
AND NOT (task.running_at IS NOT NULL AND task.token IS NOT NULL AND task.active_until < ?)
AND (task.running_at IS NULL OR task.running_at >= ?)"""


@dataclass(frozen=True)
class State:
    """The nodes that are registered, by id, each with whether it is online, and the number of runs not finished."""

    nodes: dict[str, bool]
    runs: int


def _stamp(seconds: float) -> str:
    """Return a time as Flower writes it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(sep=" ")


def read(database: Path, since: float = 0.0, now: float | None = None) -> State | None:
    """Return the state at `now`; None while the database does not tell.

    `since` is when the SuperLink that runs was started. Both in seconds since 1970.
    """
    at = time.time() if now is None else now
    try:
        # mode=ro cannot create the file and takes no write lock.
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0.2)
        try:
            nodes = connection.execute(NODES, (at,)).fetchall()
            (runs,) = connection.execute(RUNS, (_stamp(at), _stamp(since))).fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return None
    # SQLite has signed numbers only.
    return State({str(int(node) & (2**64 - 1)): bool(online) for node, online in nodes}, int(runs))
