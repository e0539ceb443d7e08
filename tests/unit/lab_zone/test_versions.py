# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab zone plays each version of OpenNebula as that version is."""

from __future__ import annotations

import pytest

from lab.zone import harness as zones
from lab.zone.versions import facts

ROUTES = "10.10.9.0/24 via 10.0.0.1"


def guest(tmp_path, version, contents):
    """Return the CONTEXT, in lines, of a VM whose role has these contents (text or mapping, as the version has them)."""
    with zones.running(zones.config(tmp_path, "zone", version=version)) as (_, (zone,)):
        names = ("template_id", "template_contents") if version.startswith("7") else ("vm_template", "vm_template_contents")
        role = {"name": "app", "cardinality": 1, names[0]: 0, names[1]: contents, "type": "vm"}
        template = zones.flow(zone, "POST", "/service_template", {"name": "s", "roles": [role]})[1]["DOCUMENT"]["ID"]
        path = f"/service_template/{template}/action"
        service = zones.flow(zone, "POST", path, {"action": {"perform": "instantiate"}})[1]["DOCUMENT"]["ID"]
        zones.until(lambda: zones.body(zone, service)["state"] == 2, "RUNNING")
        return zone.one.vms.hypervisor.machines["zone", 0].context["context.sh"].decode().splitlines()


@pytest.mark.parametrize("version", ["6.10.0", "6.10.5", "7.0.0", "7.0.2"])
def test_before_7_2_the_routes_of_a_nic_do_not_reach_the_guest(tmp_path, version):
    nic, context = f'NETWORK="lan", ROUTES="{ROUTES}"', 'NETWORK="YES", ETH0_ROUTES="by hand"'
    contents = {"NIC": [{"NETWORK": "lan", "ROUTES": ROUTES}], "CONTEXT": {"NETWORK": "YES", "ETH0_ROUTES": "by hand"}}
    lines = guest(tmp_path, version, contents if version[0] == "7" else f"NIC=[{nic}]\nCONTEXT=[{context}]")
    assert "ETH0_ROUTES='by hand'" in lines and "ETH0_IP='10.0.0.100'" in lines


@pytest.mark.parametrize("version", ["7.2.0", "7.4.0"])
def test_from_7_2_on_they_do(tmp_path, version):
    contents = {"NIC": [{"NETWORK": "lan", "ROUTES": ROUTES}], "CONTEXT": {"NETWORK": "YES", "ETH0_ROUTES": "by hand"}}
    assert f"ETH0_ROUTES='{ROUTES}'" in guest(tmp_path, version, contents)


def test_a_roles_context_takes_the_place_of_the_templates_in_6(tmp_path):
    lines = guest(tmp_path, "6.10.5", 'CONTEXT=[FOO="bar"]')
    assert "FOO='bar'" in lines
    assert not [line for line in lines if line.startswith(("NETWORK=", "TOKEN=", "ETH0_IP=", "SSH_PUBLIC_KEY="))]


@pytest.mark.parametrize("version", ["7.0.0", "7.4.0"])
def test_it_is_merged_into_the_templates_in_7(tmp_path, version):
    lines = guest(tmp_path, version, {"CONTEXT": {"FOO": "bar"}})
    assert {"FOO='bar'", "NETWORK='YES'", "TOKEN='YES'", "ETH0_IP='10.0.0.100'"} <= set(lines)


def test_roles_have_types_in_7_only(tmp_path):
    role = {"name": "app", "type": "vx", "template_id": 0, "vm_template": 0}
    with zones.running(zones.config(tmp_path, "six", version="6.10.5"), zones.config(tmp_path, "seven")) as (_, (six, seven)):
        assert zones.flow(six, "POST", "/service_template", {"name": "s", "roles": [role]})[0] == 201
        del role["vm_template"]
        status, text = zones.flow(seven, "POST", "/service_template", {"name": "s", "roles": [role]})
        assert (status, text) == (400, 'Unsupported role type "vx"')
        status, _made = zones.flow(seven, "POST", "/service_template", {"name": "s", "roles": [{**role, "type": "vr"}]})
        assert status == 201


@pytest.mark.parametrize("version", ["5.12.0", "6.4.0", "8.0.0", "seven"])
def test_other_versions_are_refused(version):
    with pytest.raises(ValueError, match="a lab zone plays 6.10, 7.0, 7.2, 7.4"):
        facts(version)
