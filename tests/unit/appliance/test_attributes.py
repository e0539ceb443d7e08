# SPDX-License-Identifier: GPL-3.0-or-later
"""What the appliance formats is what the controller parses; what a VM says is input, and rubbish in it is left out."""

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.appliance.attributes import Keepalive, Run, RunRequest


def test_names_are_constants_of_the_table():
    constants = {
        value
        for name, value in vars(attributes).items()
        if name.isupper() and isinstance(value, str) and value.startswith("FL_") and value != settings.ROLE
    }
    table = {attribute.name for attribute in attributes.ATTRIBUTES}
    assert table == constants | {settings.ROLE, attributes.GATE_READY}
    assert len(table) == len(attributes.ATTRIBUTES)


def test_only_the_role_is_a_setting_and_an_attribute():
    """A live setting is changed as a user attribute, so no other name may mean both."""
    assert set(settings.BY_NAME) & {attribute.name for attribute in attributes.ATTRIBUTES} == {settings.ROLE}


@pytest.mark.parametrize(
    ("keepalive", "text"),
    [
        (Keepalive(60000, 20000, 1, 0, 30000), "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,min_interval_ms=30000"),
        (
            Keepalive(60000, 20000, 1, 0, tcp_user_timeout_ms=0),
            "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,tcp_user_timeout_ms=0",
        ),
        (Keepalive(), ""),
    ],
)
def test_keepalive_goes_out_and_comes_back(keepalive, text):
    assert keepalive.format() == text
    assert Keepalive.parse(text) == keepalive


@pytest.mark.parametrize(
    "text", ["time_ms", "time_ms=", "time_ms=6x,colour=1", "=,=,", "time_ms=-1", "format=1", "time_ms=" + "9" * 20]
)
def test_rubbish_in_keepalive_is_not_set(text):
    assert Keepalive.parse(text) == Keepalive()


@pytest.mark.parametrize(
    ("text", "request_", "written"),
    [
        ("17 rounds=5", RunRequest("17", 5, 1), "17 rounds=5"),
        ("17", RunRequest("17", 3, 1), "17 rounds=3"),
        (" 17  nodes=4 rounds=1 ", RunRequest("17", 1, 4), "17 rounds=1 nodes=4"),
        ("17 partitions=12000", RunRequest("17", 3, 1, 12000), "17 rounds=3 partitions=12000"),
    ],
)
def test_requests(text, request_, written):
    assert RunRequest.parse(text) == request_
    assert request_.format() == written
    assert RunRequest.parse(written) == request_


@pytest.mark.parametrize("text", ["", "../x", "17 rounds=0", "17 rounds=x", "17 rounds=3;reboot", "17 color=red", "x" * 65])
def test_a_bad_request_names_the_attribute(text):
    with pytest.raises(ValueError, match="FL_RUN_REQUEST"):
        RunRequest.parse(text)


def test_a_run_goes_out_and_comes_back():
    run = Run("r1", attributes.FAILED, 2, 3, [0.5, 0.25], 4, [0, 1, 2, 3], 14.5, "out of memory")
    assert run.format()["FL_RUN_LOSS"] == "0.500000,0.250000"
    assert Run.parse(run.format()) == run
    begun = Run("r2", attributes.RUNNING, rounds=3)
    assert begun.format()["FL_RUN_SECONDS"] == ""
    assert Run.parse(begun.format()) == begun


def test_no_run_and_rubbish():
    assert Run.parse({}) == Run() and Run().status == attributes.NO_RUN
    rubbish = {"FL_RUN_ROUND": "-1", "FL_RUN_LOSS": "nan,0.5,inf,x", "FL_RUN_PARTITIONS": "3,a,1,1", "FL_RUN_SECONDS": "soon"}
    assert Run.parse(rubbish) == Run(losses=[0.5], partitions=[1, 3])


def test_names_of_a_certificate():
    assert attributes.format_names(["IP:10.0.0.5", "DNS:a"]) == "IP:10.0.0.5,DNS:a"
    assert attributes.parse_names(" IP:10.0.0.5, DNS:a,,") == ["IP:10.0.0.5", "DNS:a"]
    assert attributes.parse_names("") == []


def test_a_certificate_goes_as_one_line_and_what_is_published_can_be_set():
    pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    text = settings.format_pem(pem)
    assert "\n" not in text
    assert settings.parse_pem(text) == pem
    assert settings.BY_NAME[settings.CA_CERTIFICATE].fault(text) is None


def test_nodes_go_out_and_come_back():
    nodes = {"18446744073709551615": True, "9": False, "70": True}
    assert attributes.format_nodes(nodes) == "9:offline,70:online,18446744073709551615:online"
    assert attributes.parse_nodes(attributes.format_nodes(nodes)) == nodes
    assert attributes.parse_nodes("") == {}
    assert attributes.parse_nodes("x:online,7:here,8:online,9:offline9,,:offline") == {"8": True}


def test_ids_of_nodes_go_out_and_come_back():
    assert attributes.format_node_ids(["70", "9", "70"]) == "9,70"
    assert attributes.parse_node_ids(" 9, 70,x,-1,7;reboot,") == ["9", "70"]
