# SPDX-License-Identifier: GPL-3.0-or-later
import base64
import re

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import settings

PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()
NODE = {"FL_SUPERLINK_ADDRESS": "10.10.10.5:9092", "FL_SSL_CA_CERTFILE": PEM, "FL_PARTITIONS": "0-1"}


def test_superlink_needs_nothing_but_its_role():
    clean, faults = settings.validate("superlink", {"NETWORK": "YES", "ETH0_IP": "10.0.0.1"})
    assert not faults
    assert clean["FL_FLEET_API_ADDRESS"] == ""  # the port is the Flower release's
    assert clean["FL_TLS_ENABLED"] == "YES"
    assert "FL_SUPERLINK_ADDRESS" not in clean


def test_empty_input_means_default():
    clean, faults = settings.validate("superlink", {"FL_LOG_LEVEL": "", "FL_GRPC_KEEPALIVE_TIME": " "})
    assert not faults
    assert (clean["FL_LOG_LEVEL"], clean["FL_GRPC_KEEPALIVE_TIME"]) == ("INFO", "60")


def test_supernode_needs_address_ca_and_partitions():
    _clean, faults = settings.validate("supernode", {})
    assert [fault.split(":")[0] for fault in faults] == ["FL_SUPERLINK_ADDRESS", "FL_PARTITIONS", "FL_SSL_CA_CERTFILE"]
    assert settings.validate("supernode", NODE)[1] == []
    assert settings.validate("supernode", {"FL_SUPERLINK_ADDRESS": "a:1", "FL_PARTITIONS": "0", "FL_TLS_ENABLED": "NO"})[1] == []


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("superlink", "FLOWER_VERSION", "latest"),
        ("superlink", "FL_TLS_ENABLED", "yes"),
        ("superlink", "FL_LOG_LEVEL", "info"),
        ("superlink", "FL_GRPC_KEEPALIVE_TIME", "9"),
        ("superlink", "FL_GRPC_KEEPALIVE_TIMEOUT", "0"),
        ("superlink", "FL_GRPC_KEEPALIVE_TIMEOUT", "60"),
        ("superlink", "FL_CERT_EXTRA_SAN", "10.0.0.1"),
        ("superlink", "FL_CERT_EXTRA_SAN", "IP:10.0.0.1/24"),
        ("superlink", "FL_CERT_EXTRA_SAN", "DNS:a b"),
        ("superlink", "FL_DATABASE", "../state.db"),
        ("superlink", "FL_DATABASE", "/etc/passwd"),
        ("superlink", "FL_FLEET_API_ADDRESS", "0.0.0.0:80"),
        ("superlink", "FL_FLEET_API_ADDRESS", ":9092"),
        ("superlink", "FL_FLEET_API_ADDRESS", "::1:9092"),
        ("supernode", "FL_SUPERLINK_ADDRESS", "10.10.10.5"),
        ("supernode", "FL_SUPERLINK_ADDRESS", "http://10.10.10.5:9092"),
        ("supernode", "FL_SUPERLINK_ADDRESS", "10.10.10.5:99999"),
        ("supernode", "FL_SSL_CA_CERTFILE", "not base64!"),
        ("supernode", "FL_SSL_CA_CERTFILE", base64.b64encode(b"secret").decode()),
        ("supernode", "FL_NODE_CONFIG", "partition-id=3"),
        ("supernode", "FL_NODE_CONFIG", "a=$(reboot)"),
        ("supernode", "FL_NUM_PARTITIONS", "0"),
        ("supernode", "FL_PARTITIONS", "3-1"),
        ("supernode", "FL_PARTITIONS", "1,two"),
        ("supernode", "FL_PARTITIONS", "0-9999999"),
        ("supernode", "FL_ROUTES", "10.10.9.0/24"),
        ("supernode", "FL_ROUTES", "10.10.9.5/24 via 10.10.10.1"),
        ("supernode", "FL_ROUTES", "10.10.9.0/24 via fd00::1"),
        ("supernode", "FL_ROUTES", "10.10.9.0/24 via 10.10.9.1"),
        ("supernode", "FL_ROUTES", "0.0.0.0/0 via 10.10.10.1"),
        ("superlink", "FL_ROUTES", "10.10.9.0/24 via 10.10.10.1, 10.10.9.0/24 via 10.10.10.2"),
        ("supernode", "FL_MAX_RETRIES", "-1"),
    ],
)
def test_faults_name_their_variable(role, name, value):
    _clean, faults = settings.validate(role, {**(NODE if role == "supernode" else {}), name: value})
    assert len(faults) == 1
    assert faults[0].startswith(f"{name}:")


def test_all_faults_at_once():
    _clean, faults = settings.validate(
        "supernode", {**NODE, "FL_LOG_LEVEL": "x", "FL_NUM_PARTITIONS": "many", "FL_TLS_ENABLED": "1"}
    )
    assert len(faults) == 3


def test_unknown_role():
    assert settings.validate("", {})[1] == ["FL_ROLE: is ''; superlink or supernode is needed"]


def test_user_inputs_are_what_oneflow_takes():
    for role in settings.ROLES:
        for name, text in settings.user_inputs(role).items():
            mandatory, kind, help_text, options, default = text.split("|")
            assert mandatory in "MO"
            assert kind in ("text", "text64", "number", "boolean", "list")
            assert help_text
            assert (options == " ") == (kind != "list")
            variable = next(variable for variable in settings.SETTINGS if variable.name == name)
            assert variable.fault(default) is None or mandatory == "M"
    assert settings.user_inputs("supernode")["FL_SUPERLINK_ADDRESS"].startswith("M|text|")


def test_an_address_to_listen_on_may_be_given():
    clean, faults = settings.validate("superlink", {"FL_FLEET_API_ADDRESS": "[::]:9092"})
    assert (clean["FL_FLEET_API_ADDRESS"], faults) == ("[::]:9092", [])


@pytest.mark.parametrize(
    ("text", "numbers", "written"),
    [("0-1,4", [0, 1, 4], "0-1,4"), (" 4, 1,0-1 ", [0, 1, 4], "0-1,4"), ("7", [7], "7"), ("", [], ""), ("3,5-5", [3, 5], "3,5")],
)
def test_numbers_go_out_and_come_back(text, numbers, written):
    assert settings.parse_numbers(text) == numbers
    assert settings.format_numbers(numbers) == written
    assert settings.parse_numbers(written) == numbers


def test_routes_go_out_and_come_back():
    text = "10.10.9.0/24 via 10.10.10.1, fd00:9::/64 via fd00::1"
    assert settings.format_routes(settings.parse_routes(text)) == text
    assert settings.parse_routes("10.10.9.0/24  via 10.10.10.1,fd00:9::/64 via fd00::1") == settings.parse_routes(text)
    assert settings.parse_routes("") == []


class TestDigest:
    def test_what_is_not_given_is_the_default(self):
        assert re.fullmatch("[0-9a-f]{16}", settings.digest("superlink", {}))
        assert settings.digest("superlink", {"FL_LOG_LEVEL": "INFO", "FL_ROUTES": ""}) == settings.digest("superlink", {})
        clean, _faults = settings.validate("supernode", NODE)
        assert settings.digest("supernode", clean) == settings.digest("supernode", NODE)

    @pytest.mark.parametrize("role", settings.ROLES)
    def test_every_live_setting_counts_but_the_list_of_partitions(self, role):
        for setting in settings.of_role(role):
            differs = settings.digest(role, {setting.name: "other"}) != settings.digest(role, {})
            assert differs == (setting.live and setting.name != "FL_PARTITIONS"), setting.name

    def test_what_restarts_flower_is_live(self):
        assert {setting.name for setting in settings.SETTINGS if setting.live and not setting.restarts} == {
            "FL_ROUTES",
            "FL_PARTITIONS",
        }
        assert all(setting.live for setting in settings.SETTINGS if setting.restarts)
