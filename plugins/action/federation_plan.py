# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute the federation's plan from the inventory, in the controller's own process."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import plan


class ActionModule(ActionBase):
    """Hand the inventory's `federation_*` variables to the pure planner and return its plan."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        self.validate_argument_spec({})
        groups = {group: list(task_vars["groups"].get(group, [])) for group in plan.GROUPS}
        hosts = {
            host: {
                name: value
                for name, value in task_vars["hostvars"][host].items()
                if name.startswith("federation_") and name != "federation_plan"
            }
            for host in {host for members in groups.values() for host in members}
        }
        try:
            made = plan.make_plan(groups, hosts)
        except plan.PlanError as error:
            problems = [str(problem) for problem in error.problems]
            result.update(
                failed=True,
                problems=problems,
                msg=f"The inventory has {len(problems)} problem(s), nothing was touched:\n- " + "\n- ".join(problems),
            )
            return result
        result.update(changed=False, plan=made)
        return result
