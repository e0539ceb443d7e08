# SPDX-License-Identifier: GPL-3.0-or-later
"""No value of an input is shown whose type is not known to be harmless: on both paths, at -vvv, and in tasks that fail early."""

from __future__ import annotations

import json
import re

import pytest

from tests.contract.contract_play import HOSTS, play

pytestmark = pytest.mark.once
NOWHERE = "http://127.0.0.1:1"
SECRETS = (
    "pass-s3cret",
    "role-s3cret",
    "default-s3cret",
    "odd-type-s3cret",
    "added-s3cret",
    "list-s3cret",
    "471147114711",
    "preset-s3cret",
)


def tasks(target):
    body = {
        "user_inputs": {"KEY": "M|password|Secret", "REGION": "O|text|Where| |visible-region", "ODD": "O|pasword|Misspelt| |"},
        "user_inputs_values": {"ODD": "preset-s3cret"},
        "roles": [
            {
                "name": "app",
                "template_id": target.a.vm_template,
                "cardinality": 1,
                "user_inputs": {
                    "OWN": "O|password|Secret| |default-s3cret",
                    "PIN": "O|password|Number",
                    "PORT": "O|number|Port| |5432",
                },
            }
        ],
    }
    name = "{{ prefix }}s"
    values = {"KEY": "pass-s3cret", "ODD": "odd-type-s3cret"}
    roles = [{"name": "app", "user_inputs_values": {"PIN": 471147114711}}]
    wait = {"wait_interval": target.interval, "wait_timeout": target.wait}
    service = {"name": name, "template_name": name, "user_inputs_values": values, **wait}
    added = {"name": "more", "template_id": target.a.vm_template, "cardinality": 1}
    vm = "{{ r8.service.roles[0].nodes[0].vm_id }}"
    return [
        # what fails before the template is read, or before anything is
        ("oneflow_service", {**service, "roles": roles, "oneflow_endpoint": NOWHERE}, {}),
        ("oneflow_service", {**service, "template_name": "never-there"}, {}),
        (
            "oneflow_service",
            {**service, "wait": "perhaps", "roles": [{"name": "a", "user_inputs_values": {"X": "role-s3cret"}}]},
            {},
        ),
        ("oneflow_service", {**service, "user_inputs_values": {"KEY": ["list-s3cret", "x"]}, "template_name": "never-there"}, {}),
        ("oneflow_template", {"name": name, "template": body, "oneflow_endpoint": NOWHERE}, {}),
        ("oneflow_template", {"name": name, "template": body, "clone_mode": "zigzag"}, {}),
        ("oneflow_template", {"name": name, "template": {**body, "rolse": []}}, {}),
        # what succeeds
        ("oneflow_template", {"name": name, "template": body}, {"diff": True}),
        ("oneflow_service", {**service, "roles": roles}, {"diff": True}),
        ("oneflow_service", {**service, "roles": [{**added, "user_inputs_values": {"NEW": "added-s3cret"}}]}, {"check_mode": True}),
        ("oneflow_service", {**service, "roles": [{**added, "user_inputs_values": {"NEW": "added-s3cret"}}]}, {"diff": True}),
        ("oneflow_service", {**service, "user_inputs_values": {"KEY": "another-pass-s3cret"}}, {}),
        ("oneflow_service_info", {"name": name}, {}),
        ("oneflow_template_info", {"name": name}, {}),
        ("one_vm_info", {"service": name}, {}),
        ("one_vm_info", {"vm_ids": [vm]}, {}),
        ("oneflow_service", {"name": name, "state": "absent", **wait}, {}),
        ("oneflow_template", {"name": name, "state": "absent"}, {}),
    ]


@pytest.fixture(scope="module")
def results(target, tmp_path_factory):
    return play(target, tmp_path_factory.mktemp("secrets"), tasks(target), "-vvv")


def test_no_secret_value_is_shown(results):
    text = json.dumps([results[host] for host in HOSTS]) + results["output"]
    for secret in SECRETS:
        assert secret not in text, re.findall(r".{80}" + re.escape(secret), text)[:3]


def test_what_is_harmless_is_shown(results):
    """A task's result stays of use."""
    for host in HOSTS:
        found = results[host]
        assert [number for number, result in enumerate(found) if result.get("failed")] == [0, 1, 2, 3, 4, 5, 6], host
        attributes = found[8]["service"]["roles"][0]["nodes"][0]["attributes"]
        assert (attributes["REGION"], attributes["PORT"]) == ("visible-region", "5432")
        hidden = ("KEY", "ODD", "OWN", "PIN")
        assert all(set(attributes[key]) == {"*"} for key in hidden)
        assert found[10]["service"]["roles"][1]["nodes"][0]["attributes"]["NEW"].strip("*") == ""
        assert found[11]["input_drift"] == ["KEY"]


def test_the_invocation_is_shown_without_them(results):
    """On both paths, with the names of the inputs."""
    shown = re.findall(r'"user_inputs_values": \{[^}]*\}', results["output"])
    assert len([text for text in shown if '"KEY"' in text]) >= 2 * 8, results["output"][-2000:]
    assert all("s3cret" not in text for text in shown)


@pytest.mark.usefixtures("clean")
def test_a_short_secret_is_hidden_where_it_stands(run, name, target):
    """Removed from all texts it would blot out unrelated ones."""
    body = {
        "user_inputs": {"KEY": "M|password|k", "MODE": "O|text|m"},
        "roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 0}],
    }
    run("oneflow_template", name=name("t"), template=body)
    values = {"KEY": "app", "MODE": "blue"}
    made = run("oneflow_service", name=name("s"), template_name=name("t"), user_inputs_values=values)
    assert made["service"]["roles"][0]["name"] == "app" and "app" not in made["_secrets"]
