# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones: their documents, which oned accepts which call, and the steps that make a zone what a task asks for.

oned takes allocate, update, rename and delete at the federation's master (zone 0; slaves pass them on), and enable and the
servers only at the zone itself (rm/api/ZoneAPI.cc).
"""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from .answers import as_dict, as_list, to_int
from .errors import NotFound, Refused
from .oned import Oned
from .secrets import masked
from .session import Session
from .states import raft_state_name, zone_state_name
from .template_text import equal, render_template

MASTER_ZONE = 0
# Zones with a lower id are part of the installation and cannot be deleted.
FIRST_DELETABLE = 100
ENABLED, DISABLED = "ENABLED", "DISABLED"
# How long a slave may take to show what the master wrote (6-11 ms measured on loopback), seconds.
SETTLE = 10.0


@dataclass(frozen=True)
class Server:
    """One server of a zone. id and state (its raft state) are None where they are not known."""

    id: int | None
    name: str
    endpoint: str
    state: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, t.Any]) -> Server:
        """Return the server of an element of SERVER_POOL."""
        state = to_int(document.get("STATE"))
        return cls(
            id=to_int(document.get("ID")),
            name=str(document.get("NAME", "")),
            endpoint=str(document.get("ENDPOINT", "")),
            state=raft_state_name(state) if state >= 0 else None,
        )

    def to_result(self) -> dict[str, t.Any]:
        """Return {id, name, endpoint, state}."""
        return {"id": self.id, "name": self.name, "endpoint": self.endpoint, "state": self.state}


@dataclass(frozen=True)
class Zone:
    """One zone of a federation; id is None where check mode cannot know it."""

    id: int | None
    name: str
    state: str
    attributes: Mapping[str, t.Any]
    servers: tuple[Server, ...] = ()

    @classmethod
    def from_document(cls, document: Mapping[str, t.Any]) -> Zone:
        """Return the zone of a zone document."""
        servers = as_list(as_dict(document.get("SERVER_POOL")).get("SERVER"))
        return cls(
            id=to_int(document.get("ID")),
            name=str(document.get("NAME", "")),
            state=zone_state_name(to_int(document.get("STATE"))),
            attributes=as_dict(document.get("TEMPLATE")),
            servers=tuple(Server.from_document(as_dict(server)) for server in servers),
        )

    @property
    def endpoint(self) -> str:
        """URL of its oned."""
        return str(self.attributes.get("ENDPOINT", ""))

    @property
    def oneflow_endpoint(self) -> str:
        """URL of its OneFlow, empty when the zone does not say."""
        return str(self.attributes.get("ONEFLOW_ENDPOINT", ""))

    def server(self, name: str) -> Server | None:
        """Return the server of that name."""
        return next((server for server in self.servers if server.name == name), None)

    def to_result(self) -> dict[str, t.Any]:
        """Return {id, name, endpoint, oneflow_endpoint, state, attributes, servers}; values of secret names are hidden."""
        return {
            "id": self.id,
            "name": self.name,
            "endpoint": self.endpoint,
            "oneflow_endpoint": self.oneflow_endpoint,
            "state": self.state,
            "attributes": masked(self.attributes, by_name=True),
            "servers": [server.to_result() for server in self.servers],
        }

    def to_diff(self) -> dict[str, t.Any]:
        """Return what a diff shows: nothing that the server chooses, no secrets."""
        return {
            "name": self.name,
            "state": self.state,
            "attributes": masked(self.attributes, by_name=True),
            "servers": {server.name: server.endpoint for server in self.servers},
        }


# -- the steps ----------------------------------------------------------------------------------------------------------


class Step(t.Protocol):
    """One change of a zone. at_master tells which oned takes the call: the federation's master, or the zone's
    own. zone is None before Allocate."""

    at_master: t.ClassVar[bool]

    def send(self, oned: Oned, zone: t.Any) -> int:
        """Carry it out and return the zone's id."""

    def done(self, zone: Zone) -> bool:
        """Tell whether the zone shows it."""

    def predict(self, zone: t.Any) -> Zone:
        """Return the zone as it would be."""


@dataclass(frozen=True)
class Allocate:
    """Make a zone."""

    name: str
    attributes: Mapping[str, t.Any]
    at_master: t.ClassVar[bool] = True

    def send(self, oned: Oned, zone: Zone | None) -> int:
        """Carry it out and return the new id."""
        return to_int(oned.call("zone.allocate", render_template({"NAME": self.name, **self.attributes})))

    def done(self, zone: Zone) -> bool:
        """Tell whether the zone shows it: it is there."""
        return True

    def predict(self, zone: Zone | None) -> Zone:
        """Return the zone as it would be."""
        return Zone(None, self.name, ENABLED, self.attributes)


@dataclass(frozen=True)
class Write:
    """Merge attributes; replacing would drop ENDPOINT and cut the zone off."""

    attributes: Mapping[str, t.Any]
    at_master: t.ClassVar[bool] = True

    def send(self, oned: Oned, zone: Zone) -> int:
        """Carry it out."""
        oned.call("zone.update", zone.id, render_template(self.attributes), 1)
        return t.cast(int, zone.id)

    def done(self, zone: Zone) -> bool:
        """Tell whether the zone shows it."""
        return all(equal(zone.attributes.get(key), value) for key, value in self.attributes.items())

    def predict(self, zone: Zone) -> Zone:
        """Return the zone as it would be."""
        return replace(zone, attributes={**zone.attributes, **self.attributes})


@dataclass(frozen=True)
class Rename:
    """Give the zone another name."""

    name: str
    at_master: t.ClassVar[bool] = True

    def send(self, oned: Oned, zone: Zone) -> int:
        """Carry it out."""
        oned.call("zone.rename", zone.id, self.name)
        return t.cast(int, zone.id)

    def done(self, zone: Zone) -> bool:
        """Tell whether the zone shows it."""
        return zone.name == self.name

    def predict(self, zone: Zone) -> Zone:
        """Return the zone as it would be."""
        return replace(zone, name=self.name)


@dataclass(frozen=True)
class Switch:
    """Enable or disable the zone."""

    enabled: bool
    at_master: t.ClassVar[bool] = False

    @property
    def state(self) -> str:
        """State that the zone gets."""
        return ENABLED if self.enabled else DISABLED

    def send(self, oned: Oned, zone: Zone) -> int:
        """Carry it out."""
        oned.call("zone.enable", zone.id, self.enabled)
        return t.cast(int, zone.id)

    def done(self, zone: Zone) -> bool:
        """Tell whether the zone shows it."""
        return zone.state == self.state

    def predict(self, zone: Zone) -> Zone:
        """Return the zone as it would be."""
        return replace(zone, state=self.state)


@dataclass(frozen=True)
class AddServer:
    """Add a server to the zone."""

    name: str
    endpoint: str
    at_master: t.ClassVar[bool] = False

    def send(self, oned: Oned, zone: Zone) -> int:
        """Carry it out."""
        oned.call("zone.addserver", zone.id, render_template({"SERVER": {"NAME": self.name, "ENDPOINT": self.endpoint}}))
        return t.cast(int, zone.id)

    def done(self, zone: Zone) -> bool:
        """Tell whether the zone shows it."""
        return zone.server(self.name) is not None

    def predict(self, zone: Zone) -> Zone:
        """Return the zone as it would be."""
        return replace(zone, servers=(*zone.servers, Server(None, self.name, self.endpoint)))


@dataclass(frozen=True)
class RemoveServer:
    """Take a server out of the zone."""

    server: Server
    at_master: t.ClassVar[bool] = False

    def send(self, oned: Oned, zone: Zone) -> int:
        """Carry it out."""
        oned.call("zone.delserver", zone.id, self.server.id)
        return t.cast(int, zone.id)

    def done(self, zone: Zone) -> bool:
        """Tell whether the zone shows it."""
        return zone.server(self.server.name) is None

    def predict(self, zone: Zone) -> Zone:
        """Return the zone as it would be."""
        return replace(zone, servers=tuple(server for server in zone.servers if server.name != self.server.name))


# -- the federation -----------------------------------------------------------------------------------------------------


def usable(endpoint: str, from_endpoint: str) -> bool:
    """Tell whether an endpoint from the pool can be used from here; zone 0 is born as http://localhost:2633/RPC2."""
    try:
        host = urlsplit(endpoint).hostname or ""
        here = urlsplit(from_endpoint).hostname or ""
    except ValueError:
        return False
    return endpoint.startswith(("http://", "https://")) and host != "" and (not _loopback(host) or _loopback(here))


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


class Federation:
    """The zone pool as the session's oned knows it, and the way to each zone's oned."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.zones = [Zone.from_document(document) for document in session.oned.zones()]

    def apply(self, step: Step, zone: Zone | None) -> Zone:
        """Carry a step out and return the zone once it shows: where it was written, and at the task's endpoint.

        A slave that passed it on lags behind the master; the next task asks the slave again and must find what was done.
        """
        here = self.session.oned
        oned = self.master() if step.at_master else self.client_of(t.cast(int, t.cast(Zone, zone).id))
        number = step.send(oned, zone)
        seen: list[Zone] = []

        def shows(at: Oned) -> bool:
            try:
                seen.append(Zone.from_document(at.zone(number)))
            except NotFound:
                return False
            return step.done(seen[-1])

        for at in [oned] if oned is here else [oned, here]:
            self._settle(functools.partial(shows, at))
        self.zones = [*(entry for entry in self.zones if entry.id != number), seen[-1]]
        return seen[-1]

    def delete(self, zone: Zone) -> None:
        """Delete a zone; return once it is gone from the pool."""
        try:
            self.master().call("zone.delete", zone.id)
        except NotFound:
            return
        self._settle(lambda: zone.id not in [to_int(entry.get("ID")) for entry in self.session.oned.zones()])

    def _settle(self, reached: Callable[[], bool]) -> None:
        for _left in self.session.ticks(self.session.deadline(SETTLE), 0.01, 0.5):
            if reached():
                return
        raise Refused(f"the change was accepted, but does not show after {SETTLE:g} s", hint="Is replication working?")

    def client_of(self, zone_id: int) -> Oned:
        """Return the oned of a zone; the one behind the option endpoint when the pool does not know better."""
        here = self.session.oned
        endpoint = next((zone.endpoint.rstrip("/") for zone in self.zones if zone.id == zone_id), "")
        if endpoint == here.endpoint or not usable(endpoint, here.endpoint):
            return here
        return self.session.oned_at(endpoint)

    def master(self) -> Oned:
        """Return the oned for writes to the zone pool.

        When the endpoint in use is not in the pool under that name it may be the master by another address; it is kept, and
        passes the call on if it is a slave.
        """
        here = self.session.oned
        own = [zone for zone in self.zones if zone.endpoint.rstrip("/") == here.endpoint]
        return here if not own or own[0].id == MASTER_ZONE else self.client_of(MASTER_ZONE)


def named(zones: Sequence[Zone], name: str | None) -> Zone | None:
    """Return the zone of that name; names are unique in a federation."""
    return next((zone for zone in zones if zone.name == name), None)
