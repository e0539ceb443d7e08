# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab hosts: systemd-nspawn machines with a network namespace and a disk (an overlay over an image) of their own.

A host's folder under STATE/hosts holds `supervisor` (process id and start time of nsrun), `upper` (its disk), `context` and
`log`. Processes are found again by id and start time or in the host's control group, so they outlive whoever started them,
and are ended by id alone. What a killed host or a killed start left behind is cleared by the next start and by `destroy`.

Where the machine's init is systemd, nsrun asks it for a delegated scope instead of making a control group. Continuous
integration does not run that path, its machine has another init; see README.md here for how it was shown.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import image, network, processes, shell, topology

POWER_OFF = signal.SIGRTMIN + 4  # what systemd as PID 1 takes as an orderly power-off
STOP_TIMEOUT_S = 20.0
BOOT_TIMEOUT_S = 60.0
# Last byte of a scratch host's management address: the image builder's, and the range of all others.
BUILDER_NUMBER, SCRATCH_NUMBERS = 99, range(100, 255)


def folder(host: str) -> Path:
    return topology.STATE / "hosts" / host


def upper(host: str) -> Path:
    return folder(host) / "upper"


def _supervisor(host: str) -> int:
    return processes.recall(folder(host) / "supervisor")


def leader(host: str) -> int:
    """Return the process id of the host's init as this machine sees it, or 0."""
    pid = _supervisor(host)
    for _depth in range(4):  # nsrun, or systemd-run and what it became -> systemd-nspawn -> init
        if not pid:
            return 0
        name = processes.command(pid)
        below = processes.children(pid)
        if name == "systemd-nspawn":
            return below[0] if below else 0
        pid = below[0] if below else 0
    return 0


def running(host: str) -> bool:
    return bool(_supervisor(host))


def start(
    host: str,
    image_name: str,
    *,
    binds: Sequence[tuple[Path, str]] = (),
    files: Mapping[str, bytes] | None = None,
    devices: Mapping[str, Path] | None = None,
) -> None:
    """Boot a host whose namespace is ready; returns when its init was started. A running one is left alone.

    `binds` are folders of this machine shown read-only in the host, `files` go into its disk before the first boot, `devices` are
    block devices of this machine by the name of the disk that each is in the host.
    """
    if running(host):
        return
    lower = ":".join(str(path) for path in image.layers(image_name))
    _clear(host)
    place = folder(host)
    for name in ("upper", "work", "root"):
        (place / name).mkdir(parents=True, exist_ok=True)
    root = place / "root"
    shell.run(
        "mount",
        "-t",
        "overlay",
        f"{topology.NAME}-{host}",
        root,
        "-o",
        f"lowerdir={lower},upperdir={place / 'upper'},workdir={place / 'work'}",
    )
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
    options += [f"--bind={device}:/dev/{name}" for name, device in (devices or {}).items()]
    with open(place / "log", "ab") as log:
        process = subprocess.Popen(
            [str(Path(__file__).resolve().parent / "nsrun"), topology.NAME, host, topology.namespace(host), str(root), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    processes.remember(place / "supervisor", process.pid)
    processes.reap(process)


def stop(host: str, *, hard: bool = False) -> None:
    """Power a host off; its disk stays. Waits until it is off, and clears what is left of one that was killed."""
    supervisor = _supervisor(host)
    init = leader(host) if supervisor and not hard else 0
    if init:
        os.kill(init, POWER_OFF)
        processes.gone(supervisor, STOP_TIMEOUT_S)
    _clear(host)


def _clear(host: str) -> None:
    """End what runs of a host, the supervisor first so that it does not boot it again; take its disk and groups away."""
    processes.kill([_supervisor(host)])
    for _attempt in range(100):
        left = processes.in_groups(groups(host))
        if not left:
            break
        processes.kill(left, timeout=0.5)
    unmount(folder(host) / "root")
    _remove_groups(host)


def unmount(place: Path) -> None:
    """Take away whatever is mounted there, at the latest when its last user goes."""
    for attempt in range(50):
        if not os.path.ismount(place):
            return
        shell.run("umount", *(["--lazy"] if attempt > 40 else []), place, check=False)
        if os.path.ismount(place):
            time.sleep(0.1)
    raise shell.LabError(f"{place} cannot be unmounted")


GROUPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice")


def groups(host: str = "*") -> list[Path]:
    """Return the control groups of a host, or of all."""
    name = f"lab-{topology.NAME}-{host}"
    return sorted({group for place in GROUPS for form in (name, f"{name}.scope") for group in Path(place).glob(form)})


def with_groups() -> set[str]:
    """Return the hosts that have a control group, whether or not anything else is known of them."""
    return {group.name.removesuffix(".scope").removeprefix(f"lab-{topology.NAME}-") for group in groups()}


def _remove_groups(host: str) -> None:
    for _attempt in range(50):
        for group in groups(host):
            for path, _folders, _files in os.walk(group, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    continue
        if not groups(host):
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
    """Return the folder with the controller's key and the known host keys."""
    place = topology.STATE / "ssh"
    _key(place / "id_ed25519", "lab")
    return place


def _key(file: Path, comment: str) -> None:
    """Make a pair of SSH keys, unless a whole one is there."""
    if not file.with_suffix(".pub").exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        shell.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file)


def _ssh_config() -> None:
    """Write a configuration with which root's ssh on this machine reaches every managed host by name."""
    place = keys()
    (place / "connections").mkdir(exist_ok=True)
    dial = f"nsenter --net={network.place(network.CONTROLLER)} {sys.executable} {topology.REPOSITORY / 'lab/dial.py'} %h %p"
    parts = [
        f"Host {file.parent.name}\n  HostName {file.read_text()}\n" for file in sorted(topology.STATE.glob("hosts/*/management"))
    ]
    parts.append(
        f"Host *\n  User ansible\n  IdentityFile {place / 'id_ed25519'}\n  UserKnownHostsFile {place / 'known_hosts'}\n"
        f"  StrictHostKeyChecking yes\n  ControlPath {place / 'connections'}/%C\n  ProxyCommand {dial}\n  ProxyUseFdpass yes\n"
    )
    (place / "config").write_text("".join(parts))


def ssh_files(host: str, address: str) -> dict[str, bytes]:
    """Return files that let the controller in, with a host key that it knows beforehand."""
    place = keys()
    key = folder(host) / "host_key"
    _key(key, host)
    public = key.with_suffix(".pub").read_text().strip()
    known = place / "known_hosts"
    lines = [line for line in known.read_text().splitlines() if line.split()[0] != address] if known.exists() else []
    known.write_text("\n".join([*lines, f"{address} {' '.join(public.split()[:2])}"]) + "\n")
    _ssh_config()
    return {
        "/etc/ssh/ssh_host_ed25519_key": key.read_bytes(),
        "/etc/ssh/ssh_host_ed25519_key.pub": f"{public}\n".encode(),
        "/home/ansible/.ssh/authorized_keys": (place / "id_ed25519.pub").read_bytes(),
    }


def start_managed(host: str, address: str, image_name: str, *, binds: Sequence[tuple[Path, str]] = ()) -> None:
    """Boot a host that Ansible manages over SSH."""
    folder(host).mkdir(parents=True, exist_ok=True)
    (folder(host) / "management").write_text(address)
    start(host, image_name, binds=binds, files=ssh_files(host, address))
    root = folder(host) / "root"
    os.chmod(root / "etc/ssh/ssh_host_ed25519_key", 0o600)


def management_address(host: str) -> str:
    """Return a managed host's address on the management link; raises LabError for a host without one."""
    try:
        return (folder(host) / "management").read_text()
    except OSError:
        raise shell.LabError(f"{host} is not on the management link") from None


def _scratch_address(host: str, number: int | None) -> str:
    """Return the address with the wanted number, else the host's own, else a free one; raises LabError where it is taken."""
    taken = {file.read_text(): file.parent.name for file in topology.STATE.glob("hosts/*/management")}
    own = next((address for address, holder in taken.items() if holder == host), None)
    if number is None and own:
        return own
    numbers = SCRATCH_NUMBERS if number is None else [number]
    for address in (f"{topology.MANAGEMENT}.{candidate}" for candidate in numbers):
        if taken.get(address, host) == host:
            return address
    raise shell.LabError(f"no management address is free for {host}; {', '.join(sorted(taken.values()))} hold them")


def start_scratch(host: str, image_name: str, *, binds: Sequence[tuple[Path, str]] = (), number: int | None = None) -> str:
    """Boot a host on the management link only, for building and for tests; returns its address."""
    address = _scratch_address(host, number)
    network.add_bridge(network.CONTROLLER, "management", f"addr replace {topology.MANAGEMENT}.1/24 dev management")
    network.add(host)
    network.join_management(host, address)
    start_managed(host, address, image_name, binds=binds)
    wait_for_port(host, 22)
    return address


def play(host: str, playbook: Path) -> None:
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
    inventory.write_text(f"{host} ansible_host={management_address(host)} {settings}\n")
    done = subprocess.run(
        [
            "nsenter",
            f"--net=/run/netns/{topology.namespace(network.CONTROLLER)}",
            str(binaries / "ansible-playbook"),
            "-i",
            str(inventory),
            str(playbook),
        ],
        cwd=topology.REPOSITORY,
        stdin=subprocess.DEVNULL,
        check=False,
        env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
    )
    if done.returncode:
        raise shell.LabError(f"{playbook.name} failed on {host} (exit code {done.returncode})")
