# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the smoke-test app when the VM's user attribute FL_RUN_REQUEST asks for it, and tells how it goes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import typing as t
from collections.abc import Callable, Mapping
from pathlib import Path

from .paths import Paths, write_atomic

# With no news for this long, Flower is asked whether the run is still alive (the question costs 1 s of CPU).
SILENCE_S = 20.0
SUBMIT_TIMEOUT_S = 60.0
# A run that makes no progress for this long has failed.
STALLED_S = 900.0


def parse_request(text: str) -> tuple[str, int, int]:
    """ "<id> [rounds=3] [nodes=1]" as (id, rounds, SuperNodes to wait for). Raises ValueError."""
    identifier, *pairs = text.split()
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", identifier):
        raise ValueError(f"FL_RUN_REQUEST: id {identifier[:70]!r} must be 1 to 64 of A-Z a-z 0-9 . _ -")
    values = {"rounds": "3", "nodes": "1"}
    for pair in pairs:
        key, _equals, value = pair.partition("=")
        if key not in ("rounds", "nodes") or not re.fullmatch(r"[1-9][0-9]{0,3}", value):
            raise ValueError(f"FL_RUN_REQUEST: {pair[:70]!r} is not rounds=N or nodes=N with N from 1 to 9999")
        values[key] = value
    return identifier, int(values["rounds"]), int(values["nodes"])


def describe(run: Mapping[str, t.Any]) -> dict[str, str]:
    """A run as user attributes."""
    seconds = run.get("seconds")
    return {
        "FL_RUN_ID": str(run["id"]),
        "FL_RUN_STATUS": str(run["status"]),
        "FL_RUN_ROUND": str(run.get("round", 0)),
        "FL_RUN_ROUNDS": str(run.get("rounds", 0)),
        "FL_RUN_LOSS": ",".join(f"{loss:.6f}" for loss in run.get("losses", [])),
        "FL_RUN_NODES": str(run.get("nodes", 0)),
        "FL_RUN_PARTITIONS": ",".join(str(number) for number in run.get("partitions", [])),
        "FL_RUN_ERROR": str(run.get("error", "")),
        "FL_RUN_SECONDS": "" if seconds is None else f"{seconds:.1f}",
    }


class Flwr:
    """The flwr command against the Control API on loopback, as the service user."""

    def __init__(self, paths: Paths, user: int | None, group: int | None):
        self._paths, self._user, self._group = paths, user, group

    def connection(self, port: int, ca: Path | None) -> None:
        """Point it at the SuperLink: `port` on loopback, verified with `ca`; None: no TLS."""
        text = f'[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = "127.0.0.1:{port}"\n'
        text += f'root-certificates = "{ca}"\n' if ca else "insecure = true\n"
        owner = None if self._user is None or self._group is None else (self._user, self._group)
        write_atomic(self._paths.cli / "config.toml", text.encode(), 0o600, owner)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self._paths.cli),
            "FLWR_HOME": str(self._paths.cli),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "COLUMNS": "500",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command; its answer is JSON on stdout."""
        return subprocess.Popen(
            [str(self._paths.flwr), *arguments, "--format", "json"],
            env=self._environment(),
            cwd=self._paths.cli,
            user=self._user,
            group=self._group,
            extra_groups=[] if self._user is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def submit(self, identifier: str, rounds: int, nodes: int) -> subprocess.Popen[str]:
        config = f'rounds={rounds} nodes={nodes} request="{identifier}"'
        return self.start("run", str(self._paths.app), "local", "--run-config", config)

    def status(self, run_id: str) -> tuple[str, str]:
        """Flower's own status of a run and its details; ("", "") when it does not tell."""
        process = self.start("list", "local", "--run-id", run_id)
        try:
            answer = json.loads(process.communicate(timeout=30.0)[0])
            run = answer["runs"][0]
            return str(run["status"]), str(run.get("status-details", ""))
        except (subprocess.TimeoutExpired, ValueError, KeyError, IndexError, TypeError):
            process.kill()
            process.wait()
            return "", ""


class Training:
    """At most one run at a time; a new request id starts one, and none is started twice."""

    def __init__(self, paths: Paths, flwr: Flwr, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._paths, self._flwr, self._log, self._clock = paths, flwr, log, clock
        self._file = paths.state / "run.json"
        self._submission: subprocess.Popen[str] | None = None
        self._since = self._news = self._questioned = clock()
        try:
            self.run: dict[str, t.Any] | None = json.loads(self._file.read_text())
        except (OSError, ValueError):
            self.run = None
        if self.run and self.run["status"] == "running" and not self.run.get("flower_id"):
            self._change(status="failed", error="the appliance's agent was restarted while the run was being submitted")

    @property
    def busy(self) -> bool:
        return bool(self.run) and self.run["status"] == "running"

    def attributes(self) -> dict[str, str]:
        return describe(self.run) if self.run else {}

    def tick(self, request: str, *, serving: bool) -> None:
        """Take up a new request while the SuperLink is `serving`, and follow the run under way."""
        if self.busy:
            self._follow()
        elif serving and request.strip():
            self._take(request)

    def _take(self, request: str) -> None:
        try:
            identifier, rounds, nodes = parse_request(request)
        except ValueError as error:
            identifier = request.split()[0][:64]
            if not self.run or self.run["id"] != identifier:
                self.run = {"id": identifier, "rounds": 0}
                self._change(status="failed", error=str(error))
            return
        if self.run and self.run["id"] == identifier:
            return
        progress = self._paths.runs / f"{identifier}.json"
        progress.unlink(missing_ok=True)
        self.run = {"id": identifier, "rounds": rounds}
        self._since = self._news = self._clock()
        self._change(status="running")
        self._log(f"run {identifier}: {rounds} rounds")
        self._submission = self._flwr.submit(identifier, rounds, nodes)

    def _follow(self) -> None:
        assert self.run is not None
        if self._submission is not None and not self._submitted():
            return
        if not self.busy:
            return
        try:
            progress = json.loads((self._paths.runs / f"{self.run['id']}.json").read_text())
            found = {
                "round": int(progress["round"]),
                "losses": [float(loss) for loss in progress["losses"]],
                "partitions": sorted({int(number) for number in progress["partitions"]}),
                "nodes": int(progress["nodes"]),
                "seconds": float(progress["seconds"]),
                "error": str(progress["error"])[:500],
                "status": progress["status"] if progress["status"] in ("running", "finished", "failed") else "failed",
            }
        except (OSError, ValueError, KeyError, TypeError):
            found = {}  # not begun yet
        if found and any(self.run.get(key) != value for key, value in found.items()):
            if found["round"] > self.run.get("round", 0):
                self._log(f"run {self.run['id']}: round {found['round']} done, loss {found['losses'][-1]:.6f}")
            self._news = self._clock()
            self._change(**found)
        elif self._clock() - self._news > STALLED_S:
            self._change(status="failed", error=f"no progress for {STALLED_S:.0f} s")
        elif self._clock() - max(self._news, self._questioned) > SILENCE_S:
            self._questioned = self._clock()
            status, details = self._flwr.status(self.run["flower_id"])
            if status.startswith("finished"):
                self._change(status="failed", error=f"Flower says {status}: {details}; its journal has more")

    def _submitted(self) -> bool:
        assert self.run is not None and self._submission is not None
        if self._submission.poll() is None:
            if self._clock() - self._since > SUBMIT_TIMEOUT_S:
                self._submission.kill()
                self._submission.communicate()
                self._submission = None
                self._change(status="failed", error=f"flwr run gave no answer within {SUBMIT_TIMEOUT_S:.0f} s")
            return False
        out, err = self._submission.communicate()
        self._submission = None
        try:
            answer = json.loads(out)
            self._change(flower_id=str(answer["run-id"]))
        except (ValueError, KeyError, TypeError):
            self._change(status="failed", error=f"flwr run failed: {' '.join((out + err).split())[-400:]}")
        return True

    def _change(self, **changes: t.Any) -> None:
        assert self.run is not None
        self.run.update(changes)
        if changes.get("status") in ("finished", "failed"):
            self._log(f"run {self.run['id']}: {changes['status']} {self.run.get('error', '')}".rstrip())
        write_atomic(self._file, json.dumps(self.run).encode(), 0o600)
