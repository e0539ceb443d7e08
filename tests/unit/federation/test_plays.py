# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions that plan, find and announce changes, in real plays; only what is read of zones and gateways is given by the test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import plan

from tests.unit.federation import as_planned
from tests.unit.federation.test_plan import GROUPS, HOSTS, ROOT, changed

PLAN = plan.make_plan(GROUPS, HOSTS)
STEPS = ROOT / "playbooks" / "steps"
SCHEMA = json.loads((ROOT / "docs" / "changes.schema.json").read_text())
# What a step does that looks once more, as nodes.yml and verify.yml do.
LOOK_AGAIN = {
    "hosts": "all",
    "gather_facts": False,
    "tasks": [
        {"oneflower.federation.federation_changes": {"show": False}, "run_once": True, "register": "again"},
        {
            "ansible.builtin.set_fact": {"federation_plan": "{{ again.plan }}", "federation_changes": "{{ again.changes }}"},
            "run_once": True,
        },
        {"ansible.builtin.debug": {"msg": "STEPS {{ federation_changes.steps | to_json }}"}, "run_once": True},
    ],
}


def step(name: str, **variables):
    return {"import_playbook": str(STEPS / f"{name}.yml"), "vars": variables}


@pytest.fixture
def play(tmp_path: Path):
    """play(found, hosts, steps, arguments) -> (exit status, output)."""

    def run(found, hosts, steps, *arguments: str) -> tuple[int, str]:
        groups = {group: {"hosts": dict.fromkeys(members, {})} for group, members in GROUPS.items()}
        inventory = {
            "all": {
                "hosts": {host: {**given, "observe_result": {"observed": found.get(host)}} for host, given in hosts.items()},
                "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
                "children": groups,
            }
        }
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (tmp_path / "play.yml").write_text(yaml.safe_dump([*steps], sort_keys=False))
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE")},
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
                "PWD": str(tmp_path),
                "ANSIBLE_HOME": str(tmp_path / "home"),
                "ANSIBLE_CONFIG": str(tmp_path / "none.cfg"),
                "NO_COLOR": "1",
            },
        )
        assert "has no attribute" not in done.stdout and "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done.returncode, done.stdout

    return run


PLANNING = (step("plan"), step("changes", changes_save=True), step("end"))
KEEPALIVE = changed("zone-a", federation_keepalive_time=30)


def recap(output: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, flags=re.MULTILINE))


def test_a_federation_as_planned_has_nothing_to_change(play, tmp_path):
    status, output = play(as_planned.results(PLAN), HOSTS, PLANNING, "-e", "federation_fail_on_change=true")
    assert status == 0 and "Nothing to change" in output and set(recap(output).values()) == {"0"}
    written = json.loads((tmp_path / "changes.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    assert written["changed"] is False and written["changes"] == written["findings"] == []


def test_drift_is_shown_and_is_in_the_exit_status_when_asked(play, tmp_path):
    found = as_planned.results(PLAN)
    status, output = play(found, KEEPALIVE, PLANNING)
    assert status == 0 and re.search(r"^zone-b +restart +FL_GRPC_KEEPALIVE_TIME +federation_keepalive_time +60 +30 ", output, re.M)
    written = json.loads((tmp_path / "changes.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(written)
    assert [change["host"] for change in written["changes"]] == ["zone-a", "zone-b", "zone-c"]
    status, output = play(found, KEEPALIVE, PLANNING, "-e", "federation_fail_on_change=true")
    assert status == 2 and "[change.pending]" in output


def test_check_mode_announces_the_changes_of_each_host_as_a_diff(play):
    status, output = play(as_planned.results(PLAN), KEEPALIVE, (step("plan"), step("changes")), "--check", "--diff")
    assert status == 0 and recap(output) == {host: "1" if host.startswith("zone") else "0" for host in HOSTS}
    assert output.count("-restart FL_GRPC_KEEPALIVE_TIME: 60") == output.count("+restart FL_GRPC_KEEPALIVE_TIME: 30") == 3


def test_a_plan_that_does_not_hold_is_refused_until_the_run_ends(play, tmp_path):
    found = as_planned.results(PLAN)
    as_planned.vm(found, "zone-a")["FL_NODES"] += ",99:offline"
    assert play(found, HOSTS, PLANNING)[0] == 0
    again = (step("plan"), step("changes"), LOOK_AGAIN, step("end"))
    approved = ("-e", "federation_plan_file=changes.json")
    status, output = play(found, HOSTS, again, *approved)
    assert status == 0 and re.search(r"STEPS .*nodes\W+zone-a", output), "it holds, and goes on"
    for hosts, host, line in (
        (KEEPALIVE, "zone-a", "federation_keepalive_time: 60 -> 30"),
        (HOSTS, "gw-b", "enabled: True -> False"),
    ):
        found["gw-b"]["gateway"]["enabled"] = host != "gw-b"
        status, output = play(found, hosts, again, *approved)
        assert status == 2 and "[plan.stale]" in output.split("PLAY [End]")[1], "it is told at the end as well"
        assert f"{host}: {line}" in output
        (steps,) = re.findall(r"STEPS (.*)", output)
        assert "zone" not in steps and "gw" not in steps, "a second look makes no change either"


@pytest.mark.parametrize("content", ["", "[]", "{}", "not JSON"])
def test_a_file_that_is_no_saved_plan_is_refused(play, tmp_path, content):
    (tmp_path / "mine.json").write_text(content)
    status, output = play(
        as_planned.results(PLAN), KEEPALIVE, (step("plan"), step("changes"), step("end")), "-e", "federation_plan_file=mine.json"
    )
    assert status == 2 and "[plan.stale]" in output and "mine.json" in output
