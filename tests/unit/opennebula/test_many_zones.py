# SPDX-License-Identifier: GPL-3.0-or-later
"""onezone_info asks many lab zones at once; those that are silent, slow or broken hold up nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import onezone_info
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oned import Oned

from lab.zone import harness as lab

COUNT = 24
TIMEOUT = 1.5


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list]:
    folder = tmp_path_factory.mktemp("zones")
    with lab.running() as (runner_, _none):
        master = runner_.start(lab.config(folder, "zone-0", 0, "master"))[0]
        url = lab.url(master, "xmlrpc", "/RPC2")
        slaves = [lab.config(folder, f"zone-{n}", 99 + n, "slave", master=url) for n in range(1, COUNT)]
        zones = [master, *runner_.start(*slaves)]
        for zone in zones:
            lab.until(lambda zone=zone: lab.one(zone, "one.zonepool.info").count("<ZONE>") == COUNT, "the whole pool", 30)
        yield zones
        for zone in zones:
            lab.admin(zone, "DELETE", "/faults")


def ask(zone) -> tuple[dict[str, dict], float]:
    options = {"endpoint": lab.url(zone, "xmlrpc", "/RPC2"), "username": "oneadmin", "password": lab.PASSWORD, "timeout": TIMEOUT}
    params = {"name": None, "id": None, "status": True, "validate_certs": True, "ca_path": None, **options}
    started = time.monotonic()
    result, _warnings, _secrets = runner.execute(onezone_info, params, check_mode=False, diff=False)
    assert not result.get("failed"), result
    return {zone["name"]: zone["status"] for zone in result["zones"]}, time.monotonic() - started


def test_a_dead_zone_fails_only_itself(federation: list) -> None:
    healthy, _seconds = ask(federation[0])
    assert len(healthy) == COUNT and all(status["reachable"] and status["in_step"] for status in healthy.values())

    silent, slow, garbled, stopped = federation[1:19], federation[19], federation[20], federation[21]
    for zone in silent:
        assert lab.admin(zone, "POST", "/faults", {"api": "oned", "kind": "silent"})[0] < 300
    lab.admin(slow, "POST", "/faults", {"api": "oned", "kind": "slow", "seconds": TIMEOUT * 0.6})
    lab.admin(garbled, "POST", "/faults", {"api": "oned", "kind": "garbage"})
    lab.admin(stopped, "POST", "/components", {"name": "oned", "state": "stopped"})

    found, seconds = ask(federation[0])

    # One time-out for all, however many are silent, and for all calls of a slow one.
    assert seconds < TIMEOUT * 2, seconds
    for zone in silent:
        assert "no complete answer within" in found[zone.config.name]["error"]
    assert found[slow.config.name]["version"] == "7.4.0" and "no complete answer" in found[slow.config.name]["error"]
    assert "not an XML-RPC answer" in found[garbled.config.name]["error"]
    assert "Connection refused" in found[stopped.config.name]["error"]
    for zone in (federation[0], *federation[22:]):
        assert found[zone.config.name]["error"] is None and found[zone.config.name]["in_step"] is True


def test_an_endpoint_that_leads_nowhere_is_not_taken_for_the_zone_asked(tmp_path: Path) -> None:
    with lab.running() as (runner_, _none):
        zone = runner_.start(lab.config(tmp_path, "zone-0", 0, "master"))[0]
        here = Oned(lab.url(zone, "xmlrpc", "/RPC2"), "oneadmin", lab.PASSWORD)
        here.call("zone.update", 0, 'ENDPOINT="ftp://nowhere"', 1)
        here.call("zone.allocate", 'NAME="here by another name"\nENDPOINT="http://localhost:1/RPC2"')
        nameless = here.call("zone.allocate", 'NAME="nameless"\nENDPOINT="-"')
        found, _seconds = ask(zone)
        assert "leads nowhere" in found["zone-0"]["error"] and "leads nowhere" in found["nameless"]["error"]
        here.call("zone.delete", nameless)
        assert ask(zone)[0]["zone-0"]["reachable"] is True


@pytest.mark.parametrize(
    ("log", "pool", "lag", "in_step"), [(7, "same", 0, True), (5, "older", 2, False), (None, None, None, None)]
)
def test_how_far_a_zone_lags(log: int | None, pool: str | None, lag: int | None, in_step: bool | None) -> None:
    status = {"fedlog_index": log, "pool": pool, "error": None}
    compared = onezone_info._compared(status, {"fedlog_index": 7, "pool": "same"})
    assert (compared["lag"], compared["in_step"]) == (lag, in_step) and "pool" not in compared
