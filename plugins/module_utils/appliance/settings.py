# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: every CONTEXT variable that the Flower appliance honours, defined once.

From this table come the OneFlow user inputs, the validation on the controller, the validation in the appliance at boot and
the reference page in docs/. Pure, and free of Ansible and of imports from outside this folder: the appliance carries a copy
of the folder.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import flower_releases

SUPERLINK, SUPERNODE = "superlink", "supernode"
ROLES = (SUPERLINK, SUPERNODE)
YES, NO = "YES", "NO"

# The names, for those who read or write a value.
ROLE = "FL_ROLE"
VERSION = "FLOWER_VERSION"
TLS_ENABLED = "FL_TLS_ENABLED"
LOG_LEVEL = "FL_LOG_LEVEL"
KEEPALIVE_TIME = "FL_GRPC_KEEPALIVE_TIME"
KEEPALIVE_TIMEOUT = "FL_GRPC_KEEPALIVE_TIMEOUT"
EXTRA_SAN = "FL_CERT_EXTRA_SAN"
FLEET_API_ADDRESS = "FL_FLEET_API_ADDRESS"
DATABASE = "FL_DATABASE"
SUPERLINK_ADDRESS = "FL_SUPERLINK_ADDRESS"
CA_CERTIFICATE = "FL_SSL_CA_CERTFILE"
PARTITION_OFFSET = "FL_PARTITION_OFFSET"
PARTITIONS = "FL_NUM_PARTITIONS"
NODE_CONFIG = "FL_NODE_CONFIG"
MAX_RETRIES = "FL_MAX_RETRIES"
MAX_WAIT_TIME = "FL_MAX_WAIT_TIME"

# Names of CONTEXT variables that belong to the appliance begin with one of these.
PREFIXES = ("FL_", "FLOWER_")


def format_pem(pem: bytes) -> str:
    """Return certificates as one line, for CONTEXT and attributes, which carry no line breaks: base64 of PEM."""
    return base64.b64encode(pem).decode("ascii")


def parse_pem(text: str) -> bytes:
    """Read what `format_pem` wrote. Raises ValueError."""
    return base64.b64decode(text, validate=True)


@dataclass(frozen=True)
class Setting:
    """One setting. `rule` returns what is wrong with a non-empty value, or None.

    A `live` setting may be changed later as a user attribute of the running VM. An `input` is declared as a user input of
    the OneFlow role; the others come as plain CONTEXT.
    """

    name: str
    type: str
    default: str
    roles: tuple[str, ...]
    help: str
    mandatory: bool = False
    options: tuple[str, ...] = ()
    rule: Callable[[str], str | None] | None = None
    live: bool = False
    input: bool = True

    def fault(self, value: str) -> str | None:
        """Return what is wrong with `value`, or None."""
        if value == "":
            return "is mandatory and has no value" if self.mandatory else None
        if self.type == "boolean" and value not in (YES, NO):
            return f"is {value!r}; {YES} or {NO} is needed"
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
        text = parse_pem(value).decode("ascii")
    except ValueError:
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
SETTINGS: tuple[Setting, ...] = (
    Setting(ROLE, "list", "", BOTH, "What the VM becomes", mandatory=True, options=ROLES, input=False),
    Setting(VERSION, "text", flower_releases.DEFAULT.version, BOTH, "Flower version; the image holds exactly one", rule=_version),
    Setting(TLS_ENABLED, "boolean", YES, BOTH, "TLS between SuperNodes and SuperLink"),
    Setting(LOG_LEVEL, "list", "INFO", BOTH, "Log level", options=("DEBUG", "INFO", "WARNING", "ERROR"), live=True),
    Setting(
        KEEPALIVE_TIME, "number", "60", BOTH, "Seconds of silence before a gRPC keepalive ping", rule=_between(10, 7200), live=True
    ),
    Setting(
        KEEPALIVE_TIMEOUT,
        "number",
        "20",
        BOTH,
        "Seconds after which an unanswered peer is dead",
        rule=_between(1, 7200),
        live=True,
    ),
    Setting(
        EXTRA_SAN,
        "text",
        "",
        (SUPERLINK,),
        "More names for the certificate: IP:address or DNS:name, separated by commas",
        rule=_sans,
        live=True,
    ),
    Setting(
        FLEET_API_ADDRESS,
        "text",
        "",
        (SUPERLINK,),
        "Address and port the Fleet API listens on; empty: every address, the port of the Flower release",
        rule=_listen,
    ),
    Setting(DATABASE, "text", "state.db", (SUPERLINK,), "File name of the SuperLink state", rule=_database),
    Setting(SUPERLINK_ADDRESS, "text", "", (SUPERNODE,), "SuperLink address, host:port", mandatory=True, rule=_address),
    Setting(
        CA_CERTIFICATE,
        "text64",
        "",
        (SUPERNODE,),
        "CA of the SuperLink, base64 of PEM; required with TLS",
        rule=_certificate,
        live=True,
    ),
    Setting(PARTITION_OFFSET, "number", "0", (SUPERNODE,), "Number of the first partition of this site"),
    Setting(PARTITIONS, "number", "1", (SUPERNODE,), "Number of partitions in the federation", rule=_between(1, 1_000_000)),
    Setting(NODE_CONFIG, "text", "", (SUPERNODE,), "More node configuration: key=value pairs, separated by blanks", rule=_pairs),
    Setting(MAX_RETRIES, "number", "", (SUPERNODE,), "Connection attempts before the SuperNode gives up; empty: forever"),
    Setting(MAX_WAIT_TIME, "number", "", (SUPERNODE,), "Seconds before the SuperNode gives up; empty: forever"),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
LIVE = tuple(setting.name for setting in SETTINGS if setting.live)


def of_role(role: str) -> tuple[Setting, ...]:
    """Return the settings of a role, `superlink` or `supernode`."""
    if role not in ROLES:
        raise ValueError(f"role {role!r} is neither {SUPERLINK} nor {SUPERNODE}")
    return tuple(setting for setting in SETTINGS if role in setting.roles)


def user_inputs(role: str) -> dict[str, str]:
    """Return the OneFlow user inputs of a role: name to `M|O` `|type|description|options|default`."""
    return {
        setting.name: "|".join(
            (
                "M" if setting.mandatory else "O",
                setting.type,
                setting.help,
                ",".join(setting.options) or " ",
                setting.default,
            )
        )
        for setting in of_role(role)
        if setting.input
    }


def validate(role: str, values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Check `values` for a role and fill in defaults.

    Returns (clean, faults): every setting of the role with its value as text, and one sentence per fault, each beginning
    with the setting's name. Variables of others (NETWORK, TOKEN, ETH0_*) are passed over.
    """
    if role not in ROLES:
        return {}, [f"{ROLE}: is {role!r}; {SUPERLINK} or {SUPERNODE} is needed"]
    clean: dict[str, str] = {}
    faults: list[str] = []
    for setting in of_role(role):
        value = role if setting.name == ROLE else str(values.get(setting.name) or "").strip() or setting.default
        clean[setting.name] = value
        fault = setting.fault(value)
        if fault:
            faults.append(f"{setting.name}: {fault}")
    if not faults:
        faults += [f"{name}: {fault}" for name, fault in contradictions(clean).items()]
    if role == SUPERNODE and clean[TLS_ENABLED] == YES and not clean[CA_CERTIFICATE]:
        faults.append(f"{CA_CERTIFICATE}: is mandatory while {TLS_ENABLED} is {YES} and has no value")
    return clean, faults


def contradictions(values: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong between settings that are right each by itself, by the name of the one to change."""
    if int(values[KEEPALIVE_TIMEOUT]) >= int(values[KEEPALIVE_TIME]):
        return {KEEPALIVE_TIMEOUT: f"must be less than {KEEPALIVE_TIME}"}
    return {}


def of_whom(roles: tuple[str, ...]) -> str:
    """Return which role has a setting or an attribute, for people."""
    return "both" if roles == BOTH else {SUPERLINK: "SuperLink", SUPERNODE: "SuperNode"}[roles[0]]


def reference() -> str:
    """Return the settings as a Markdown table; it stands in docs/context.md."""
    lines = ["| setting | role | type | default | live | meaning |", "|---|---|---|---|---|---|"]
    for setting in SETTINGS:
        kind = f"one of {', '.join(setting.options)}" if setting.options else setting.type
        default = "required" if setting.mandatory else f"`{setting.default}`" if setting.default else ""
        live = "yes" if setting.live else ""
        lines.append(f"| `{setting.name}` | {of_whom(setting.roles)} | {kind} | {default} | {live} | {setting.help} |")
    return "\n".join(lines) + "\n"
