# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab by itself, without VMs: comes up once, keeps disks, forgets idle flows, leaves nothing behind, even when killed."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.traces import left_by, traces

ROOT = Path(__file__).resolve().parents[3]
NAME = "t3"

# A flow that a gateway opens to the tunnel port of the hub; the router lets nothing else start.
SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("203.0.113.2", 51820)); s.settimeout(10)
print("ready", flush=True)
for _ in range(2):
    data, peer = s.recvfrom(99); print(peer[0], flush=True)
"""
CLIENT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"hello", ("203.0.113.2", 51820))
"""


def lab(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=ROOT,
        env={**os.environ, "ONEFLOWER_LAB": NAME},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


BEFORE: dict[str, set[str]] = {}


@pytest.fixture(scope="module", autouse=True)
def running():
    if os.geteuid():
        pytest.fail("the lab needs root")
    lab("down")  # of a run that was killed
    BEFORE.update(traces(NAME))
    yield lab("up", "--no-zones")
    lab("down")


def rules() -> str:
    return lab("exec", "inet", "nft", "list", "table", "inet", "internet")


def test_up_again_changes_nothing():
    before = lab("status")
    assert "everything is running already" in lab("up", "--no-zones")
    assert lab("status") == before


def test_disk_survives_reboot():
    lab("exec", "gw-b", "sh", "-c", "echo kept >/root/mark; echo lost >/run/mark")
    lab("reboot", "gw-b")
    assert lab("exec", "gw-b", "cat", "/root/mark").strip() == "kept"
    assert "No such file" in lab("exec", "gw-b", "cat", "/run/mark", check=False)


def test_new_address_reaches_the_hub():
    server = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{NAME}-gw-a", sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout.readline().strip() == "ready"
        lab("exec", "gw-c", "python3", "-c", CLIENT)
        first = server.stdout.readline().strip()
        lab("renew", "c")
        lab("exec", "gw-c", "python3", "-c", CLIENT)
        second = server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
    assert first.startswith("203.0.113.") and second.startswith("203.0.113.") and first != second


def test_faults_are_per_site():
    lab("wan", "--site", "b", "--cut")
    lab("wan", "--site", "a", "--loss", "5")
    lab("renew", "c")
    assert 'iifname "wan-b" drop' in rules() and "numgen" in rules()
    lab("wan", "--site", "b", "--heal")
    assert "wan-b" not in rules() and "numgen" in rules()
    lab("wan", "--site", "a", "--heal")
    assert "numgen" not in rules()


IDLE_SERVER = """
import socket
s = socket.create_server(("203.0.113.2", 9000)); print("ready", flush=True)
c, _ = s.accept(); c.settimeout(20)
try:
    while data := c.recv(9):
        c.sendall(data)
except OSError:
    pass
"""
IDLE_CLIENT = """
import socket, sys, time
c = socket.create_connection(("203.0.113.2", 9000), 5); c.settimeout(3)
for pause in (0, 1, 7):
    time.sleep(pause); c.sendall(b"x")
    try:
        c.recv(9); print("answered")
    except TimeoutError:
        print("silence")
"""


def test_firewall_forgets_an_idle_flow():
    """With a timeout of 3 s instead of the default: 1 s idle passes, 7 s is a black hole without an error."""
    timeout = "net.netfilter.nf_conntrack_tcp_timeout_established"
    default = lab("exec", "inet", "sysctl", "-n", timeout).strip()
    lab("exec", "inet", "sysctl", "-qw", f"{timeout}=3")
    opened = (
        "nft",
        "insert",
        "rule",
        "inet",
        "internet",
        "forwarding",
        "tcp dport 9000 tcp flags & (syn|ack) == syn ct state new accept",
    )
    lab("exec", "inet", *opened)
    server = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{NAME}-gw-a", sys.executable, "-c", IDLE_SERVER], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout.readline().strip() == "ready"
        answers = lab("exec", "gw-b", "python3", "-c", IDLE_CLIENT).split()
    finally:
        server.kill()
        server.wait()
        lab("exec", "inet", "sysctl", "-qw", f"{timeout}={default}")
        lab("wan", "--site", "b", "--heal")  # loads the rules afresh
    assert answers == ["answered", "answered", "silence"]


def round_trip() -> float:
    """Return the milliseconds from a gateway to the router and back, the best of five."""
    answer = lab("exec", "gw-b", "ping", "-q", "-c", "5", "-i", "0.2", "-W", "2", "203.0.113.5")
    return float(re.search(r"= ([0-9.]+)/", answer).group(1))


def test_a_slow_wan_link():
    before = round_trip()
    lab("wan", "--site", "b", "--delay", "40")
    slow = round_trip()
    lab("wan", "--site", "b", "--delay", "15")
    less = round_trip()
    other = lab("exec", "gw-a", "ping", "-q", "-c", "5", "-i", "0.2", "203.0.113.1")
    lab("wan", "--site", "b", "--heal")
    after = round_trip()
    print(f"round trip {before} ms; with 40 ms each way {slow} ms, with 15 ms {less} ms; healed {after} ms")
    assert slow >= 80 and 30 <= less < slow  # a busy machine makes them longer, nothing makes them shorter
    assert max(before, after, float(re.search(r"= ([0-9.]+)/", other).group(1))) < less


# One frame from a gateway to the router, sent at once by the process that made the links, and no frame behind it.
ONE_FRAME = """
import ctypes, socket, sys
from lab import network, topology
def interface(host, name):
    with open(network.place(host)) as namespace:
        assert ctypes.CDLL(None).setns(namespace.fileno(), 0x40000000) == 0
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packets.bind((name, 0x88B5))  # an EtherType for local experiments
    return packets
topology.STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
if sys.argv[1]:
    network.fault("b", delay_ms=float(sys.argv[1]))
else:
    network.build()
gateway, router = interface("gw-b", "wan"), interface("inet", "wan-b")
gateway.send(bytes.fromhex("ffffffffffff 020000000001 88b5") + b"x" * 50)
router.settimeout(15)
try:
    print(len(router.recv(99)))
except TimeoutError:
    print("lost")
"""


def one_frame(delay: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ONE_FRAME, delay],
        cwd=ROOT,
        env={**os.environ, "ONEFLOWER_LAB": NAME},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr


def test_a_slow_link_holds_no_frame_until_the_next():
    for delay in ("20", "0"):  # also on the way back to a line without a delay
        assert one_frame(delay) == "64"


BULK_SERVER = """
import hashlib, socket
s = socket.create_server(("203.0.113.6", 9001)); print("ready", flush=True)
c, _ = s.accept(); total = hashlib.sha256()
while data := c.recv(1 << 16):
    total.update(data)
print(total.hexdigest(), flush=True)
"""
BULK_CLIENT = """
import hashlib, socket
c = socket.create_connection(("203.0.113.6", 9001), 5); block = bytes(range(256)) * 4096; total = hashlib.sha256()
for _ in range(16):
    c.sendall(block); total.update(block)
c.close(); print(total.hexdigest())
"""


def test_a_slow_link_passes_bulk_unharmed():
    """16 MiB over TCP: segments larger than the MTU and checksums left to the card pass the delay as they came."""
    lab("wan", "--site", "b", "--delay", "5")
    server = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{NAME}-gw-b", sys.executable, "-c", BULK_SERVER], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout.readline().strip() == "ready"
        started = time.monotonic()
        sent = lab("exec", "inet", sys.executable, "-c", BULK_CLIENT).strip()
        print(f"{16 * 8 * 1.048576 / (time.monotonic() - started):.0f} Mbit/s")
        assert server.stdout.readline().strip() == sent
    finally:
        server.kill()
        server.wait()
        lab("wan", "--site", "b", "--heal")


def read_until(controller: int, wanted: bytes, seconds: float = 20) -> bytes:
    """Return what a terminal shows until `wanted` matches; fails when it does not in time."""
    shown, deadline = b"", time.monotonic() + seconds
    while not re.search(wanted, shown):
        if not select.select([controller], [], [], max(0.0, deadline - time.monotonic()))[0]:
            pytest.fail(f"{wanted!r} does not come: {shown!r}")
        shown += os.read(controller, 4096)
    return shown


def test_console_is_a_terminal_in_the_host():
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "console", "gw-b"],
        cwd=ROOT,
        env={**os.environ, "ONEFLOWER_LAB": NAME},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        read_until(controller, rb"root@gw-b:~# ")  # what is typed before is lost
        os.write(controller, b"echo at-$(hostname) on-$(tty)\n")
        read_until(controller, rb"at-gw-b on-/dev/pts/\d")
        os.write(controller, b"exit 3\n")
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def test_console_without_a_terminal_says_what_to_use():
    said = lab("console", "gw-b", check=False)
    assert "needs a terminal" in said and "lab exec gw-b COMMAND" in said


def test_a_taken_management_address_is_refused():
    try:
        first, second = lab("host", "start", "one").strip(), lab("host", "start", "two").strip()
        assert (first, second) == ("192.0.2.100", "192.0.2.101")
        assert "no management address is free for three" in lab("host", "start", "three", "--number", "101", check=False)
    finally:
        for name in ("one", "two"):
            lab("host", "stop", name)
    assert lab("status").count("\n") == 6


def test_down_leaves_nothing():
    assert set(left_by(NAME, BEFORE)) == {"namespaces", "mounts", "control groups", "processes", "files"}
    lab("down")
    assert left_by(NAME, BEFORE) == {}


def own_processes(*kinds: str) -> list[int]:
    """Return ids from the lab's own state: supervisors (of hosts), servers (of zones), lines, and everything in the hosts."""
    files = {"supervisors": "hosts/*/supervisor", "servers": "zones/*/process", "lines": "router/*.process"}
    state = Path(f"/run/{NAME}-lab")
    found = [int(file.read_text().split()[0]) for kind in kinds if kind in files for file in state.glob(files[kind])]
    if "guests" in kinds:
        for group in Path("/sys/fs/cgroup").glob(f"*/lab-{NAME}-*"):
            for file in group.rglob("cgroup.procs"):
                found += [int(line) for line in file.read_text().split()]
    return list(dict.fromkeys(found))


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


KILLED = [
    ("supervisors", "servers", "lines", "guests"),
    ("supervisors",),  # the hosts go on without them
    ("guests",),
]


def kill(kinds: tuple[str, ...]) -> None:
    victims = own_processes(*kinds)
    assert len(victims) >= 3
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # went with its host's init
            continue
    assert {"namespaces", "mounts", "control groups", "files"} <= set(left_by(NAME, BEFORE))


@pytest.mark.parametrize("kinds", KILLED, ids="+".join)
def test_down_after_it_was_killed_leaves_nothing(kinds):
    lab("up")
    lab("wan", "--site", "b", "--delay", "2")
    mine = own_processes("supervisors", "servers", "lines", "guests")
    assert len(mine) >= 20
    kill(kinds)
    lab("down")
    assert left_by(NAME, BEFORE) == {}
    assert [pid for pid in mine if alive(pid)] == []


@pytest.mark.parametrize("kinds", KILLED, ids="+".join)
def test_up_after_it_was_killed_works(kinds):
    lab("up")
    lab("exec", "gw-b", "sh", "-c", "echo kept >/root/mark; sync")
    lab("wan", "--site", "b", "--delay", "20")
    kill(kinds)
    lab("up")
    assert {line.split()[2] for line in lab("status").splitlines()} == {"running"}
    for gateway in ("gw-a", "gw-b", "gw-c"):
        assert lab("exec", gateway, "systemctl", "is-system-running", "--wait").strip() == "running"
    assert lab("exec", "gw-b", "cat", "/root/mark").strip() == "kept"
    assert round_trip() >= 40
    assert lab("exec", "line-b", "ip", "-o", "link", "show", "master", "line") == ""
    assert len([pid for pid in own_processes("lines") if alive(pid)]) == 1
    for front_end in ("192.0.2.21", "192.0.2.22", "192.0.2.23"):
        lab("exec", "mgmt", "bash", "-c", f"exec 3<>/dev/tcp/{front_end}/2633")
    assert "everything is running already" in lab("up")
    lab("down")
    assert left_by(NAME, BEFORE) == {}


def test_up_goes_on_where_a_killed_one_stopped():
    """Halves of what `up` makes: a namespace that is only a file, a cable without addresses, a disk that was never booted."""
    Path(f"/run/netns/{NAME}-gw-b").touch()
    for host in ("gw-c", "line-c"):
        subprocess.run(["ip", "netns", "add", f"{NAME}-{host}"], check=True)
    subprocess.run(
        ["ip", "link", "add", "wan", "netns", f"{NAME}-gw-c", "type", "veth", "peer", "name", "gw", "netns", f"{NAME}-line-c"],
        check=True,
    )
    (Path(f"/run/{NAME}-lab") / "hosts/gw-b/upper/etc").mkdir(parents=True)
    (Path(f"/run/{NAME}-lab") / "hosts/gw-b/host_key").touch()
    Path("/sys/fs/cgroup/systemd" if Path("/sys/fs/cgroup/systemd").is_dir() else "/sys/fs/cgroup", f"lab-{NAME}-gw-a").mkdir()
    try:
        lab("up", "--no-zones")
        lab("exec", "gw-b", "ping", "-q", "-c", "1", "-W", "2", "203.0.113.5")
        lab("exec", "gw-c", "ping", "-q", "-c", "1", "-W", "2", "100.64.12.1")
    finally:
        lab("down")
    assert left_by(NAME, BEFORE) == {}


def test_links_pass_the_very_first_frame():
    """Else its loss shows later: what waits for an ARP reply waits a second for the second request.

    One line has a bridge that listens for some seconds before it forwards: slow in the way that any link is on a busy machine.
    """
    lab("down")
    slow = f"{NAME}-line-b"
    subprocess.run(["ip", "netns", "add", slow], check=True)
    bridge = ["link", "add", "line", "type", "bridge", "stp_state", "1", "forward_delay", "200"]
    subprocess.run(["ip", "-n", slow, *bridge], check=True)
    try:
        assert one_frame("") == "64"
    finally:
        lab("down")
    assert left_by(NAME, BEFORE) == {}


def test_down_without_a_lab():
    lab("down")
    assert left_by(NAME, BEFORE) == {}


def test_the_readme_names_every_command():
    usage = lab("--help")
    commands = set(re.findall(r"^    ([a-z]+) ", usage, flags=re.MULTILINE))
    assert {"up", "down", "console", "wan"} <= commands
    rows = [line for line in (ROOT / "lab/README.md").read_text().splitlines() if line.startswith("| `")]
    assert commands == {word for row in rows for word in re.findall(r"`([a-z]+)[ `]", row.split("|")[1])} - {"start", "restart"}
