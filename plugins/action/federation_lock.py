# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""federation_lock for the run under way: who holds the lock is the process of ansible-playbook, not the worker of a task."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import socket
import typing as t

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.processes import identity
from ansible_collections.oneflower.federation.plugins.plugin_utils.opennebula_action import action_named


class ActionModule(action_named(__name__)):  # type: ignore[misc]
    """Give the lock a holder and an identity where the task names none."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the module's result."""
        pid = os.getppid() if multiprocessing.parent_process() is not None else os.getpid()
        self._task.args.setdefault("identity", identity(pid))
        self._task.args.setdefault("holder", f"{_user()} on {socket.gethostname()}, process {pid}")
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        return result


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"
