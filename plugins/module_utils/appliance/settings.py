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
import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
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
STATE_DISK = "FL_STATE_DISK"
SUPERLINK_ADDRESS = "FL_SUPERLINK_ADDRESS"
CA_CERTIFICATE = "FL_SSL_CA_CERTFILE"
PARTITIONS = "FL_PARTITIONS"
NUM_PARTITIONS = "FL_NUM_PARTITIONS"
NODE_CONFIG = "FL_NODE_CONFIG"
MAX_RETRIES = "FL_MAX_RETRIES"
MAX_WAIT_TIME = "FL_MAX_WAIT_TIME"
ROUTES = "FL_ROUTES"

# Names of CONTEXT variables that belong to the appliance begin with one of these.
PREFIXES = ("FL_", "FLOWER_")
MOST_PARTITIONS = 1_000_000


def format_pem(pem: bytes) -> str:
    """Return certificates as one line, for CONTEXT and attributes, which carry no line breaks: base64 of PEM."""
    return base64.b64encode(pem).decode("ascii")


def parse_pem(text: str) -> bytes:
    """Read what `format_pem` wrote. Raises ValueError."""
    return base64.b64decode(text, validate=True)


def format_numbers(numbers: Iterable[int]) -> str:
    """Return whole numbers as one line, ascending, neighbours as a range: "0-1,4"."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)


def parse_numbers(text: str) -> list[int]:
    """Read what `format_numbers` wrote, in any order; "" is no number. Return them ascending, each once. Raises ValueError."""
    numbers: set[int] = set()
    for part in text.split(",") if text.strip() else []:
        match = re.fullmatch(r"([0-9]{1,7})(?:-([0-9]{1,7}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < MOST_PARTITIONS:
            raise ValueError(f"has {part.strip()[:40]!r}; numbers and ranges below {MOST_PARTITIONS} are needed, such as 0-1,4")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


@dataclass(frozen=True)
class Route:
    """A route of the VM: a network and the neighbour that forwards to it."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    via: ipaddress.IPv4Address | ipaddress.IPv6Address

    def __str__(self) -> str:
        return f"{self.network} via {self.via}"


def format_routes(routes: Iterable[Route]) -> str:
    """Return routes as one line: "10.10.9.0/24 via 10.10.10.1, 10.10.11.0/24 via 10.10.10.1"."""
    return ", ".join(str(route) for route in routes)


def parse_routes(text: str) -> list[Route]:
    """Read what `format_routes` wrote; "" is no route. Raises ValueError."""
    routes: dict[object, Route] = {}
    for part in text.split(",") if text.strip() else []:
        entry = part.strip()
        try:
            network, via, neighbour = entry.split()
            route = Route(ipaddress.ip_network(network), ipaddress.ip_address(neighbour))
            if (
                via != "via"
                or route.network.version != route.via.version
                or not route.network.prefixlen
                or route.via in route.network
            ):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"has {entry[:80]!r}; routes such as 10.10.9.0/24 via 10.10.10.1 are needed, separated by commas"
            ) from None
        if route.network in routes:
            raise ValueError(f"has two routes to {route.network}")
        routes[route.network] = route
    return list(routes.values())


@dataclass(frozen=True)
class Setting:
    """One setting. `rule` returns what is wrong with a non-empty value, or None.

    A `live` setting may be changed later as a user attribute of the running VM; `restarts` tells whether Flower is restarted
    for it then. An `input` is declared as a user input of the OneFlow role; the others come as plain CONTEXT.
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
    restarts: bool = False
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


def _parses(parse: Callable[[str], object]) -> Callable[[str], str | None]:
    def rule(value: str) -> str | None:
        try:
            parse(value)
        except ValueError as error:
            return str(error)
        return None

    return rule


def _database(value: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", value):
        return None
    return f"is {value!r}; a plain file name is needed, it lies in /var/lib/flower"


def _disk(value: str) -> str | None:
    return None if re.fullmatch(r"[a-z][a-z0-9]{1,31}", value) else f"is {value!r}; the name of a whole disk is needed, such as vdb"


BOTH = ROLES
SETTINGS: tuple[Setting, ...] = (
    Setting(ROLE, "list", "", BOTH, "What the VM becomes", mandatory=True, options=ROLES, input=False),
    Setting(VERSION, "text", flower_releases.DEFAULT.version, BOTH, "Flower version; the image holds exactly one", rule=_version),
    Setting(TLS_ENABLED, "boolean", YES, BOTH, "TLS between SuperNodes and SuperLink"),
    Setting(LOG_LEVEL, "list", "INFO", BOTH, "Log level", options=("DEBUG", "INFO", "WARNING", "ERROR"), live=True, restarts=True),
    Setting(
        KEEPALIVE_TIME,
        "number",
        "60",
        BOTH,
        "Seconds of silence before a gRPC keepalive ping",
        rule=_between(10, 7200),
        live=True,
        restarts=True,
    ),
    Setting(
        KEEPALIVE_TIMEOUT,
        "number",
        "20",
        BOTH,
        "Seconds after which an unanswered peer is dead",
        rule=_between(1, 7200),
        live=True,
        restarts=True,
    ),
    Setting(
        ROUTES,
        "text",
        "",
        BOTH,
        "Routes that the VM keeps: network via address, separated by commas",
        rule=_parses(parse_routes),
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
        restarts=True,
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
    Setting(
        STATE_DISK,
        "text",
        "",
        (SUPERLINK,),
        "Disk that keeps CA and state beyond the VM, such as vdb; empty: they lie on the image and go with the VM",
        rule=_disk,
    ),
    Setting(
        SUPERLINK_ADDRESS,
        "text",
        "",
        (SUPERNODE,),
        "SuperLink address, host:port",
        mandatory=True,
        rule=_address,
        live=True,
        restarts=True,
    ),
    Setting(
        CA_CERTIFICATE,
        "text64",
        "",
        (SUPERNODE,),
        "CA of the SuperLink, base64 of PEM; required with TLS",
        rule=_certificate,
        live=True,
        restarts=True,
    ),
    Setting(
        PARTITIONS,
        "text",
        "",
        (SUPERNODE,),
        "Partitions of this site: numbers and ranges, separated by commas; a VM takes one and keeps it",
        mandatory=True,
        rule=_parses(parse_numbers),
        live=True,
    ),
    Setting(
        NUM_PARTITIONS,
        "number",
        "1",
        (SUPERNODE,),
        "Number of partitions in the federation when the VM was made",
        rule=_between(1, MOST_PARTITIONS),
    ),
    Setting(
        NODE_CONFIG,
        "text",
        "",
        (SUPERNODE,),
        "More node configuration: key=value pairs, separated by blanks",
        rule=_pairs,
        live=True,
        restarts=True,
    ),
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


def digest(role: str, values: Mapping[str, str]) -> str:
    """Return 16 hex digits that tell one set of a role's live settings from another; an empty or missing value is the default.

    The list of partitions is left out: what a VM holds of it never changes.
    """
    live = sorted((entry.name, entry.default) for entry in of_role(role) if entry.live and entry.name != PARTITIONS)
    lines = "".join(f"{name}={str(values.get(name) or '').strip() or default}\n" for name, default in live)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def of_whom(roles: tuple[str, ...]) -> str:
    """Return which role has a setting or an attribute, for people."""
    return "both" if roles == BOTH else {SUPERLINK: "SuperLink", SUPERNODE: "SuperNode"}[roles[0]]


def reference() -> str:
    """Return the settings as a Markdown table; it stands in docs/context.md."""
    lines = ["| setting | role | type | default | live | meaning |", "|---|---|---|---|---|---|"]
    for setting in SETTINGS:
        kind = f"one of {', '.join(setting.options)}" if setting.options else setting.type
        default = "required" if setting.mandatory else f"`{setting.default}`" if setting.default else ""
        live = "yes, restarts Flower" if setting.restarts else "yes" if setting.live else ""
        lines.append(f"| `{setting.name}` | {of_whom(setting.roles)} | {kind} | {default} | {live} | {setting.help} |")
    return "\n".join(lines) + "\n"
