# SPDX-License-Identifier: GPL-3.0-or-later
"""The state disk: a disk of the SuperLink's VM that outlives it, with everything on it that the next VM needs.

`keep` is the work of oneflower-state.service, before the agent starts: it runs outside the agent's sandbox, so that every unit
sees the mounts. `fault` and `visible` are what the agent asks. What is bound to one VM does no harm on the disk: `latest.json`
names its VM, and the server's key and certificate do not lie there.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from .appliance import settings
from .paths import Paths, write_atomic

UNIT = "oneflower-state"
LABEL = "oneflower-state"  # ext4 allows 16 characters
# Is on a disk that all state has been brought to.
MARKER = "complete"
COMMANDS = "/usr/sbin:/usr/bin:/sbin:/bin"


class Unusable(Exception):
    """A disk that cannot be the state disk, with the reason."""


def places(paths: Paths) -> dict[str, Path]:
    """Return what lies on the disk: folder there, and where it is seen."""
    return {"oneflower": paths.state, "home": paths.home, "runs": paths.runs}


# -- for the agent -------------------------------------------------------------------------------------------------------


def _result(paths: Paths) -> dict[str, str | int]:
    try:
        found = json.loads(paths.disk_result.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def fault(paths: Paths, name: str) -> str:
    """Return why the disk is not in use, "" when it is mounted."""
    found = _result(paths)
    if found.get("disk") != name:
        return f"{settings.STATE_DISK}: /dev/{name} is not mounted yet"
    return f"{settings.STATE_DISK}: {found['fault']}" if found.get("fault") else ""


def visible(paths: Paths) -> bool:
    """Tell whether this process sees the state on the disk."""
    device = _result(paths).get("device")
    return all(place.stat().st_dev == device for place in places(paths).values())


# -- the work of the unit ------------------------------------------------------------------------------------------------


def keep(paths: Paths, owner: tuple[int, int] | None) -> int:
    """Mount the disk that CONTEXT asks for and note what became of it; return the exit code."""
    name = paths.disk_wanted.read_text().strip()
    result: dict[str, str | int] = {"disk": name, "fault": ""}
    try:
        result["device"] = attach(paths, name, owner)
    except (Unusable, OSError) as error:
        result["fault"] = str(error)
        print(f"fault: {error}", file=sys.stderr)
    write_atomic(paths.disk_result, json.dumps(result, sort_keys=True).encode(), 0o600)
    return 1 if result["fault"] else 0


def attach(paths: Paths, name: str, owner: tuple[int, int] | None) -> int:
    """Mount a disk, bring the VM's state to it the first time, and show it in its places; return its device number.

    May be repeated, also after it was killed. `owner` is uid and gid of the service user. Raises Unusable, OSError.
    """
    device = Path("/dev") / name
    number = _whole_disk(device)
    paths.disk.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.path.ismount(paths.disk):
        _prepare(device)
        _run("mount", "-t", "ext4", "-o", "nodev,nosuid", str(device), str(paths.disk))
        paths.disk.chmod(0o700)
    elif paths.disk.stat().st_dev != number:
        raise Unusable("another state disk is mounted; reboot the VM")
    to_show = {folder: place for folder, place in places(paths).items() if place.stat().st_dev != number}
    if not (paths.disk / MARKER).exists():
        for folder, place in to_show.items():
            shutil.rmtree(paths.disk / folder, ignore_errors=True)
            _run("cp", "-a", str(place), str(paths.disk / folder))
        _run("sync", "-f", str(paths.disk))
        write_atomic(paths.disk / MARKER, b"1\n", 0o600)
    elif "oneflower" in to_show:
        _refuse_another_ca(paths)
    for folder, place in to_show.items():
        _empty(place)
        if owner is not None and folder != "oneflower":
            _own(paths.disk / folder, owner)
        _run("mount", "--bind", str(paths.disk / folder), str(place))
    return number


def _whole_disk(device: Path) -> int:
    """Return the number of a disk."""
    try:
        found = device.stat()
    except FileNotFoundError:
        raise Unusable(f"the VM has no disk {device}; its VM template needs a persistent DATABLOCK image as a disk") from None
    if not stat.S_ISBLK(found.st_mode):
        raise Unusable(f"{device} is no disk")
    if Path(f"/sys/dev/block/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}/partition").exists():
        raise Unusable(f"{device} is a partition; a whole disk is needed")
    return found.st_rdev


def _prepare(device: Path) -> None:
    """Leave a state disk on the device: one that is there already, or a new one where nothing is."""
    probe = _run("blkid", "-p", "-o", "export", str(device), right=(0, 2, 8))
    found = dict(line.split("=", 1) for line in probe.stdout.splitlines() if "=" in line)
    if probe.returncode == 0 and (found.get("TYPE"), found.get("LABEL")) == ("ext4", LABEL):
        # The journal has the rest; 1: something was mended.
        _run("e2fsck", "-p", str(device), right=(0, 1))
        return
    signatures = _run("wipefs", "-n", "--noheadings", "-O", "TYPE,LABEL", str(device)).stdout.split()
    if probe.returncode != 2 or signatures:
        holds = found.get("TYPE") or found.get("PTTYPE") or ", ".join(signatures) or "something"
        label = f" {found['LABEL']!r}" if found.get("LABEL") else ""
        raise Unusable(f"{device} holds {holds}{label} and is left alone; an empty disk is needed, or one with the label {LABEL}")
    _run("mkfs.ext4", "-q", "-F", "-L", LABEL, str(device))


def _refuse_another_ca(paths: Paths) -> None:
    """Raise Unusable where the VM has a CA of its own and the disk another: to drop either would lock sites out."""
    own, kept = paths.state / "ca.crt", paths.disk / "oneflower/ca.crt"
    if own.exists() and kept.exists() and own.read_bytes() != kept.read_bytes():
        raise Unusable(f"the disk holds the CA of another SuperLink than {own}; remove the one that is not to be kept")


def _empty(place: Path) -> None:
    """Remove what the disk has taken over."""
    for entry in list(place.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _own(folder: Path, owner: tuple[int, int]) -> None:
    """Give a folder to the service user, who has another number on another image."""
    found = folder.stat()
    if (found.st_uid, found.st_gid) != owner:
        _run("chown", "-hR", f"{owner[0]}:{owner[1]}", str(folder))


def _run(*command: str, right: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Run a command; raises Unusable where its exit code is not right."""
    try:
        done = subprocess.run(
            command, env={"PATH": COMMANDS, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise Unusable(f"the image has no {command[0]}") from None
    if done.returncode not in right:
        words = " ".join((done.stderr or done.stdout).split())[-200:]
        raise Unusable(f"{' '.join(command)} failed with {done.returncode}: {words}")
    return done
