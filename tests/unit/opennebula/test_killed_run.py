# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing of a run goes on when it is killed: a worker that did would change what the next run has taken over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_ends_with_the_run_that_was_killed(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes a call and never answers
        server.settimeout(60)
        options = {"endpoint": f"http://127.0.0.1:{server.getsockname()[1]}/RPC2", "username": "u", "password": "p", "timeout": 120}
        task = {"oneflower.federation.onezone_info": options}
        play = tmp_path / "play.json"
        play.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]))
        run = subprocess.Popen(
            [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(play)],
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"), "ANSIBLE_LOCAL_TEMP": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        workers: list[int] = []
        try:
            call, _address = server.accept()
            workers = children(run.pid)
            assert workers and any(os.getsid(worker) != os.getsid(run.pid) for worker in workers), "killing the group is not enough"
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            deadline = time.monotonic() + 60
            while not all(map(gone, workers)) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert all(map(gone, workers))
            call.close()
        finally:
            for pid in workers:
                if not gone(pid):
                    os.kill(pid, signal.SIGKILL)
            if run.poll() is None:
                run.kill()
                run.wait()
