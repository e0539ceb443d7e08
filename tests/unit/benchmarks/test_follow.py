# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark prints of its figures, and how it reads a run."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

from benchmarks.follow import __main__ as follow


def row(zones: int, cost: float, revision: str = "", kind: str = "nothing to do") -> dict[str, t.Any]:
    costs = {"seconds": cost, "cpu": cost, "memory": 10 * cost, "gateways_cpu": 0.0, "zones_cpu": 0.0}
    return {"zones": zones, "kind": kind, "revision": revision, **costs}


def test_changes_of_all_hosts_are_counted() -> None:
    recap = "a : ok=3 changed=2 unreachable=0\nb : ok=3 changed=10 unreachable=0\n"
    assert follow.changed(recap) == 12 and follow.changed("") == 0


def test_fleets_are_shown_with_growth_and_with_ratios() -> None:
    lines = follow.fleet_lines([row(3, 3.0), row(3, 12.0, "old"), row(10, 10.0), row(100, 190.0)])
    assert any(line.split()[:4] == ["3", "nothing", "to", "do"] and "old" in line for line in lines)
    assert "  nothing to do                       time 2.00, CPU 2.00, memory 2.00" in lines
    assert lines[-2:] == ["old : this checkout", "    3  nothing to do                  time 4.00, CPU 4.00, memory 4.00"]


def test_goals_are_held_against_the_median_and_the_largest_fleet() -> None:
    lines = follow.goal_lines({"nothing to do": [4.0, 9.0, 4.5]}, [row(3, 90.0), row(100, 44.0), row(100, 99.0, "old")])
    assert [line.rsplit(None, 1)[1] for line in lines] == ["met", "met", "met"]
    assert follow.goal_lines({"nothing to do": [5.1]}, [])[0].endswith("missed")


def test_a_revision_that_trains_is_run_without(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    imports = [{"name": name, "ansible.builtin.import_playbook": f"{name}.yml"} for name in ("plan", "train")]
    (tmp_path / "playbooks/walkthrough.yml").write_text(yaml.safe_dump(imports))
    assert follow.playbook(tmp_path) == "playbooks/walkthrough.yml"
    assert yaml.safe_load((tmp_path / follow.without_training(tmp_path)).read_text()) == imports[:1]
    (tmp_path / "playbooks/deploy.yml").touch()
    assert follow.playbook(tmp_path) == follow.without_training(tmp_path) == "playbooks/deploy.yml"
