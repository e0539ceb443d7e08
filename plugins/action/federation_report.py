# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a federation and show it as a table."""

from __future__ import annotations

import datetime
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.oneflower.federation.plugins.plugin_utils import documents, recorded_steps
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import (
    checks,
    findings,
    observation,
    report,
    variables,
)
from ansible_collections.oneflower.federation.plugins.plugin_utils.show import show

FAILED = "step_failed"


class ActionModule(ActionBase):
    """Hold what was observed against the plan, write the report file, and print it. It judges; failing is the caller's."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return {ok, failures, findings, path}."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "plan": {"type": "dict", "required": True},
                "observed": {"type": "bool", "default": True},
                "training": {"type": "dict"},
                "trained": {"type": "bool", "default": False},
                "path": {"type": "path"},
            }
        )
        plan, training, given = arguments["plan"], arguments["training"], task_vars or {}
        hosts = [*plan["zones"], *plan["gateways"], *plan["leaving"]["zones"], *plan["leaving"]["gateways"]]
        registered = {host: given["hostvars"].raw_get(host) for host in hosts if host in given["hostvars"]}
        observed, rows = None, []
        if arguments["observed"]:
            observed = observation.observed(plan, given["hostvars"])
            rows = checks.checks(plan, observed, datetime.datetime.now(datetime.UTC))
        told = report.unique(
            [
                *(
                    findings.of_failure(host, found[FAILED]["step"], found[FAILED])
                    for host, found in registered.items()
                    if FAILED in found
                ),
                *(
                    findings.from_result(entry)
                    for entry in given["hostvars"].raw_get(hosts[0]).get("federation_changes", {}).get("findings", ())
                ),
                *(row.finding() for row in rows if not row.ok),
                *(
                    report.training_findings(plan, training, now=arguments["trained"])
                    if training and not self._task.check_mode
                    else []
                ),
            ]
        )
        steps = recorded_steps.steps
        made = report.report(
            plan,
            observed,
            rows,
            told,
            written=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            training=training,
            timeline=report.timeline(steps, time.time()) if steps else None,
        )
        if arguments["observed"]:
            result["path"] = documents.write(arguments["path"] or "report.json", made, variables.REPORT_PATH.name)
        self._show(rows, told, training)
        result.update(
            changed=False,
            ok=made["ok"],
            findings=made["findings"],
            failures=_failures(told, list(given.get("ansible_play_hosts", []))),
        )
        return result

    def _show(self, rows: list[checks.Check], told: list[findings.Finding], training: dict[str, t.Any] | None) -> None:
        lines = [] if training or not rows else report.check_lines(rows)
        lines += [(line, True) for line in report.training_lines(training)] if training else []
        for line, right in [("", True), *lines] if lines else []:
            show(line, color=None if right else "red")
        for line in report.finding_lines(told):
            show(line, color="red")


def _failures(told: list[findings.Finding], hosts: list[str]) -> dict[str, str]:
    """Return what each host of the play is to fail with; what concerns no host of the play falls to its first."""
    by_host: dict[str, list[str]] = {}
    for finding in told:
        if finding.is_error:
            by_host.setdefault(finding.host if finding.host in hosts else hosts[0], []).append(f"{finding} [{finding.code}]")
    return {host: "\n".join(lines) for host, lines in by_host.items()}
