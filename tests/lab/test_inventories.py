# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory that users copy: it plans as it stands, and its zones, which nobody can reach, are refused in plain words."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories" / "three-zones-wireguard"


def plan(inventory: Path, playbook: str = "playbooks/plan.yml", **environment: str) -> str:
    """Output of the README's `ansible-playbook -i YOUR-INVENTORY playbooks/plan.yml`, without any network."""
    done = subprocess.run(
        ["unshare", "--net", "ansible-playbook", "-i", str(inventory), playbook],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "ANSIBLE_FORCE_COLOR": "0", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    return done.stdout


@pytest.fixture(autouse=True)
def root():
    if os.geteuid():
        pytest.fail("a network namespace needs root")


def failures(output: str) -> dict[str, str]:
    """Return what each host failed with."""
    found = re.findall(r"^fatal: \[(\S+)\]: FAILED! =>(.*?)(?=^\S)", output, flags=re.DOTALL | re.MULTILINE)
    return {host: " ".join(text.split()) for host, text in found}


def test_reference_plans_and_names_the_zones_it_cannot_reach():
    output = plan(INVENTORY, "oneflower.federation.plan", ONE_USERNAME="oneadmin", ONE_PASSWORD="secret-of-the-test")
    assert "PLAY [Read the federation]" in output, "the plan was refused"
    assert "secret-of-the-test" not in output
    told = failures(output)
    zones = ("zone-a", "zone-b", "zone-c")
    assert set(told) == {*zones, "gw-a", "gw-b", "gw-c"} and "[zone.unreachable]" in output
    assert all("[gateway.unreachable]" in told[gateway] for gateway in set(told) - set(zones))
    for host, text in ((zone, told[zone]) for zone in zones):
        assert f"https://one-{host[-1]}.example.org:2633/RPC2" in text


def test_missing_credentials_say_what_to_give(tmp_path):
    told = failures(plan(INVENTORY, HOME=str(tmp_path)))
    assert all("Give username and password, or auth_file" in told[zone] for zone in ("zone-a", "zone-b", "zone-c"))


def test_every_mistake_is_named_at_once(tmp_path):
    text = (INVENTORY / "hosts.yml").read_text()
    text = text.replace("federation_lan: 10.10.12.0/24", "federation_lan: 10.10.11.0/25")
    text = text.replace("federation_superlink_address: 10.10.10.5", "federation_superlink_address: 10.10.10.1")
    text = text.replace("federation_wan_address: vpn.example.org", "federation_wan_address: ''")
    (tmp_path / "hosts.yml").write_text(text)
    output = plan(tmp_path / "hosts.yml")
    assert "PLAY [Read the federation]" not in output
    (told,) = failures(output).values()
    for problem in (
        "zone-c: federation_lan: 10.10.11.0/25 overlaps federation_lan 10.10.11.0/24 of zone-b",
        "zone-a: federation_superlink_address: is 10.10.10.1, the address of its own gateway",
        "gw-a: federation_wan_address: is not set",
    ):
        assert problem in told
