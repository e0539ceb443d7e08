# SPDX-License-Identifier: GPL-3.0-or-later
"""The zones' front-ends: a network namespace each, with the lab zone (a test double of OpenNebula) in it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

from lab import processes, shell, topology
from lab.topology import PORTS, Site

READY_TIMEOUT_S = 20.0


def folder(site: Site) -> Path:
    return topology.STATE / "zones" / site.letter


def credentials() -> Path:
    """Return the file with the zones' shared `user:password`, made once per lab."""
    file = topology.STATE / "one_auth"
    if not file.exists():
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(f"oneadmin:{secrets.token_urlsafe(18)}\n")
    return file


def configuration(site: Site, version: str = "") -> dict:
    """Return the configuration file of lab.zone, as a dictionary; it plays the OpenNebula of this `version`."""
    hub = site is topology.HUB
    appliance = {"name": "flower-appliance", "image": "flower-appliance", "cpu": 1, "memory": 1024}
    return {
        **({"version": version} if version else {}),
        "name": site.zone,
        "zone_id": site.zone_id,
        "role": "master" if hub else "slave",
        "master": None if hub else topology.HUB.endpoint,
        "endpoint": site.endpoint,
        "auth_file": str(credentials()),
        "database": str(folder(site) / "one.db"),
        # Faults are injected from within the front-end alone.
        "listen": {**{name: ["0.0.0.0", port] for name, port in PORTS.items()}, "admin": ["127.0.0.1", topology.ADMIN_PORT]},
        "onegate_endpoint": f"http://{site.lan}.2:{PORTS['onegate']}",
        "hypervisor": "nspawn",
        "seed": {
            "vnets": [
                {
                    "name": "lan",
                    "bridge": "lan",
                    "first_ip": f"{site.lan}.100",
                    "size": 100,
                    "network": f"{site.lan}.0",
                    "mask": "255.255.255.0",
                    "gateway": "",
                },
                # What VMs are moved to: other addresses of the same LAN, and another VM template of the same image.
                {
                    "name": "lan-2",
                    "bridge": "lan",
                    "first_ip": f"{site.lan}.200",
                    "size": 50,
                    "network": f"{site.lan}.0",
                    "mask": "255.255.255.0",
                    "gateway": "",
                },
            ],
            # The coordinator's VM keeps its state on a disk of its own.
            "images": [{"name": "flower-state", "size": 1024}] if hub else [],
            "vm_templates": [
                appliance,
                *([{**appliance, "name": "flower-coordinator", "disks": {"vdb": "flower-state"}}] if hub else []),
                {**appliance, "name": "flower-appliance-2"},
            ],
        },
    }


def running(site: Site) -> bool:
    return bool(processes.recall(folder(site) / "process"))


def start(site: Site, version: str = "") -> bool:
    """Start a zone's server, and return when all its ports answer; False where it ran already.

    It plays the OpenNebula of this `version`; without one that which it has played before.
    """
    if running(site):
        return False
    place = folder(site)
    place.mkdir(parents=True, exist_ok=True)
    config = place / "zone.json"
    if not version and config.exists():
        version = json.loads(config.read_text()).get("version", "")
    config.write_text(json.dumps(configuration(site, version), indent=2))
    log_path = place / "log"
    with open(log_path, "ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            [
                "nsenter",
                f"--net=/run/netns/{topology.namespace(site.front_end)}",
                sys.executable,
                "-m",
                "lab.zone",
                "--config",
                str(config),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
            cwd=topology.REPOSITORY,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    processes.remember(place / "process", process.pid)
    processes.reap(process)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if b"ready" in log_path.read_bytes()[begin:]:
            return True
        if process.poll() is not None:
            break
        time.sleep(0.05)
    tail = log_path.read_text(errors="replace")[-1500:]
    raise shell.LabError(f"the lab zone of {site.zone} did not become ready; its log ends with:\n{tail}")


def stop(site: Site) -> None:
    """Stop a zone's server; its VMs go on."""
    pid = processes.recall(folder(site) / "process")
    if pid:
        processes.terminate(pid)
    (folder(site) / "process").unlink(missing_ok=True)
