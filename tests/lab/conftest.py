# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for the tests of this folder, under a name of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.topology import ADMIN_PORT, PORTS

ROOT = Path(__file__).resolve().parents[2]
NAME = os.environ.get("ONEFLOWER_TEST_LAB", "oftest")


class Lab:
    """The lab and the playbooks, driven the way a person drives them."""

    state = Path(f"/run/{NAME}-lab")

    def __init__(self, report: Path) -> None:
        self.report_path = report
        self.environment = {**os.environ, "ONEFLOWER_LAB": NAME, "ANSIBLE_FORCE_COLOR": "0"}

    def run(self, *command: str, check: bool | None = True, timeout: float = 600) -> str:
        """Return what a command prints. It must succeed; with check False it must fail, with None either is right."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert check is None or (done.returncode == 0) is check, f"{' '.join(command)} -> {done.returncode}\n{done.stdout[-6000:]}"
        return done.stdout

    def lab(self, *arguments: str, check: bool | None = True) -> str:
        return self.run(str(ROOT / ".venv/bin/python"), "-m", "lab", *arguments, check=check)

    def inside(self, host: str, *command: str, check: bool | None = True) -> str:
        return self.lab("exec", host, *command, check=check)

    def fault(self, site: str, kind: str, **rule: object) -> None:
        """Inject a fault into a zone, see lab/zone/faults.py."""
        url = f"http://127.0.0.1:{ADMIN_PORT}/{kind}"
        post = "import sys, urllib.request as r; r.urlopen(r.Request(sys.argv[1], sys.argv[2].encode()), timeout=9).close()"
        self.lab("exec", f"fe-{site}", sys.executable, "-c", post, url, json.dumps(rule))

    def terminate(self, site: str, vm_id: int) -> None:
        """Terminate a VM behind OneFlow's back, as somebody may."""
        session = (self.state / "one_auth").read_text().strip()
        url = f"http://127.0.0.1:{PORTS['xmlrpc']}/RPC2"
        call = "import sys, xmlrpc.client as x; print(x.ServerProxy(sys.argv[1]).one.vm.action(*sys.argv[2:4], int(sys.argv[4])))"
        done = self.lab("exec", f"fe-{site}", sys.executable, "-c", call, url, session, "terminate-hard", str(vm_id))
        assert done.startswith("[True"), done

    def playbook_command(self, name: str, *arguments: str) -> list[str]:
        return [
            "nsenter",
            f"--net=/run/netns/{NAME}-mgmt",
            "env",
            f"PATH={ROOT}/.venv/bin:{os.environ['PATH']}",
            "ansible-playbook",
            "-i",
            "inventories/lab",
            f"playbooks/{name}.yml",
            "-e",
            f"federation_report_path={self.report_path}",
            *arguments,
        ]

    def playbook(self, name: str, *arguments: str, check: bool | None = True) -> str:
        return self.run(*self.playbook_command(name, *arguments), check=check)

    def report(self) -> dict:
        return json.loads(self.report_path.read_text())

    def verified_within(self, seconds: float) -> float:
        """Return the seconds until the verification passes; fails when it does not in time."""
        started = time.monotonic()
        output = ""
        while time.monotonic() - started < seconds:
            output = self.playbook("verify", check=None)
            if "failed=0" in output and "failed=1" not in output and "unreachable=1" not in output:
                return time.monotonic() - started
        pytest.fail(f"not verified within {seconds} s:\n{output[-4000:]}")


def changes(output: str) -> dict[str, int]:
    """Return the changed tasks per host, from the recap."""
    recap = output[output.rindex("PLAY RECAP") :]
    return {host: int(count) for host, count in re.findall(r"^(\S+) .*changed=(\d+)", recap, flags=re.MULTILINE)}


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    if os.geteuid():
        pytest.fail("the lab needs root")
    instance = Lab(tmp_path_factory.mktemp("report") / "report.json")
    instance.lab("down")
    yield instance
    instance.lab("down")
