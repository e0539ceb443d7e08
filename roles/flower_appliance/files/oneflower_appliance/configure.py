# SPDX-License-Identifier: GPL-3.0-or-later
"""What one-context calls, at every boot and after every change of CONTEXT: hand CONTEXT to the agent and return.

one-context runs its hooks one after the other, so nothing here waits: the agent starts Flower, waits and publishes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import context
from .appliance import settings
from .paths import Paths, write_atomic


def read(environment: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return CONTEXT and the OneGate token, from the files that one-context names, else from the environment it exports."""
    values = dict(environment)
    token = environment.get(context.GATE_TOKEN, "")
    try:
        values = context.parse_shell(Path(environment["CONTEXT_FILE"]).read_text(errors="replace"))
        token = values.get(context.GATE_TOKEN, token)
    except (KeyError, OSError, ValueError):
        pass
    places = [Path(environment.get("MOUNT_DIR") or "/mnt") / "token.txt"]
    places.append(Path(environment.get("ENV_FILE") or "/run/one-context/one_env"))
    for place in places:
        if token:
            break
        try:
            text = place.read_text(errors="replace").strip()
        except OSError:
            continue
        token = context.parse_shell(text).get("TOKENTXT", "") if place.name == "one_env" else text
    return values, token


def configure(environment: Mapping[str, str], paths: Paths) -> int:
    """Save CONTEXT for the agent and see that it runs; return the exit code.

    Faults go to stderr, which one-context writes to the journal.
    """
    values, token = read(environment)
    ours = context.relevant(values)
    clean, faults = settings.validate(ours.get(settings.ROLE, ""), ours)
    for fault in faults:
        print(f"CONTEXT: {fault}", file=sys.stderr)
    paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(paths.context, json.dumps({"values": ours, "token": token}, sort_keys=True).encode(), 0o600)
    if clean.get(settings.STATE_DISK) and not faults:
        write_atomic(paths.disk_wanted, clean[settings.STATE_DISK].encode(), 0o600)
    else:
        paths.disk_wanted.unlink(missing_ok=True)
    started = subprocess.run(["systemctl", "--no-block", "start", "oneflower-agent.service"], env={"PATH": os.defpath}, check=False)
    return 1 if faults else started.returncode
