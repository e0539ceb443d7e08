# SPDX-License-Identifier: GPL-3.0-or-later
"""The federation between lab zones: slaves pass writes of zones and users on to the master, the master pushes the
result to every slave a little later (recordings: xmlrpc 049-061, 082, 087, 111-124).

What differs from OpenNebula, out of sight of its clients: the master pushes its whole federated state instead of a log
of SQL, and a slave with an empty database joins by itself (``lab.federation.join``) where an administrator would have
run ``onezone create`` and restored a backup.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import typing as t
import xmlrpc.client
from urllib.parse import urlsplit

import aiohttp

from ..store import Entity
from ..template_text import Template
from .core import ACTION, Fault, Oned, OneError, digest
from .users import make_user
from .zones import make_zone

log = logging.getLogger("lab.zone.federation")
_KINDS = ("zone", "user", "group")
_COUNTERS = tuple(f"next:{kind}" for kind in _KINDS)
_UNREACHABLE = "Could not connect to the federation master oned"


class Federation:
    """One zone's part in its federation. A standalone zone is a master without slaves."""

    def __init__(self, one: Oned, credentials: tuple[str, str]) -> None:
        self.one, self.config = one, one.config
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task] = set()
        self._sent: dict[int, int] = {}  # zone id -> index of the state it has
        self._pushing: set[int] = set()
        self.endpoint = ""

    @property
    def is_slave(self) -> bool:
        return self.config.role == "slave"

    # -- start --------------------------------------------------------------------------------------------------
    async def start(self, port: int) -> None:
        tls = self.config.tls
        trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=tls["ca"])) if tls else None
        self._session = aiohttp.ClientSession(connector=trust, timeout=aiohttp.ClientTimeout(total=10))
        self.endpoint = self.config.endpoint or f"http{'s' if tls else ''}://{self._address()}:{port}/RPC2"
        store = self.one.store
        name, password = self._credentials
        if store.get("user", 0) is None:
            for number, group in enumerate(("oneadmin", "users")):
                store.put(Entity("group", number, group))
            store.put(make_user(0, name, password, [0]))
            store.put(make_user(1, "serveradmin", store.value("secret"), [0], "server_cipher"))
            store.set_value("next:user", 2)
            store.set_value("next:group", 100)
            store.set_value("next:zone", 100)
            template = Template([("ENDPOINT", self.endpoint)])
            store.put(make_zone(self.config.zone_id, self.config.name, template))
        elif self.one.find("user", 0).data["password"] != digest(password):
            self._new_password(password)
        if not self.is_slave:
            own = store.get("zone", self.config.zone_id)
            if self.config.endpoint and own and own.template.get("ENDPOINT") != self.config.endpoint:
                own.template.replace("ENDPOINT", self.config.endpoint)
                store.put(own)
        if self.is_slave and not store.value("joined"):
            self._spawn(self._join())
        if not self.is_slave:
            self.changed()

    def _new_password(self, password: str) -> None:
        """Take the password of an auth file that was written anew since the last start."""
        admin = self.one.find("user", 0)
        admin.data["password"] = digest(password)
        self.one.store.put(admin)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    def _address(self) -> str:
        """Return the address under which the others reach this zone when it listens on all of them."""
        host = self.config.listen["xmlrpc"][0]
        if host not in ("0.0.0.0", "::", ""):
            return host
        if not self.config.master:
            return "localhost"  # as a fresh OpenNebula has it
        target = urlsplit(self.config.master)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target.hostname, target.port or 2633))
            except OSError:
                return "localhost"
            return probe.getsockname()[0]

    def _spawn(self, steps: t.Any) -> None:
        task = asyncio.get_running_loop().create_task(steps)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- calls between zones ------------------------------------------------------------------------------------
    async def _call(self, url: str, name: str, arguments: tuple) -> t.Any:
        """One XML-RPC call. Raises OSError, aiohttp.ClientError or asyncio.TimeoutError, or Fault."""
        assert self._session is not None
        body = xmlrpc.client.dumps(arguments, name, allow_none=True)
        async with self._session.post(url, data=body.encode(), headers={"Content-Type": "text/xml"}) as answer:
            text = await answer.text()
        try:
            return xmlrpc.client.loads(text)[0][0]
        except xmlrpc.client.Fault as fault:
            raise Fault(fault.faultCode, fault.faultString) from None

    async def forward(self, name: str, session: str, arguments: tuple) -> t.Any:
        """Have the master do a slave's write. Raises OneError with the master's text."""
        assert self.config.master
        try:
            answer = await self._call(self.config.master, name, (session, *arguments))
        except (OSError, aiohttp.ClientError, TimeoutError):
            raise OneError(f"[{name}] {_UNREACHABLE}") from None
        if not answer[0]:
            raise OneError(answer[1], answer[2], answer[3])
        return answer[1]

    async def tell_master(self, session: str, before: str) -> None:
        """Tell the master that a slave changed its own zone record, which was `before`; else it did not happen."""
        zone = self.one.find("zone", self.config.zone_id)
        try:
            await self.forward("lab.federation.zone", session, (zone.dump(),))
        except OneError as error:
            self.one.store.put(Entity.parse(before))
            raise OneError(error.text, ACTION) from None

    # -- replication --------------------------------------------------------------------------------------------
    def changed(self, lag: float = 0.0) -> None:
        """Push the master's federated state, which is new."""
        if self.is_slave:
            return
        self.one.store.set_value("fedlog", self.one.store.value("fedlog", 0) + 1)
        for zone in self.one.store.all("zone"):
            if zone.id != self.config.zone_id and zone.id not in self._pushing:
                self._pushing.add(zone.id)
                self._spawn(self._push(zone.id, lag))

    def _state(self) -> dict[str, t.Any]:
        store = self.one.store
        return {
            "index": store.value("fedlog", 0),
            "kinds": {kind: store.dump_kind(kind) for kind in _KINDS},
            "counters": {name: store.value(name, 0) for name in _COUNTERS},
        }

    async def _push(self, number: int, lag: float) -> None:
        try:
            await asyncio.sleep(max(self.config.timings["replication"], lag))
            while zone := self.one.store.get("zone", number):
                index = self.one.store.value("fedlog", 0)
                if self._sent.get(number, -1) >= index:
                    return
                url = zone.template.get("ENDPOINT")
                if not url.startswith("http"):
                    return  # ENDPOINT="-": the zone is lost until someone writes a new one
                try:
                    answer = await self._call(url, "lab.federation.replicate", (":".join(self._credentials), self._state()))
                    if answer[0]:
                        self._sent[number] = index
                        continue
                except (OSError, aiohttp.ClientError, TimeoutError, Fault, ValueError, xmlrpc.client.Error) as error:
                    log.debug("zone %s cannot reach zone %s: %s", self.config.name, number, error)
                await asyncio.sleep(self.config.timings["retry"])
        finally:
            self._pushing.discard(number)

    def replicate(self, state: dict[str, t.Any]) -> int:
        """Take the state that the master pushes."""
        if not self.is_slave:
            raise OneError("Cannot replicate federate log records on federation master", ACTION)
        store = self.one.store
        if state["index"] >= store.value("fedlog", -1) or not store.value("joined"):
            for kind, dumps in state["kinds"].items():
                if dumps != store.dump_kind(kind):
                    store.replace_kind(kind, dumps)
            for name, value in state["counters"].items():
                store.set_value(name, value)
            store.set_value("fedlog", state["index"])
            store.set_value("joined", True)
        return state["index"]

    async def _join(self) -> None:
        """Introduce a slave with an empty database to its master, until it is heard."""
        while True:
            session = ":".join(self._credentials)
            arguments = (session, self.config.zone_id, self.config.name, self.endpoint)
            try:
                answer = await self._call(str(self.config.master), "lab.federation.join", arguments)
                if answer[0]:
                    self.replicate(answer[1])
                    return
                log.error("zone %s cannot join: %s", self.config.name, answer[1])
            except (OSError, aiohttp.ClientError, TimeoutError, Fault, xmlrpc.client.Error) as error:
                log.debug("zone %s cannot join yet: %s", self.config.name, error)
            await asyncio.sleep(self.config.timings["retry"])

    # -- the calls of other zones (not part of OpenNebula) ------------------------------------------------------
    def internal(self, user: Entity, name: str, arguments: tuple) -> t.Any:
        if user.id != 0:
            raise OneError(f"[{name}] only for oneadmin", ACTION)
        if name == "lab.federation.replicate":
            return self.replicate(arguments[0])
        if self.is_slave:
            raise OneError(f"[{name}] only at the master", ACTION)
        store = self.one.store
        if name == "lab.federation.zone":
            store.put(Entity.parse(arguments[0]))
            self.changed()
            return True
        if name == "lab.federation.join":
            number = arguments[0]
            if store.get("zone", number) is None:
                store.put(make_zone(number, arguments[1], Template([("ENDPOINT", arguments[2])])))
                store.set_value("next:zone", max(store.value("next:zone", 100), number + 1))
            self.changed(lag=0.2)  # many zones may start at once: one push for all of them
            return self._state()
        raise Fault(-506, f"Method '{name}' not defined")
