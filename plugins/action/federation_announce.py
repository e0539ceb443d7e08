# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Announce the changes of one host, as check mode has them: changed, with a diff."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Say what a run would change on this host; touch nothing."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return {changed, diff}."""
        result = super().run(tmp, task_vars)
        given = task_vars or {}
        host = given["inventory_hostname"]
        found = [change for change in given["federation_changes"]["hosts"].get(host, ()) if change["kind"] != "wait"]
        result["changed"] = bool(found)
        if self._task.diff and found:
            result["diff"] = {
                "before_header": f"{host}, as it is",
                "after_header": f"{host}, as planned",
                "before": "".join(f"{_name(change)}: {change['old']}\n" for change in found if change["old"]),
                "after": "".join(f"{_name(change)}: {change['new']}\n" for change in found if change["new"]),
            }
        return result


def _name(change: t.Mapping[str, t.Any]) -> str:
    return f"{change['kind']} {change['subject']}"
