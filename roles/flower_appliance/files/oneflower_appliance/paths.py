# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie on the image. One definition for the agent, the units' files and the tests (another root)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """All paths, below `root`; `/` on an image."""

    root: Path = Path("/")

    def _at(self, path: str) -> Path:
        return self.root / path

    @property
    def etc(self) -> Path:
        """What Flower reads: `<unit>.env`, `<unit>.args` and `tls/`."""
        return self._at("etc/flower")

    @property
    def tls(self) -> Path:
        """Certificates that Flower reads, and the SuperLink's server key."""
        return self.etc / "tls"

    @property
    def run(self) -> Path:
        """The agent's own files of this boot; root only."""
        return self._at("run/oneflower")

    @property
    def context(self) -> Path:
        """CONTEXT as `configure` found it, with the OneGate token."""
        return self.run / "context.json"

    @property
    def state(self) -> Path:
        """What the agent remembers across reboots: CA key, partition index, last run; root only."""
        return self._at("var/lib/oneflower")

    @property
    def disk(self) -> Path:
        """Where the state disk is mounted; root only."""
        return self._at("var/lib/oneflower-disk")

    @property
    def disk_wanted(self) -> Path:
        """The name of the state disk that CONTEXT asks for; absent without one."""
        return self.run / "state-disk"

    @property
    def disk_result(self) -> Path:
        """What became of the state disk; see `state_disk`."""
        return self.run / "state-disk.json"

    @property
    def home(self) -> Path:
        """Home of the service user, with the SuperLink's database. Everything up to it belongs to root."""
        return self._at("var/lib/flower/home")

    @property
    def data(self) -> Path:
        """The smoke test's rows; the service user may only read them."""
        return self._at("var/lib/flower/data")

    @property
    def runs(self) -> Path:
        """Where the smoke-test ServerApp writes its progress."""
        return self._at("var/lib/flower/runs")

    @property
    def cli(self) -> Path:
        """Home of the flwr command that the agent runs as the service user."""
        return self._at("var/lib/flower/cli")

    @property
    def smoke_app(self) -> Path:
        """The Flower app of the smoke test."""
        return self._at("opt/oneflower/smoke_app")

    @property
    def flwr(self) -> Path:
        """The flwr command."""
        return self._at("opt/oneflower/venv/bin/flwr")

    def unit_state(self, unit: str) -> Path:
        """Return where the unit's main process writes what its gRPC was really given; see `keepalive`."""
        return self._at(f"run/{unit}/grpc.json")

    def cgroup(self, unit: str) -> Path:
        """Return the file with the processes of a unit."""
        return self._at(f"sys/fs/cgroup/system.slice/{unit}.service/cgroup.procs")


def write_atomic(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> bool:
    """Replace `path` if its content, mode or owner (uid, gid) differ; return whether it did. Never half written."""
    try:
        found = path.stat()
        same = path.read_bytes() == content and found.st_mode & 0o7777 == mode
        if same and (owner is None or (found.st_uid, found.st_gid) == owner):
            return False
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            if owner is not None:
                os.fchown(handle.fileno(), *owner)
            os.fchmod(handle.fileno(), mode)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return True
