# SPDX-License-Identifier: GPL-3.0-or-later
import sqlite3

from oneflower_appliance import superlink_state


def test_nodes_online(tmp_path):
    database = tmp_path / "state.db"
    assert superlink_state.nodes_online(database) is None
    assert not database.exists()
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE node (node_id INTEGER, status TEXT, online_until REAL)")
    connection.executemany("INSERT INTO node VALUES (?, ?, ?)", [(1, "online", 200), (2, "online", 50), (3, "offline", 200)])
    connection.commit()
    assert superlink_state.nodes_online(database, now=100) == 1
