# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tasks in a real play, on a local connection (in the controller's process) and on another (the module is shipped)."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from tests.contract import contract_target as targets
from tests.contract.contract_run import PREFIX
from tests.fixtures.plays import run_play

HOSTS = ("local", "shipped")
Task = tuple[str, dict[str, t.Any], dict[str, t.Any]]  # module, options, keywords of the task


def play(target: targets.Target, folder: Path, tasks: list[Task], *arguments: str) -> dict[str, t.Any]:
    """Return the tasks' results by host, and under "output" what ansible-playbook wrote; `prefix` differs from host to host."""
    auth = folder / "one_auth"
    auth.touch(0o600)
    auth.write_text(f"{target.a.username}:{target.a.password}\n")
    steps: list[dict] = []
    for number, (module, options, keywords) in enumerate(tasks):
        steps.append(
            {
                "name": f"Task {number}",
                f"oneflower.federation.{module}": options,
                **keywords,
                "register": f"r{number}",
                "ignore_errors": True,
            }
        )
    everything = "[" + ", ".join(f"r{number}" for number in range(len(steps))) + "]"
    steps.append(
        {
            "name": "Write the results",
            "connection": "ansible.builtin.local",
            "no_log": True,
            "ansible.builtin.copy": {
                "dest": f"{folder}/{{{{ inventory_hostname }}}}.json",
                "mode": "0600",
                "content": "{{ (" + everything + ") | to_json }}",
            },
        }
    )
    connection = {"endpoint": target.a.endpoint, "oneflow_endpoint": target.a.oneflow, "auth_file": str(auth), **target.a.tls}
    hosts = [f"{host} ansible_connection={host} prefix={PREFIX}{host}-" for host in HOSTS]
    done = run_play(folder, steps, hosts, connection, *arguments, ANSIBLE_INJECT_INVOCATION="1")
    assert done.returncode == 0, done.stdout
    found = {host: json.loads((folder / f"{host}.json").read_text()) for host in HOSTS}
    return {**found, "output": done.stdout}
