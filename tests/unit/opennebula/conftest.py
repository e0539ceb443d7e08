# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: a fake zone, and a way to run a task against it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner, session
from fake import Fake

BACKENDS = "ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends."


@pytest.fixture
def zone() -> Iterator[Fake]:
    with Fake() as fake:
        yield fake


@pytest.fixture
def run(zone: Fake, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """Run a task by name; the result also has `_warnings` and `_progress`. No real time passes while waiting."""

    class Quick(session.Session):
        def __init__(self, *args: object, **kwargs: object) -> None:
            self.now = 0.0
            super().__init__(*args, sleep=self._pass, clock=lambda: self.now, **kwargs)  # type: ignore[arg-type,misc]

        def _pass(self, seconds: float) -> None:
            self.now += max(seconds, 0.01)

    monkeypatch.setattr(runner, "Session", Quick)

    def call(task_name: str, /, *, check: bool = False, connection: dict | None = None, **options: object) -> dict:
        task = importlib.import_module(BACKENDS + task_name)
        given = {**(zone.connection() if connection is None else connection), **options}
        validation = ArgumentSpecValidator(runner.argument_spec(task), **task.RULES).validate(given)
        assert not validation.error_messages, validation.error_messages
        progress: list[str] = []
        result, warnings, secrets = runner.execute(
            task, validation.validated_parameters, check_mode=check, diff=True, progress=progress.append
        )
        return {**result, "_warnings": warnings, "_progress": progress, "_secrets": secrets}

    return call
