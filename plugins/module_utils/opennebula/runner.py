# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one task's logic, for the module and for the action plugin of the same name alike.

A task is a module in .tasks with ARGUMENTS (its own options), RULES (what else AnsibleModule takes, e.g. required_one_of)
and run(params, context), which returns the result or raises OpenNebulaError.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from . import oned
from .context import CONNECTION_ARGUMENTS, Context
from .errors import OpenNebulaError

# pyone is not imported by the test that reads the argument specs.
PYONE = "pyone"


class Task(t.Protocol):
    """See the module's docstring."""

    ARGUMENTS: dict[str, t.Any]
    RULES: dict[str, t.Any]

    @staticmethod
    def run(params: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
        """Do it."""


def argument_spec(task: Task) -> dict[str, t.Any]:
    """Return the whole argument spec: connection options and the task's own."""
    return {**CONNECTION_ARGUMENTS, **task.ARGUMENTS}


def execute(
    task: Task,
    params: dict[str, t.Any],
    *,
    check_mode: bool,
    diff: bool,
    progress: t.Callable[[str], None] | None = None,
) -> tuple[dict[str, t.Any], list[str], set[str]]:
    """Return (result, warnings, secrets to remove). Never raises OpenNebulaError: a failure is a result."""
    if oned.pyone is None:
        return {"failed": True, "changed": False, "msg": missing_required_lib(PYONE)}, [], set()
    context = None
    try:
        context = Context(params, check_mode=check_mode, progress=progress)
        result = task.run(params, context)
        result.setdefault("changed", context.changed)
    except OpenNebulaError as error:
        changed = context.changed if context else False
        result = {**error.result, "failed": True, "changed": changed, "msg": str(error), "error": error.as_dict()}
    if not diff:
        result.pop("diff", None)
    return result, context.warnings if context else [], context.secrets if context else set()


def run_module(task: Task) -> None:
    """The main() of every module."""
    module = AnsibleModule(argument_spec=argument_spec(task), supports_check_mode=True, **task.RULES)
    result, warnings, secrets = execute(task, module.params, check_mode=module.check_mode, diff=module._diff)
    module.no_log_values.update(secrets)
    for warning in warnings:
        module.warn(warning)
    # exit_json for failures too: fail_json would add fields that depend on the way the task was run.
    module.exit_json(**result)
