# SPDX-License-Identifier: GPL-3.0-or-later
"""Last: no option of any module is left out of the tests before this one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.contract import contract_target as targets
from tests.contract.contract_run import BACKENDS, USED

HERE = Path(__file__).parent
BACKEND_FILES = HERE.parents[1] / "plugins/module_utils/opennebula/backends"
MODULES = sorted(path.stem for path in BACKEND_FILES.glob("[a-z]*.py"))
CONNECTION = ("endpoint", "oneflow_endpoint", "username", "password", "auth_file", "validate_certs", "ca_path", "timeout")


def test_every_option_of_every_module(request: pytest.FixtureRequest) -> None:
    collected = {item.path.name for item in request.session.items}
    missing = {path.name for path in HERE.glob("test_*.py")} - collected
    if missing:
        pytest.skip(f"only with the whole suite; {', '.join(sorted(missing))} did not run")
    unused = set()
    for module in MODULES:
        task = importlib.import_module(BACKENDS + module)
        unused |= {f"{module}.{option}" for option in task.ARGUMENTS if option not in USED.get(module, ())}
        for option, spec in task.ARGUMENTS.items():
            for name in spec.get("options", ()):
                if name not in USED.get(f"{module}.{option}", ()):
                    unused.add(f"{module}.{option}.{name}")
    assert not unused
    given = set().union(*(USED.get(module, set()) for module in MODULES))
    if targets.from_environment() is None:  # the tests of TLS are for lab zones
        assert set(CONNECTION) <= given
