# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways as they were read, what the role would do on each, and the keys that the two ends of a tunnel exchange. Pure."""

from __future__ import annotations

import base64
import secrets
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.oneflower.federation.plugins.module_utils.gateway import differences as gateway_differences
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import wireguard
from ansible_collections.oneflower.federation.plugins.module_utils.gateway.differences import Difference

NOT_IN_THIS_RUN = "it was not in this run"
PREFIX = "wireguard_gateway_"
# What stands for a key that will be made; no digest or key of a host is this text.
NEW = "(a new one)"
# Variables of the role that are options of the module `gateway`.
OPTIONS = ("interface", "federation", "role", "address", "listen_port", "mtu", "lan", "superlink_address", "fleet_port", "peers")


@dataclass(frozen=True)
class Gateway:
    """A gateway as `gateway_info` read it, under the names that the module documents.

    `unread` says why nothing is known of it, `code` as a finding.
    """

    unread: str = ""
    code: str = ""
    missing: tuple[str, ...] = ()
    federation: str = ""
    public_key: str = ""
    foreign: bool = False
    stored: Mapping[str, t.Any] = field(default_factory=dict)
    live: Mapping[str, t.Any] = field(default_factory=dict)
    enabled: bool = False
    firewall: Mapping[str, t.Any] = field(default_factory=dict)
    others: tuple[Mapping[str, t.Any], ...] = ()
    probe: Mapping[str, t.Any] = field(default_factory=dict)

    @classmethod
    def from_result(cls, result: Mapping[str, t.Any] | None) -> Gateway:
        """Read a result of gateway_info; None where there is none, one without `gateway` where it was not read."""
        if result is None:
            return cls(unread=NOT_IN_THIS_RUN, code="gateway.unread")
        found = result.get("gateway")
        if not isinstance(found, Mapping):
            code = "gateway.unreachable" if result.get("gone") else "gateway.unread"
            return cls(unread=str(result.get("unread") or "it gave no answer"), code=code)
        return cls(
            missing=tuple(found["tools"]["missing"]),
            federation=str(found["federation"]),
            public_key=str(found["public_key"]),
            foreign=bool(found["foreign"]),
            stored=found["stored"],
            live=found["live"],
            enabled=bool(found["enabled"]),
            firewall=found["firewall"],
            others=tuple(found["others"]),
            probe=found.get("probe") or {},
        )

    def as_result(self) -> dict[str, t.Any]:
        """Return what the module returned as `gateway`, without the probe."""
        return {
            "tools": {"missing": list(self.missing)},
            "federation": self.federation,
            "public_key": self.public_key,
            "foreign": self.foreign,
            "stored": self.stored,
            "live": self.live,
            "enabled": self.enabled,
            "firewall": self.firewall,
            "others": list(self.others),
        }

    @property
    def address(self) -> str:
        """Return the address in the overlay with its prefix, as it runs, else as it is stored; empty where there is none."""
        running = list(self.live.get("addresses", ()))
        return str(running[0] if running else self.stored.get("address") or "")

    @property
    def peers(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return (name, allowed networks) of each peer that is stored."""
        return tuple((str(peer.get("name", "")), tuple(peer.get("allowed_ips", ()))) for peer in self.stored.get("peers", ()))

    @property
    def running(self) -> bool:
        """Tell whether the tunnel's interface is there."""
        return bool(self.live)

    @property
    def ages(self) -> tuple[int | None, ...]:
        """Return the seconds since the last handshake of each peer, None where there was none."""
        return tuple(peer.get("latest_handshake_age") for peer in self.live.get("peers", ()))

    @property
    def age(self) -> int | None:
        """Return the seconds since the latest handshake of any peer, None where there was none."""
        return min((age for age in self.ages if age is not None), default=None)


def differences(planned: Mapping[str, t.Any], observed: Gateway, ends: Mapping[str, Gateway]) -> list[Difference]:
    """Return what the role would do on a gateway, in the order in which it does it.

    `planned` are the role's variables for it, `ends` the gateways at the other ends, by host. A peer that was not read keeps its
    keys, and is none where nobody knows them. `observed` must have been read.
    """
    asked = _asked(planned)
    own = _End.of_gateway(observed)
    asked["peers"] = []
    for peer in planned[PREFIX + "peers"]:
        entry = {**peer, "name": peer["host"]}
        end = ends.get(peer["host"])
        if end is not None and not end.unread:
            entry["public_key"] = end.public_key or NEW
            if not own.agrees(_End.of_gateway(end)):
                entry["preshared_key"] = NEW
        asked["peers"].append(entry)
    return gateway_differences.differences(asked, observed.as_result())


def conflicts(planned: Mapping[str, t.Any], observed: Gateway) -> list[str]:
    """Return why the role would refuse a gateway, one sentence each: something is another federation's, or made by hand."""
    return gateway_differences.conflicts(_asked(planned), observed.as_result())


def _asked(planned: Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {option: planned[PREFIX + option] for option in OPTIONS}


def removals(planned: Mapping[str, t.Any], observed: Gateway) -> list[Difference]:
    """Return what the role would do with the state "absent"; a gateway that is another federation's is left alone."""
    if observed.federation not in ("", planned[PREFIX + "federation"]):
        return []
    return gateway_differences.removals(planned[PREFIX + "interface"], observed.as_result())


@dataclass(frozen=True)
class _End:
    """What decides whether two ends share their keys: the public key, and digests of preshared keys by the peer's public key."""

    public_key: str
    preshared: Mapping[str, str]

    @classmethod
    def of_gateway(cls, gateway: Gateway) -> _End:
        """Return that of a gateway as it was read."""
        return cls(gateway.public_key, {peer["public_key"]: peer["preshared"] for peer in gateway.stored.get("peers", ())})

    @classmethod
    def of_applied(cls, applied: Mapping[str, t.Any]) -> _End:
        """Return that of a result of the module `gateway`."""
        peers = applied.get("peers") or ()
        return cls(str(applied.get("public_key") or ""), {peer["public_key"]: peer["preshared"] for peer in peers})

    def agrees(self, other: _End) -> bool:
        """Tell whether both ends have the same preshared key for each other."""
        ours, theirs = self.preshared.get(other.public_key, ""), other.preshared.get(self.public_key, "")
        return bool(ours) and ours == theirs


def _ends(applied: Mapping[str, t.Any], others: Mapping[str, Mapping[str, t.Any]]) -> dict[str, _End]:
    """Return the other ends that have a key and were made for the same federation in this run."""
    known = {}
    for host, other in others.items():
        result = other.get("applied") or {}
        if result.get("federation") == applied.get("federation") and result.get("public_key"):
            known[host] = _End.of_applied(result)
    return known


def new_preshared_keys(applied: Mapping[str, t.Any], others: Mapping[str, Mapping[str, t.Any]]) -> dict[str, str]:
    """Return a new preshared key for every spoke that does not share one with the hub. A secret.

    `applied` is what the module `gateway` returned on the hub, `others` {host: {applied}} what it returned on the spokes.
    """
    own = _End.of_applied(applied)
    ends = _ends(applied, others) if own.public_key else {}
    return {
        host: base64.b64encode(secrets.token_bytes(wireguard.KEY_BYTES)).decode()
        for host, end in ends.items()
        if not own.agrees(end)
    }


def exchanged(
    peers: Sequence[Mapping[str, t.Any]],
    applied: Mapping[str, t.Any],
    others: Mapping[str, Mapping[str, t.Any]],
    preshared: Mapping[str, str],
) -> list[dict[str, t.Any]]:
    """Return the peers of a gateway with the keys that are news to it; empty where there are none.

    `peers` are those of the role's variables, `applied` and `others` what the module returned here and at the other ends, and
    `preshared` the new preshared keys by peer. The result is the option `peers` of the module.
    """
    has = {peer["name"]: peer for peer in applied.get("peers") or ()}
    ends = _ends(applied, others)
    news, result = False, []
    for peer in peers:
        host = peer["host"]
        given = {key: value for key, value in peer.items() if key != "host"}
        entry = {**given, "name": host}
        if host in ends:
            entry["public_key"] = ends[host].public_key
            entry["preshared_key"] = preshared.get(host, "")
            mine = has.get(host, {})
            news = news or mine.get("public_key") != entry["public_key"] or bool(entry["preshared_key"])
        result.append(entry)
    return result if news else []
