# SPDX-License-Identifier: GPL-3.0-or-later
"""Persistent images of the lab's zones: sparse files under STATE/images, and loop devices while a VM has them as a disk.

A loop device is found again by its file, so it is let go of by whoever comes next, however the one before ended.
"""

from __future__ import annotations

import json
from pathlib import Path

from lab import shell, topology


def folder() -> Path:
    return topology.STATE / "images"


def attach(zone: str, image: str, size: int) -> Path:
    """Return the loop device of an image of `size` MiB, which is made empty where it does not exist."""
    file = folder() / zone / image
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(file, "xb") as stream:
            stream.truncate(size * 2**20)
    known = [device for device, backing in _devices().items() if backing == str(file)]
    return Path(known[0] if known else shell.run("losetup", "--find", "--show", file).strip())


def detach(zone: str = "", image: str = "") -> None:
    """Let go of the loop device of an image, or of all of this lab's; its user must be gone."""
    wanted = str(folder() / zone / image)
    for device, backing in _devices().items():
        if backing == wanted or (not image and backing.startswith(f"{wanted}/")):
            shell.run("losetup", "--detach", device, check=False)


def _devices() -> dict[str, str]:
    """Return the file behind every loop device, by device."""
    listed = shell.run("losetup", "--list", "--json", "--output", "NAME,BACK-FILE")
    rows = json.loads(listed)["loopdevices"] if listed.strip() else []
    return {row["name"]: str(row["back-file"] or "").removesuffix(" (deleted)") for row in rows}
