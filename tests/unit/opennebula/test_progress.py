# SPDX-License-Identifier: GPL-3.0-or-later
"""A task shows how it gets on while it runs, wherever the output goes, and nothing warns about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.zone import harness as lab
from tests.fixtures.plays import run_play

CALLBACKS = {"ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"), "ANSIBLE_CALLBACKS_ENABLED": "marks"}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with lab.running() as (runner, _none):
        zone = runner.start(lab.config(tmp_path_factory.mktemp("zone"), "OpenNebula", 0, "master"))[0]
        endpoints = {"endpoint": lab.url(zone, "xmlrpc", "/RPC2"), "oneflow_endpoint": lab.url(zone, "oneflow", "")}
        yield {**endpoints, "username": "oneadmin", "password": lab.PASSWORD}


@pytest.mark.parametrize("environment", [{}, CALLBACKS], ids=["plain", "as AWX runs jobs"])
def test_progress_without_a_terminal(connection: dict[str, str], tmp_path: Path, environment: dict[str, str]) -> None:
    name = "{{ inventory_hostname }}" + str(len(environment))
    tasks = [
        {
            "name": "Make a template",
            "oneflower.federation.oneflow_template": {
                "name": name,
                "template": {"roles": [{"name": "app", "template_id": 0, "cardinality": 1}]},
            },
        },
        {
            "name": "Make a service",
            "oneflower.federation.oneflow_service": {"name": name, "template_name": name, "wait_interval": 0.05},
        },
    ]
    hosts = [f"{host} ansible_connection=local" for host in ("zone-a", "zone-b")]
    done = run_play(tmp_path, tasks, hosts, connection, **environment)
    assert done.returncode == 0, done.stdout
    for host in ("zone-a", "zone-b"):
        assert done.stdout.count(f"  {host}: service") >= 2, done.stdout
    assert "WARNING" not in done.stdout and "errantly" not in done.stdout, done.stdout
    assert ("mark" in done.stdout) == bool(environment), "the marks of the process that writes are there"
