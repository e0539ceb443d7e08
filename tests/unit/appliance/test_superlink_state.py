# SPDX-License-Identifier: GPL-3.0-or-later
import sqlite3

import pytest
from oneflower_appliance import superlink_state

# 2026-11-28 12:00:00 UTC, as Flower writes it and in seconds.
NOON, NOON_S = "2026-11-28 12:00:00+00:00", 1795867200.0


@pytest.fixture
def database(tmp_path):
    """Make a database with the columns of Flower 1.37 to 1.39 that are read; tests/lab/appliance has Flower's own."""
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE node (node_id INTEGER, status TEXT, online_until REAL)")
    connection.execute("CREATE TABLE run (run_id INTEGER, primary_task_id INTEGER)")
    connection.execute("CREATE TABLE task (task_id INTEGER, running_at TEXT, finished_at TEXT, token TEXT, active_until TEXT)")
    connection.commit()
    return connection, path


def test_none_before_there_is_a_database(tmp_path):
    assert superlink_state.read(tmp_path / "state.db") is None
    assert not (tmp_path / "state.db").exists()


def test_nodes(database):
    connection, path = database
    rows = [(1, "online", 200), (2, "online", 50), (3, "offline", 200), (4, "registered", None), (5, "unregistered", 200)]
    connection.executemany("INSERT INTO node VALUES (?, ?, ?)", [*rows, (-1, "online", 200)])
    connection.commit()
    nodes = superlink_state.read(path, now=100).nodes
    assert nodes == {"1": True, "2": False, "3": False, "4": False, "18446744073709551615": True}


@pytest.mark.parametrize(
    ("running_at", "finished_at", "token", "active_until", "active"),
    [
        (None, None, None, None, 1),  # waits
        (None, None, "t", "2026-11-28 11:59:00.5+00:00", 1),  # was claimed and never begun: it goes back to the queue
        (NOON, None, "t", "2026-11-28 12:00:30.25+00:00", 1),
        (NOON, None, "t", "2026-11-28 11:59:59.75+00:00", 0),  # died with the SuperLink
        (NOON, NOON, None, None, 0),
    ],
)
def test_runs(database, running_at, finished_at, token, active_until, active):
    connection, path = database
    connection.execute("INSERT INTO run VALUES (7, 70)")
    connection.execute("INSERT INTO task VALUES (70, ?, ?, ?, ?)", (running_at, finished_at, token, active_until))
    connection.execute("INSERT INTO task VALUES (71, NULL, NULL, NULL, NULL)")  # another task of the run
    connection.commit()
    assert superlink_state.read(path, now=NOON_S).runs == active


def test_a_run_dies_with_the_superlink_that_began_it(database):
    connection, path = database
    connection.execute("INSERT INTO run VALUES (7, 70)")
    connection.execute("INSERT INTO task VALUES (70, ?, NULL, 't', '2026-11-28 12:01:00+00:00')", (NOON,))
    connection.commit()
    assert superlink_state.read(path, since=NOON_S - 1, now=NOON_S + 5).runs == 1
    assert superlink_state.read(path, since=NOON_S + 1, now=NOON_S + 5).runs == 0
