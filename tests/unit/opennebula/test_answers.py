# SPDX-License-Identifier: GPL-3.0-or-later
"""What the APIs answer: permissions, states, versions, VM documents."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import answers, states, vms
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.errors import InvalidRequest


@pytest.mark.parametrize(("mode", "expected"), [("640", "640"), ("0640", "640"), (None, None)])
def test_mode(mode: object, expected: str | None) -> None:
    assert answers.parse_mode(mode) == expected


@pytest.mark.parametrize("mode", ["888", "64", -1, "rw-", True, "01640", 64000])
def test_bad_mode(mode: object) -> None:
    with pytest.raises(InvalidRequest):
        answers.parse_mode(mode)


@pytest.mark.parametrize(("mode", "meant"), [(440, '"440"'), (640, '"640"'), (0o640, '"0640"'), (0, '"0"')])
def test_a_number_is_no_mode(mode: int, meant: str) -> None:
    """YAML reads an unquoted 440 as the number 440, which is 670 in octal, and 0640 as 416."""
    with pytest.raises(InvalidRequest) as refused:
        answers.parse_mode(mode)
    assert f"mode: {meant}" in str(refused.value)


def test_permissions() -> None:
    assert answers.permissions_to_mode({"OWNER_U": "1", "OWNER_M": 1, "GROUP_U": "1", "OTHER_A": "1"}) == "641"


def test_states() -> None:
    assert len(states.SERVICE_STATES) == 16 and states.service_state_name(15) == "HOLD"
    assert states.role_state_name(11) == "HOLD" and states.role_state_name(10) == "COOLDOWN"
    assert states.service_state_name(99) == "UNKNOWN_99" and states.vm_state_name(-1) == "UNKNOWN_-1"
    assert states.lcm_state_name(3) == "RUNNING" and states.lcm_state_name(36) == "BOOT_FAILURE"
    assert len(states.FAILED_STATES) == 5


def test_addresses_in_order_of_interfaces() -> None:
    template = {"NIC": [{"NIC_ID": "1", "IP": "b"}, {"NIC_ID": "0", "IP": "a", "IP6": "c"}], "NIC_ALIAS": {"IP": "d"}}
    assert vms.vm_addresses(template) == ["a", "c", "b", "d"]
    assert vms.vm_addresses({"NIC": {"NIC_ID": "0", "IP": "a"}}) == ["a"]
    assert vms.vm_addresses({}) == []


def test_versions() -> None:
    assert answers.version_tuple("7.4.0") == (7, 4, 0) and answers.version_tuple("6.10") < (7,)


def test_a_vm_as_a_real_server_gives_it() -> None:
    """Fixture: the VM of a recording of OpenNebula 7.4, shortened to what is read."""
    recorded = (
        "<VM><ID>5</ID><NAME>db_0_(service_14)</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE><TEMPLATE><NIC>"
        "<NIC_ID><![CDATA[0]]></NIC_ID><IP><![CDATA[10.11.0.15]]></IP></NIC></TEMPLATE><USER_TEMPLATE>"
        '<DB_NAME><![CDATA[my "db" $HOME, [x]]]></DB_NAME><SERVICE_ID><![CDATA[14]]></SERVICE_ID></USER_TEMPLATE></VM>'
    )
    assert vms.Vm.from_document(answers.xml_to_data(recorded)).to_result() == {
        "vm_id": 5,
        "name": "db_0_(service_14)",
        "state": "ACTIVE",
        "lcm_state": "RUNNING",
        "addresses": ["10.11.0.15"],
        "attributes": {"DB_NAME": 'my "db" $HOME, [x]', "SERVICE_ID": "14"},
    }
