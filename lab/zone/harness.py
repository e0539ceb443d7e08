# SPDX-License-Identifier: GPL-3.0-or-later
"""Lab zones for tests: on an event loop of their own in a thread, on free loopback ports."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
import typing as t
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path

from .config import ZoneConfig
from .server import Zone, serve

PASSWORD = "***"  # what the recordings have in the place of every password
FAST = {
    "scale": 0.02,
    "schedule": 2,
    "prolog": 1,
    "boot": 2,
    "shutdown": 2,
    "epilog": 1,
    "action": 2,
    "replication": 8,
    "retry": 10,
    "reconcile": 0,
}


def config(folder: Path, name: str, zone_id: int = 0, role: str = "standalone", **more: t.Any) -> ZoneConfig:
    auth = folder / "one_auth"
    auth.write_text(f"oneadmin:{PASSWORD}\n")
    return ZoneConfig.from_dict(
        {
            "name": name,
            "zone_id": zone_id,
            "role": role,
            "auth_file": str(auth),
            "database": str(folder / f"{name}.db"),
            "listen": {api: ["127.0.0.1", 0] for api in ("xmlrpc", "oneflow", "onegate", "admin")},
            "onegate_endpoint": "http://127.0.0.1:5030",
            "hypervisor": "none",
            "timings": FAST,
            "seed": {
                "vnets": [
                    {
                        "name": "lan",
                        "bridge": "lan",
                        "first_ip": "10.0.0.100",
                        "size": 50,
                        "network": "10.0.0.0",
                        "mask": "255.255.255.0",
                        "gateway": "",
                    }
                ],
                "vm_templates": [{"name": "base", "image": "base", "nic": "lan"}],
            },
            **more,
        }
    )


class Running:
    """Zones that run; `stop` and `start` can be called from the test's thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._stacks: list[tuple[contextlib.AsyncExitStack, list[Zone]]] = []

    def run(self, coroutine: t.Any) -> t.Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def start(self, *configs: ZoneConfig) -> list[Zone]:
        stack = contextlib.AsyncExitStack()
        zones = self.run(stack.enter_async_context(serve(*configs)))
        self._stacks.append((stack, zones))
        return zones

    def stop(self, zone: Zone) -> None:
        for entry in self._stacks:
            if zone in entry[1]:
                self.run(entry[0].aclose())
                self._stacks.remove(entry)
                return

    @staticmethod
    async def _cancel_rest() -> None:
        """Cancel the requests that a test left without an answer."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def close(self) -> None:
        for stack, _ in self._stacks:
            self.run(stack.aclose())
        self.run(self._cancel_rest())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)


@contextlib.contextmanager
def running(*configs: ZoneConfig) -> Iterator[tuple[Running, list[Zone]]]:
    runner = Running()
    try:
        yield runner, runner.start(*configs) if configs else []
    finally:
        runner.close()


def url(zone: Zone, api: str, path: str = "") -> str:
    return f"http://127.0.0.1:{zone.ports[api]}{path}"


def one(zone: Zone, name: str, *arguments: t.Any, session: str = f"oneadmin:{PASSWORD}") -> t.Any:
    """Return the value of an XML-RPC call. Raises AssertionError when the zone answers with an error."""
    proxy = xmlrpc.client.ServerProxy(url(zone, "xmlrpc", "/RPC2"))
    answer = getattr(proxy, name)(session, *arguments)
    assert answer[0], answer
    return answer[1]


def flow(zone: Zone, verb: str, path: str, body: t.Any = None, user: str = "oneadmin") -> tuple[int, t.Any]:
    """Return the status of a OneFlow call, and its body as JSON or text."""
    token = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url(zone, "oneflow", path), data, {"Authorization": f"Basic {token}"}, method=verb)
    return _open(request)


def admin(zone: Zone, verb: str, path: str, body: t.Any = None) -> t.Any:
    data = None if body is None else json.dumps(body).encode()
    return _open(urllib.request.Request(url(zone, "admin", path), data, method=verb))


def gate(zone: Zone, verb: str, path: str, vm: int, token: str, body: str | None = None) -> tuple[int, t.Any]:
    headers = {"X-ONEGATE-TOKEN": token, "X-ONEGATE-VMID": str(vm), "Content-Type": "text/plain"}
    data = None if body is None else body.encode()
    return _open(urllib.request.Request(url(zone, "onegate", path), data, headers, method=verb))


def _open(request: urllib.request.Request) -> tuple[int, t.Any]:
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def token(zone: Zone, vm: int) -> str:
    """Return the token as the guest finds it on its context disk."""
    return zone.one.vms.hypervisor.machines[zone.config.name, vm].context["token.txt"].decode().strip()


def until(condition: Callable[[], t.Any], what: str = "", seconds: float = 5.0) -> t.Any:
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.003)


def body(zone: Zone, service: int) -> dict[str, t.Any] | None:
    status, answer = flow(zone, "GET", f"/service/{service}")
    return answer["DOCUMENT"]["TEMPLATE"]["BODY"] if status == 200 else None


def vm(zone: Zone, number: int) -> tuple[int, int]:
    entity = zone.store.get("vm", number)
    assert entity is not None
    return entity.data["state"], entity.data["lcm"]
