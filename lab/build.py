# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the images that are missing; the Flower appliance is made on a lab host, as its role makes it anywhere.

Above images and hosts: a host boots an image, and the appliance's image comes from a host. This file is part of what the
appliance's image is named by.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from lab import hosts, image, shell, topology

BUILDER = "image-builder"


def build() -> None:
    """Make what is missing of the lab's own images. Where nothing is, another's build is not waited for."""
    if all(path.is_dir() for path in (image.base_path(), image.wheels_path(), image.appliance_path())):
        return
    with image.lock():
        image.make_base(image.SUITE)
        image.make_wheels(image.SUITE)
        _make_appliance()


def _make_appliance() -> None:
    target = image.appliance_path()
    unfinished = image.fresh_folder(target, "the appliance image (roles/flower_appliance on a fresh host)")
    if unfinished is None:
        return
    started = time.monotonic()
    hosts.destroy(BUILDER)
    try:
        hosts.start_scratch(BUILDER, "base", binds=((image.wheels_path(), "/wheelhouse"),), number=hosts.BUILDER_NUMBER)
        hosts.play(BUILDER, topology.REPOSITORY / "lab/appliance.yml")
        hosts.stop(BUILDER)
        _strip(hosts.upper(BUILDER))
        shell.run("cp", "-a", hosts.upper(BUILDER), unfinished)
    finally:
        hosts.destroy(BUILDER)
    image.move_into_place(unfinished, target, started)


def _strip(layer: Path) -> None:
    """Take away what belongs to the host that the image was made on."""
    for leftover in ("etc/machine-id", "etc/hostname", "etc/hosts", "var/lib/dbus/machine-id"):
        (layer / leftover).unlink(missing_ok=True)
    for folder in ("home/ansible/.ansible", "home/ansible/.ssh", "var/log/journal", "tmp", "var/tmp", "run", "root/.cache"):
        shutil.rmtree(layer / folder, ignore_errors=True)
    for key in (layer / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
