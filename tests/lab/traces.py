# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab has left on this machine; shared by the tests of everything that starts one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CGROUPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice")


def _processes(name: str, namespaces: set[int]) -> set[str]:
    """Return the processes that are in the lab's namespaces or were started with one of its paths; tests and their children excepted."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            inside = os.stat(folder / "ns/net").st_ino in namespaces
        except OSError:
            continue
        if inside or any(part in text for part in (f"/run/{name}-lab", f"/run/netns/{name}-")) and "pytest" not in text:
            found.add(f"{folder.name} {text[:200]}")
    return found


def traces(name: str) -> dict[str, set[str]]:
    """Return everything of the lab `name` on this machine, by kind; and the machine's own nft tables, which no lab may touch."""
    namespaces = list(Path("/run/netns").glob(f"{name}-*"))
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    return {
        "namespaces": {path.name for path in namespaces},
        "mounts": {row.split()[1] for row in Path("/proc/mounts").read_text().splitlines() if f"{name}-" in row},
        "control groups": {str(path) for root in CGROUPS for path in Path(root).glob(f"lab-{name}-*")},
        "processes": _processes(name, {path.stat().st_ino for path in namespaces}),
        "files": {str(path) for path in Path("/run").glob(f"{name}-*")},
        "nft tables": set(tables.splitlines()),
    }


def left_by(name: str, before: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return what there is of a lab beyond what there was `before`; empty when it left nothing."""
    return {kind: more for kind, found in traces(name).items() if (more := found - before.get(kind, set()))}
