# SPDX-License-Identifier: GPL-3.0-or-later
"""Real plays: every module gives the same result in the controller's process and shipped to a host, and does the same."""

from __future__ import annotations

import json
import re

import pytest

from tests.contract.contract_play import HOSTS, play
from tests.contract.contract_run import PREFIX
from tests.fixtures.plays import ROOT

pytestmark = pytest.mark.once
SECRET = "s3cret-in-a-play"
ENDPOINT = "http://127.0.0.1:1/RPC2"


def tasks(target) -> list[tuple[str, dict, dict]]:
    """Return (module, options, keywords of the task); `prefix` differs from host to host."""
    body = {
        "roles": [
            {
                "name": "app",
                "template_id": target.a.vm_template,
                "cardinality": 1,
                "max_vms": 2,
                "user_inputs": {"KEY": f"O|password|Secret| |{SECRET}", "PORT": "O|number|Port| |5432"},
            },
        ]
    }
    name = '{{ prefix }}a "b" ü'
    service = {"name": name, "template_name": name, "wait_interval": target.interval, "wait_timeout": target.wait}
    vm = "{{ r2.service.roles[0].nodes[0].vm_id }}"
    return [
        ("oneflow_template", {"name": name, "template": body, "mode": "0640"}, {"check_mode": True, "diff": True}),
        ("oneflow_template", {"name": name, "template": body, "mode": "0640"}, {"diff": True}),
        ("oneflow_service", service, {"diff": True}),
        ("oneflow_service", {**service, "roles": [{"name": "app", "cardinality": 2}]}, {"diff": True}),
        ("oneflow_template", {"name": name, "template": {"rolse": []}}, {}),
        ("oneflow_template_info", {"name": name}, {}),
        ("oneflow_service_info", {"name": name}, {}),
        ("one_vm_info", {"service": name}, {}),
        ("one_vm_attributes", {"vm_id": vm, "attributes": {"note": 'a "quoted"\nline', "API_TOKEN": SECRET}}, {"diff": True}),
        ("one_resource_info", {"vm_templates": [str(target.a.vm_template)]}, {}),
        ("onezone", {"name": "{{ prefix }}z", "zone_endpoint": ENDPOINT}, {"diff": True}),
        ("onezone", {"name": "{{ prefix }}z", "state": "absent"}, {"diff": True}),
        ("onezone_info", {"id": 0}, {}),
        ("onezone_info", {"id": 0, "username": "oneadmin", "password": f"wrong-{SECRET}"}, {}),
        ("oneflow_service", {**service, "state": "absent"}, {"diff": True}),
        ("oneflow_template", {"name": name, "state": "absent"}, {"diff": True}),
        ("oneflow_service", {"wait": "perhaps", "name": name}, {}),
        ("onezone_info", {"unknown_option": 1, "password": f"other-{SECRET}"}, {}),
        ("onezone_info", {"id": 0}, {"environment": {"ONE_USERNAME": "oneadmin", "ONE_PASSWORD": f"wrong-{SECRET}"}}),
        ("onezone", {"id": 0, "attributes": {"API_PASSWORD": SECRET, "1A": "x"}}, {}),
        ("one_vm_attributes", {"vm_id": 0, "attributes": {"API_TOKEN": SECRET, "A-B": "x"}}, {}),
    ]


@pytest.fixture(scope="module")
def results(target, tmp_path_factory):
    return play(target, tmp_path_factory.mktemp("paths"), tasks(target))


NUMBERS = ("fedlog_index", "id", "selected", "vm_id", "vm_ids", "timestamp", "registration_time", "service_id", "SERVICE_ID")


def normal(value, key=""):
    """Return a result without what cannot be the same twice."""
    if key in NUMBERS and isinstance(value, (int, str, list)):
        return key
    if key == "addresses":
        return len(value)
    if isinstance(value, dict):
        return {k: normal(v, k) for k, v in value.items() if k not in ("ansible_facts", "exception")}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str):
        return re.sub(rf"{PREFIX}\w+-", "", re.sub(r"\(service_\d+\)|\bid \d+", "<id>", value))
    return value


def test_every_module_gives_the_same_on_both_paths(results):
    for number, (here, there) in enumerate(zip(results["local"], results["shipped"], strict=True)):
        assert normal(here) == normal(there), number


def test_the_plays_did_what_they_should(results, target):
    names = [module for module, *_ in tasks(target)]
    assert set(names) == {path.stem for path in (ROOT / "plugins/modules").glob("one*.py")}, "every module is in the play"
    for host in HOSTS:
        found = results[host]
        assert [number for number, result in enumerate(found) if result.get("failed")] == [4, 13, 16, 17, 18, 19, 20]
        changed = [number for number, result in enumerate(found) if result.get("changed")]
        assert changed == [0, 1, 2, 3, 8, 10, 11, 14, 15]
        assert found[2]["service"]["state"] == "RUNNING" and len(found[3]["service"]["roles"][0]["nodes"]) == 2
        assert "did you mean roles?" in found[4]["msg"]
        assert [found[number]["error"]["kind"] for number in (13, 18, 19, 20)] == ["authentication"] * 2 + ["invalid_request"] * 2


def test_nothing_secret_is_shown_or_returned(results, target):
    text = json.dumps([results["local"], results["shipped"]]) + results["output"]
    for secret in (SECRET, *([target.a.password] if len(target.a.password) > 3 else [])):
        assert secret not in text, re.findall(r".{60}" + re.escape(secret), text)[:3]
