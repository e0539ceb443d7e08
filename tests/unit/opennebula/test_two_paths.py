# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module gives the same result in the controller's process and shipped to a host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake import SECRET, Fake

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BODY = {
    "roles": [
        {
            "name": "db",
            "template_id": 0,
            "cardinality": 1,
            "user_inputs": {"DB_PASSWORD": "M|password|Secret||default-secret", "PORT": "O|number|Port||5432"},
        },
        {"name": "web", "template_id": 0, "cardinality": 1},
    ]
}
SERVICE = {"name": "shop", "template_name": "shop", "roles": [{"name": "db", "user_inputs_values": {"DB_PASSWORD": "db-s3cret"}}]}

# (module, options, task keywords)
TASKS: list[tuple[str, dict, dict]] = [
    ("oneflow_template", {"name": "shop", "template": BODY}, {"check_mode": True, "diff": True}),
    ("oneflow_template", {"name": "shop", "template": BODY, "mode": "0640"}, {"diff": True}),
    ("oneflow_template", {"name": "shop", "template": BODY}, {"diff": True}),
    ("oneflow_template", {"name": "shop", "template": {"rolse": []}}, {}),
    ("oneflow_template", {"name": "copy", "clone_of": "shop"}, {}),
    ("oneflow_template_info", {}, {}),
    ("oneflow_service", {**SERVICE, "wait_interval": 0.05}, {"check_mode": True, "diff": True}),
    ("oneflow_service", {**SERVICE, "wait_interval": 0.05}, {"diff": True}),
    ("oneflow_service", {**SERVICE, "user_inputs_values": {"OTHER": 1}}, {}),
    ("oneflow_service", {"name": "shop", "roles": [{"name": "web", "cardinality": 2}], "wait_interval": 0.05}, {"diff": True}),
    ("oneflow_service", {"name": "nothing"}, {}),
    ("oneflow_service", {"wait": "perhaps", "name": "shop"}, {}),
    ("oneflow_service_info", {"name": "shop"}, {}),
    ("one_vm_info", {"service": "shop"}, {}),
    ("one_vm_info", {"vm_ids": [77]}, {}),
    ("one_vm_attributes", {"vm_id": 0, "attributes": {"note": 'a "quoted"\nline', "N": 5}}, {"diff": True}),
    ("one_vm_attributes", {"vm_id": 0, "attributes": {"NOTE": None}, "state": "absent"}, {"check_mode": True, "diff": True}),
    ("onezone", {"name": "zone-b", "zone_endpoint": "http://203.0.113.9:2633/RPC2"}, {"diff": True}),
    ("onezone", {"name": "zone-b", "state": "absent"}, {}),
    ("onezone", {"name": "OpenNebula", "state": "absent"}, {}),
    ("onezone_info", {"unknown_option": 1, "password": "other-secret"}, {}),
    ("onezone_info", {"password": "wrong-password", "username": "oneadmin"}, {}),
    ("onezone_info", {"status": False}, {"environment": {"ONE_USERNAME": "oneadmin", "ONE_PASSWORD": "wrong-by-environment"}}),
    ("oneflow_service", {"name": "shop", "state": "absent", "wait_interval": 0.05}, {}),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    directory = tmp_path_factory.mktemp("paths")
    auth = directory / "one_auth"
    auth.write_text(f"oneadmin:{SECRET}\n")
    tasks: list[dict] = []
    for index, (module, options, keywords) in enumerate(TASKS):
        name = f"oneflower.federation.{module}"
        tasks.append({"name": f"Task {index}", name: options, **keywords, "register": f"r{index}", "ignore_errors": True})
    content = "[" + ", ".join(f"r{index}" for index in range(len(TASKS))) + "]"
    copy = {
        "dest": f"{directory}/{{{{ inventory_hostname }}}}.json",
        "content": "{{ (" + content + ") | to_json }}",
        "mode": "0600",
    }
    tasks.append({"name": "Write the results", "ansible.builtin.copy": copy, "connection": "ansible.builtin.local"})
    play = {
        "name": "Run everything on both paths",
        "hosts": "all",
        "gather_facts": False,
        "tasks": tasks,
        "module_defaults": {"group/oneflower.federation.opennebula": {"endpoint": "{{ zone_endpoint }}", "auth_file": str(auth)}},
    }
    (directory / "ansible.cfg").write_text("[defaults]\nretry_files_enabled = false\n")
    (directory / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    with Fake() as here, Fake() as there:
        inventory = directory / "hosts"
        inventory.write_text(
            f"here ansible_connection=local zone_endpoint={here.endpoint}\n"
            f"there ansible_connection=shipped zone_endpoint={there.endpoint}\n"
        )
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ONE", "ANSIBLE"))},
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
            "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection"),
            "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_PIPELINING": "1",
            "NO_COLOR": "1",
            "PYTHONHASHSEED": "0",
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(directory / "play.yml")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        endpoints = {"here": here, "there": there}
        assert done.returncode == 0, done.stdout + done.stderr
        assert "here: service shop" in done.stdout, "the action plugin shows the states of a service"
        found = {}
        for host, fake in endpoints.items():
            text = (directory / f"{host}.json").read_text()
            text = text.replace(fake.endpoint, "ONED").replace(fake.oneflow_endpoint, "ONEFLOW")
            found[host] = json.loads(text)
        assert here.calls == there.calls
        found["output"] = done.stdout + done.stderr
    return found


def shape(result: dict) -> dict:
    """A result without what belongs to the way a module was brought to its host."""
    return {key: value for key, value in result.items() if key not in ("ansible_facts", "exception")}


@pytest.mark.parametrize("index", range(len(TASKS)), ids=[f"{n}-{task[0]}" for n, task in enumerate(TASKS)])
def test_same_result(results: dict, index: int) -> None:
    here, there = shape(results["here"][index]), shape(results["there"][index])
    assert here.keys() == there.keys()
    assert here == there


def test_no_secret_in_any_result(results: dict) -> None:
    text = json.dumps([results["here"], results["there"]]) + results["output"]
    for secret in (SECRET, "db-s3cret", "default-secret", "wrong-password", "other-secret", "wrong-by-environment"):
        assert secret not in text, re.findall(r".{60}" + re.escape(secret), text)[:3]


def test_the_tasks_did_what_they_should(results: dict) -> None:
    here = results["here"]
    failed = [index for index, result in enumerate(here) if result.get("failed")]
    assert failed == [3, 10, 11, 14, 19, 20, 21, 22], [here[i].get("msg") for i in failed]
    assert [here[i]["changed"] for i in (0, 1, 2, 6, 7, 9)] == [True, True, False, True, True, True]
    assert "did you mean roles?" in here[3]["msg"]
    assert here[21]["error"]["kind"] == here[22]["error"]["kind"] == "authentication"
