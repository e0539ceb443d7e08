# SPDX-License-Identifier: GPL-3.0-or-later
"""The state disk, on real block devices: what is formatted, what is left alone, and what the next VM finds."""

import json
import os
import subprocess
from pathlib import Path

import pytest

if os.geteuid():
    pytest.skip("block devices need root", allow_module_level=True)

OWNER = (4711, 4712)
# One Linux partition of 32 MiB from the first MiB on.
PARTITION_TABLE = bytes(446) + bytes.fromhex("00000000 83000000 00080000 00000100") + bytes(48) + b"\x55\xaa"


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.strip()


def image(root: Path):
    """Return the paths of a fresh image, with the folders that the role makes."""
    from oneflower_appliance.paths import Paths

    made = Paths(root)
    for folder in (made.run, made.state, made.home, made.runs):
        folder.mkdir(parents=True)
    made.state.chmod(0o700)
    for folder in (made.home, made.runs):
        os.chown(folder, *OWNER)
    return made


def unmount(paths):
    for place in (paths.state, paths.home, paths.runs, paths.disk):
        if os.path.ismount(place):
            run("umount", place)


@pytest.fixture
def disk(tmp_path):
    """Yield the name of an empty disk, and the images of two VMs that have it one after the other."""
    file = tmp_path / "disk.img"
    with open(file, "xb") as stream:
        stream.truncate(64 * 2**20)
    name = run("losetup", "--find", "--show", file).removeprefix("/dev/")
    first, second = image(tmp_path / "first"), image(tmp_path / "second")
    yield name, first, second
    for paths in (first, second):
        unmount(paths)
    run("losetup", "--detach", f"/dev/{name}")


def attach(paths, name, owner=OWNER):
    from oneflower_appliance import state_disk

    return state_disk.attach(paths, name, owner)


def refused(paths, name) -> str:
    from oneflower_appliance import state_disk

    with pytest.raises(state_disk.Unusable) as caught:
        attach(paths, name)
    return str(caught.value)


def test_the_state_of_the_vm_moves_and_the_next_vm_has_it(disk):
    name, first, second = disk
    (first.state / "ca.key").write_text("the key")
    (first.state / "ca.crt").write_text("the certificate")
    (first.home / "state.db").write_text("nodes and runs")
    os.chown(first.home / "state.db", *OWNER)
    (first.runs / "one.json").write_text("{}")
    number = attach(first, name)
    assert {place.stat().st_dev for place in (first.state, first.home, first.runs)} == {number}
    assert (first.state / "ca.key").read_text() == "the key" and first.state.stat().st_mode & 0o777 == 0o700
    assert (first.home / "state.db").read_text() == "nodes and runs"
    assert attach(first, name) == number, "mounting again changes nothing"
    unmount(first)
    assert [list(place.iterdir()) for place in (first.state, first.home, first.runs)] == [[], [], []], "the image keeps no copy"

    # The service user has another number on the next image.
    for folder in (second.home, second.runs):
        os.chown(folder, 99, 99)
    attach(second, name, (99, 99))
    assert (second.state / "ca.key").read_text() == "the key"
    assert (second.runs / "one.json").read_text() == "{}"
    found = (second.home / "state.db").stat()
    assert (found.st_uid, found.st_gid) == (99, 99) and second.state.stat().st_uid == 0


@pytest.mark.parametrize("after", ["mkfs.ext4", "cp", "sync", "mount"])
def test_what_was_killed_half_way_is_finished(disk, after, monkeypatch):
    """Killed after the first such step, with nothing mounted any more, as a VM that loses power."""
    from oneflower_appliance import state_disk

    name, first, _second = disk
    (first.state / "ca.crt").write_text("the certificate")
    (first.home / "state.db").write_text("nodes and runs")
    real = state_disk._run

    def killed(*command, **options):
        done = real(*command, **options)
        if command[0] == after:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(state_disk, "_run", killed)
    with pytest.raises(KeyboardInterrupt):
        attach(first, name)
    monkeypatch.undo()
    unmount(first)
    attach(first, name)
    assert (first.state / "ca.crt").read_text() == "the certificate"
    assert (first.home / "state.db").read_text() == "nodes and runs"


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (("mkfs.ext4", "-q", "-F", "-L", "backups"), "ext4 'backups'"),
        (("mkswap",), "swap"),
        (("dd", "conv=notrunc", "status=none"), "dos"),
    ],
)
def test_a_disk_with_anything_else_on_it_is_left_alone(disk, made, named):
    name, first, _second = disk
    (first.state / "ca.crt").write_text("the certificate")
    onto = f"of=/dev/{name}" if made[0] == "dd" else f"/dev/{name}"
    subprocess.run([*made, onto], input=PARTITION_TABLE, check=True, capture_output=True)
    before = run("md5sum", f"/dev/{name}")
    told = refused(first, name)
    assert f"/dev/{name} holds {named}" in told and "left alone" in told
    assert run("md5sum", f"/dev/{name}") == before
    assert (first.state / "ca.crt").read_text() == "the certificate" and not os.path.ismount(first.state)


def test_what_is_no_disk_is_refused(disk):
    name, first, _second = disk
    assert "has no disk /dev/nosuchdisk" in refused(first, "nosuchdisk")
    assert "is no disk" in refused(first, "null")


def test_of_two_cas_none_is_dropped(disk):
    name, first, second = disk
    (first.state / "ca.crt").write_text("one")
    attach(first, name)
    unmount(first)
    (second.state / "ca.crt").write_text("another")
    assert "the CA of another SuperLink" in refused(second, name)
    assert (second.state / "ca.crt").read_text() == "another"


def test_the_agent_knows_what_became_of_it(disk):
    from oneflower_appliance import state_disk

    name, first, _second = disk
    assert state_disk.fault(first, name) == f"FL_STATE_DISK: /dev/{name} is not mounted yet"
    first.disk_wanted.write_text("nosuchdisk")
    assert state_disk.keep(first, OWNER) == 1
    assert "the VM has no disk /dev/nosuchdisk" in state_disk.fault(first, "nosuchdisk")
    first.disk_wanted.write_text(name)
    assert state_disk.keep(first, OWNER) == 0
    assert state_disk.fault(first, name) == "" and state_disk.visible(first)
    assert json.loads(first.disk_result.read_text())["disk"] == name
    run("umount", first.home)
    assert not state_disk.visible(first)
