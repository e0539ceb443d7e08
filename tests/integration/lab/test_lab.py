# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab by itself, without zones: comes up once, keeps disks, forgets idle flows, leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
        [sys.executable, "-m", "lab", *arguments], cwd=ROOT, env={**os.environ, "ONEFLOWER_LAB": NAME},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


def traces() -> set[str]:
    """Everything of this lab on the machine."""
    found = {str(path) for path in Path("/run/netns").glob(f"{NAME}-*")} | {str(path) for path in Path("/run").glob(f"{NAME}-*")}
    found |= {str(path) for path in Path("/sys/fs/cgroup").glob(f"**/lab-{NAME}-*")}
    found |= {line for line in Path("/proc/mounts").read_text().splitlines() if f"{NAME}-" in line}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"/{NAME}-lab/" in text or f"/netns/{NAME}-" in text:
            found.add(text)
    return found


@pytest.fixture(scope="module", autouse=True)
def running():
    if os.geteuid():
        pytest.fail("the lab needs root")
    assert traces() == set(), "another lab of this name is there"
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
        "nft", "insert", "rule", "inet", "internet", "forwarding",
        "tcp dport 9000 tcp flags & (syn|ack) == syn ct state new accept",
    )  # fmt: skip
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


def test_down_leaves_nothing():
    assert traces() != set()
    lab("down")
    assert traces() == set()
