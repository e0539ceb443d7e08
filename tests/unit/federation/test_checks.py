# SPDX-License-Identifier: GPL-3.0-or-later
"""The report tells a federation that is what the plan says from one that is not."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import checks, plan

from tests.unit.federation.test_plan import GROUPS, HOSTS

PLAN = plan.make_plan(GROUPS, HOSTS)
LEAF = "ab" * 32
KEEPALIVE = "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0"


def observed():
    def service(role, nodes):
        return {"id": 1, "state": "RUNNING", "roles": [{"name": role, "state": "RUNNING", "nodes": nodes}]}

    superlink = {
        "FL_READY": "YES",
        "FL_VERSION": "1.39.0",
        "FL_CERT_SAN": "DNS:localhost,IP:127.0.0.1,IP:10.10.10.5",
        "FL_CERT_FINGERPRINT": LEAF,
        "FL_NODES_ONLINE": "5",
        "FL_KEEPALIVE": KEEPALIVE,
    }

    def supernode(vm_id, partition):
        return {
            "vm_id": vm_id,
            "attributes": {
                "FL_READY": "YES",
                "FL_SUPERLINK": "10.10.10.5:9092",
                "FL_PEER_FINGERPRINT": LEAF,
                "FL_PARTITION_ID": str(partition),
                "FL_KEEPALIVE": KEEPALIVE,
            },
        }

    return {
        "services": {
            "zone-a": service("superlink", [{"vm_id": 0, "attributes": superlink}]),
            "zone-b": service("supernode", [supernode(0, 0), supernode(1, 1)]),
            "zone-c": service("supernode", [supernode(0, 2), supernode(1, 3), supernode(2, 4)]),
        },
        "tunnels": {gateway: {"peers": [{"latest_handshake_age": 7}]} for gateway in GROUPS["gateways"]},
        "probes": {gateway: {"verified": True, "fingerprint": LEAF} for gateway in ("gw-b", "gw-c")},
    }


def failures(found):
    return {(row["check"], row["where"]) for row in checks.checks(PLAN, found) if not row["ok"]}


def attributes(found, zone, node=0):
    return found["services"][zone]["roles"][0]["nodes"][node]["attributes"]


def test_a_federation_as_planned_passes_every_check():
    rows = checks.checks(PLAN, observed())
    assert [row for row in rows if not row["ok"]] == []
    assert len(rows) == 3 + 1 + 1 + 1 + 1 + 2 + 2 + 5 * 4


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda o: o["services"].update({"zone-b": None}), ("OneFlow service", "zone-b")),
        (lambda o: o["services"]["zone-b"].update(state="WARNING"), ("OneFlow service", "zone-b")),
        (lambda o: o["services"]["zone-b"]["roles"][0]["nodes"].pop(), ("OneFlow service", "zone-b")),
        (lambda o: attributes(o, "zone-a").update(FL_READY="NO"), ("SuperLink serves", "zone-a")),
        (lambda o: attributes(o, "zone-a").update(FL_VERSION="1.38.0"), ("SuperLink serves", "zone-a")),
        (lambda o: attributes(o, "zone-a").update(FL_CERT_SAN="IP:10.10.10.55"), ("certificate names what sites dial", "zone-a")),
        (lambda o: attributes(o, "zone-a").update(FL_NODES_ONLINE="4"), ("SuperNodes online in the SuperLink", "zone-a")),
        (lambda o: attributes(o, "zone-a").pop("FL_KEEPALIVE"), ("gRPC keepalive in force", "zone-a")),
        (
            lambda o: attributes(o, "zone-c").update(FL_KEEPALIVE="time_ms=60001,timeout_ms=20000"),
            ("gRPC keepalive in force", "zone-c VM 0"),
        ),
        (lambda o: o["tunnels"].pop("gw-b"), ("WireGuard tunnel", "gw-b")),
        (lambda o: o["tunnels"]["gw-c"]["peers"][0].update(latest_handshake_age=181), ("WireGuard tunnel", "gw-c")),
        (lambda o: o["tunnels"]["gw-c"]["peers"][0].update(latest_handshake_age=None), ("WireGuard tunnel", "gw-c")),
        (lambda o: o["probes"]["gw-b"].update(verified=False), ("TLS handshake through the tunnel", "gw-b")),
        (lambda o: o["probes"]["gw-b"].update(fingerprint="cd" * 32), ("TLS handshake through the tunnel", "gw-b")),
        (lambda o: attributes(o, "zone-b").update(FL_READY="NO"), ("SuperNode connected", "zone-b VM 0")),
        (lambda o: attributes(o, "zone-b").update(FL_PEER_FINGERPRINT=""), ("SuperNode verified the SuperLink", "zone-b VM 0")),
        (lambda o: attributes(o, "zone-b", 1).update(FL_PARTITION_ID="0"), ("partition is its own", "zone-b VM 1")),
        (lambda o: attributes(o, "zone-c", 1).update(FL_PARTITION_ID="1"), ("partition is its own", "zone-c VM 1")),
    ],
)
def test_each_deviation_fails_its_own_check(break_it, expected):
    found = observed()
    break_it(found)
    assert expected in failures(found)


def test_nothing_observed_fails_everything_and_raises_nothing():
    rows = checks.checks(PLAN, {})
    assert rows and not any(row["ok"] for row in rows)


def test_observation_is_not_modified():
    found = observed()
    before = copy.deepcopy(found)
    checks.checks(PLAN, found)
    assert found == before


def test_timeline_separates_waiting_from_work_and_training_from_deployment():
    steps = [
        {"name": "build", "started": 100.0},
        {"name": "wait", "started": 103.0, "waits": True},
        {"name": "train", "started": 113.0, "training": True},
    ]
    found = checks.timeline(steps, 153.5)
    assert [row["seconds"] for row in found["steps"]] == [3.0, 10.0, 40.5]
    assert (found["deployment_seconds"], found["critical_path_seconds"], found["training_seconds"]) == (13.0, 10.0, 40.5)
    assert found["walkthrough_to_critical_path"] == 1.06  # 53.5 / 50.5
    assert checks.timeline(steps[:1], 153.5)["walkthrough_to_critical_path"] is None


def test_table_aligns_its_columns():
    assert checks.table([{"a": "xx", "b": 1}, {"a": "y", "b": 22}], ("a", "b")) == [
        "A   B",
        "--  --",
        "xx  1",
        "y   22",
    ]
