# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tasks in a real play, on a local connection (in the controller's process) and on another (the module is shipped)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml

from tests.contract import contract_target as targets
from tests.contract.contract_run import PREFIX

ROOT = Path(__file__).resolve().parents[2]
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
    content = {
        "name": "Run everything on both paths",
        "hosts": "all",
        "gather_facts": False,
        "tasks": steps,
        "module_defaults": {"group/oneflower.federation.opennebula": connection},
    }
    (folder / "play.yml").write_text(yaml.safe_dump([content], sort_keys=False, allow_unicode=True))
    (folder / "ansible.cfg").write_text("[defaults]\nretry_files_enabled = false\n")
    inventory = folder / "hosts"
    inventory.write_text("".join(f"{host} ansible_connection={host} prefix={PREFIX}{host}-\n" for host in HOSTS))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ONE", "ANSIBLE", "CONTRACT"))},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
        "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "tests/unit/opennebula/connection"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_INJECT_INVOCATION": "1",
        "NO_COLOR": "1",
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(folder / "play.yml"), *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {host: json.loads((folder / f"{host}.json").read_text()) for host in HOSTS}
    return {**found, "output": done.stdout + done.stderr}
