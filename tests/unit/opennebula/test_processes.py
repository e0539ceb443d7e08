# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is meant, and whether it has ended."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import processes
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.names import (
    lock_name,
    of_federations,
    service_name,
)


def test_a_process_that_lives_and_then_does_not():
    process = subprocess.Popen(["sleep", "600"])
    found = processes.identity(process.pid)
    assert found["pid"] == str(process.pid) and all(found.values()) and not processes.is_over(found)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.is_over(found), "nobody has waited for it, yet it has ended"
    process.wait()
    assert processes.is_over(found)
    with pytest.raises(ProcessLookupError):
        processes.identity(process.pid)


def test_another_process_of_that_number_is_not_it():
    found = processes.identity(os.getpid())
    assert not processes.is_over(found)
    assert processes.is_over({**found, "started": "1"})


@pytest.mark.parametrize("change", [{"host": "h"}, {"boot_id": "b"}, {"boot_id": ""}, {"pid": "x"}, {"pid": "0"}, {"pid": "-1"}])
def test_what_is_not_known_has_not_ended(change):
    gone = {**processes.identity(os.getpid()), "started": "1"}
    assert not processes.is_over({**gone, **change})


def test_a_system_without_proc_knows_nothing(monkeypatch, tmp_path):
    before = processes.identity(os.getpid())
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert processes.identity(os.getpid())["boot_id"] == "" and not processes.is_over(before)


def test_names_of_a_federation():
    names = [service_name("a/b", "superlink"), service_name("x", "supernode"), "coordinator", "a coordinator of y"]
    assert of_federations([*names, names[0]]) == ["a/b coordinator", "x training site"]
    assert lock_name("x") == "x lock" and lock_name("a/b $c") == "a-b -c lock"
