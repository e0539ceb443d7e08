# SPDX-License-Identifier: GPL-3.0-or-later
"""Real TLS in front of oned and OneFlow: ca_path and validate_certs do what they say, and nothing else is trusted."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import subprocess
import time

import pytest

from tests.contract import contract_target as targets
from tests.contract.contract_run import PREFIX, purge, run_task
from tests.contract.contract_tls import Authority
from tests.fixtures.stub import Stub, http

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "right")


@pytest.fixture(scope="module")
def secure(authority, tmp_path_factory):
    """Start a federation behind TLS; the certificate names 127.0.0.1 and nothing else."""
    files = authority.issue("zone", "127.0.0.1")
    with targets.lab_federation(tmp_path_factory.mktemp("tls"), "7.4.0", tls=files) as found:
        for zone in found.all():
            zone.tls = {"ca_path": str(authority.path)}
        yield found
        for zone in found.all():
            purge(zone, found, keep=())


def untrusted(result):
    assert result.get("failed") and result["error"]["kind"] == "tls", result
    assert result["error"]["endpoint"].startswith("https://") and result["error"]["hint"] and result["changed"] is False
    return result["msg"]


def test_a_whole_life_over_tls(secure):
    body = {"roles": [{"name": "app", "template_id": 0, "cardinality": 1}]}
    assert run_task("oneflow_template", secure.a, secure, name=f"{PREFIX}t", template=body)["changed"]
    made = run_task("oneflow_service", secure.a, secure, name=f"{PREFIX}s", template_name=f"{PREFIX}t")
    assert made["service"]["state"] == "RUNNING", made
    vm = made["service"]["roles"][0]["nodes"][0]["vm_id"]
    assert run_task("one_vm_attributes", secure.a, secure, vm_id=vm, attributes={"A": "1"})["changed"]
    assert run_task("one_vm_info", secure.a, secure, vm_ids=[vm])["vms"][0]["attributes"]["A"] == "1"
    assert run_task("one_resource_info", secure.a, secure, vm_templates=["0"])["vm_templates"]
    assert run_task("oneflow_service", secure.a, secure, name=f"{PREFIX}s", state="absent")["changed"]


def test_the_other_zones_are_verified_too(secure):
    """Calls that go on to the master and to each zone carry the same trust."""
    made = run_task("onezone", secure.b, secure, name=f"{PREFIX}z", zone_endpoint="https://127.0.0.1:1/RPC2")
    assert made["changed"], made
    zones = {zone["name"]: zone["status"] for zone in run_task("onezone_info", secure.b, secure)["zones"]}
    assert zones["OpenNebula"]["reachable"] and zones["zone-b"]["reachable"], zones
    assert run_task("onezone", secure.b, secure, name=f"{PREFIX}z", state="absent")["changed"]


def test_oneflow_is_found_through_the_zone_and_never_without_tls(secure):
    plain = {"oneflow_endpoint": None}
    run_task("onezone", secure.a, secure, id=0, zone_oneflow_endpoint=secure.a.oneflow)
    found = run_task("oneflow_service_info", secure.a, secure, **plain)
    assert not found.get("failed"), found
    run_task("onezone", secure.a, secure, id=0, zone_oneflow_endpoint=secure.a.oneflow.replace("https", "http"))
    refused = run_task("oneflow_service_info", secure.a, secure, **plain)
    assert refused["error"]["kind"] == "invalid_request" and "without TLS" in refused["msg"]


def test_without_the_authority(secure):
    for module, option in (("oneflow_service_info", "oneflow"), ("onezone_info", "endpoint")):
        text = untrusted(run_task(module, secure.a, secure, ca_path=None))
        assert "certificate was refused" in text and "ca_path" in text and getattr(secure.a, option) in text


def test_with_the_wrong_authority(secure, tmp_path):
    wrong = Authority(tmp_path, "wrong")
    assert "certificate was refused" in untrusted(run_task("onezone_info", secure.a, secure, ca_path=str(wrong.path)))
    same_name = Authority(tmp_path, "right")
    assert "certificate was refused" in untrusted(run_task("oneflow_template_info", secure.a, secure, ca_path=str(same_name.path)))


def test_a_bundle_and_a_folder_of_authorities(secure, authority, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Authority(tmp_path, "wrong").path.read_bytes() + authority.path.read_bytes())
    assert not run_task("onezone_info", secure.a, secure, ca_path=str(bundle)).get("failed")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "right.pem").write_bytes(authority.path.read_bytes())
    subprocess.run(["openssl", "rehash", str(folder)], check=True, stdin=subprocess.DEVNULL)
    assert not run_task("onezone_info", secure.a, secure, ca_path=str(folder)).get("failed")
    missing = run_task("onezone_info", secure.a, secure, ca_path=str(tmp_path / "nothing.pem"))
    assert missing["error"]["kind"] == "invalid_request" and "nothing.pem" in missing["msg"]


def test_another_name_than_the_certificates(secure):
    elsewhere = secure.a.endpoint.replace("127.0.0.1", "localhost")
    assert "localhost" in untrusted(run_task("onezone_info", secure.a, secure, endpoint=elsewhere))


def test_validate_certs_false(secure):
    for options in ({}, {"endpoint": secure.a.endpoint.replace("127.0.0.1", "localhost")}):
        result = run_task("onezone_info", secure.a, secure, validate_certs=False, ca_path=None, **options)
        assert not result.get("failed"), result
    assert not run_task("oneflow_service_info", secure.a, secure, validate_certs=False, ca_path=None).get("failed")


def test_an_expired_certificate(authority, secure):
    files = authority.issue("expired", "127.0.0.1", expired=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["cert"], files["key"])
    with Stub(http(200, b'{"DOCUMENT_POOL": {}}'), context) as server:
        zone = dataclasses.replace(secure.a, oneflow=server.url(scheme="https"))
        assert "expired" in untrusted(run_task("oneflow_service_info", zone, secure))
        assert server.requests == [], "the credentials did not go out"
        assert run_task("oneflow_service_info", zone, secure, validate_certs=False, ca_path=None)["services"] == []


def test_plain_http_where_tls_is_expected_and_the_other_way_round(secure, authority):
    with Stub(http(400, b"plain HTTP"), at_once=True) as server:
        zone = dataclasses.replace(secure.a, oneflow=server.url(scheme="https"))
        assert "Does this port speak TLS?" in untrusted(run_task("oneflow_service_info", zone, secure))
    zone = dataclasses.replace(secure.a, endpoint=secure.a.endpoint.replace("https", "http"))
    result = run_task("onezone_info", zone, secure, timeout=2)
    assert result["error"]["kind"] in ("unreachable", "bad_answer") and result["error"]["hint"], result


def test_a_server_that_never_shakes_hands(secure):
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        zone = dataclasses.replace(secure.a, oneflow=f"https://127.0.0.1:{listener.getsockname()[1]}")
        begin = time.monotonic()
        result = run_task("oneflow_service_info", zone, secure, timeout=0.3)
        assert time.monotonic() - begin < 3.3 and "within 0.3 s" in result["msg"]
    finally:
        listener.close()


def test_a_server_that_refuses_tls(secure):
    def refuse(connection):
        connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # alert: handshake failure

    with Stub(refuse, at_once=True) as server:
        zone = dataclasses.replace(secure.a, oneflow=server.url(scheme="https"))
        untrusted(run_task("oneflow_service_info", zone, secure))
