# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what a run has to change, from the plan and what was observed, in the controller's own process."""

from __future__ import annotations

import json
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes
from ansible_collections.oneflower.federation.plugins.plugin_utils import documents
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import (
    changes,
    findings,
    kept,
    observation,
    plan,
    report,
    saved,
    variables,
)
from ansible_collections.oneflower.federation.plugins.plugin_utils.show import show


class ActionModule(ActionBase):
    """Return the plan with the numbers that are kept, and the changes; refuse where a saved plan does not hold any more."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return {plan, changes}; see the module's documentation."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "show": {"type": "bool", "default": True},
                "save": {"type": "bool", "default": False},
                "path": {"type": "path"},
                "plan_file": {"type": "path"},
                "apply": {"type": "bool", "default": True},
            }
        )
        given = task_vars or {}
        made = given["federation_plan"]
        observed = observation.observed(made, given["hostvars"])
        try:
            made = plan.again(made, kept.kept(made, observed))
            refused = self._stale(arguments["plan_file"], made, observed) if arguments["plan_file"] else []
        except plan.PlanError as error:  # the inventory does not fit what exists
            refused = error.findings
        # What a first look has refused stays refused, and what it has warned of is still worth telling.
        before = given.get("federation_changes", {})
        refused = [*(findings.from_result(entry) for entry in before.get("refused", ())), *refused]
        warned = [entry for entry in map(findings.from_result, before.get("findings", ())) if not entry.is_error]
        found = changes.changes(made, observed)
        told = [*refused, *changes.findings(made, observed, found)]
        if arguments["save"] and made["run"]["fail_on_change"]:
            told += changes.drift(found)
        written = saved.document(made, observed, found, told, written=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        if arguments["save"]:
            result["path"] = documents.write(arguments["path"] or "changes.json", written, variables.CHANGES_PATH.name)
        if arguments["show"]:
            for line in report.change_lines(found):
                show(line)
            for line in report.finding_lines(told):
                show(line, color="red")
        told = report.unique([*warned, *told])
        may_apply = arguments["apply"] and not refused and not changes.refuses_all(made, told)
        summary = _summary(made, observed, found, told, written["digest"], may_apply=may_apply)
        summary["refused"] = [finding.to_result() for finding in refused]
        result.update(changed=False, plan=made, changes=summary)
        return result

    def _stale(self, path: str, made: t.Mapping[str, t.Any], observed: observation.Observation) -> list[findings.Finding]:
        """Return the finding that the saved plan does not hold any more, none where it does."""
        try:
            with open(documents.absolute(path), encoding="utf-8") as stream:
                moved = saved.moved(json.load(stream), made, observed)
        except (OSError, ValueError) as error:
            moved = [str(error)]
        where = made["superlink"]["zone"]
        text = f"{path} does not hold any more, so nothing was touched; this moved:\n- "
        return [findings.Finding("plan.stale", where, variables.PLAN_FILE.name, text + "\n- ".join(moved))] if moved else []


def _summary(
    made: t.Mapping[str, t.Any],
    observed: observation.Observation,
    found: list[changes.Change],
    told: list[findings.Finding],
    digest: str,
    *,
    may_apply: bool,
) -> dict[str, t.Any]:
    """Return what the steps ask of the changes."""
    blocked = sorted({finding.host for finding in told if finding.is_error})
    return {
        "any": bool(changes.real(found)),
        "settled": not found and not told and _online(made, observed),
        "nothing": {step: [] for step in changes.STEPS},
        "digest": digest,
        "hosts": {
            host: [change.to_result() for change in found if change.host == host] for host in {change.host for change in found}
        },
        "steps": {
            step: sorted(
                {change.host for change in found if change.step == step and change.host not in blocked} if may_apply else ()
            )
            for step in changes.STEPS
        },
        "blocked": blocked,
        "replaced": [host for host in changes.replaced(made, observed, found) if host not in blocked],
        "handovers": {
            change.host: changes.handovers(change.host, made["zones"][change.host], observed.zones[change.host])
            for change in found
            if change.step == changes.REPLACEMENTS
        },
        "stops_training": may_apply and any(change.effect.training and change.host not in blocked for change in found),
        "runs_active": sum(zone.runs_active for zone in observed.zones.values()),
        "forget": changes.unknown_nodes(made, observed),
        "errors": {
            zone: {str(vm.id): text for vm in entry.vms if (text := vm.attributes.get(attributes.ERROR, ""))}
            for zone, entry in observed.zones.items()
        },
        "findings": [finding.to_result() for finding in told],
    }


def _online(made: t.Mapping[str, t.Any], observed: observation.Observation) -> bool:
    """Tell whether the SuperLink has every SuperNode online."""
    zone = observed.zones.get(made["superlink"]["zone"])
    shown = zone.superlink.attributes if zone and zone.superlink else {}
    return not made["zones"] or all(shown.get(name) == value for name, value in made["superlink"]["online"].items())
