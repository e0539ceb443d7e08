# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTEXT is refused with every reason at once, and filled in with defaults otherwise."""

from __future__ import annotations

import base64

import pytest
from oneflower_appliance import flower_versions, vocabulary

CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()
SUPERNODE = {"FL_SUPERLINK_ADDRESS": "10.10.10.5:9092", "FL_SSL_CA_CERTFILE": CA}


def test_a_superlink_needs_nothing():
    clean, faults = vocabulary.validate("superlink", {"NETWORK": "YES"})
    assert faults == []
    assert clean["FL_TLS_ENABLED"] == "YES" and clean["FL_GRPC_KEEPALIVE_TIME"] == "60"
    assert "NETWORK" not in clean and "FL_SUPERLINK_ADDRESS" not in clean


def test_a_supernode_needs_address_and_ca():
    assert vocabulary.validate("supernode", SUPERNODE)[1] == []
    _clean, faults = vocabulary.validate("supernode", {})
    assert sorted(fault.split(":")[0] for fault in faults) == ["FL_SSL_CA_CERTFILE", "FL_SUPERLINK_ADDRESS"]


def test_without_tls_a_supernode_needs_no_ca():
    assert vocabulary.validate("supernode", {"FL_SUPERLINK_ADDRESS": "a:1", "FL_TLS_ENABLED": "NO"})[1] == []


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("superlink", "FLOWER_VERSION", "latest"),
        ("superlink", "FL_TLS_ENABLED", "yes"),
        ("superlink", "FL_LOG_LEVEL", "LOUD"),
        ("superlink", "FL_GRPC_KEEPALIVE_TIME", "9"),
        ("superlink", "FL_GRPC_KEEPALIVE_TIME", "60s"),
        ("superlink", "FL_GRPC_KEEPALIVE_TIMEOUT", "60"),
        ("superlink", "FL_CERT_EXTRA_SAN", "10.10.10.5"),
        ("superlink", "FL_CERT_EXTRA_SAN", "IP:10.10.10.5,DNS:bad name"),
        ("superlink", "FL_CERT_EXTRA_SAN", "IP:10.10.10.256"),
        ("superlink", "FL_FLEET_API_ADDRESS", "0.0.0.0:80"),
        ("superlink", "FL_DATABASE", "../state.db"),
        ("supernode", "FL_SUPERLINK_ADDRESS", "10.10.10.5"),
        ("supernode", "FL_SUPERLINK_ADDRESS", "10.10.10.5:0"),
        ("supernode", "FL_SUPERLINK_ADDRESS", "https://10.10.10.5:9092"),
        ("supernode", "FL_SSL_CA_CERTFILE", "-----BEGIN CERTIFICATE-----"),
        ("supernode", "FL_SSL_CA_CERTFILE", base64.b64encode(b"-----BEGIN PRIVATE KEY-----").decode()),
        ("supernode", "FL_PARTITION_OFFSET", "-1"),
        ("supernode", "FL_NUM_PARTITIONS", "0"),
        ("supernode", "FL_NODE_CONFIG", "site=b; reboot"),
        ("supernode", "FL_NODE_CONFIG", "partition-id=3"),
    ],
)
def test_a_bad_value_is_named(role, name, value):
    _clean, faults = vocabulary.validate(role, {**(SUPERNODE if role == "supernode" else {}), name: value})
    assert [fault.split(":")[0] for fault in faults] == [name]


@pytest.mark.parametrize("role", ["", "Superlink", "client"])
def test_the_role_is_checked_first(role):
    clean, faults = vocabulary.validate(role, {})
    assert clean == {} and faults[0].startswith("FL_ROLE: ")


@pytest.mark.parametrize("role", vocabulary.ROLES)
def test_user_inputs_have_the_five_fields_of_opennebula(role):
    inputs = vocabulary.user_inputs(role)
    assert "FL_ROLE" not in inputs
    for name, text in inputs.items():
        fields = text.split("|")
        assert len(fields) == 5, name
        assert fields[0] in "MO"
        if fields[1] == "list":
            assert fields[4] in fields[3].split(",")


@pytest.mark.parametrize("role", vocabulary.ROLES)
def test_every_default_is_itself_valid(role):
    for variable in vocabulary.variables(role):
        assert variable.mandatory or variable.fault(variable.default) is None, variable.name


def test_versions():
    known = flower_versions.lookup("1.39.0")
    assert (known.fleet_transport, known.fleet_port, known.keepalive) == ("grpc", 9092, True)
    with pytest.raises(ValueError, match=r"1\.42\.0.*1\.39\.0"):
        flower_versions.lookup("1.42.0")
    vocabulary_default = next(item.default for item in vocabulary.VARIABLES if item.name == "FLOWER_VERSION")
    assert vocabulary_default == flower_versions.DEFAULT
