# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab zone holds what is called and nothing more (lab/README.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.zone.oned import api  # noqa: F401 - registers the methods
from lab.zone.oned.core import METHODS
from lab.zone.oneflow.api import ROUTES

ROOT = Path(__file__).resolve().parents[3]
# What calls the zone: the collection, the appliance, the contract tests; and OneFlow and OneGate, which call oned.
CALLERS = ("plugins/**/*.py", "roles/**/*.py", "tests/contract/*.py", "lab/zone/oneflow/*.py", "lab/zone/onegate/*.py")
TEXT = "\n".join(path.read_text() for pattern in CALLERS for path in ROOT.glob(pattern))
STAY = {
    "one.grouppool.info": "lookup.account makes its name from the kind",
}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_has_a_caller(name: str) -> None:
    called = re.search(rf"""["'](one\.)?{re.escape(name.removeprefix("one."))}["']""", TEXT) is not None
    assert called or name in STAY, f"{name}: nothing calls it, so it goes; or say in STAY why it stays"
    assert not (called and name in STAY), f"{name} is called and needs no reason to stay"


@pytest.mark.parametrize("path", sorted({path for _verb, path, _name in ROUTES}))
def test_every_route_has_a_caller(path: str) -> None:
    pattern = re.escape(path).replace(":number", r"\{[^}]+\}")
    assert re.search(rf"""["']{pattern}["']""", TEXT), f"{path}: nothing calls it, so it goes"
