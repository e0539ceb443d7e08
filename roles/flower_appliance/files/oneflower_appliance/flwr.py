# SPDX-License-Identifier: GPL-3.0-or-later
"""The flwr command against the Control API on loopback, as the service user."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from .flower import NO_CALLS_HOME
from .paths import Paths, write_atomic

STATUS_TIMEOUT_S = 30.0


class Flwr:
    """`owner` is uid and gid of the service user; None: the command runs as the agent does (tests)."""

    def __init__(self, paths: Paths, owner: tuple[int, int] | None):
        self._paths, self._owner = paths, owner

    def connection(self, port: int, ca: Path | None) -> None:
        """Point the command at the SuperLink: `port` on loopback, verified with `ca`; None: no TLS."""
        text = f'[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = "127.0.0.1:{port}"\n'
        text += f'root-certificates = "{ca}"\n' if ca else "insecure = true\n"
        write_atomic(self._paths.cli / "config.toml", text.encode(), 0o600, self._owner)

    def submit(self, app: Path, run_config: str) -> subprocess.Popen[str]:
        """Start `flwr run`; its answer is JSON on stdout, with the key run-id."""
        return self._start("run", str(app), "local", "--run-config", run_config)

    def unregister(self, node: str) -> subprocess.Popen[str]:
        """Start `flwr supernode unregister`; its answer is JSON on stdout, with the key success."""
        return self._start("supernode", "unregister", node, "local")

    def status(self, run_id: str) -> tuple[str, str]:
        """Return Flower's own status of a run and its details; ("", "") when it does not tell."""
        process = self._start("list", "local", "--run-id", run_id)
        try:
            answer = json.loads(process.communicate(timeout=STATUS_TIMEOUT_S)[0])
            run = answer["runs"][0]
            return str(run["status"]), str(run.get("status-details", ""))
        except (subprocess.TimeoutExpired, ValueError, KeyError, IndexError, TypeError):
            process.kill()
            process.wait()
            return "", ""

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        user, group = self._owner or (None, None)
        home = str(self._paths.cli)
        return subprocess.Popen(
            [str(self._paths.flwr), *arguments, "--format", "json"],
            env={"PATH": os.defpath, "HOME": home, "FLWR_HOME": home, "COLUMNS": "500", **NO_CALLS_HOME},
            cwd=self._paths.cli,
            user=user,
            group=group,
            extra_groups=[] if user is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
