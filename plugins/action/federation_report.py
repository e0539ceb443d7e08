# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a federation and show it as a table."""

from __future__ import annotations

import json
import os
import tempfile
import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import checks

display = Display()

COLUMNS = ("check", "where", "expected", "found", "result")


class ActionModule(ActionBase):
    """Compare what was observed with the plan, write the report file, print it, and fail where it does not hold."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "plan": {"type": "dict", "required": True},
                "observed": {"type": "dict", "required": True},
                "steps": {"type": "list", "elements": "dict", "default": []},
                "training": {"type": "dict"},
                "path": {"type": "path", "required": True},
                "show": {"type": "str", "choices": ["checks", "training"], "default": "checks"},
            }
        )
        plan, training = arguments["plan"], arguments["training"]
        rows = checks.checks(plan, arguments["observed"])
        failed = [row for row in rows if not row["ok"]]
        report = {
            "federation": plan["name"],
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "ok": not failed,
            "flower_version": plan["flower_version"],
            "superlink": plan["superlink"],
            "zones": _zones(plan, arguments["observed"]),
            "checks": rows,
            "training": training,
            "timeline": checks.timeline(arguments["steps"], time.time()),
        }
        try:
            _write(arguments["path"], report)
        except OSError as error:
            raise AnsibleActionFail(
                f"The report cannot be written to {arguments['path']}: {error}. Set federation_report_path."
            ) from error
        if arguments["show"] == "checks":
            _show_checks(rows)
        else:
            _show_training(report)
        result.update(changed=False, path=arguments["path"])
        if failed:
            # The table above shows all of it, and Ansible would print the report once more.
            result.update(
                failed=True,
                msg=f"{len(failed)} of {len(rows)} checks failed: "
                + "; ".join(f"{row['check']} ({row['where']}): expected {row['expected']}, found {row['found']}" for row in failed),
            )
        else:
            result["report"] = report
        return result


def _zones(plan, observed):
    zones = {}
    for zone, entry in plan["zones"].items():
        service = observed.get("services", {}).get(zone) or {}
        zones[zone] = {
            "role": entry["role"],
            "service_id": service.get("id"),
            "state": service.get("state", "absent"),
            "vms": [
                {"id": node.get("vm_id"), "name": node.get("name"), "addresses": node.get("addresses", [])}
                for node in checks.nodes(service)
            ],
        }
    return zones


def _write(path, report):
    """Replace the file in one step, so that a reader never sees half a report."""
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".report-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=2)
            stream.write("\n")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _show_checks(rows):
    shown = [{**row, "result": "ok" if row["ok"] else "FAILED"} for row in rows]
    display.display("")
    for line, row in zip(checks.table(shown, COLUMNS), [None, None, *rows], strict=True):
        display.display(line, color="red" if row and not row["ok"] else None)


def _show_training(report):
    training, timeline = report["training"] or {}, report["timeline"]
    display.display("")
    losses = training.get("losses", [])
    for line in checks.table(
        [{"round": number, "loss": f"{loss:.6f}"} for number, loss in enumerate(losses, 1)], ("round", "loss")
    ):
        display.display(line)
    display.display("")
    for line in checks.table(
        [
            {"step": row["step"], "seconds": f"{row['seconds']:.1f}", "waits": "yes" if row["waits"] else ""}
            for row in timeline["steps"]
        ],
        ("step", "seconds", "waits"),
    ):
        display.display(line)
    ratio = timeline["walkthrough_to_critical_path"]
    display.display(
        f"Deployed in {timeline['deployment_seconds']:.0f} s, of which {timeline['critical_path_seconds']:.0f} s were waits for"
        f" VM boots, Flower starts and tunnel handshakes (the specification claims {timeline['specification_claim_seconds']} s);"
        f" trained in {timeline['training_seconds']:.0f} s."
        + (f" The walkthrough took {ratio:.2f} x its critical path, waits and training." if ratio else "")
    )
