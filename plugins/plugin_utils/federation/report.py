# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: checks, findings and the timeline as one document, and as lines for people. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence

from .changes import Change, Effect
from .checks import Check
from .findings import UNREAD, Finding
from .observation import Observation

# The deployment time that the Flower-on-OpenNebula specification claims for three zones; nobody measured it. Seconds.
SPECIFICATION_CLAIM_S = 180

# Where next to nothing was waited for, the critical path says nothing. Seconds.
WORTH_TELLING_S = 5

CHECK_COLUMNS = ("check", "where", "expected", "found", "result")


def report(
    plan: Mapping[str, t.Any],
    observed: Observation | None,
    rows: Sequence[Check],
    findings: Iterable[Finding],
    *,
    written: str,
    training: Mapping[str, t.Any] | None,
    timeline: Mapping[str, t.Any] | None,
) -> dict[str, t.Any]:
    """Return the report: {federation, written, ok, flower_version, superlink, zones, checks, findings, training, timeline}.

    `written` is the time of day in UTC; `observed` is None where nothing was read; `timeline` is None where nobody recorded it.
    """
    told = [finding.to_result() for finding in findings]
    return {
        "federation": plan["name"],
        "written": written,
        "ok": not any(finding["severity"] == "error" for finding in told),
        "flower_version": plan["flower_version"],
        "superlink": plan["superlink"],
        "zones": {name: _zone(entry, observed, name) for name, entry in plan["zones"].items()},
        "checks": [row.to_result() for row in rows],
        "findings": told,
        "training": training,
        "timeline": timeline,
    }


def _zone(entry: Mapping[str, t.Any], observed: Observation | None, name: str) -> dict[str, t.Any]:
    zone = observed.zones[name] if observed else None
    state = "not read" if zone is None or zone.unread else "absent" if zone.absent else zone.state
    vms = [{"id": vm.id, "name": vm.name, "addresses": list(vm.addresses)} for vm in (zone.vms if zone else ())]
    return {"role": entry["role"], "service_id": zone.id if zone else None, "state": state, "vms": vms}


def table(rows: Sequence[Mapping[str, t.Any]], columns: Sequence[str]) -> list[str]:
    """Lay out `rows` as lines of text with aligned columns and a header made of the column names."""
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max([len(column), *(len(line[index]) for line in cells)]) for index, column in enumerate(columns)]
    lines = ["  ".join(column.upper().ljust(width) for column, width in zip(columns, widths, strict=True)).rstrip()]
    lines.append("  ".join("-" * width for width in widths))
    for line in cells:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return lines


def check_lines(rows: Sequence[Check]) -> list[tuple[str, bool]]:
    """Return the table of the checks: lines, each with whether it is right."""
    shown = [{**row.to_result(), "result": "ok" if row.ok else "FAILED"} for row in rows]
    return list(zip(table(shown, CHECK_COLUMNS), [True, True, *(row.ok for row in rows)], strict=True))


CHANGE_COLUMNS = ("host", "change", "what", "why", "from", "to", "effect")
# Longer values are cut in the table; changes.json has them whole.
WIDEST = 48


def change_lines(found: Sequence[Change]) -> list[str]:
    """Return the table of the changes, or a sentence that there is none."""
    if not found:
        return ["", "Nothing to change: the federation is as planned."]
    rows = [
        {
            "host": change.host,
            "change": change.kind,
            "what": change.subject,
            "why": _cut(change.reason),
            "from": _cut(change.old),
            "to": _cut(change.new),
            "effect": effect_text(change.effect),
        }
        for change in found
    ]
    return ["", *table(rows, CHANGE_COLUMNS)]


def effect_text(effect: Effect) -> str:
    """Return an effect as one phrase, empty where there is none."""
    if not effect.stops:
        return ""
    how_long = f" for up to {effect.seconds} s" if effect.seconds else ""
    return f"stops {effect.stops}{how_long}{'; a training is hit' if effect.training else ''}"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """Return a line per finding, with its code and what mends it."""
    return [f"{finding} [{finding.code}] {finding.to_result()['fix']}" for finding in findings]


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once; of a host that could not be read, only the first row tells."""
    seen: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        seen.setdefault(
            (finding.code, finding.host)
            if finding.code in (*UNREAD, "service.absent")
            else (finding.code, finding.host, finding.message),
            finding,
        )
    return list(seen.values())


def timeline(steps: Sequence[Mapping[str, t.Any]], finished: float) -> dict[str, t.Any]:
    """Return durations from the recorded starts of steps.

    `steps` are {name: str, started: seconds, kind: str, since: str} in order of start; `finished` is when the last one ended. A
    step of the kind "waits" waits for what other machines do (VM boots, Flower starts, tunnel handshakes): that makes up the
    critical path of the deployment. What is waited for began with the wait, or at the end of the step that `since` names, where
    the run had other work meanwhile; no second counts twice. A step of the kind "training" is no part of the deployment; it is
    Flower's own time, so it belongs to the critical path of the whole walkthrough.

    Result: `steps` [{step, seconds, waits, training}], the seconds `deployment_seconds`, `critical_path_seconds`,
    `training_seconds` and `specification_claim_seconds`, and the ratio `walkthrough_to_critical_path`, None where
    nothing was waited for.
    """
    ends = [step["started"] for step in steps[1:]] + [finished]
    rows = [
        {
            "step": step["name"],
            "seconds": round(max(0.0, end - step["started"]), 2),
            "waits": step.get("kind") == "waits",
            "training": step.get("kind") == "training",
        }
        for step, end in zip(steps, ends, strict=True)
    ]
    deployment = [row for row in rows if not row["training"]]
    total = sum(row["seconds"] for row in deployment)
    critical = _critical(steps, ends)
    training = sum(row["seconds"] for row in rows if row["training"])
    return {
        "steps": rows,
        "deployment_seconds": round(total, 2),
        "critical_path_seconds": round(critical, 2),
        "training_seconds": round(training, 2),
        "walkthrough_to_critical_path": round((total + training) / (critical + training), 2) if critical else None,
        "specification_claim_seconds": SPECIFICATION_CLAIM_S,
    }


# A play of which every host is passed over still takes a moment; that is no wait.
NO_WAIT_S = 0.3


def _critical(steps: Sequence[Mapping[str, t.Any]], ends: Sequence[float]) -> float:
    """Return the seconds in which other machines were waited for, overlaps once."""
    ended = {step["name"]: end for step, end in zip(steps, ends, strict=True)}
    spans = sorted(
        (min(ended.get(step.get("since") or "", step["started"]), step["started"]), end)
        for step, end in zip(steps, ends, strict=True)
        if step.get("kind") == "waits" and end - step["started"] > NO_WAIT_S
    )
    total, reached = 0.0, 0.0
    for begin, end in spans:
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def timeline_lines(found: Mapping[str, t.Any]) -> list[str]:
    """Return the timeline as a table, and one sentence on the whole where there were waits."""
    rows = [
        {"step": row["step"], "seconds": f"{row['seconds']:.1f}", "waits": "yes" if row["waits"] else ""} for row in found["steps"]
    ]
    lines = table(rows, ("step", "seconds", "waits"))
    if found["critical_path_seconds"] >= WORTH_TELLING_S:
        lines.append(
            f"{found['deployment_seconds']:.0f} s without training, of which {found['critical_path_seconds']:.0f} s were waits for"
            f" VM boots, Flower starts and tunnel handshakes (the specification claims {found['specification_claim_seconds']} s);"
            f" {found['training_seconds']:.0f} s of training."
            f" That is {found['walkthrough_to_critical_path']:.2f} x the critical path."
        )
    return lines


def training_lines(training: Mapping[str, t.Any]) -> list[str]:
    """Return the loss of every round as a table."""
    rows = [{"round": number, "loss": f"{loss:.6f}"} for number, loss in enumerate(training.get("losses", []), 1)]
    return table(rows, ("round", "loss"))


def training_findings(plan: Mapping[str, t.Any], training: Mapping[str, t.Any], *, now: bool) -> list[Finding]:
    """Return what is wrong with a finished training: partitions that took no part, or a loss that did not fall.

    `now` is whether this run has trained; an earlier training may have been by another federation than there is now.
    """
    host, took_part, losses = plan["superlink"]["zone"], len(training.get("partitions", [])), training.get("losses", [])
    if not now:
        if took_part == plan["total_supernodes"]:
            return []
        text = f"the last training was by {took_part} partition(s), and there are {plan['total_supernodes']} now"
        return [Finding("training.older", host, "train.yml", text)]
    if took_part != plan["total_supernodes"]:
        text = f"{took_part} of {plan['total_supernodes']} partitions took part"
    elif len(losses) > 1 and not losses[-1] < losses[0]:
        text = f"the loss did not fall: {', '.join(f'{loss:.6f}' for loss in losses)}"
    else:
        return []
    return [Finding("training.failed", host, "train.yml", text)]
