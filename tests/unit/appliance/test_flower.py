# SPDX-License-Identifier: GPL-3.0-or-later
import base64
from dataclasses import replace
from pathlib import Path

import pytest
from oneflower_appliance import flower
from oneflower_appliance.appliance import flower_releases, settings

RELEASE = flower_releases.lookup("1.39.0")
PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()


def supernode(**more):
    values, faults = settings.validate(
        "supernode", {"FL_SUPERLINK_ADDRESS": "10.1.1.5:9092", "FL_SSL_CA_CERTFILE": PEM, "FL_PARTITIONS": "3", **more}
    )
    assert not faults
    return flower.supernode(values, RELEASE, Path("/tls"), Path("/data"), 3)


def superlink(release=RELEASE, **more):
    values, faults = settings.validate("superlink", more)
    assert not faults
    return flower.superlink(values, release, Path("/tls"), Path("/home"))


def after(command, flag):
    return command.arguments[command.arguments.index(flag) + 1]


def test_superlink_keeps_control_on_loopback():
    command = superlink()
    assert after(command, "--host") == "127.0.0.1"
    assert after(command, "--port") == "8000"
    assert after(command, "--fleet-api-address") == "0.0.0.0:9092"
    assert after(command, "--database") == "/home/state.db"
    assert "--insecure" not in command.arguments
    assert "--disable-runtime-dependency-installation" in command.arguments


def test_tls_off_is_said_at_both_ends():
    assert "--insecure" in superlink(FL_TLS_ENABLED="NO").arguments
    assert "--ssl-keyfile" not in superlink(FL_TLS_ENABLED="NO").arguments
    assert "--insecure" in supernode(FL_TLS_ENABLED="NO").arguments
    assert "--root-certificates" not in supernode(FL_TLS_ENABLED="NO").arguments


def test_supernode():
    command = supernode(FL_NUM_PARTITIONS="4", FL_NODE_CONFIG="site=b rate=0.5")
    assert after(command, "--node-config") == 'partition-id=3 num-partitions=4 data-path="/data" site="b" rate=0.5'
    # It came to a federation that has grown since its CONTEXT was written.
    assert "partition-id=3 num-partitions=4 " in after(supernode(FL_NUM_PARTITIONS="2"), "--node-config")
    assert after(command, "--host") == "127.0.0.1"
    assert after(command, "--root-certificates") == "/tls/superlink-ca.crt"
    assert command.args_file().decode().splitlines() == list(command.arguments)


@pytest.mark.parametrize(("value", "given"), [("", False), ("0", False), ("5", True)])
def test_zero_retries_means_for_ever(value, given):
    assert ("--max-retries" in supernode(FL_MAX_RETRIES=value).arguments) is given
    assert ("--max-wait-time" in supernode(FL_MAX_WAIT_TIME=value).arguments) is given


def test_environment():
    text = superlink(FL_LOG_LEVEL="DEBUG", FL_GRPC_KEEPALIVE_TIME="30").env_file().decode()
    for line in ("FLWR_LOG_LEVEL=DEBUG", "FLWR_TELEMETRY_ENABLED=0", "FLWR_DISABLE_UPDATE_CHECK=1", "FL_GRPC_KEEPALIVE_TIME=30"):
        assert line in text.splitlines()


def test_ports_and_type_of_the_apis_are_the_releases():
    other = replace(RELEASE, fleet_transport="http", fleet_api_type="rest", fleet_port=8000, control_port=8001)
    command = superlink(other)
    assert after(command, "--fleet-api-type") == "rest"
    assert after(command, "--fleet-api-address") == "0.0.0.0:8000"
    assert after(command, "--port") == "8001"
    assert "KEEPALIVE" not in command.env_file().decode()
    assert after(superlink(), "--fleet-api-type") == RELEASE.fleet_api_type


def test_a_setting_may_say_where_the_fleet_api_listens():
    command = superlink(FL_FLEET_API_ADDRESS="10.10.10.5:9443")
    assert after(command, "--fleet-api-address") == "10.10.10.5:9443"
