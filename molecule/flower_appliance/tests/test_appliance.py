# SPDX-License-Identifier: GPL-3.0-or-later
"""The appliance from the inside, after its role and one boot as a SuperLink."""

import json

import pytest

HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ProtectKernelModules": "yes",
    "RestrictNamespaces": "yes",
    "UMask": "0077",
}


@pytest.mark.parametrize("unit", ["oneflower-agent", "flower-superlink", "flower-supernode"])
def test_nothing_starts_before_context(host, unit):
    assert host.service(unit).exists
    # Without an [Install] section: nothing but the hook of one-context starts it.
    assert host.run(f"systemctl is-enabled {unit}").stdout.strip() == "static"


@pytest.mark.parametrize("unit", ["flower-superlink", "flower-supernode"])
def test_flower_is_locked_in(host, unit):
    found = host.service(unit).systemd_properties
    assert {name: found[name] for name in HARDENED} == HARDENED
    assert found["User"] == "flower"
    for capabilities in ("CapabilityBoundingSet", "AmbientCapabilities"):
        assert host.check_output(f"systemctl show -p {capabilities} {unit}") == f"{capabilities}="
    assert (found["Restart"], found["StartLimitIntervalUSec"]) == ("always", "0")
    assert "mount" not in found["SystemCallFilter"].split()


def test_the_superlink_runs_and_the_supernode_does_not(host):
    assert host.service("oneflower-agent").is_running
    assert host.service("flower-superlink").is_running
    assert not host.service("flower-supernode").is_running


def test_only_the_fleet_api_is_open(host):
    assert host.socket("tcp://0.0.0.0:9092").is_listening
    assert host.socket("tcp://127.0.0.1:8000").is_listening
    others = {socket for socket in host.socket.get_listening_sockets() if socket.startswith("tcp")}
    others = {socket for socket in others if "127.0.0.1" not in socket and "::1:" not in socket}
    assert {socket.rpartition(":")[2] for socket in others} == {"22", "9092"}


@pytest.mark.parametrize(
    ("path", "user", "group", "mode"),
    [
        ("/var/lib/oneflower", "root", "root", 0o700),
        ("/var/lib/oneflower/ca.key", "root", "root", 0o600),
        ("/run/oneflower/context.json", "root", "root", 0o600),
        ("/etc/flower/tls/server.key", "root", "flower", 0o640),
        ("/etc/flower/tls/ca.crt", "root", "root", 0o644),
        ("/etc/flower/flower-superlink.args", "root", "flower", 0o640),
        ("/var/lib/flower", "root", "root", 0o755),
        ("/var/lib/flower/home", "flower", "flower", 0o700),
        ("/var/lib/flower/data", "root", "flower", 0o750),
        ("/etc/one-context.d/net-98-oneflower", "root", "root", 0o755),
        ("/opt/oneflower/bin/oneflower", "root", "root", 0o755),
    ],
)
def test_files(host, path, user, group, mode):
    file = host.file(path)
    assert (file.user, file.group, file.mode) == (user, group, mode)


def test_nobody_logs_in_as_flower(host):
    assert host.user("flower").shell == "/usr/sbin/nologin"


def test_flower_runs_as_flower(host):
    names = {process.comm for process in host.process.filter(user="flower")}
    assert names, "no process of the service user"
    assert not [process for process in host.process.filter(user="root") if "flower-superlink" in process.args]


def test_keepalive_is_in_the_process(host):
    state = json.loads(host.file("/run/flower-superlink/grpc.json").content_string)
    assert state["pid"] == int(host.service("flower-superlink").systemd_properties["MainPID"])
    (server,) = state["servers"]
    assert server["addresses"] == ["0.0.0.0:9092"]
    assert server["options"]["grpc.keepalive_time_ms"] == 60000
    assert server["options"]["grpc.http2.min_ping_interval_without_data_ms"] == 30000


@pytest.mark.parametrize(
    ("address", "verified"), [("127.0.0.1", True), ("192.0.2.100", True), ("203.0.113.2", True), ("192.0.2.1", False)]
)
def test_certificate_verifies_for_its_addresses_only(host, address, verified):
    check = f"-CAfile /etc/flower/tls/ca.crt -verify_return_error -verify_ip {address}"
    # Its exit code also tells how the server took a client that says nothing.
    told = host.run(f"openssl s_client -connect 127.0.0.1:9092 {check} </dev/null")
    assert ("Verification: OK" in told.stdout) is verified
    assert ("IP address mismatch" in told.stderr) is not verified


def test_one_context_does_not_report_ready(host):
    assert "/opt/oneflower/net-99-report-ready.diverted" in host.check_output(
        "dpkg-divert --list /etc/one-context.d/net-99-report-ready"
    )
