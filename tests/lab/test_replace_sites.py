# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site's VMs are made of changes: its SuperNodes are made anew one after the other, and nothing else is touched."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes

from lab.topology import PORTS
from tests.lab.conftest import ROOT, changes

SUPERNODES = 3
ALL = SUPERNODES + 2  # zone-c has two
ALLOW = ("-e", "federation_allow_replace=true")
SAMPLE = """
import os, sys, time, xmlrpc.client
url, session, number, end, name = sys.argv[1:]
while not os.path.exists(end):
    vm = xmlrpc.client.ServerProxy(url).one.vm.info(session, int(number))
    found = [part.split("]]>")[0].split("[CDATA[")[-1] for part in vm[1].split("<" + name + ">")[1:]] if vm[0] else []
    print(found[0] if found else "none", flush=True)
    time.sleep(0.3)
"""


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    """Write what zone-b has beside the lab's inventory; return the arguments that make a playbook read it."""
    path = tmp_path_factory.mktemp("inventory") / "zone-b.yml"

    def write(**given: object) -> tuple[str, ...]:
        given = {"federation_supernodes": SUPERNODES, **given}
        lines = "".join(f"        {name}: {value}\n" for name, value in given.items())
        path.write_text(f"training_sites:\n  hosts:\n    zone-b:\n{lines.replace('        ', '      ')}")
        return ("-i", str(path))

    return write


@pytest.fixture(scope="module")
def deployed(lab, inventory):
    lab.lab("image")
    lab.lab("up")
    lab.playbook("deploy", *inventory())
    return there(lab)


def there(lab) -> dict[str, dict[str, str]]:
    """Return the partition of each VM, by zone, from the report; an id of a VM comes with its address."""
    report = lab.report()
    held = {row["where"]: row["found"] for row in report["checks"] if row["check"] == "partition is its own"}
    return {
        zone: {f"{vm['id']} {vm['addresses'][0]}": held.get(f"{zone} VM {vm['id']}", "") for vm in entry["vms"]}
        for zone, entry in report["zones"].items()
    }


@pytest.fixture
def online(lab, deployed, tmp_path):
    """Record the number of SuperNodes online in the SuperLink while the test runs; the test calls it to get all of them."""
    (number,) = (vm.split()[0] for vm in deployed["zone-a"])
    end = tmp_path / "end"
    session = (lab.state / "one_auth").read_text().strip()
    url = f"http://127.0.0.1:{PORTS['xmlrpc']}/RPC2"
    arguments = [sys.executable, "-c", SAMPLE, url, session, number, str(end), attributes.NODES_ONLINE]
    command = [str(ROOT / ".venv/bin/python"), "-m", "lab", "exec", "fe-a", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=lab.environment, stdout=subprocess.PIPE, text=True)

    def ended() -> list[int]:
        end.touch()
        output, _none = process.communicate(timeout=30)
        found = output.split()
        assert found and all(word.isdigit() for word in found), found[-5:]
        return [int(word) for word in found]

    yield ended
    end.touch()
    process.wait(timeout=30)


def moved(before, after) -> None:
    """All VMs of zone-b are others with the same partitions; those of the other zones are the same."""
    assert sorted(after["zone-b"].values()) == sorted(before["zone-b"].values()) == ["0", "1", "2"]
    assert not set(before["zone-b"]) & set(after["zone-b"])
    assert {zone: after[zone] for zone in ("zone-a", "zone-c")} == {zone: before[zone] for zone in ("zone-a", "zone-c")}


def test_nothing_is_replaced_unless_it_is_allowed(lab, deployed, inventory):
    output = lab.playbook("deploy", *inventory(federation_vm_template="flower-appliance-2"), check=False)
    assert "change.replace" in output and "needs new VMs" in output
    assert set(changes(output).values()) == {0}
    assert there(lab) == deployed


def test_one_supernode_after_the_other(lab, deployed, inventory, online):
    other = inventory(federation_vm_template="flower-appliance-2")
    counts = changes(lab.playbook("deploy", *other, *ALLOW))
    seen = online()
    assert min(seen) >= ALL - 1 and seen[-1] == ALL, seen
    assert counts["zone-b"] and not any(count for host, count in counts.items() if host not in ("zone-a", "zone-b"))
    assert lab.report()["ok"]
    after = there(lab)
    moved(deployed, after)
    assert set(changes(lab.playbook("deploy", *other)).values()) == {0}
    assert there(lab) == after


def killed_at(lab, line: str, *arguments: str) -> None:
    """Start a deployment and kill it, workers and all, as soon as it prints a line that this expression is found in."""
    process = subprocess.Popen(
        lab.playbook_command("deploy", *arguments),
        cwd=ROOT,
        env=lab.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    printed = []
    for said in process.stdout:
        printed.append(said)
        if re.search(line, said):
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()
    steps = [said for said in printed if "SuperNodes: " in said]
    assert re.search(line, printed[-1]), "".join([*steps, *printed[-40:]])


def test_runs_killed_half_way_are_finished_by_the_next(lab, deployed, inventory, online):
    lab.playbook("verify", *inventory(federation_vm_template="flower-appliance-2"))
    before = there(lab)
    other = inventory(federation_vm_template="flower-appliance-2", federation_network="lan-2")
    killed_at(lab, "one more for flower training site next", *other, *ALLOW)
    killed_at(lab, r"next \(id \d+\) 1 with .*; one more", *other, *ALLOW)
    output = lab.playbook("deploy", *other, check=False)
    assert "change.replace" in output and set(changes(output).values()) == {0}
    lab.playbook("deploy", *other, *ALLOW)
    assert min(online()) >= ALL - 1
    assert lab.report()["ok"]
    after = there(lab)
    moved(before, after)
    assert all(vm.split()[1].startswith("10.10.11.2") for vm in after["zone-b"])
    assert set(changes(lab.playbook("deploy", *other)).values()) == {0}


def test_a_site_that_leaves_half_way_takes_both_services_with_it(lab, deployed, inventory):
    killed_at(lab, "one more for flower training site next", *inventory(), *ALLOW)
    lab.playbook("remove_site", *inventory(), "-e", "site=zone-b")
    assert [line for line in lab.lab("status").splitlines() if line.startswith("vm-b-") and " running" in line] == []
