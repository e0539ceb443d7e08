# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one module's backend, for the module and for the action plugin of the same name alike.

A backend is a module in .backends with ARGUMENTS (its own options), RULES (what else AnsibleModule takes, e.g. required_one_of)
and run(params, session), which returns the result or raises OpenNebulaError.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from . import pyone_adapter
from .errors import OpenNebulaError
from .session import CONNECTION_ARGUMENTS, Session


class Backend(t.Protocol):
    """See the module's docstring."""

    ARGUMENTS: dict[str, t.Any]
    RULES: dict[str, t.Any]

    @staticmethod
    def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
        """Return the result."""


def argument_spec(backend: Backend) -> dict[str, t.Any]:
    """Return the whole argument spec: connection options and the backend's own."""
    return {**CONNECTION_ARGUMENTS, **backend.ARGUMENTS}


def execute(
    backend: Backend,
    params: dict[str, t.Any],
    *,
    check_mode: bool,
    diff: bool,
    progress: t.Callable[[str], None] | None = None,
) -> tuple[dict[str, t.Any], list[str], set[str]]:
    """Return (result, warnings, secrets to remove). Never raises OpenNebulaError: a failure is a result."""
    if pyone_adapter.pyone is None:
        return {"failed": True, "changed": False, "msg": missing_required_lib("pyone")}, [], set()
    session = None
    try:
        session = Session(params, check_mode=check_mode, progress=progress)
        result = backend.run(params, session)
        result.setdefault("changed", session.changed)
    except OpenNebulaError as error:
        changed = session.changed if session else False
        result = {**error.result, "failed": True, "changed": changed, "msg": str(error), "error": error.as_dict()}
    if not diff:
        result.pop("diff", None)
    return result, session.warnings if session else [], session.secrets if session else set()


def run_module(backend: Backend) -> None:
    """Run a module: the main() of every one of them."""
    module = AnsibleModule(argument_spec=argument_spec(backend), supports_check_mode=True, **backend.RULES)
    result, warnings, secrets = execute(backend, module.params, check_mode=module.check_mode, diff=module._diff)
    module.no_log_values.update(secrets)
    for warning in warnings:
        module.warn(warning)
    # exit_json for failures too: fail_json would add fields that depend on the way the backend was run.
    module.exit_json(**result)
