# SPDX-License-Identifier: GPL-3.0-or-later
"""The role wireguard against the gateways of a running lab (ONEFLOWER_LAB); skipped where none runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAME = os.environ.get("ONEFLOWER_LAB", "oneflower")
pytestmark = pytest.mark.skipif(not Path(f"/run/netns/{NAME}-mgmt").exists(), reason=f"the lab {NAME} does not run")


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0 or not check, f"{command}: {done.stdout[-3000:]}{done.stderr[-1000:]}"
    return done.stdout


def inside(host: str, *command: str, check: bool = True) -> str:
    return run(str(ROOT / ".venv/bin/python"), "-m", "lab", "exec", host, *command, check=check)


def converge(*arguments: str) -> dict[str, int]:
    """Run the playbook; the number of changes by gateway."""
    output = run(
        "nsenter", f"--net=/run/netns/{NAME}-mgmt", "env", f"PATH={ROOT}/.venv/bin:{os.environ['PATH']}",
        "ansible-playbook", "-i", "inventories/lab", "playbooks/wireguard.yml", *arguments,
    )  # fmt: skip
    return {host: int(count) for host, count in re.findall(r"^(gw-\w)\s.*changed=(\d+)", output, re.MULTILINE)}


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    converge()


def test_second_run_changes_nothing() -> None:
    assert converge() == {"gw-a": 0, "gw-b": 0, "gw-c": 0}


def test_drift_is_repaired_without_a_restart() -> None:
    index = inside("gw-b", "cat", "/sys/class/net/wg0/ifindex")
    inside("gw-b", "ip", "route", "del", "10.10.10.5/32", "dev", "wg0")
    inside("gw-b", "ip", "link", "set", "wg0", "mtu", "1300")
    assert converge()["gw-b"] > 0
    assert "dev wg0" in inside("gw-b", "ip", "route", "get", "10.10.10.5")
    assert inside("gw-b", "cat", "/sys/class/net/wg0/ifindex") == index


def test_limit_keeps_the_other_peers() -> None:
    before = inside("gw-a", "wg", "show", "wg0", "allowed-ips")
    assert converge("--limit", "gw-a,coordinator") == {"gw-a": 0}
    assert inside("gw-a", "wg", "show", "wg0", "allowed-ips") == before
    assert len(before.splitlines()) == 2


def test_a_spoke_reaches_neither_the_hub_nor_another_site() -> None:
    inside("gw-b", "ping", "-c1", "-W2", "10.10.9.1")
    for target in ("10.10.12.1", "10.10.9.3"):
        assert " 0 received" in inside("gw-b", "ping", "-c1", "-W1", "-I", "10.10.11.1", target, check=False)
    script = "import socket; socket.create_connection(('10.10.9.1', 22), 2)"
    assert "timed out" in run(
        str(ROOT / ".venv/bin/python"), "-m", "lab", "exec", "gw-b", "sh", "-c", f'python3 -c "{script}" 2>&1', check=False
    )


def test_a_reboot_brings_the_tunnel_back() -> None:
    run(str(ROOT / ".venv/bin/python"), "-m", "lab", "reboot", "gw-c")
    inside("gw-c", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do ping -c1 -W2 10.10.9.1 && exit 0; sleep 1; done; exit 1")
    assert "table inet oneflower" in inside("gw-c", "nft", "list", "tables")
    assert converge()["gw-c"] == 0
