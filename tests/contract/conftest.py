# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the contract tests; see README.md."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oned import Oned
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oneflow import OneFlow

from tests.contract import contract_target as targets
from tests.contract.contract_run import KEPT, PREFIX, clients, documents, guarded, purge, run_task, shape

HERE = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: only against lab zones (faults, TLS, a version of OpenNebula)")
    config.addinivalue_line("markers", "once: with one generation of lab zones only")
    config.addinivalue_line("markers", "disruptive: closes a zone for a moment; on real zones only with CONTRACT_DISRUPTIVE=1")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames:
        one = any(metafunc.definition.get_closest_marker(name) for name in ("lab", "once"))
        found = targets.GENERATIONS[:1] if one else targets.GENERATIONS
        if targets.from_environment() is not None:
            found = ("named",)
        metafunc.parametrize("target", found, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if targets.from_environment() is None:
        return
    for item in items:
        if HERE not in item.path.parents:
            continue
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.skip(reason="only against lab zones"))
        if item.get_closest_marker("disruptive") and os.environ.get("CONTRACT_DISRUPTIVE") != "1":
            item.add_marker(pytest.mark.skip(reason="needs CONTRACT_DISRUPTIVE=1"))


# -- the target, and that nothing is left behind --------------------------------------------------------------------


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[targets.Target]:
    """Yield the zones under test. When they are given back, they hold what they held before, and nothing of ours."""
    named = targets.from_environment()
    if named is not None:
        yield from guarded(named)
        return
    with targets.lab_federation(tmp_path_factory.mktemp("zones"), request.param) as found:
        yield from guarded(found)


# -- running tasks --------------------------------------------------------------------------------------------------


@pytest.fixture
def run(target: targets.Target, request: pytest.FixtureRequest) -> Callable[..., dict[str, t.Any]]:
    """run(module, zone=target.a, check=False, fails=False, **options) -> result, which must (not) have failed."""

    def call(
        module: str, /, *, zone: targets.ZoneUnderTest | None = None, check: bool = False, fails: bool = False, **options: t.Any
    ) -> dict[str, t.Any]:
        result = run_task(module, zone or target.a, target, check=check, **options)
        assert bool(result.get("failed")) is fails, result
        return result

    return call


def promised(diff: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a diff without the one thing that check mode cannot know: which name belongs to an id, and a new object's group."""
    return {side: {key: value for key, value in part.items() if key not in ("owner", "group")} for side, part in diff.items()}


@pytest.fixture
def twice(run: Callable[..., dict[str, t.Any]], target: targets.Target) -> Callable[..., dict[str, t.Any]]:
    """Check mode first, which changes nothing; then for real; then again, which changes nothing. Returns the real result."""

    def call(module: str, /, **options: t.Any) -> dict[str, t.Any]:

        def everything() -> list[dict[str, t.Any]]:
            return [documents(zone, with_zones=zone is target.a) for zone in target.all()]

        before = everything()
        plan = run(module, check=True, **options)
        assert everything() == before, "check mode changed something"
        real = run(module, **options)
        assert plan["changed"] is real["changed"] is True, (plan, real)
        assert shape(plan) == shape(real)
        assert promised(plan["diff"]) == promised(real["diff"])
        again = run(module, **options)
        assert again["changed"] is False, (again.get("diff"), again["_warnings"])
        assert again["diff"]["before"] == again["diff"]["after"]
        return real

    return call


# -- names and clean-up ---------------------------------------------------------------------------------------------


@pytest.fixture
def name() -> Callable[[str], str]:
    return lambda what="x": PREFIX + what


@pytest.fixture
def clean(target: targets.Target) -> Iterator[None]:
    """Remove what the test made afterwards, whether it passed or not."""
    yield
    for zone in target.all():
        purge(zone, target, keep=(KEPT,))


@pytest.fixture
def oned(target: targets.Target) -> Oned:
    return clients(target.a)[0]


@pytest.fixture
def flow(target: targets.Target) -> OneFlow:
    return clients(target.a)[1]


@pytest.fixture
def second(target: targets.Target) -> dict[str, str]:
    """Credentials of somebody without rights."""
    if target.second is None:
        pytest.skip("needs CONTRACT_SECOND_USERNAME and CONTRACT_SECOND_PASSWORD")
    return {"username": target.second[0], "password": target.second[1]}


@pytest.fixture
def vm_fault(target: targets.Target) -> Iterator[Callable[..., None]]:
    """Add a fault to the next VMs of zone a (lab/zone/faults.py has the steps); all are taken away afterwards."""
    failures = target.a.lab.one.vms.failures

    def add(step: str, times: int = 1, match: str = "", **more: t.Any) -> None:
        failures.append({"step": step, "match": match, "times": times, **more})

    yield add
    failures.clear()


@pytest.fixture
def template(run: Callable[..., dict[str, t.Any]], name: Callable[[str], str], target: targets.Target) -> Callable[..., int]:
    """Make a service template and return its id; keyword arguments go into its body, roles into its roles."""

    def make(what: str = "t", roles: list[dict[str, t.Any]] | None = None, **more: t.Any) -> int:
        roles = [
            {"template_id": target.a.vm_template, "max_vms": 4, **role} for role in roles or [{"name": "app", "cardinality": 1}]
        ]
        return int(run("oneflow_template", name=name(what), template={"roles": roles, **more})["template"]["id"])

    return make
