# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One code path, two speeds: the action plugin of every OpenNebula module.

On a local connection the module's backend runs here, in the controller's process, and nothing is copied or started; on any
other connection, with become, or with async, the module of the same name is shipped as usual.

plugins/action has the same few lines for every module; the name of the file says which backend it runs. (Links would do, but
antsibull-docs takes a linked action plugin for a renamed module.)
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible import constants as C
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.transport import tls_context
from ansible_collections.oneflower.federation.plugins.plugin_utils.show import show

try:
    from ansible.utils.unsafe_proxy import wrap_var
except ImportError:  # cores that mark trusted text instead need no marking of untrusted text

    def wrap_var(value: t.Any) -> t.Any:
        """Return the value."""
        return value


# Ansible imports this before it forks a worker for every zone: none of them reads the system's CAs again.
with contextlib.suppress(OSError):
    tls_context(True, None)


def action_named(name: str) -> type[OpenNebulaAction]:
    """Return the action plugin of the module whose name `name` ends with; the backend is imported before workers are forked."""
    backend = importlib.import_module(f"{runner.__package__}.backends.{name.rpartition('.')[2]}")
    return type("ActionModule", (OpenNebulaAction,), {"BACKEND": backend, "__module__": name})


class OpenNebulaAction(ActionBase):
    """What all of them do; `BACKEND` is the module's."""

    BACKEND: t.Any = None
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the module's result, from here or from the host the connection leads to."""
        result = super().run(tmp, task_vars)
        if not self._here():
            wrap_async = self._task.async_val and not self._connection.has_native_async
            result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
            if not wrap_async:
                self._remove_tmp_path(self._connection._shell.tmpdir)
            return result
        result.update(run_in_process(self, self.BACKEND, self._task.args, task_vars or {}))
        return result

    def _here(self) -> bool:
        return (
            not self._task.async_val and getattr(self._connection, "transport", None) == "local" and not self._play_context.become
        )


def run_in_process(
    action: ActionBase, backend: t.Any, arguments: Mapping[str, t.Any], task_vars: Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """Do what AnsibleModule does around a module: validate the arguments, run the backend, remove secrets.

    `action` is the plugin of the task under way. Returns the module's result, also where it failed.
    """
    _end_with_the_run()
    environment: dict[str, t.Any] = {}
    action._compute_environment_string(environment)
    with _environment(environment):
        validator = ArgumentSpecValidator(runner.argument_spec(backend), **backend.RULES)
        validation = validator.validate(plain(arguments))
        params = validation.validated_parameters
        secrets: set[str] = set(validation._no_log_values)
        if validation.error_messages:
            message = validation.errors.msg
            if isinstance(validation.errors[0], UnsupportedError):
                message = f"Unsupported parameters for ({action._task.action}) module: {message}"
            result: dict[str, t.Any] = {"failed": True, "msg": message}
            warnings: list[str] = []
        else:
            result, warnings, more = runner.execute(
                backend,
                params,
                check_mode=action._task.check_mode,
                diff=action._task.diff,
                progress=_progress(action, task_vars),
            )
            # no_log hides every value of an option, wherever it stands; now it is known which of them are secret.
            secrets = more
    if _wants_invocation(task_vars):
        result["invocation"] = {"module_args": params}
    kept = {key: value for key, value in result.items() if value is None or isinstance(value, bool)}
    result = {**remove_values(result, secrets), **kept}
    if warnings:
        result["warnings"] = remove_values(warnings, secrets)
    return wrap_var(result)


# Linux, prctl(2).
PR_SET_PDEATHSIG = 1


def _end_with_the_run() -> None:
    """Let the kernel end this worker when ansible-playbook is killed.

    ansible-core gives every worker a session of its own, so what kills the run does not reach it. One that went on alone would
    change a federation that the next run has taken over.
    """
    run = multiprocessing.parent_process()
    if run is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != run.pid:  # it was killed before
        os._exit(1)


def _progress(action: ActionBase, task_vars: Mapping[str, t.Any]) -> t.Callable[[str], None]:
    if action._task.no_log:
        return lambda message: None
    host = task_vars.get("inventory_hostname", "localhost")
    return lambda message: show(f"  {host}: {message}")


def _wants_invocation(task_vars: Mapping[str, t.Any]) -> bool:
    """Tell whether a module's result would say how it was called: always up to core 2.20, as configured from 2.21."""
    if C.config.get_configuration_definition("INJECT_INVOCATION") is None:
        return True
    return bool(C.config.get_config_value("INJECT_INVOCATION", variables=task_vars))


def plain(value: t.Any) -> t.Any:
    """Return arguments as they arrive in a module: what JSON knows, without tags, vaults and lazy containers."""
    if value is None or isinstance(value, (bool, int, float)) and type(value) in (bool, int, float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return str(value)


@contextlib.contextmanager
def _environment(values: Mapping[str, t.Any]) -> Iterator[None]:
    """Let env_fallback see the task's `environment`."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
