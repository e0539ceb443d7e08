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
from .secrets import given_values, hidden_values, masked, secret_inputs, secret_values
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
    """Return (result, warnings, secrets to remove). Never raises OpenNebulaError: a failure is a result.

    In params the values that may be secret are hidden afterwards, as Ansible shows params as the task's invocation.
    """
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
    secrets = known_secrets(params) | (session.secrets if session else set())
    secrets |= _hide_inputs(params, session.harmless_inputs - session.hidden_inputs if session else set())
    return result, session.warnings if session else [], secrets


def known_secrets(params: t.Mapping[str, t.Any]) -> set[str]:
    """Return what is secret whatever the server says."""
    return {params["password"]} if params.get("password") else set()


def _hide_inputs(params: dict[str, t.Any], harmless: set[str]) -> set[str]:
    """Hide values of inputs that are not known to be harmless, in place; return their texts."""
    secrets: set[str] = set()
    for holder in [params, *(params.get("roles") or [])]:
        if isinstance(holder, dict) and holder.get("user_inputs_values"):
            secrets |= given_values(holder["user_inputs_values"], harmless)
            holder["user_inputs_values"] = hidden_values(holder["user_inputs_values"], harmless)
    if isinstance(params.get("template"), dict):
        secrets |= secret_values(params["template"])
        params["template"] = masked(params["template"], secret_inputs(params["template"]))
    return secrets


def run_module(backend: Backend) -> None:
    """Run a module: the main() of every one of them."""
    module = AnsibleModule(argument_spec=argument_spec(backend), supports_check_mode=True, **backend.RULES)
    result, warnings, secrets = execute(backend, module.params, check_mode=module.check_mode, diff=module._diff)
    # no_log hides every value of an option, wherever it stands; now it is known which of them are secret.
    module.no_log_values = secrets
    for warning in warnings:
        module.warn(warning)
    # exit_json for failures too: fail_json would add fields that depend on the way the backend was run.
    module.exit_json(**result)
