# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification tells a federation that is what the plan says from one that is not, and what was read from what was not."""

from __future__ import annotations

import base64
import copy
import datetime

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import checks, findings, observation, plan, report
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.federation.test_plan import GROUPS, HOSTS

PLAN = plan.make_plan(GROUPS, HOSTS)
NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
LEAF = "ab" * 32
CLIENT = "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,tcp_user_timeout_ms=20000"
SERVER = "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,min_interval_ms=30000"


def certificate(*, days: int = 365, ca: bool = True) -> str:
    """Return base64 of PEM of a certificate that is valid from the day before NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Flower CA")])
    begin = NOW - datetime.timedelta(days=1)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(built.public_bytes(serialization.Encoding.PEM)).decode()


CA = certificate()


def results():
    """Return what the modules return of a federation that is as planned."""

    def service(role, nodes):
        return {
            "selected": 1,
            "services": [{"id": 1, "state": "RUNNING", "roles": [{"name": role, "state": "RUNNING", "nodes": nodes}]}],
        }

    superlink = {
        "FL_READY": "YES",
        "FL_VERSION": "1.39.0",
        "FL_CA_CERT": CA,
        "FL_CERT_SAN": "DNS:localhost,IP:127.0.0.1,IP:10.10.10.5",
        "FL_CERT_FINGERPRINT": LEAF,
        "FL_NODES_ONLINE": "5",
        "FL_KEEPALIVE": SERVER,
    }

    def supernode(vm_id, partition):
        return {
            "vm_id": vm_id,
            "attributes": {
                "FL_READY": "YES",
                "FL_SUPERLINK": "10.10.10.5:9092",
                "FL_PEER_FINGERPRINT": LEAF,
                "FL_PARTITION_ID": str(partition),
                "FL_KEEPALIVE": CLIENT,
            },
        }

    tunnel = {"gateway": {"live": {"peers": [{"latest_handshake_age": 7}]}}}
    probe = {"verified": True, "fingerprint": LEAF}
    return {
        "zone-a": {"service": service("superlink", [{"vm_id": 0, "attributes": superlink}])},
        "zone-b": {"service": service("supernode", [supernode(0, 0), supernode(1, 1)])},
        "zone-c": {"service": service("supernode", [supernode(0, 2), supernode(1, 3), supernode(2, 4)])},
        "gw-a": {"tunnel": copy.deepcopy(tunnel)},
        "gw-b": {"tunnel": copy.deepcopy(tunnel), "probe": dict(probe)},
        "gw-c": {"tunnel": copy.deepcopy(tunnel), "probe": dict(probe)},
    }


def rows(found) -> list[checks.Check]:
    return checks.checks(PLAN, observation.observation(PLAN["zones"], PLAN["gateways"], found), NOW)


def failed(found) -> set[tuple[str, str, str]]:
    return {(row.check, row.where, row.code) for row in rows(found) if not row.ok}


def service_of(found, zone):
    return found[zone]["service"]["services"][0]


def attributes(found, zone, node=0):
    return service_of(found, zone)["roles"][0]["nodes"][node]["attributes"]


def test_a_federation_as_planned_passes_every_check():
    made = rows(results())
    assert [row for row in made if not row.ok] == []
    assert len(made) == 3 + 1 + 1 + 1 + 1 + 1 + 2 + 2 + 5 * 4
    assert not any(row.to_result()["code"] for row in made)


SERVICE, SUPERLINK, SUPERNODE = "OneFlow service", "SuperLink serves", "SuperNode connected"
KEEPALIVE, TUNNEL, PROBE = "gRPC keepalive in force", "WireGuard tunnel", "TLS handshake through the tunnel"
NAMES, AUTHORITY, ONLINE = (
    "certificate names what sites dial",
    "CA certificate fit to be trusted",
    "SuperNodes online in the SuperLink",
)
PEER, PARTITION = "SuperNode verified the SuperLink", "partition is its own"


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda o: o["zone-b"]["service"].update(services=[]), (SERVICE, "zone-b", "service.absent")),
        (lambda o: o["zone-b"].update(service={"msg": "refused"}), (SERVICE, "zone-b", "zone.unread")),
        (lambda o: o.pop("zone-b"), (SERVICE, "zone-b", "zone.unread")),
        (
            lambda o: o["zone-b"]["service"].update(services=[{"id": 1}, {"id": 2}], selected=None),
            (SERVICE, "zone-b", "zone.unread"),
        ),
        (lambda o: service_of(o, "zone-b").update(state="WARNING"), (SERVICE, "zone-b", "service.state")),
        (lambda o: service_of(o, "zone-b")["roles"][0]["nodes"].pop(), (SERVICE, "zone-b", "service.state")),
        (lambda o: attributes(o, "zone-a").update(FL_READY="NO"), (SUPERLINK, "zone-a", "superlink.unready")),
        (lambda o: attributes(o, "zone-a").update(FL_VERSION="1.38.0"), (SUPERLINK, "zone-a", "superlink.release")),
        (lambda o: attributes(o, "zone-a").update(FL_CERT_SAN="IP:10.10.10.55"), (NAMES, "zone-a", "certificate.name")),
        (lambda o: attributes(o, "zone-a").update(FL_CA_CERT="eA=="), (AUTHORITY, "zone-a", "certificate.authority")),
        (
            lambda o: attributes(o, "zone-a").update(FL_CA_CERT=certificate(ca=False)),
            (AUTHORITY, "zone-a", "certificate.authority"),
        ),
        (lambda o: attributes(o, "zone-a").update(FL_CA_CERT=certificate(days=30)), (AUTHORITY, "zone-a", "certificate.authority")),
        (lambda o: attributes(o, "zone-a").pop("FL_CA_CERT"), (AUTHORITY, "zone-a", "certificate.authority")),
        (lambda o: attributes(o, "zone-a").update(FL_NODES_ONLINE="4"), (ONLINE, "zone-a", "supernodes.offline")),
        (lambda o: attributes(o, "zone-a").pop("FL_KEEPALIVE"), (KEEPALIVE, "zone-a", "keepalive.differs")),
        (lambda o: o["gw-b"].pop("tunnel"), (TUNNEL, "gw-b", "gateway.unread")),
        (lambda o: o["gw-b"].update(tunnel={"unreachable": True, "msg": "timed out"}), (TUNNEL, "gw-b", "gateway.unread")),
        (lambda o: o["gw-b"].update(tunnel={"gateway": {"live": {}}}), (TUNNEL, "gw-b", "tunnel.silent")),
        (
            lambda o: o["gw-c"]["tunnel"]["gateway"]["live"]["peers"][0].update(latest_handshake_age=181),
            (TUNNEL, "gw-c", "tunnel.silent"),
        ),
        (
            lambda o: o["gw-c"]["tunnel"]["gateway"]["live"]["peers"][0].update(latest_handshake_age=None),
            (TUNNEL, "gw-c", "tunnel.silent"),
        ),
        (lambda o: o["gw-b"]["probe"].update(verified=False), (PROBE, "gw-b", "probe.failed")),
        (lambda o: o["gw-b"]["probe"].update(fingerprint="cd" * 32), (PROBE, "gw-b", "probe.failed")),
        (lambda o: o["gw-b"].pop("probe"), (PROBE, "gw-b", "probe.failed")),
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
    found["zone-c"] = {"service": {"msg": "GET /service at http://c: cannot connect"}}
    (row,) = [row for row in rows(found) if row.where == "zone-c"]
    assert "absent" not in row.found and "cannot connect" in row.found
    observed = observation.observation(PLAN["zones"], PLAN["gateways"], found)
    made = report.report(PLAN, observed, [row], [row.finding()], written="", training=None, timeline=None)
    assert (made["zones"]["zone-c"]["state"], made["zones"]["zone-b"]["state"], made["ok"]) == ("not read", "RUNNING", False)


def test_a_dead_coordinator_fails_its_rows_and_the_sites_are_judged_all_the_same():
    found = results()
    found["zone-a"] = {"service": {"msg": "cannot connect"}}
    told = failed(found)
    assert (SUPERLINK, "zone-a", "zone.unread") in told
    assert (SERVICE, "zone-b") not in {(check, where) for check, where, _code in told}
    assert (SUPERNODE, "zone-b VM 0") not in {(check, where) for check, where, _code in told}


def test_a_superlink_without_vm_is_told_and_raises_nothing():
    found = results()
    service_of(found, "zone-a")["roles"][0]["nodes"].clear()
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
    assert report.training_findings(PLAN, whole) == []
    assert report.training_findings(PLAN, {**whole, "losses": [0.5]}) == [], "one round cannot fall below itself"
    for wrong in ({"partitions": [0, 1, 2, 3]}, {"losses": [0.1, 0.1]}):
        (finding,) = report.training_findings(PLAN, {**whole, **wrong})
        assert (finding.code, finding.host) == ("training.failed", "zone-a")


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
