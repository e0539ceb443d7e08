# SPDX-License-Identifier: GPL-3.0-or-later
"""What the contract tests do besides testing: run a task, read everything of a zone, clean up."""

from __future__ import annotations

import importlib
import secrets
import time
import typing as t
from collections.abc import Callable, Iterator

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.answers import as_dict, as_list
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.errors import NotFound
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oned import Oned
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oneflow import OneFlow

from tests.contract import contract_target as targets

BACKENDS = "ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends."
PREFIX = f"contract-{secrets.token_hex(3)}-"
KEPT = PREFIX + "kept-"  # of these, what a module of tests shares
USED: dict[str, set[str]] = {}  # module -> options that some test gave it


def clients(zone: targets.ZoneUnderTest) -> tuple[Oned, OneFlow]:
    """Our two clients, below the tasks."""
    http = {"validate_certs": zone.tls.get("validate_certs", True), "ca_path": zone.tls.get("ca_path"), "timeout": 30.0}
    return Oned(zone.endpoint, zone.username, zone.password, **http), OneFlow(zone.oneflow, zone.username, zone.password, **http)


def snapshot(zone: targets.ZoneUnderTest) -> dict[tuple[str, str], str]:
    """(kind, id) -> name of everything that a test could leave behind."""
    oned, flow = clients(zone)
    pools = {
        "zone": oned.zones(),
        "vm": oned.vms(),
        "service template": flow.templates(),
        "service": flow.services(),
        "user": as_list(as_dict(oned.call("userpool.info")).get("USER")),
        "VM template": oned.call("templatepool.info", -2, -1, -1),
    }
    pools["VM template"] = as_list(as_dict(pools["VM template"]).get("VMTEMPLATE"))
    pools["virtual network"] = as_list(as_dict(oned.call("vnpool.info", -2, -1, -1)).get("VNET"))
    return {(kind, str(entry["ID"])): str(entry["NAME"]) for kind, pool in pools.items() for entry in pool}


def settled(zone: targets.ZoneUnderTest, seconds: float = 10.0) -> dict[tuple[str, str], str]:
    """Return a snapshot without anything of ours, as soon as there is one: a slave learns of the master's writes later."""
    end = time.monotonic() + seconds
    while True:
        found = snapshot(zone)
        if time.monotonic() > end or not any(PREFIX in name for name in found.values()):
            return found
        time.sleep(0.05)


def purge(zone: targets.ZoneUnderTest, found: targets.Target, keep: tuple[str, ...]) -> None:
    """Remove what carries our prefix: services first, with their VMs."""
    oned, flow = clients(zone)

    def ours(entries: list[dict]) -> list[dict]:
        names = [(str(entry["NAME"]), entry) for entry in entries]
        return [entry for name, entry in names if PREFIX in name and not name.startswith(keep or ("\0",))]

    services = ours(flow.services())
    for service in services:
        run_task("oneflow_service", zone, found, id=int(service["ID"]), state="absent", wait=False)
    for service in services:
        result = run_task("oneflow_service", zone, found, id=int(service["ID"]), state="absent")
        assert not result.get("failed"), result
    for template in ours(flow.templates()):
        flow.delete_template(int(template["ID"]))
    for template in ours(as_list(as_dict(oned.call("templatepool.info", -2, -1, -1)).get("VMTEMPLATE"))):
        oned.call("template.delete", int(template["ID"]), False)
    if zone is found.a:
        for entry in ours(oned.zones()):
            oned.call("zone.delete", int(entry["ID"]))
        for entry in ours(as_list(as_dict(oned.call("userpool.info")).get("USER"))):
            oned.call("user.delete", int(entry["ID"]))
        if found.b is not None:
            until(lambda: not ours(clients(found.b)[0].zones()), "the slave knows it too")


def guarded(found: targets.Target) -> Iterator[targets.Target]:
    """Yield the target; afterwards nothing of ours may be there, and nothing else may be gone."""
    before = {zone.endpoint: snapshot(zone) for zone in found.all()}
    yield found
    for zone in found.all():
        purge(zone, found, keep=())
    for zone in found.all():
        after = settled(zone)
        ours = {key: name for key, name in after.items() if PREFIX in name}
        assert not ours, f"left behind at {zone.endpoint}: {ours}"
        lost = {key: name for key, name in before[zone.endpoint].items() if after.get(key) != name}
        assert not lost, f"gone or renamed at {zone.endpoint}: {lost}"
        if found.is_lab:
            assert after == before[zone.endpoint], f"not as before: {set(after.items()) ^ set(before[zone.endpoint].items())}"


def run_task(
    module: str, zone: targets.ZoneUnderTest, found: targets.Target | None, *, check: bool = False, **options: t.Any
) -> dict[str, t.Any]:
    """Run a task as its module and its action plugin do; `_warnings`, `_progress` and `_secrets` are added to the result."""
    task = importlib.import_module(BACKENDS + module)
    USED.setdefault(module, set()).update(options)
    for option in ("roles", "servers", "identity"):
        given = options.get(option) or []
        for entry in [given] if isinstance(given, dict) else given:
            USED.setdefault(f"{module}.{option}", set()).update(entry)
    given = {key: value for key, value in {**zone.connection(), **options}.items() if value is not None}
    if module == "oneflow_service" and found is not None:
        given = {"wait_timeout": found.wait, "wait_interval": found.interval, **given}
    validation = ArgumentSpecValidator(runner.argument_spec(task), **task.RULES).validate(given)
    assert not validation.error_messages, validation.error_messages
    progress: list[str] = []
    result, warnings, hidden = runner.execute(
        task, validation.validated_parameters, check_mode=check, diff=True, progress=progress.append
    )
    return {**result, "_warnings": warnings, "_progress": progress, "_secrets": hidden}


def documents(zone: targets.ZoneUnderTest, *, with_zones: bool) -> dict[str, t.Any]:
    """Everything a task can change, without what the servers change by themselves."""
    oned, flow = clients(zone)
    # The zones of a slave change when the master's writes arrive.
    found: dict[str, t.Any] = {"zones": oned.zones() if with_zones else None}
    found["templates"] = flow.templates()
    found["services"] = [
        {**document, "TEMPLATE": {k: v for k, v in document["TEMPLATE"]["BODY"].items() if k not in ("log", "roles", "state")}}
        for document in flow.services()
    ]
    found["vms"] = {vm["ID"]: vm.get("USER_TEMPLATE") for vm in oned.vms()}
    return found


def shape(value: t.Any, depth: int = 3) -> t.Any:
    """Return the keys of a result, down to the depth; lists by their first element."""
    if depth < 0:
        return None
    if isinstance(value, dict):
        return {key: shape(item, depth - 1) for key, item in value.items() if not key.startswith("_") and key not in _OPEN}
    if isinstance(value, list):
        return "list"
    return "value" if not isinstance(value, (dict, list)) else None


# What a server fills: a body's fields, the attributes of a zone, the roles in a diff.
_OPEN = ("body", "diff", "msg")


def until(condition: Callable[[], t.Any], what: str, seconds: float = 10.0) -> t.Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.01)
    return found


def is_gone(read: Callable[[], t.Any]) -> bool:
    try:
        read()
    except NotFound:
        return True
    return False
