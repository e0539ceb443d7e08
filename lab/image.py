# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's images: a small Debian, Flower's wheels, and where the appliance that lab/build.py makes of them is kept.

All are folders in the cache, named by a hash of everything they are made from, the code that makes them included, and moved
into place when complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import inspect
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab import shell, topology

MACHINE_PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "conntrack": "conntrack",
    "ping": "iputils-ping",
    "pgrep": "procps",
    "nsenter": "util-linux",
}
GUEST_PACKAGES = (
    "systemd-sysv",
    "libnss-systemd",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "python3-venv",
    "nftables",
    "iproute2",
    "iputils-ping",
    "wireguard-tools",
    "wireguard-go",
    "conntrack",
    "openssl",
    "curl",
    "ca-certificates",
    "procps",
    "tcpdump",
)
# Debian releases that a base image can be made of, with their Python. The lab runs on the first.
SUITES = {"bookworm": "3.11", "trixie": "3.13"}
SUITE = next(iter(SUITES))
FLOWER_VERSION = "1.39.0"
WHEELS = (f"flwr=={FLOWER_VERSION}", "numpy")
GUEST = Path(__file__).resolve().parent / "guest"
# What the appliance image is made from, besides the base image and the wheels.
APPLIANCE_SOURCES = (
    "roles/flower_appliance",
    "plugins/module_utils/appliance",
    "lab/appliance.yml",
    "lab/build.py",
)


def install_packages() -> None:
    """Install the Debian packages that the lab needs on this machine, if any is missing."""
    missing = sorted({package for command, package in MACHINE_PACKAGES.items() if not shutil.which(command)})
    if not missing:
        return
    shell.say(f"installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *missing]):
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise shell.LabError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Hold the cache's lock: one builder at a time."""
    topology.CACHE.mkdir(parents=True, exist_ok=True)
    with open(topology.CACHE / "lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _files_digest(paths: tuple[str, ...]) -> str:
    sums = []
    for path in paths:
        root = topology.REPOSITORY / path
        for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if file.is_file() and "__pycache__" not in file.parts:
                sums.append(f"{file.relative_to(topology.REPOSITORY)} {hashlib.sha256(file.read_bytes()).hexdigest()}")
    return _digest(*sums)


def _code(*functions: Callable) -> str:
    return "".join(inspect.getsource(function) for function in functions)


def base_path(suite: str = SUITE) -> Path:
    made_by = _code(_debootstrap, _configure)
    return topology.CACHE / f"base-{suite}-{_digest(suite, *GUEST_PACKAGES, _files_digest(('lab/guest',)), made_by)}"


def wheels_path(suite: str = SUITE) -> Path:
    return topology.CACHE / f"wheels-{suite}-{_digest(SUITES[suite], *WHEELS, _code(_download))}"


def appliance_path() -> Path:
    return topology.CACHE / f"appliance-{_digest(base_path().name, wheels_path().name, _files_digest(APPLIANCE_SOURCES))}"


def suite_of(image: str) -> str:
    """Return the Debian release that an image is made of; raises LabError for an unknown image."""
    known = {"base": SUITE, "flower-appliance": SUITE, **{f"base-{suite}": suite for suite in SUITES}}
    if image not in known:
        raise shell.LabError(f"there is no image {image!r}; there are {', '.join(known)}")
    return known[image]


def layers(image: str) -> list[Path]:
    """Return the folders of an image, topmost first, as overlayfs wants them; raises LabError for an unknown or missing one."""
    paths = [base_path(suite_of(image))]
    if image == "flower-appliance":
        paths.insert(0, appliance_path())
    for path in paths:
        if not path.is_dir():
            raise shell.LabError(f"image {image} is not built; run `python -m lab image`")
    return paths


def ensure_base(suite: str) -> None:
    """Make the base image and the wheels of a Debian release where they are missing."""
    if not (base_path(suite).is_dir() and wheels_path(suite).is_dir()):
        with lock():
            make_base(suite)
            make_wheels(suite)


def fresh_folder(target: Path, what: str) -> Path | None:
    """Return a folder that does not exist yet, to build in, or None where the target is there."""
    if target.is_dir():
        return None
    shell.say(f"building {what}")
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    return unfinished


def move_into_place(unfinished: Path, target: Path, started: float) -> None:
    """Make a finished image known; `started` is when its build began, by the monotonic clock."""
    unfinished.rename(target)
    shell.say(f"built {target.name} in {time.monotonic() - started:.0f} s")


def _sources(suite: str) -> str:
    """Return this machine's own Debian package sources, one line each, for a release that need not be the machine's."""
    form = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)"
    lines = set()
    for line in shell.run("apt-get", "indextargets", "--format", form, "Identifier: Packages").splitlines():
        uri, codename, component = line.split("|")
        own, dash, pocket = codename.partition("-")
        # Not every pocket, backports for instance, has a counterpart in every release.
        if "debian" in uri and component == "main" and (own == suite or pocket in ("", "updates", "security")):
            lines.add(f"deb {uri} {suite}{dash}{pocket} main")
    if not lines:
        raise shell.LabError(f"this machine has no package source for Debian {suite}; add one to its apt sources")
    return "\n".join(sorted(lines)) + "\n"


def make_base(suite: str) -> None:
    """Make the base image of a Debian release where it is missing."""
    target = base_path(suite)
    unfinished = fresh_folder(target, f"the base image (Debian {suite}, {len(GUEST_PACKAGES)} packages)")
    if unfinished is None:
        return
    started = time.monotonic()
    scratch = Path("/dev/shm") if Path("/dev/shm").is_dir() else topology.CACHE
    tar = scratch / f"oneflower-{suite}.tar"
    try:
        _debootstrap(suite, tar, scratch)
        unfinished.mkdir(parents=True)
        shell.run("tar", "-xpf", tar, "-C", unfinished)
    finally:
        tar.unlink(missing_ok=True)
    _configure(unfinished)
    move_into_place(unfinished, target, started)


def _debootstrap(suite: str, tar: Path, scratch: Path) -> None:
    done = subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            "--dpkgopt=force-unsafe-io",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=APT::Install-Recommends "false"',
            f"--include={','.join(GUEST_PACKAGES)}",
            suite,
            str(tar),
            "-",
        ],
        input=_sources(suite),
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise shell.LabError(f"mmdebstrap: {done.stderr.strip()[-2000:]}")


def _configure(root: Path) -> None:
    """Give an image what every lab host has: a user for Ansible, no waiting for DNS, the stand-in for one-context."""
    shell.run("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "ansible")
    sudoers = root / "etc/sudoers.d/ansible"
    sudoers.write_text("ansible ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (root / "etc/machine-id").write_text("")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    shutil.copy(GUEST / "lab-context", root / "usr/local/sbin/lab-context")
    shutil.copy(GUEST / "one-context.service", root / "etc/systemd/system/one-context.service")
    (root / "etc/one-context.d").mkdir(exist_ok=True)
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text(
        "UseDNS no\nPasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
    )
    # VMs get no host key and so no SSH server; the controller has no business in them.
    (root / "etc/systemd/system/ssh.service.d").mkdir()
    (root / "etc/systemd/system/ssh.service.d/lab.conf").write_text("[Unit]\nConditionPathExists=/etc/ssh/ssh_host_ed25519_key\n")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "one-context.service").symlink_to("/etc/systemd/system/one-context.service")
    masked = (
        "systemd-timesyncd.service",
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "e2scrub_all.timer",
        "fstrim.timer",
        "dpkg-db-backup.timer",
        "getty.target",
        "console-getty.service",
        "systemd-networkd-wait-online.service",
    )
    for unit in masked:
        path = root / "etc/systemd/system" / unit
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/null")


def make_wheels(suite: str) -> None:
    """Download Flower's wheels for a Debian release where they are missing."""
    target = wheels_path(suite)
    unfinished = fresh_folder(target, f"the wheelhouse ({', '.join(WHEELS)} for Python {SUITES[suite]})")
    if unfinished is None:
        return
    started = time.monotonic()
    _download(SUITES[suite], unfinished)
    move_into_place(unfinished, target, started)


def _download(python: str, place: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--only-binary=:all:",
            "--python-version",
            python,
            "--dest",
            str(place),
            *WHEELS,
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise shell.LabError(f"pip download: {done.stderr.strip()[-2000:]}")


def clean() -> None:
    """Remove the cache."""
    shutil.rmtree(topology.CACHE, ignore_errors=True)
