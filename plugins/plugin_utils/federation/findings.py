# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings: everything that plan, steps and verification may have to say, with one code each. Pure.

A finding names the host, the variable or the command that mends it, what is wrong there, and the fix. Codes are stable:
programs may look for them in report.json.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Code:
    """One kind of finding: its severity, what it means, what mends it in words, and the variable or command for that."""

    code: str
    severity: str
    meaning: str
    fix: str
    mend: str = ""


_CODES = (
    # plan
    Code(
        "inventory.groups",
        ERROR,
        "the groups do not describe a federation",
        "Put one zone into coordinator, every other zone into training_sites, and one gateway for each into gateways.",
    ),
    Code("inventory.unknown", ERROR, "a variable that nobody reads", "Correct its name; docs/inventory.md lists them all."),
    Code("inventory.scope", ERROR, "a variable on a host that does not read it", "Move it to where it is read."),
    Code("inventory.missing", ERROR, "a variable that has to be set is not", "Set it."),
    Code("inventory.value", ERROR, "a value that cannot be right", "Correct the value."),
    Code("inventory.conflict", ERROR, "a value that contradicts another one", "Change one of the two."),
    Code("inventory.unreadable", ERROR, "a value that Ansible cannot make", "Correct the template or unlock the vault."),
    Code("site.unknown", ERROR, "a zone that cannot leave the federation", "Name a training site of the inventory."),
    Code(
        "teardown.unconfirmed",
        ERROR,
        "the run was not told which federation it may take away",
        "Give federation_confirm with the name of the federation.",
    ),
    # what stands in the way of a change, and what is left over
    Code(
        "change.replace",
        ERROR,
        "a change that needs new VMs, which the run may not make",
        "Undo the change in the inventory, or run with federation_allow_replace=true.",
    ),
    Code("change.pending", ERROR, "the federation is not as planned", "Run deploy.yml.", "deploy.yml"),
    Code(
        "plan.stale",
        ERROR,
        "inventory or federation are not as they were when the plan was saved",
        "Save a new plan with plan.yml, and approve that one.",
    ),
    Code(
        "run.locked",
        ERROR,
        "another run is at work on the federation",
        "Wait for it; federation_break_lock=true takes over from a dead one.",
    ),
    Code(
        "training.running",
        ERROR,
        "a training is under way, and a change would stop it",
        "Run again when it is over, or with federation_interrupt_training=true.",
    ),
    Code(
        "partition.unknown",
        ERROR,
        "new SuperNodes cannot be numbered while another site is not read",
        "Mend the other site, or pin federation_partition_offset.",
        "federation_partition_offset",
    ),
    Code(
        "site.orphan",
        WARNING,
        "something of a site is left that the inventory does not have",
        "Put the site back and run remove_site.yml, or see that its zone has nothing left.",
    ),
    Code(
        "gateway.taken",
        ERROR,
        "the interface on a gateway belongs to another federation",
        "Give this federation an interface, a port and an overlay of its own.",
        "federation_wireguard_interface",
    ),
    # what a zone, a gateway or a step refuses
    Code("zone.unreachable", ERROR, "a zone's API gives no answer", "Start the service, or correct the zone's endpoints."),
    Code("zone.tls", ERROR, "the certificate of a zone's API is refused", "Set federation_ca_path to the CA that signed it."),
    Code("zone.credentials", ERROR, "a zone refuses the credentials", "Correct federation_username and federation_password."),
    Code("zone.rights", ERROR, "a zone's user lacks a right", "Let oneadmin grant it, or use another user."),
    Code(
        "zone.object",
        ERROR,
        "a zone has no such VM template, network or service, or more than one",
        "Register it, or correct federation_vm_template and federation_network.",
    ),
    Code("zone.refused", ERROR, "a zone refuses what the plan needs", "Do what the message says, then run again."),
    Code("gateway.unreachable", ERROR, "a gateway gives no answer over SSH", "Start it, or correct ansible_host and its user."),
    Code("step.failed", ERROR, "a step of the run failed", "Do what the message says, then run again."),
    Code("step.timeout", ERROR, "what a step waited for did not come in time", "Look at the named VMs, then run again."),
    # verify
    Code(
        "zone.unread",
        ERROR,
        "a zone could not be read, so nothing is known of it",
        "Mend what the message names, then verify again.",
        "verify.yml",
    ),
    Code(
        "gateway.unread",
        ERROR,
        "a gateway could not be read, so nothing is known of it",
        "Mend what the message names, then verify again.",
        "verify.yml",
    ),
    Code(
        "service.absent",
        ERROR,
        "a zone has no OneFlow service of the federation",
        "Run deploy.yml.",
        "deploy.yml",
    ),
    Code(
        "service.state",
        ERROR,
        "a OneFlow service is not RUNNING with all of its VMs",
        "Run deploy.yml, which recovers it.",
        "deploy.yml",
    ),
    Code(
        "superlink.unready",
        ERROR,
        "the SuperLink does not serve",
        "Look at FL_ERROR of its VM and at its journal.",
        "deploy.yml",
    ),
    Code(
        "superlink.release",
        ERROR,
        "a VM runs another Flower release than planned",
        "Register an image of that release, or change federation_flower_version.",
        "federation_flower_version",
    ),
    Code(
        "certificate.name",
        ERROR,
        "the SuperLink's certificate does not name what sites dial",
        "Run deploy.yml with the planned federation_superlink_address.",
        "federation_superlink_address",
    ),
    Code(
        "certificate.authority",
        ERROR,
        "the SuperLink's CA certificate is not fit to be trusted",
        "Look at the SuperLink's VM; redeploy it where the certificate has run out.",
        "deploy.yml",
    ),
    Code(
        "keepalive.differs",
        ERROR,
        "gRPC keepalive is not in force as planned",
        "Set federation_keepalive_time and federation_keepalive_timeout to what runs, or make the VM anew.",
        "federation_keepalive_time",
    ),
    Code(
        "supernodes.offline",
        ERROR,
        "not every SuperNode is online in the SuperLink",
        "Look at the sites' rows of the table.",
        "verify.yml",
    ),
    Code(
        "tunnel.silent",
        ERROR,
        "a WireGuard tunnel has no recent handshake",
        "Run links.yml; open the hub's UDP port federation_wireguard_port.",
        "links.yml",
    ),
    Code(
        "probe.failed",
        ERROR,
        "no verified TLS handshake through a tunnel",
        "Look at the tunnel first, then at the SuperLink's certificate.",
        "links.yml",
    ),
    Code(
        "supernode.unready",
        ERROR,
        "a SuperNode is not connected to the planned SuperLink",
        "Look at FL_ERROR of its VM and at its journal.",
        "deploy.yml",
    ),
    Code(
        "supernode.peer",
        ERROR,
        "a SuperNode verified another certificate than the SuperLink has",
        "Make the site's service anew, so that it gets the SuperLink's CA.",
        "deploy.yml",
    ),
    Code(
        "settings.pending",
        ERROR,
        "a VM does not run with its settings",
        "Look at FL_ERROR of the VM; deploy.yml writes and waits again.",
        "deploy.yml",
    ),
    Code(
        "partition.wrong",
        ERROR,
        "a SuperNode holds no partition of its own",
        "Pin federation_partition_offset, then make the VM anew.",
        "federation_partition_offset",
    ),
    Code(
        "training.failed",
        ERROR,
        "the smoke-test training failed, or not every partition took part",
        "Run train.yml again with federation_train=true.",
        "train.yml",
    ),
    Code(
        "training.older",
        WARNING,
        "the last training was by other partitions than the federation has now",
        "Run train.yml with federation_train=true to train once more.",
        "train.yml",
    ),
)
CODES: Mapping[str, Code] = {code.code: code for code in _CODES}

# What a failed OpenNebula task says it is (`error.kind`), and the code that this is told under.
KINDS: Mapping[str, str] = {
    "unreachable": "zone.unreachable",
    "bad_answer": "zone.unreachable",
    "tls": "zone.tls",
    "authentication": "zone.credentials",
    "authorization": "zone.rights",
    "not_found": "zone.object",
    "ambiguous": "zone.object",
    "refused": "zone.refused",
    "invalid_request": "zone.refused",
    "failed_state": "service.state",
    "timeout": "step.timeout",
    "locked": "run.locked",
}

# What a host that could not be read is told under; every check of it fails for the same reason.
UNREAD = (
    "zone.unread",
    "zone.unreachable",
    "zone.tls",
    "zone.credentials",
    "zone.rights",
    "gateway.unread",
    "gateway.unreachable",
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its code, the host, the variable or command that mends it, and what is wrong there."""

    code: str
    host: str
    subject: str
    message: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(f"finding {self.code!r} is in no table")

    def __str__(self) -> str:
        return f"{self.host}: {self.subject}: {self.message}" if self.subject else f"{self.host}: {self.message}"

    @property
    def is_error(self) -> bool:
        """Tell whether it is an error, and not a warning."""
        return CODES[self.code].severity == ERROR

    def to_result(self) -> dict[str, t.Any]:
        """Return {code, severity, host, subject, message, fix}, for results and report.json."""
        code = CODES[self.code]
        return {
            "code": self.code,
            "severity": code.severity,
            "host": self.host,
            "subject": self.subject,
            "message": self.message,
            "fix": code.fix,
        }


def from_result(given: Mapping[str, t.Any]) -> Finding:
    """Return the finding of a `to_result`."""
    return Finding(*(str(given[name]) for name in ("code", "host", "subject", "message")))


def of_failure(host: str, step: str, result: Mapping[str, t.Any]) -> Finding:
    """Return the finding for a task that failed on `host` in `step`; `result` is Ansible's result of the task."""
    error = result.get("error")
    kind = error.get("kind") if isinstance(error, Mapping) else None
    code = result.get("code") if result.get("code") in CODES else KINDS.get(str(kind), "step.failed")
    if result.get("unreachable"):
        code = "gateway.unreachable"
    return Finding(str(code), host, "", f"{step}: {str(result.get('msg') or 'it failed without a reason')}")


def reference(codes: Iterable[Code] = _CODES) -> str:
    """Return the codes as a Markdown table; it stands in docs/findings.md."""
    lines = ["| code | severity | meaning | fix |", "|---|---|---|---|"]
    lines += [f"| `{code.code}` | {code.severity} | {code.meaning} | {code.fix} |" for code in codes]
    return "\n".join(lines) + "\n"
