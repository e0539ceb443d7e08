# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CONTEXT vocabulary: every variable that the Flower appliance honours, defined once.

From it come the OneFlow user inputs, the validation on the controller, the validation in the appliance at boot and the
reference page in docs/. Pure, and free of Ansible and of imports from the collection: the appliance carries a copy.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SUPERLINK, SUPERNODE = "superlink", "supernode"
ROLES = (SUPERLINK, SUPERNODE)


@dataclass(frozen=True)
class Variable:
    """One CONTEXT variable. `rule` returns what is wrong with a non-empty value, or None."""

    name: str
    type: str
    default: str
    roles: tuple[str, ...]
    help: str
    mandatory: bool = False
    options: tuple[str, ...] = ()
    rule: Callable[[str], str | None] | None = None

    def fault(self, value: str) -> str | None:
        """What is wrong with `value`, or None."""
        if value == "":
            return "is mandatory and has no value" if self.mandatory else None
        if self.type == "boolean" and value not in ("YES", "NO"):
            return f"is {value!r}; YES or NO is needed"
        if self.type == "list" and value not in self.options:
            return f"is {value!r}; one of {', '.join(self.options)} is needed"
        if self.type == "number" and not re.fullmatch(r"[0-9]{1,9}", value):
            return f"is {value!r}; a whole number is needed"
        return self.rule(value) if self.rule else None


def _version(value: str) -> str | None:
    return None if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", value) else f"is {value!r}; a version such as 1.39.0 is needed"


def _between(low: int, high: int) -> Callable[[str], str | None]:
    return lambda value: None if low <= int(value) <= high else f"is {value}; {low} to {high} is needed"


def _address(value: str) -> str | None:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", value)
    if not match or not 1 <= int(match[2]) <= 65535:
        return f"is {value!r}; host:port is needed"
    return None


def _listen(value: str) -> str | None:
    host, _colon, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        if 1024 <= int(port) <= 65535 and (":" in host) == host.startswith("["):
            return None
    except ValueError:
        pass
    return f"is {value!r}; address:port with a port from 1024 on is needed, such as 0.0.0.0:9092"


def _sans(value: str) -> str | None:
    for entry in value.split(","):
        kind, _colon, name = entry.strip().partition(":")
        if kind == "IP":
            try:
                ipaddress.ip_address(name)
                continue
            except ValueError:
                pass
        elif kind == "DNS" and re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", name):
            continue
        return f"has {entry.strip()!r}; a comma-separated list of IP:address and DNS:name is needed"
    return None


def _certificate(value: str) -> str | None:
    try:
        text = base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "is not base64 of a PEM certificate"
    return None if "-----BEGIN CERTIFICATE-----" in text else "is base64, but not of a PEM certificate"


def _pairs(value: str) -> str | None:
    for pair in value.split():
        if not re.fullmatch(r"[a-z][a-z0-9-]*=[A-Za-z0-9._/:-]+", pair):
            return f"has {pair!r}; key=value pairs separated by blanks are needed"
        if pair.split("=")[0] in ("partition-id", "num-partitions", "data-path"):
            return f"has {pair!r}, which the appliance sets itself"
    return None


def _database(value: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", value):
        return None
    return f"is {value!r}; a plain file name is needed, it lies in /var/lib/flower"


BOTH = ROLES
VARIABLES: tuple[Variable, ...] = (
    Variable("FLOWER_VERSION", "text", "1.39.0", BOTH, "Flower version; the image holds exactly one", rule=_version),
    Variable("FL_TLS_ENABLED", "boolean", "YES", BOTH, "TLS between SuperNodes and SuperLink"),
    Variable("FL_LOG_LEVEL", "list", "INFO", BOTH, "Log level", options=("DEBUG", "INFO", "WARNING", "ERROR")),
    Variable(
        "FL_GRPC_KEEPALIVE_TIME", "number", "60", BOTH, "Seconds of silence before a gRPC keepalive ping", rule=_between(10, 7200)
    ),
    Variable(
        "FL_GRPC_KEEPALIVE_TIMEOUT", "number", "20", BOTH, "Seconds after which an unanswered peer is dead", rule=_between(1, 7200)
    ),
    Variable(
        "FL_CERT_EXTRA_SAN",
        "text",
        "",
        (SUPERLINK,),
        "More names for the certificate: IP:address or DNS:name, by comma",
        rule=_sans,
    ),
    Variable(
        "FL_FLEET_API_ADDRESS", "text", "0.0.0.0:9092", (SUPERLINK,), "Address and port the Fleet API listens on", rule=_listen
    ),
    Variable("FL_DATABASE", "text", "state.db", (SUPERLINK,), "File name of the SuperLink state", rule=_database),
    Variable("FL_SUPERLINK_ADDRESS", "text", "", (SUPERNODE,), "SuperLink address, host:port", mandatory=True, rule=_address),
    Variable(
        "FL_SSL_CA_CERTFILE", "text64", "", (SUPERNODE,), "CA of the SuperLink, base64 of PEM; required with TLS", rule=_certificate
    ),
    Variable("FL_PARTITION_OFFSET", "number", "0", (SUPERNODE,), "Number of the first partition of this site"),
    Variable(
        "FL_NUM_PARTITIONS", "number", "1", (SUPERNODE,), "Number of partitions in the federation", rule=_between(1, 1_000_000)
    ),
    Variable("FL_NODE_CONFIG", "text", "", (SUPERNODE,), "More node configuration: key=value pairs by blanks", rule=_pairs),
    Variable("FL_MAX_RETRIES", "number", "", (SUPERNODE,), "Connection attempts before the SuperNode gives up; empty: forever"),
    Variable("FL_MAX_WAIT_TIME", "number", "", (SUPERNODE,), "Seconds before the SuperNode gives up; empty: forever"),
)


def variables(role: str) -> tuple[Variable, ...]:
    """The variables of a role, `superlink` or `supernode`."""
    if role not in ROLES:
        raise ValueError(f"role {role!r} is neither {SUPERLINK} nor {SUPERNODE}")
    return tuple(variable for variable in VARIABLES if role in variable.roles)


def user_inputs(role: str) -> dict[str, str]:
    """OneFlow user inputs of a role: name to `M|O` `|type|description|options|default`."""
    return {
        variable.name: "|".join(
            (
                "M" if variable.mandatory else "O",
                variable.type,
                variable.help,
                ",".join(variable.options) or " ",
                variable.default,
            )
        )
        for variable in variables(role)
    }


def validate(role: str, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Check `values` for a role and fill in defaults.

    Returns (clean, faults): every variable of the role with its value as text, and one sentence per fault, each beginning
    with the variable's name. Variables of others (NETWORK, TOKEN, ETH0_*) are passed over.
    """
    if role not in ROLES:
        return {}, [f"FL_ROLE: is {role!r}; {SUPERLINK} or {SUPERNODE} is needed"]
    clean: dict[str, str] = {}
    faults: list[str] = []
    for variable in variables(role):
        value = str(values.get(variable.name) or "").strip() or variable.default
        clean[variable.name] = value
        fault = variable.fault(value)
        if fault:
            faults.append(f"{variable.name}: {fault}")
    if not faults and int(clean["FL_GRPC_KEEPALIVE_TIMEOUT"]) >= int(clean["FL_GRPC_KEEPALIVE_TIME"]):
        faults.append("FL_GRPC_KEEPALIVE_TIMEOUT: must be less than FL_GRPC_KEEPALIVE_TIME")
    if role == SUPERNODE and clean["FL_TLS_ENABLED"] == "YES" and not clean["FL_SSL_CA_CERTFILE"]:
        faults.append("FL_SSL_CA_CERTFILE: is mandatory while FL_TLS_ENABLED is YES and has no value")
    return clean, faults


def reference() -> str:
    """The vocabulary as a Markdown table; it stands in docs/context.md."""
    lines = ["| variable | of | type | default | meaning |", "|---|---|---|---|---|"]
    for variable in VARIABLES:
        kind = f"one of {', '.join(variable.options)}" if variable.options else variable.type
        default = "required" if variable.mandatory else f"`{variable.default}`" if variable.default else ""
        of = "both" if variable.roles == BOTH else {SUPERLINK: "SuperLink", SUPERNODE: "SuperNode"}[variable.roles[0]]
        lines.append(f"| `{variable.name}` | {of} | {kind} | {default} | {variable.help} |")
    return "\n".join(lines) + "\n"
