# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold what was read from a live federation against its plan.

Pure: no I/O. Everything observed comes from zones and VMs, so it is compared as text and never evaluated.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

# WireGuard renews a session in use after 120 s and refuses one older than 180 s (protocol paper, section 6.1).
HANDSHAKE_LIMIT_S = 180
# The deployment time that the Flower-on-OpenNebula specification claims for three zones; nobody measured it.
SPECIFICATION_CLAIM_S = 180


@dataclass(frozen=True)
class Check:
    """One row of the report: what was looked at, where, what the plan says and what was found."""

    check: str
    where: str
    expected: str
    found: str
    ok: bool


def checks(plan: Mapping[str, t.Any], observed: Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Compare a live federation with its plan.

    `observed` holds `services` {zone: service as oneflow_service_info returns it, or None}, `tunnels` {gateway: interface
    as wireguard_interface_info returns it} and `probes` {gateway: result of tls_probe}. Result: a list of dicts with the
    fields of `Check`. A missing observation is a failed check, never a skipped one.
    """
    services = observed.get("services", {})
    rows: list[Check] = []
    superlink = _superlink(plan, services)
    fingerprint = superlink.get("FL_CERT_FINGERPRINT", "")
    rows += _service_states(plan, services)
    rows += _superlink_rows(plan, superlink)
    rows += _tunnel_rows(plan, observed.get("tunnels", {}))
    rows += _probe_rows(plan, observed.get("probes", {}), fingerprint)
    rows += _supernode_rows(plan, services, fingerprint)
    return [asdict(row) for row in rows]


def table(rows: Sequence[Mapping[str, t.Any]], columns: Sequence[str]) -> list[str]:
    """Lay out `rows` as lines of text with aligned columns and a header made of the column names."""
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max([len(column), *(len(line[index]) for line in cells)]) for index, column in enumerate(columns)]
    lines = ["  ".join(column.upper().ljust(width) for column, width in zip(columns, widths, strict=True)).rstrip()]
    lines.append("  ".join("-" * width for width in widths))
    for line in cells:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return lines


def timeline(steps: Sequence[Mapping[str, t.Any]], finished: float) -> dict[str, t.Any]:
    """Durations from the recorded step starts.

    `steps` are {name: str, started: seconds, waits: bool, training: bool} in order of start; `finished` is when the
    last one ended. A step that `waits` only waits for what other machines do (VM boots, Flower starts, tunnel
    handshakes): these make up the critical path of the deployment. Training is no part of the deployment; it is Flower's
    own time, so it belongs to the critical path of the whole walkthrough.

    Result: `steps` [{step, seconds, waits, training}], the seconds `deployment_seconds`, `critical_path_seconds`,
    `training_seconds` and `specification_claim_seconds`, and the ratio `walkthrough_to_critical_path`, None where
    nothing was waited for.
    """
    rows = []
    for index, step in enumerate(steps):
        end = steps[index + 1]["started"] if index + 1 < len(steps) else finished
        rows.append(
            {
                "step": step["name"],
                "seconds": round(max(0.0, end - step["started"]), 2),
                "waits": bool(step.get("waits")),
                "training": bool(step.get("training")),
            }
        )
    deployment = [row for row in rows if not row["training"]]
    total = sum(row["seconds"] for row in deployment)
    critical = sum(row["seconds"] for row in deployment if row["waits"])
    training = sum(row["seconds"] for row in rows if row["training"])
    return {
        "steps": rows,
        "deployment_seconds": round(total, 2),
        "critical_path_seconds": round(critical, 2),
        "training_seconds": round(training, 2),
        "walkthrough_to_critical_path": round((total + training) / (critical + training), 2) if critical else None,
        "specification_claim_seconds": SPECIFICATION_CLAIM_S,
    }


def nodes(service: Mapping[str, t.Any] | None) -> Iterable[Mapping[str, t.Any]]:
    """The VMs of a service, over all its roles."""
    for role in (service or {}).get("roles", []):
        yield from role.get("nodes", [])


def _attributes(node: Mapping[str, t.Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in (node.get("attributes") or {}).items()}


def _superlink(plan: Mapping[str, t.Any], services: Mapping[str, t.Any]) -> dict[str, str]:
    for node in nodes(services.get(plan["superlink"]["zone"])):
        return _attributes(node)
    return {}


def _service_states(plan: Mapping[str, t.Any], services: Mapping[str, t.Any]) -> list[Check]:
    rows = []
    for zone, entry in plan["zones"].items():
        service = services.get(zone) or {}
        found = sum(1 for _node in nodes(service))
        expected = entry["service"]["cardinality"]
        state = service.get("state", "absent")
        rows.append(
            Check(
                "OneFlow service",
                zone,
                f"RUNNING, {expected} VM(s)",
                f"{state}, {found} VM(s)",
                state == "RUNNING" and found == expected,
            )
        )
    return rows


def _keepalive_row(plan: Mapping[str, t.Any], where: str, attributes: Mapping[str, str]) -> list[Check]:
    keepalive = plan["keepalive"]
    if not keepalive["enabled"]:
        return []
    wanted = {"time_ms": str(keepalive["time_s"] * 1000), "timeout_ms": str(keepalive["timeout_s"] * 1000)}
    text = attributes.get("FL_KEEPALIVE", "")
    found = dict(item.split("=", 1) for item in text.split(",") if "=" in item)
    return [
        Check(
            "gRPC keepalive in force",
            where,
            ", ".join(f"{key}={value}" for key, value in wanted.items()),
            ", ".join(f"{key}={found.get(key, 'none')}" for key in wanted),
            all(found.get(key) == value for key, value in wanted.items()),
        )
    ]


def _superlink_rows(plan: Mapping[str, t.Any], superlink: Mapping[str, str]) -> list[Check]:
    where = plan["superlink"]["zone"]
    sans = [san.strip() for san in superlink.get("FL_CERT_SAN", "").split(",")]
    total = plan["total_supernodes"]
    online = superlink.get("FL_NODES_ONLINE", "none")
    rows = [
        Check(
            "SuperLink serves",
            where,
            f"ready, Flower {plan['flower_version']}",
            f"{'ready' if superlink.get('FL_READY') == 'YES' else superlink.get('FL_ERROR', 'not ready')}, "
            f"Flower {superlink.get('FL_VERSION', 'unknown')}",
            superlink.get("FL_READY") == "YES" and superlink.get("FL_VERSION") == plan["flower_version"],
        ),
        *(
            Check("certificate names what sites dial", where, san, "named" if san in sans else "missing", san in sans)
            for san in plan["superlink"]["sans"]
        ),
        *_keepalive_row(plan, where, superlink),
        Check("SuperNodes online in the SuperLink", where, str(total), online, online == str(total)),
    ]
    return rows


def _tunnel_rows(plan: Mapping[str, t.Any], tunnels: Mapping[str, t.Any]) -> list[Check]:
    rows = []
    for gateway, variables in plan["gateways"].items():
        if variables["wireguard_role"] != "spoke":
            continue
        ages = [peer.get("latest_handshake_age") for peer in (tunnels.get(gateway) or {}).get("peers", [])]
        age = min((age for age in ages if age is not None), default=None)
        rows.append(
            Check(
                "WireGuard tunnel",
                gateway,
                f"handshake within {HANDSHAKE_LIMIT_S} s",
                "no handshake" if age is None else f"{age} s ago",
                age is not None and age <= HANDSHAKE_LIMIT_S,
            )
        )
    return rows


def _probe_rows(plan: Mapping[str, t.Any], probes: Mapping[str, t.Any], fingerprint: str) -> list[Check]:
    rows = []
    for gateway, variables in plan["gateways"].items():
        if variables["wireguard_role"] != "spoke":
            continue
        probe = probes.get(gateway) or {}
        verified = bool(probe.get("verified")) and bool(fingerprint) and probe.get("fingerprint") == fingerprint
        rows.append(
            Check(
                "TLS handshake through the tunnel",
                gateway,
                f"verified, {fingerprint[:16] or 'a certificate'}",
                f"{'verified' if probe.get('verified') else probe.get('error') or 'not tried'}, "
                f"{probe.get('fingerprint', '')[:16]}".rstrip(", "),
                verified,
            )
        )
    return rows


def _supernode_rows(plan: Mapping[str, t.Any], services: Mapping[str, t.Any], fingerprint: str) -> list[Check]:
    rows: list[Check] = []
    seen: dict[str, str] = {}
    for zone, entry in plan["zones"].items():
        if entry["role"] != "training_site":
            continue
        first, count = entry["partition_offset"], entry["supernodes"]
        for node in nodes(services.get(zone)):
            attributes = _attributes(node)
            where = f"{zone} VM {node.get('vm_id')}"
            connected = attributes.get("FL_READY") == "YES"
            rows.append(
                Check(
                    "SuperNode connected",
                    where,
                    f"to {plan['superlink']['dialled']}",
                    f"to {attributes.get('FL_SUPERLINK', 'nothing')}" if connected else attributes.get("FL_ERROR", "not ready"),
                    connected and attributes.get("FL_SUPERLINK") == plan["superlink"]["dialled"],
                )
            )
            peer = attributes.get("FL_PEER_FINGERPRINT", "")
            rows.append(
                Check(
                    "SuperNode verified the SuperLink",
                    where,
                    fingerprint[:16] or "a certificate",
                    peer[:16] or "none",
                    bool(fingerprint) and peer == fingerprint,
                )
            )
            rows += _keepalive_row(plan, where, attributes)
            partition = attributes.get("FL_PARTITION_ID", "none")
            wanted = {str(number) for number in range(first, first + count)}
            rows.append(
                Check(
                    "partition is its own",
                    where,
                    f"one of {first} to {first + count - 1}",
                    f"{partition}{', as ' + seen[partition] if partition in seen else ''}",
                    partition in wanted and partition not in seen,
                )
            )
            seen.setdefault(partition, where)
    return rows
