# SPDX-License-Identifier: GPL-3.0-or-later
"""A SuperLink that needs a new VM gets it with its CA, its database and its runs, and the sites stay as they are.

The tests are one story, in this order.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import time

import pytest
import yaml

from tests.lab.conftest import ROOT, changes

LAB_INVENTORY = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())
ALLOWED = ("-e", "federation_allow_replace=true")
# What the SuperLink's VM has on its state disk.
STATE = r"""
sha256sum /var/lib/oneflower/ca.key /var/lib/oneflower/ca.crt
findmnt -n -o SOURCE,TARGET /var/lib/oneflower; findmnt -n -o TARGET /var/lib/flower/home; findmnt -n -o TARGET /var/lib/flower/runs
"""
DATABASE = """
import json, sqlite3
base = sqlite3.connect("file:/var/lib/flower/home/state.db?mode=ro", uri=True)
told = {table: sorted(str(row[0]) for row in base.execute(f"SELECT {table}_id FROM {table}")) for table in ("node", "run")}
print(json.dumps(told))
"""


class Replace:
    """The lab, with a SuperLink that moves."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, folder

    def command(self, playbook: str, address: str, *arguments: str) -> list[str]:
        inventory = copy.deepcopy(LAB_INVENTORY)
        groups = inventory["all"]["children"]
        groups["coordinator"]["hosts"]["zone-a"]["federation_superlink_address"] = address
        for site in groups["training_sites"]["hosts"].values():
            site["federation_supernodes"] = 1
        inventory["all"]["vars"]["federation_rounds"] = 2
        path = self.folder / f"{address}.yml"
        path.write_text(yaml.safe_dump(inventory))
        written = ("-e", f"federation_changes_path={self.folder / 'changes.json'}")
        return [
            str(path) if word == "inventories/lab" else word for word in self.lab.playbook_command(playbook, *written, *arguments)
        ]

    def run(self, playbook: str, address: str, *arguments: str, check: bool | None = True) -> str:
        return self.lab.run(*self.command(playbook, address, *arguments), check=check)

    def vms(self) -> dict[str, str]:
        """Return the VMs, each with the process id of its init: it is another after a boot."""
        rows = (line.split() for line in self.lab.lab("status").splitlines())
        return {row[0]: row[-1] for row in rows if row[0].startswith("vm-")}

    def superlink(self) -> str:
        (name,) = (name for name in self.vms() if name.startswith("vm-a-"))
        return name

    def sites(self) -> dict[str, str]:
        return {name: pid for name, pid in self.vms().items() if not name.startswith("vm-a-")}

    def state(self) -> list[str]:
        return self.lab.inside(self.superlink(), "bash", "-c", STATE).split()

    def database(self) -> dict[str, list[str]]:
        return json.loads(self.lab.inside(self.superlink(), "python3", "-c", DATABASE))

    def tunnels(self) -> list[str]:
        shown = [self.lab.inside(name, "wg", "show", "wg0", "allowed-ips") for name in ("gw-a", "gw-b", "gw-c")]
        return [*shown, *(self.lab.inside(name, "ip", "-4", "address", "show", "eth0") for name in self.vms())]


@pytest.fixture(scope="module")
def replace(lab, tmp_path_factory):
    lab.lab("down")
    lab.lab("up")
    made = Replace(lab, tmp_path_factory.mktemp("replace"))
    made.run("walkthrough", "10.10.10.5")
    yield made
    lab.lab("down")


def test_all_state_lies_on_the_disk(replace):
    shown = replace.state()
    assert [word for word in shown if word.startswith("/var/lib/")] == [
        "/var/lib/oneflower/ca.key",
        "/var/lib/oneflower/ca.crt",
        "/var/lib/oneflower",
        "/var/lib/flower/home",
        "/var/lib/flower/runs",
    ]
    assert replace.lab.report()["training"]["status"] == "finished"
    assert set(changes(replace.run("deploy", "10.10.10.5")).values()) == {0}


def test_it_comes_back_after_a_boot(replace):
    before, known = replace.state(), replace.database()
    replace.lab.lab("reboot", replace.superlink())
    deadline = time.monotonic() + 120
    while "failed=1" in (output := replace.run("verify", "10.10.10.5", check=None)):
        assert time.monotonic() < deadline, output
    assert replace.state() == before
    assert set(known["run"]) <= set(replace.database()["run"])


def test_without_leave_it_is_refused_and_nothing_is_touched(replace):
    before, tunnels = replace.vms(), replace.tunnels()
    output = replace.run("deploy", "10.10.10.6", check=False)
    assert "federation_allow_replace" in output and "10.10.10.5 -> 10.10.10.6" in output
    assert set(changes(output).values()) == {0}
    assert (replace.vms(), replace.tunnels()) == (before, tunnels)
    assert set(changes(replace.run("deploy", "10.10.10.5")).values()) == {0}


def test_the_new_vm_has_the_ca_and_the_database_of_the_old_one(replace):
    superlink, sites, state, known = replace.superlink(), replace.sites(), replace.state(), replace.database()
    assert known["run"] and known["node"]
    replace.run("plan", "10.10.10.6", *ALLOWED)
    (told,) = [
        change for change in json.loads((replace.folder / "changes.json").read_text())["changes"] if change["kind"] == "replace"
    ]
    assert (told["host"], told["old"], told["new"]) == ("zone-a", "10.10.10.5", "10.10.10.6")
    assert "with the CA and the state of the old one" in told["effect"]["stops"]
    replace.run("deploy", "10.10.10.6", *ALLOWED)
    assert replace.superlink() != superlink
    assert replace.sites() == sites, "a site's VM was made anew"
    assert replace.state() == state
    after = replace.database()
    assert set(known["run"]) <= set(after["run"]) and set(known["node"]) <= set(after["node"])
    assert replace.lab.report()["ok"]


def test_a_second_run_changes_nothing_and_training_works(replace):
    assert set(changes(replace.run("deploy", "10.10.10.6")).values()) == {0}
    replace.run("walkthrough", "10.10.10.6", "-e", "federation_train=true")
    training = replace.lab.report()["training"]
    assert training["status"] == "finished" and training["partitions"] == [0, 1]


@pytest.mark.parametrize(
    ("step", "seconds", "address"),
    [
        ("TASK [Remove the service that is made anew", 0, "10.10.10.7"),
        ("TASK [Remove the service that is made anew", 1.5, "10.10.10.8"),
        ("TASK [oneflower.federation.flower_service : Ensure the service]", 0.3, "10.10.10.9"),
        ("PLAY [Wait for the SuperLink]", 1, "10.10.10.10"),
    ],
)
def test_killed_half_way_the_next_run_finishes(replace, step, seconds, address):
    """Killed with SIGKILL some seconds after a step has begun."""
    sites, state, known = replace.sites(), replace.state(), replace.database()
    process = subprocess.Popen(
        replace.command("deploy", address, *ALLOWED),
        cwd=ROOT,
        env={**replace.lab.environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    seen = []
    for line in process.stdout:
        seen.append(line)
        if step in line:
            break
    else:
        pytest.fail(f"{step} never came:\n{''.join(seen)[-4000:]}")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    replace.run("deploy", address, *ALLOWED)
    assert replace.sites() == sites and replace.state() == state
    assert set(known["run"]) <= set(replace.database()["run"])
    assert set(changes(replace.run("deploy", address)).values()) == {0}


def test_nothing_is_left_of_the_disks(replace):
    listed = ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]
    held = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    assert str(replace.lab.state) in held
    replace.lab.lab("down")
    assert str(replace.lab.state) not in subprocess.run(listed, capture_output=True, text=True, check=True).stdout
