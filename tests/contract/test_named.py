# SPDX-License-Identifier: GPL-3.0-or-later
"""The suite itself: it takes its target from the environment, skips what only a lab zone can show, and leaves nothing behind."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.zone import harness as lab
from tests.contract import contract_target as targets
from tests.contract.contract_run import PREFIX, clients, guarded, snapshot

pytestmark = pytest.mark.lab
ROOT = Path(__file__).resolve().parents[2]
HERE = "tests/contract"


def suite(found, folder, *arguments, **variables):
    """Return the outcomes of the suite in a process of its own: {name of a test: passed, skipped or failed}."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CONTRACT", "ONE"))}
    for letter, zone in zip("AB", found.all(), strict=False):
        environment[f"CONTRACT_{letter}_ENDPOINT"], environment[f"CONTRACT_{letter}_ONEFLOW"] = zone.endpoint, zone.oneflow
    environment |= {
        "CONTRACT_A_USERNAME": found.a.username,
        "CONTRACT_A_PASSWORD": found.a.password,
        "CONTRACT_A_VM_TEMPLATE": "0",
        "CONTRACT_A_NETWORK": "0",
        "CONTRACT_WAIT": "30",
        "CONTRACT_INTERVAL": "0.05",
        "CONTRACT_MANY": "20",
        **variables,
    }
    if found.second:
        environment |= {"CONTRACT_SECOND_USERNAME": found.second[0], "CONTRACT_SECOND_PASSWORD": found.second[1]}
    result = folder / "result.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={result}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL
    )
    outcomes = {
        case.get("name", ""): next((part.tag for part in case if part.tag in ("skipped", "failure", "error")), "passed")
        for case in ElementTree.parse(result).getroot().iter("testcase")
    }
    return done, outcomes


def test_against_zones_that_the_environment_names(tmp_path):
    with targets.lab_federation(tmp_path, "7.4.0") as found:
        before = [snapshot(zone) for zone in found.all()]
        done, outcomes = suite(
            found,
            tmp_path,
            f"{HERE}/test_templates.py",
            f"{HERE}/test_zones.py",
            f"{HERE}/test_ids.py",
            f"{HERE}/test_services.py",
            "-k",
            "life or zero or closing or roles or secrets",
        )
        assert done.returncode == 0, done.stdout
        assert {name for name, outcome in outcomes.items() if outcome == "passed"} >= {
            "test_life_of_a_template[named]",
            "test_life_of_a_zone[through a slave-named]",
            "test_roles_come_and_go[named]",
        }
        skipped = {name for name, outcome in outcomes.items() if outcome == "skipped"}
        assert skipped == {
            "test_everything_is_number_zero",
            "test_service_zero",
            "test_closing_and_opening[at the master-named]",
            "test_closing_and_opening[through a slave-named]",
        }
        assert [snapshot(zone) for zone in found.all()] == before


def test_what_is_left_behind_or_lost_is_noticed(tmp_path):
    with targets.lab_federation(tmp_path, "7.4.0") as found:
        flow = clients(found.a)[1]
        theirs = int(flow.create_template({"name": "somebody's", "roles": []})["ID"])
        guard = guarded(found)
        next(guard)
        flow.create_template({"name": f"{PREFIX}ours", "roles": []})
        with pytest.raises(StopIteration):  # what is ours is taken away
            next(guard)
        assert [document["NAME"] for document in flow.templates()] == ["somebody's"]
        for damage in (lambda: flow.create_template({"name": "forgotten", "roles": []}), lambda: flow.delete_template(theirs)):
            guard = guarded(found)
            next(guard)
            damage()
            with pytest.raises(AssertionError, match="gone or renamed|not as before.*forgotten"):
                next(guard)


def test_a_stock_installation(tmp_path):
    """Its OneFlow listens where OpenNebula's documentation says, and no zone names it."""
    address = f"127.{secrets.randbelow(250) + 2}.{secrets.randbelow(250) + 2}.1"
    listen = {api: [address, port] for api, port in (("xmlrpc", 0), ("oneflow", 2474), ("onegate", 0), ("admin", 0))}
    with lab.running(lab.config(tmp_path, "OpenNebula", role="standalone", timings=targets.TIMINGS, listen=listen)) as (_, (zone,)):
        found = targets.Target("named", targets.of_lab(zone, address=address), None, None)
        done, outcomes = suite(
            found, tmp_path, f"{HERE}/test_credentials.py", f"{HERE}/test_services.py", "-k", "endpoint or network"
        )
        assert done.returncode == 0, done.stdout
        assert outcomes["test_oneflow_endpoint_of_the_zone[named]"] == outcomes["test_a_network_of_its_own[named]"] == "passed"
