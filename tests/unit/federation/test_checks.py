# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification tells a federation that is what the plan says from one that is not, and what was read from what was not."""

from __future__ import annotations

import base64
import copy

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import checks, findings, observation, plan, report

from tests.unit.federation import as_planned
from tests.unit.federation.certificates_of_tests import NOW, OTHER_LEAF, authority
from tests.unit.federation.test_plan import GROUPS, HOSTS

PLAN = plan.make_plan(GROUPS, HOSTS)


def results():
    """Return what the modules return of a federation that is as planned."""
    return as_planned.results(PLAN)


def rows(found) -> list[checks.Check]:
    return checks.checks(PLAN, observation.observation(PLAN, found), NOW)


def failed(found) -> set[tuple[str, str, str]]:
    return {(row.check, row.where, row.code) for row in rows(found) if not row.ok}


attributes = as_planned.vm


def live(found, gateway):
    return found[gateway]["gateway"]["live"]


def shows(found, certificate: bytes):
    found["gw-b"]["gateway"]["probe"]["certificate"] = base64.b64encode(certificate).decode()


def test_a_federation_as_planned_passes_every_check():
    made = rows(results())
    assert [row for row in made if not row.ok] == []
    assert len(made) == 3 + 6 + 2 + 2 + 5 * 5 + 1
    assert not any(row.to_result()["code"] for row in made)


SERVICE, SUPERLINK, SUPERNODE = "OneFlow service", "SuperLink serves", "SuperNode connected"
KEEPALIVE, TUNNEL, PROBE = "gRPC keepalive in force", "WireGuard tunnel", "TLS handshake through the tunnel"
NAMES, AUTHORITY, ONLINE = (
    "certificate names what sites dial",
    "CA certificate fit to be trusted",
    "SuperNodes online in the SuperLink",
)
PEER, PARTITION = "SuperNode verified the SuperLink", "partition is its own"
SETTINGS, AS_PLANNED = "settings in force", "as planned"


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda o: o["zone-b"].update(service={}), (SERVICE, "zone-b", "service.absent")),
        (lambda o: o.update({"zone-b": {"unread": "refused"}}), (SERVICE, "zone-b", "zone.unread")),
        (lambda o: o.pop("zone-b"), (SERVICE, "zone-b", "zone.unread")),
        (lambda o: o["zone-b"].update(services_found=2, service={}), (SERVICE, "zone-b", "zone.unread")),
        (lambda o: o["zone-b"]["service"].update(state="WARNING"), (SERVICE, "zone-b", "service.state")),
        (lambda o: as_planned.role(o, "zone-b")["nodes"].pop(), (SERVICE, "zone-b", "service.state")),
        (lambda o: attributes(o, "zone-a").update(FL_READY="NO"), (SUPERLINK, "zone-a", "superlink.unready")),
        (lambda o: attributes(o, "zone-a").update(FL_VERSION="1.38.0"), (SUPERLINK, "zone-a", "superlink.release")),
        (lambda o: attributes(o, "zone-a").update(FL_CERT_SAN="IP:10.10.10.55"), (NAMES, "zone-a", "certificate.name")),
        (lambda o: attributes(o, "zone-a").update(FL_CA_CERT="eA=="), (AUTHORITY, "zone-a", "certificate.authority")),
        (
            lambda o: attributes(o, "zone-a").update(FL_CA_CERT=authority(ca=False)),
            (AUTHORITY, "zone-a", "certificate.authority"),
        ),
        (lambda o: attributes(o, "zone-a").update(FL_CA_CERT=authority(days=30)), (AUTHORITY, "zone-a", "certificate.authority")),
        (lambda o: attributes(o, "zone-a").pop("FL_CA_CERT"), (AUTHORITY, "zone-a", "certificate.authority")),
        (lambda o: attributes(o, "zone-a").update(FL_NODES_ONLINE="4"), (ONLINE, "zone-a", "supernodes.offline")),
        (lambda o: attributes(o, "zone-a").pop("FL_KEEPALIVE"), (KEEPALIVE, "zone-a", "keepalive.differs")),
        (lambda o: o.pop("gw-b"), (TUNNEL, "gw-b", "gateway.unread")),
        (lambda o: o.update({"gw-b": {"unread": "timed out", "gone": True}}), (TUNNEL, "gw-b", "gateway.unreachable")),
        (lambda o: o["gw-b"]["gateway"].update(live={}), (TUNNEL, "gw-b", "tunnel.silent")),
        (lambda o: live(o, "gw-c")["peers"][0].update(latest_handshake_age=181), (TUNNEL, "gw-c", "tunnel.silent")),
        (lambda o: live(o, "gw-c")["peers"][0].update(latest_handshake_age=None), (TUNNEL, "gw-c", "tunnel.silent")),
        (lambda o: o["gw-b"]["gateway"]["probe"].update(certificate="", error="refused"), (PROBE, "gw-b", "probe.failed")),
        (lambda o: shows(o, OTHER_LEAF), (PROBE, "gw-b", "probe.failed")),
        (lambda o: shows(o, b"no certificate"), (PROBE, "gw-b", "probe.failed")),
        (lambda o: attributes(o, "zone-a").update(FL_CERT_FINGERPRINT="cd" * 32), (PROBE, "gw-b", "probe.failed")),
        (lambda o: o["gw-b"]["gateway"].update(probe={}), (PROBE, "gw-b", "probe.failed")),
        (lambda o: attributes(o, "zone-a").pop("FL_SETTINGS"), (SETTINGS, "zone-a", "settings.pending")),
        (lambda o: attributes(o, "zone-b").update(FL_SETTINGS="0" * 16), (SETTINGS, "zone-b VM 0", "settings.pending")),
        (lambda o: attributes(o, "zone-b").update(FL_LOG_LEVEL="DEBUG"), (AS_PLANNED, "zone-b", "change.pending")),
        (lambda o: o["gw-a"]["gateway"].update(enabled=False), (AS_PLANNED, "gw-a", "change.pending")),
        (lambda o: o.update({"gw-a": {"unread": "timed out"}}), (AS_PLANNED, "gw-a", "gateway.unread")),
        (lambda o: attributes(o, "zone-b").update(FL_READY="NO"), (SUPERNODE, "zone-b VM 0", "supernode.unready")),
        (lambda o: attributes(o, "zone-b").update(FL_SUPERLINK="10.9.9.9:9092"), (SUPERNODE, "zone-b VM 0", "supernode.unready")),
        (lambda o: attributes(o, "zone-b").update(FL_PEER_FINGERPRINT=""), (PEER, "zone-b VM 0", "supernode.peer")),
        (lambda o: attributes(o, "zone-b", 1).update(FL_PARTITION_ID="0"), (PARTITION, "zone-b VM 1", "partition.wrong")),
        (lambda o: attributes(o, "zone-c", 1).update(FL_PARTITION_ID="1"), (PARTITION, "zone-c VM 1", "partition.wrong")),
    ],
)
def test_each_deviation_fails_its_own_check(break_it, expected):
    found = results()
    break_it(found)
    assert expected in failed(found)


@pytest.mark.parametrize("end", ["zone-a", "zone-c"])
@pytest.mark.parametrize("option", ["time_ms", "timeout_ms", "permit", "max_pings", "min_interval_ms"])
@pytest.mark.parametrize("to", ["missing", "7"])
def test_keepalive_is_compared_whole_at_both_ends(end, option, to):
    """A client has no minimum interval, and gRPC ignores one there."""
    found = results()
    options = dict(pair.split("=") for pair in attributes(found, end)["FL_KEEPALIVE"].split(","))
    if to == "missing":
        options.pop(option, None)
    else:
        options[option] = to
    attributes(found, end)["FL_KEEPALIVE"] = ",".join(f"{name}={value}" for name, value in options.items())
    (row,) = [row for row in rows(found) if row.check == KEEPALIVE and row.where in (end, f"{end} VM 0")]
    if end == "zone-c" and option == "min_interval_ms":
        assert row.ok
    else:
        assert not row.ok and option in row.found


def test_what_was_not_read_is_not_called_absent():
    found = results()
    found["zone-c"] = {"unread": "GET /service at http://c: cannot connect"}
    row, other = [row for row in rows(found) if row.where == "zone-c"]
    assert "absent" not in row.found and "cannot connect" in row.found and "cannot connect" in other.found
    observed = observation.observation(PLAN, found)
    made = report.report(PLAN, observed, [row], [row.finding()], written="", training=None, timeline=None)
    assert (made["zones"]["zone-c"]["state"], made["zones"]["zone-b"]["state"], made["ok"]) == ("not read", "RUNNING", False)


def test_a_dead_coordinator_fails_its_rows_and_the_sites_are_judged_all_the_same():
    found = results()
    found["zone-a"] = {"unread": "cannot connect"}
    told = failed(found)
    assert (SUPERLINK, "zone-a", "zone.unread") in told
    assert (SERVICE, "zone-b") not in {(check, where) for check, where, _code in told}
    assert not {SUPERNODE, SETTINGS} & {check for check, where, _code in told if where == "zone-b VM 0"}
    assert (AS_PLANNED, "zone-b") not in {(check, where) for check, where, _code in told}


def test_a_superlink_without_vm_is_told_and_raises_nothing():
    found = results()
    as_planned.role(found, "zone-a")["nodes"].clear()
    assert (SUPERLINK, "zone-a", "service.state") in failed(found)


def test_nothing_observed_fails_everything_and_raises_nothing():
    made = rows({})
    assert made and not any(row.ok for row in made)
    assert {row.code for row in made} == {"zone.unread", "gateway.unread"}


def test_observation_is_not_modified():
    found = results()
    before = copy.deepcopy(found)
    rows(found)
    assert found == before


def test_a_finding_names_code_and_what_mends_it():
    found = results()
    attributes(found, "zone-a").pop("FL_KEEPALIVE")
    (finding,) = [row.finding() for row in rows(found) if not row.ok]
    told = finding.to_result()
    assert (told["code"], told["subject"], told["severity"]) == ("keepalive.differs", "federation_keepalive_time", "error")
    assert told["fix"] and "expected 60 s, 20 s, found nothing" in told["message"]


def test_an_unread_host_is_told_once():
    assert [finding.host for finding in report.unique(row.finding() for row in rows({}))] == [
        "zone-a",
        "zone-b",
        "zone-c",
        "gw-b",
        "gw-c",
        "gw-a",
    ]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"msg": "x", "error": {"kind": "authentication"}}, "zone.credentials"),
        ({"msg": "x", "error": {"kind": "no such kind"}}, "step.failed"),
        ({"msg": "x", "code": "certificate.name"}, "certificate.name"),
        ({"msg": "x", "unreachable": True}, "gateway.unreachable"),
        ({}, "step.failed"),
    ],
)
def test_a_failed_task_becomes_a_finding(result, code):
    finding = findings.of_failure("zone-b", "Check the zones", result)
    assert finding.code == code and finding.message.startswith("Check the zones: ")


def test_a_training_that_lacks_partitions_or_learns_nothing_is_told():
    whole = {"partitions": [0, 1, 2, 3, 4], "losses": [0.5, 0.1]}
    assert report.training_findings(PLAN, whole, now=True) == []
    assert report.training_findings(PLAN, {**whole, "losses": [0.5]}, now=True) == [], "one round cannot fall below itself"
    for wrong in ({"partitions": [0, 1, 2, 3]}, {"losses": [0.1, 0.1]}):
        (finding,) = report.training_findings(PLAN, {**whole, **wrong}, now=True)
        assert (finding.code, finding.host) == ("training.failed", "zone-a")


def test_an_earlier_training_by_other_partitions_is_told_and_is_no_error():
    whole = {"partitions": [0, 1, 2, 3, 4], "losses": [0.1, 0.1]}
    assert report.training_findings(PLAN, whole, now=False) == []
    (finding,) = report.training_findings(PLAN, {**whole, "partitions": [0]}, now=False)
    assert (finding.code, finding.is_error) == ("training.older", False)


def test_after_a_teardown_there_is_nothing_to_serve():
    gone = plan.make_plan(GROUPS, HOSTS, leaving=["zone-a", "zone-b", "zone-c"])
    nothing = {
        **{zone: as_planned.empty_zone() for zone in gone["leaving"]["zones"]},
        **{gateway: as_planned.empty_gateway() for gateway in gone["leaving"]["gateways"]},
    }
    (row,) = checks.checks(gone, observation.observation(gone, nothing), NOW)
    assert (row.check, row.ok) == (AS_PLANNED, True)
    left = checks.checks(gone, observation.observation(gone, as_planned.results(gone)), NOW)
    assert {row.where for row in left if not row.ok} == set(nothing)


def test_timeline_separates_waiting_from_work_and_training_from_deployment():
    steps = [
        {"name": "build", "started": 100.0},
        {"name": "wait", "started": 103.0, "kind": "waits"},
        {"name": "train", "started": 113.0, "kind": "training"},
    ]
    found = report.timeline(steps, 153.5)
    assert [row["seconds"] for row in found["steps"]] == [3.0, 10.0, 40.5]
    assert (found["deployment_seconds"], found["critical_path_seconds"], found["training_seconds"]) == (13.0, 10.0, 40.5)
    assert found["walkthrough_to_critical_path"] == 1.06  # 53.5 / 50.5
    assert report.timeline(steps[:1], 153.5)["walkthrough_to_critical_path"] is None


def test_table_aligns_its_columns():
    assert report.table([{"a": "xx", "b": 1}, {"a": "y", "b": 22}], ("a", "b")) == [
        "A   B",
        "--  --",
        "xx  1",
        "y   22",
    ]
