# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes: everything that a VM publishes about itself through OneGate, and what it is asked for there, defined once.

The appliance formats, the controller parses. What a VM says is input: parsing leaves out what does not fit and raises
nothing. Pure, and free of Ansible and of imports from outside this folder: the appliance carries a copy of the folder.
"""

from __future__ import annotations

import math
import re
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields

from . import settings
from .settings import BOTH, ROLE, SUPERLINK, SUPERNODE, of_whom

YES, NO = settings.YES, settings.NO

# The names, for those who read or write a value. FL_ROLE is published as it was set.
PUBLISHED_VERSION = "FL_VERSION"
ERROR = "FL_ERROR"
READY = "FL_READY"
GATE_READY = "READY"
KEEPALIVE = "FL_KEEPALIVE"
ENDPOINT = "FL_ENDPOINT"
TLS = "FL_TLS"
CA_CERTIFICATE = "FL_CA_CERT"
CERTIFICATE_SANS = "FL_CERT_SAN"
CERTIFICATE_FINGERPRINT = "FL_CERT_FINGERPRINT"
NODES_ONLINE = "FL_NODES_ONLINE"
STATE = "FL_STATE"
SUPERLINK_DIALLED = "FL_SUPERLINK"
PEER_FINGERPRINT = "FL_PEER_FINGERPRINT"
PARTITION = "FL_PARTITION_ID"
SETTINGS_DIGEST = "FL_SETTINGS"
NODE_ID = "FL_NODE_ID"
NODES = "FL_NODES"
RUNS_ACTIVE = "FL_RUNS_ACTIVE"
NODES_FORGET = "FL_NODES_FORGET"
RUN_REQUEST = "FL_RUN_REQUEST"
RUN_ID = "FL_RUN_ID"
RUN_STATUS = "FL_RUN_STATUS"
RUN_ROUND = "FL_RUN_ROUND"
RUN_ROUNDS = "FL_RUN_ROUNDS"
RUN_LOSS = "FL_RUN_LOSS"
RUN_NODES = "FL_RUN_NODES"
RUN_PARTITIONS = "FL_RUN_PARTITIONS"
RUN_SECONDS = "FL_RUN_SECONDS"
RUN_ERROR = "FL_RUN_ERROR"

# Values of STATE.
ON_DISK, ON_IMAGE = "disk", "image"

# Values of RUN_STATUS; the first is what a VM without a run is read as.
NO_RUN, RUNNING, FINISHED, FAILED = "none", "running", "finished", "failed"


@dataclass(frozen=True)
class Attribute:
    """One user attribute. `asked` ones are written by the controller and read by the VM, all others the other way round."""

    name: str
    roles: tuple[str, ...]
    help: str
    asked: bool = False


_SUPERLINK, _SUPERNODE = (SUPERLINK,), (SUPERNODE,)
ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(ROLE, BOTH, "what the VM is"),
    Attribute(PUBLISHED_VERSION, BOTH, "Flower version that the image holds"),
    Attribute(
        ERROR,
        BOTH,
        "every fault; absent while there is none. What may pass by itself is published after 45 s, all else at once",
    ),
    Attribute(
        READY,
        BOTH,
        "`YES` while the VM does its work, see below; absent before it did for the first time, `NO` when it does no more",
    ),
    Attribute(GATE_READY, BOTH, "the same; it opens OneFlow's gate"),
    Attribute(
        KEEPALIVE,
        BOTH,
        "the gRPC options in force, read from Flower's process; `tcp_user_timeout_ms` is the kernel's",
    ),
    Attribute(
        SETTINGS_DIGEST,
        BOTH,
        "digest of the live settings that are in force, see below; absent while others are being put in force",
    ),
    Attribute(ENDPOINT, _SUPERLINK, "address and port of the Fleet API"),
    Attribute(TLS, _SUPERLINK, "whether TLS is on, `YES` or `NO`"),
    Attribute(CA_CERTIFICATE, _SUPERLINK, "its CA certificate, base64 of PEM"),
    Attribute(CERTIFICATE_SANS, _SUPERLINK, "names in its server certificate, separated by commas"),
    Attribute(CERTIFICATE_FINGERPRINT, _SUPERLINK, "SHA-256 of its server certificate"),
    Attribute(
        STATE,
        _SUPERLINK,
        "where its CA and its state lie: `disk` (they outlive the VM, see below) or `image` (they go with it)",
    ),
    Attribute(NODES_ONLINE, _SUPERLINK, "SuperNodes online, from the SuperLink's database"),
    Attribute(NODES, _SUPERLINK, "every registered node, `id:online` or `id:offline`, separated by commas; absent without one"),
    Attribute(RUNS_ACTIVE, _SUPERLINK, "runs that are not finished, whoever started them"),
    Attribute(NODES_FORGET, _SUPERLINK, "ids of nodes to unregister, separated by commas", asked=True),
    Attribute(SUPERLINK_DIALLED, _SUPERNODE, "address that it dials"),
    Attribute(PEER_FINGERPRINT, _SUPERNODE, "SHA-256 of the certificate that it verified in a handshake with that address"),
    Attribute(PARTITION, _SUPERNODE, "partition that it holds; no other VM of its service has it"),
    Attribute(NODE_ID, _SUPERNODE, "id of its node in the SuperLink"),
    Attribute(RUN_REQUEST, _SUPERLINK, "the run to start, see below", asked=True),
    Attribute(RUN_ID, _SUPERLINK, "id of the run that was asked for last"),
    Attribute(RUN_STATUS, _SUPERLINK, "`running`, `finished` or `failed`"),
    Attribute(RUN_ROUND, _SUPERLINK, "rounds done"),
    Attribute(RUN_ROUNDS, _SUPERLINK, "rounds asked for"),
    Attribute(RUN_LOSS, _SUPERLINK, "mean squared error of the model after each round, over all partitions, separated by commas"),
    Attribute(RUN_NODES, _SUPERLINK, "SuperNodes that trained in the last round"),
    Attribute(RUN_PARTITIONS, _SUPERLINK, "partitions that trained in the last round, separated by commas"),
    Attribute(RUN_SECONDS, _SUPERLINK, "how long the run took, in seconds"),
    Attribute(RUN_ERROR, _SUPERLINK, "why the run failed; absent while it has not"),
)


@dataclass(frozen=True)
class Keepalive:
    """gRPC keepalive as it is in force at one end; None: not set. Times in milliseconds."""

    time_ms: int | None = None
    timeout_ms: int | None = None
    permit: int | None = None
    max_pings: int | None = None
    min_interval_ms: int | None = None
    tcp_user_timeout_ms: int | None = None

    @classmethod
    def planned(cls, time_s: int, timeout_s: int, *, server: bool) -> Keepalive:
        """Return what one end has to have in force for these seconds.

        The server also allows its clients a ping every half keepalive time; at both ends pings go out without calls and
        without limit.
        """
        interval = time_s * 500 if server else None
        return cls(time_s * 1000, timeout_s * 1000, permit=1, max_pings=0, min_interval_ms=interval)

    def format(self) -> str:
        """Return one line, such as "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0"; what is not set is left out."""
        return ",".join(f"{name}={value}" for name, value in asdict(self).items() if value is not None)

    @classmethod
    def parse(cls, text: str) -> Keepalive:
        """Read what `format` wrote; unknown names and values that are no whole number are left out."""
        known = {entry.name for entry in fields(cls)}
        pairs = (part.strip().partition("=") for part in text.split(","))
        return cls(**{name: int(value) for name, _equals, value in pairs if name in known and re.fullmatch(r"[0-9]{1,12}", value)})


@dataclass(frozen=True)
class RunRequest:
    """A run that the SuperLink's VM is asked for: its id, the rounds, the SuperNodes to wait for, the federation's partitions.

    `partitions` 0: not told.
    """

    id: str
    rounds: int = 3
    nodes: int = 1
    partitions: int = 0

    def format(self) -> str:
        """Return "<id> rounds=3 nodes=2 partitions=5"; a number that says no more than its absence is left out."""
        text = f"{self.id} rounds={self.rounds}" + (f" nodes={self.nodes}" if self.nodes > 1 else "")
        return text + (f" partitions={self.partitions}" if self.partitions else "")

    @classmethod
    def parse(cls, text: str) -> RunRequest:
        """Read "<id> [rounds=3] [nodes=1] [partitions=1]". Raises ValueError that names the attribute."""
        identifier, *pairs = text.split() or [""]
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", identifier):
            raise ValueError(f"{RUN_REQUEST}: id {identifier[:70]!r} must be 1 to 64 of A-Z a-z 0-9 . _ -")
        values: dict[str, int] = {}
        for pair in pairs:
            key, _equals, value = pair.partition("=")
            if key not in ("rounds", "nodes", "partitions") or not re.fullmatch(r"[1-9][0-9]{0,6}", value):
                raise ValueError(f"{RUN_REQUEST}: {pair[:70]!r} is not rounds=N, nodes=N or partitions=N with N from 1 to 9999999")
            values[key] = int(value)
        return cls(identifier, **values)


@dataclass(frozen=True)
class Run:
    """What the SuperLink's VM publishes about its last run: losses per round, time in seconds. NO_RUN before there was one."""

    id: str = ""
    status: str = NO_RUN
    round: int = 0
    rounds: int = 0
    losses: list[float] = field(default_factory=list)
    nodes: int = 0
    partitions: list[int] = field(default_factory=list)
    seconds: float | None = None
    error: str = ""

    def format(self) -> dict[str, str]:
        """Return the run as attributes."""
        return {
            RUN_ID: self.id,
            RUN_STATUS: self.status,
            RUN_ROUND: str(self.round),
            RUN_ROUNDS: str(self.rounds),
            RUN_LOSS: ",".join(f"{loss:.6f}" for loss in self.losses),
            RUN_NODES: str(self.nodes),
            RUN_PARTITIONS: ",".join(str(number) for number in self.partitions),
            RUN_ERROR: self.error,
            RUN_SECONDS: "" if self.seconds is None else f"{self.seconds:.1f}",
        }

    @classmethod
    def parse(cls, attributes: Mapping[str, t.Any]) -> Run:
        """Read a run out of a VM's attributes; text that is no finite number is left out."""
        given = {name: str(value) for name, value in attributes.items()}
        return cls(
            id=given.get(RUN_ID, ""),
            status=given.get(RUN_STATUS, "") or NO_RUN,
            round=_count(given.get(RUN_ROUND)),
            rounds=_count(given.get(RUN_ROUNDS)),
            losses=_numbers(given.get(RUN_LOSS, ""), float),
            nodes=_count(given.get(RUN_NODES)),
            partitions=sorted(set(_numbers(given.get(RUN_PARTITIONS, ""), int))),
            seconds=next(iter(_numbers(given.get(RUN_SECONDS, ""), float)), None),
            error=given.get(RUN_ERROR, ""),
        )


def format_names(names: Iterable[str]) -> str:
    """Return names of a certificate as one attribute."""
    return ",".join(names)


def parse_names(text: str) -> list[str]:
    """Return the names of a certificate, such as ["IP:10.10.10.5", "DNS:superlink"]."""
    return [name.strip() for name in text.split(",") if name.strip()]


def format_nodes(nodes: Mapping[str, bool]) -> str:
    """Return nodes and whether each is online as one attribute, by id: "17:online,203:offline"."""
    return ",".join(f"{node}:{'online' if nodes[node] else 'offline'}" for node in sorted(nodes, key=int))


def parse_nodes(text: str) -> dict[str, bool]:
    """Read what `format_nodes` wrote; what has another form is left out."""
    return {node: state == "online" for node, state in re.findall(r"(?:^|,)([0-9]{1,20}):(online|offline)(?=,|$)", text)}


def format_node_ids(nodes: Iterable[str]) -> str:
    """Return ids of nodes as one attribute."""
    return ",".join(sorted(set(nodes), key=int))


def parse_node_ids(text: str) -> list[str]:
    """Read what `format_node_ids` wrote; what is no id is left out."""
    return [node for part in text.split(",") if re.fullmatch(r"[0-9]{1,20}", node := part.strip())]


def _count(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else 0


def _numbers(text: str, kind: type) -> list[t.Any]:
    numbers = []
    for part in text.split(","):
        try:
            number = kind(part)
        except ValueError:
            continue
        if math.isfinite(number):  # JSON has no other
            numbers.append(number)
    return numbers


def reference() -> str:
    """Return the attributes as a Markdown table; it stands in docs/context.md."""
    lines = ["| attribute | role | written by | meaning |", "|---|---|---|---|"]
    for attribute in ATTRIBUTES:
        writer = "controller" if attribute.asked else "VM"
        lines.append(f"| `{attribute.name}` | {of_whom(attribute.roles)} | {writer} | {attribute.help} |")
    return "\n".join(lines) + "\n"
