# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab hosts: systemd-nspawn machines with a network namespace and a disk (an overlay over an image) of their own.

A host's folder under STATE/hosts holds `supervisor` (process id and start time of nsrun), `upper` (its disk), `context` and
`log`. Processes are found again by id and start time, so they outlive whoever started them, and are ended by id alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import image, network, shell, topology

POWER_OFF = signal.SIGRTMIN + 4  # what systemd as PID 1 takes as an orderly power-off
STOP_TIMEOUT_S = 20.0
BOOT_TIMEOUT_S = 60.0


def folder(host: str) -> Path:
    return topology.STATE / "hosts" / host


def upper(host: str) -> Path:
    return folder(host) / "upper"


def started_at(pid: int) -> str:
    """Start time of a process in clock ticks since boot, or "" where there is none (or only its remains)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def remember(file: Path, pid: int) -> None:
    """Write down a process so that it can be told from a later one with the same id."""
    file.write_text(f"{pid} {started_at(pid)}\n")


def recall(file: Path) -> int:
    """The process written down in `file`, or 0 where it has ended."""
    try:
        pid, started = file.read_text().split()
    except (OSError, ValueError):
        return 0
    return int(pid) if started_at(int(pid)) == started else 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in shell.run("pgrep", "-P", pid, check=False).split()]


def leader(host: str) -> int:
    """Process id of the host's init as this machine sees it, or 0."""
    pid = recall(folder(host) / "supervisor")
    for _depth in range(4):  # nsrun (or systemd-run and its shell) -> systemd-nspawn -> init
        if not pid:
            return 0
        name = _command(pid)
        children = _children(pid)
        if name == "systemd-nspawn":
            return children[0] if children else 0
        pid = children[0] if children else 0
    return 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def running(host: str) -> bool:
    return bool(recall(folder(host) / "supervisor"))


def start(host: str, image_name: str, *, binds: Sequence[tuple[Path, str]] = (), files: Mapping[str, bytes] | None = None) -> None:
    """Boot a host whose namespace is ready; returns when its init was started. A running one is left alone.

    `binds` are folders of this machine shown read-only in the host, `files` go into its disk before the first boot.
    """
    if running(host):
        return
    place = folder(host)
    for name in ("upper", "work", "root"):
        (place / name).mkdir(parents=True, exist_ok=True)
    root = place / "root"
    if not os.path.ismount(root):
        lower = ":".join(str(path) for path in image.layers(image_name))
        shell.run("mount", "-t", "overlay", f"{topology.NAME}-{host}", root,
                  "-o", f"lowerdir={lower},upperdir={place / 'upper'},workdir={place / 'work'}")  # fmt: skip
    first = not (place / "booted").exists()
    if first:
        (root / "etc/hostname").write_text(f"{host}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {host}\n::1 localhost\n")
        for path, content in (files or {}).items():
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (place / "booted").touch()
    options = [f"--bind-ro={source}:{target}" for source, target in binds]
    with open(place / "log", "ab") as log:
        process = subprocess.Popen(
            [str(Path(__file__).resolve().parent / "nsrun"), topology.NAME, host, topology.namespace(host), str(root), *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True, cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
    remember(place / "supervisor", process.pid)
    reap(process)


def reap(process: subprocess.Popen) -> None:
    """Collect the child when it ends, whoever of us is still there then."""

    threading.Thread(target=process.wait, daemon=True).start()


def stop(host: str, *, hard: bool = False) -> None:
    """Power a host off; its disk stays. Waits until it is off."""
    supervisor = recall(folder(host) / "supervisor")
    if supervisor:
        init = leader(host)
        if hard or not init:
            _end(supervisor, init)
        else:
            os.kill(init, POWER_OFF)
            if not gone(supervisor, STOP_TIMEOUT_S):
                _end(supervisor, init)
    root = folder(host) / "root"
    for _attempt in range(50):
        if not os.path.ismount(root) or not shell.run("umount", root, check=False) and not os.path.ismount(root):
            break
        time.sleep(0.1)
    _remove_groups(host)


def _end(supervisor: int, init: int) -> None:
    """Kill the supervisor first, so that it does not boot the host again."""
    nspawn = [pid for pid in _descendants(supervisor) if _command(pid) == "systemd-nspawn"]
    for pid in (supervisor, init, *nspawn):
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    gone(supervisor, 5)
    for pid in nspawn:
        gone(pid, 5)


def _descendants(pid: int) -> list[int]:
    found = []
    for child in _children(pid):
        found += [child, *(_descendants(child) if _command(child) != "systemd-nspawn" else [])]
    return found


def gone(pid: int, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not started_at(pid):
            return True
        time.sleep(0.02)
    return False


def _groups(host: str) -> list[Path]:
    found = []
    for hierarchy in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        group = Path(hierarchy, f"lab-{topology.NAME}-{host}")
        if group.is_dir():
            found.append(group)
    return found


def _remove_groups(host: str) -> None:
    for _attempt in range(50):
        for group in _groups(host):
            for path, _folders, _files in os.walk(group, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    continue
        if not _groups(host):
            return
        time.sleep(0.05)


def destroy(host: str, *, keep_namespace: bool = False) -> None:
    """Switch a host off and drop its disk, and its namespace unless that is to stay."""
    stop(host, hard=True)
    shutil.rmtree(folder(host), ignore_errors=True)
    if not keep_namespace:
        network.remove(host)


def enter(host: str, *command: str, check: bool = True) -> str:
    """Run a command inside a host, as root."""
    init = leader(host)
    if not init:
        raise shell.LabError(f"{host} is not running")
    return shell.run("nsenter", "-t", init, "-a", *command, check=check)


def wait_for_port(host: str, port: int, timeout: float = BOOT_TIMEOUT_S) -> None:
    """Wait until something in the host listens on a TCP port."""
    deadline = time.monotonic() + timeout
    wanted = f":{port:04X}"
    while time.monotonic() < deadline:
        init = leader(host)
        for table in ("tcp", "tcp6"):
            try:
                lines = Path(f"/proc/{init}/net/{table}").read_text().splitlines()[1:] if init else []
            except OSError:
                lines = []
            if any(line.split()[1].endswith(wanted) and line.split()[3] == "0A" for line in lines):
                return
        time.sleep(0.05)
    raise shell.LabError(f"{host} does not listen on port {port} after {timeout:.0f} s; see {folder(host) / 'log'}")


# --- hosts that Ansible reaches over SSH -------------------------------------------------------------------------------


def keys() -> Path:
    """Folder with the controller's key and the known host keys."""
    place = topology.STATE / "ssh"
    if not (place / "id_ed25519").exists():
        place.mkdir(parents=True, exist_ok=True)
        shell.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", place / "id_ed25519")
    return place


def ssh_files(host: str, address: str) -> dict[str, bytes]:
    """Files that let the controller in, with a host key that it knows beforehand."""
    place = keys()
    key = folder(host) / "host_key"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        shell.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host, "-f", key)
    public = key.with_suffix(".pub").read_text().strip()
    known = place / "known_hosts"
    lines = [line for line in known.read_text().splitlines() if line.split()[0] != address] if known.exists() else []
    known.write_text("\n".join([*lines, f"{address} {' '.join(public.split()[:2])}"]) + "\n")
    return {
        "/etc/ssh/ssh_host_ed25519_key": key.read_bytes(),
        "/etc/ssh/ssh_host_ed25519_key.pub": f"{public}\n".encode(),
        "/home/ansible/.ssh/authorized_keys": (place / "id_ed25519.pub").read_bytes(),
    }


def start_managed(host: str, address: str, image_name: str, *, binds: Sequence[tuple[Path, str]] = ()) -> None:
    """Boot a host that Ansible manages over SSH."""
    start(host, image_name, binds=binds, files=ssh_files(host, address))
    root = folder(host) / "root"
    os.chmod(root / "etc/ssh/ssh_host_ed25519_key", 0o600)


def start_scratch(host: str, image_name: str, *, binds: Sequence[tuple[Path, str]] = (), number: int = 100) -> str:
    """Boot a host on the management link only, for building and for tests; returns its address."""
    address = f"{topology.MANAGEMENT}.{number}"
    network.add_bridge(network.CONTROLLER, "management", f"addr replace {topology.MANAGEMENT}.1/24 dev management")
    network.add(host)
    network.join_management(host, address)
    start_managed(host, address, image_name, binds=binds)
    wait_for_port(host, 22)
    return address


def play(host: str, playbook: Path, *, number: int = 100) -> None:
    """Run a playbook on a scratch host."""
    binaries = topology.REPOSITORY / ".venv" / "bin"
    place = keys()
    variables = {
        "ansible_user": "ansible",
        "ansible_ssh_private_key_file": place / "id_ed25519",
        "ansible_ssh_common_args": f"'-F none -o UserKnownHostsFile={place / 'known_hosts'} -o StrictHostKeyChecking=yes'",
        "ansible_control_path_dir": place / "connections",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    inventory = folder(host) / "inventory.ini"
    settings = " ".join(f"{key}={value}" for key, value in variables.items())
    inventory.write_text(f"{host} ansible_host={topology.MANAGEMENT}.{number} {settings}\n")
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{topology.namespace(network.CONTROLLER)}", str(binaries / "ansible-playbook"),
         "-i", str(inventory), str(playbook)],
        cwd=topology.REPOSITORY, stdin=subprocess.DEVNULL, check=False,
        env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
    )  # fmt: skip
    if done.returncode:
        raise shell.LabError(f"{playbook.name} failed on {host} (exit code {done.returncode})")
