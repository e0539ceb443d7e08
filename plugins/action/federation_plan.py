# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute the federation's plan from the inventory, in the controller's own process."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import inventory, plan, topology, variables


class ActionModule(ActionBase):
    """Hand the inventory's variables to the pure planner and return its plan."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the plan, or fail with every finding."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "leaving": {"type": "list", "elements": "str", "default": []},
                "teardown": {"type": "bool", "default": False},
                "keep_services": {"type": "bool", "default": False},
            }
        )
        given = task_vars or {}
        groups = {str(group): [str(host) for host in hosts] for group, hosts in given["groups"].items()}
        hosts = {host for group in topology.GROUPS for host in groups.get(group, [])}
        leaving = list(arguments["leaving"])
        if arguments["teardown"]:
            leaving = [host for group in (topology.COORDINATOR, topology.TRAINING_SITES) for host in groups.get(group, [])]
        try:
            made = plan.make_plan(
                groups,
                {host: _variables(given["hostvars"][host]) for host in sorted(hosts)},
                leaving=leaving,
                keep_services=arguments["keep_services"],
            )
            if arguments["teardown"]:
                plan.confirm(made)
        except plan.PlanError as error:
            lines = [f"{finding} [{finding.code}]" for finding in error.findings]
            result.update(
                failed=True,
                msg=f"The inventory has {len(lines)} problem(s), nothing was touched:\n- " + "\n- ".join(lines),
            )
            return result
        result.update(changed=False, plan=made)
        return result


def _variables(given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the federation's variables of a host; one that cannot be templated says why."""
    found: dict[str, t.Any] = {}
    for name in (str(name) for name in given):
        if not name.startswith(variables.PREFIX) or name in variables.FACTS:
            continue
        try:
            found[name] = given[name]
        except AnsibleError as error:
            found[name] = inventory.Unreadable(" ".join(str(error).split()))
    return found
