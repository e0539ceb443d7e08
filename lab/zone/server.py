# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a lab zone together and serves it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from . import hypervisor as hypervisors
from .admin import AdminApi
from .config import ZoneConfig
from .faults import Faults, Handler
from .oned.api import XmlRpcServer
from .oned.core import Oned, read_auth_file
from .oned.federation import Federation
from .oned.templates import make_image, make_template
from .oned.vm_lifecycle import VmLifecycle
from .oned.vnets import make_vnet
from .oneflow.api import FlowApi
from .oneflow.lifecycle import ServiceLifecycle
from .onegate.api import GateApi
from .store import Store
from .template_text import Template

log = logging.getLogger("lab.zone")


class Zone:
    """One running lab zone. `ports` are the ones it really listens on."""

    def __init__(self, config: ZoneConfig, executor: ThreadPoolExecutor) -> None:
        self.config = config
        self.store = Store(config.database)
        self.one = Oned(config, self.store)
        self.faults = Faults()
        self.one.vms = VmLifecycle(self.one, hypervisors.load(config.hypervisor), executor)
        self.one.federation = Federation(self.one, read_auth_file(config.auth_file))
        self.flow = ServiceLifecycle(self.one)
        self.ports: dict[str, int] = {}
        self._runners: dict[str, web.AppRunner] = {}
        self._handlers: dict[str, Handler] = {
            "xmlrpc": self.faults.wrap("oned", XmlRpcServer(self.one).handle),
            "oneflow": self.faults.wrap("oneflow", FlowApi(self.one, self.flow).handle),
            "onegate": self.faults.wrap("onegate", GateApi(self.one, self.flow).handle),
            "admin": AdminApi(self.one, self.flow, self.faults, self.set_component).handle,
        }

    async def start(self) -> None:
        for name in self.config.listen:
            await self._listen(name)
        await self.one.federation.start(self.ports["xmlrpc"])
        self._seed()
        self.one.vms.start()
        self.flow.start()

    async def stop(self) -> None:
        for name in list(self._runners):
            await self._runners.pop(name).cleanup()
        await self.flow.stop()
        await self.one.vms.stop()
        await self.one.federation.stop()
        self.store.close()

    async def _listen(self, name: str) -> None:
        host, port = self.config.listen[name]
        port = self.ports.get(name, port)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve(name))
        if name in ("oneflow", "onegate"):
            app.on_response_prepare.append(_bare)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=15, shutdown_timeout=0.2)
        await runner.setup()
        context = None
        if self.config.tls and name in ("xmlrpc", "oneflow"):
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.config.tls["cert"], self.config.tls["key"])
        await web.TCPSite(runner, host, port, reuse_address=True, ssl_context=context).start()
        self.ports[name] = runner.addresses[0][1]
        self._runners[name] = runner

    def _serve(self, name: str) -> Handler:
        handler = self._handlers[name]

        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception:
                log.exception("zone %s: %s %s %s", self.config.name, name, request.method, request.path)
                return web.Response(status=500, text="the lab zone itself failed, see its log")

        return serve

    async def set_component(self, name: str, running: bool) -> None:
        """Stop or start oned, OneFlow or OneGate; the others live on, as the real ones do."""
        port = {"oned": "xmlrpc", "oneflow": "oneflow", "onegate": "onegate"}[name]
        if name == "oned":
            self.one.down = not running
        if running and port not in self._runners:
            await self._listen(port)
        elif not running and port in self._runners:
            await self._runners.pop(port).cleanup()

    def _seed(self) -> None:
        if self.store.value("seeded"):
            return
        admin = self.one.user(0)
        for vnet in self.config.seed.get("vnets", []):
            make_vnet(self.one, vnet)
        for seed in self.config.seed.get("images", []):
            make_image(self.one, admin, seed["name"], persistent=True, size=seed["size"])
        for seed in self.config.seed.get("vm_templates", []):
            template = Template([("CPU", str(seed.get("cpu", 1))), ("MEMORY", str(seed.get("memory", 512)))])
            if vcpu := seed.get("vcpu"):
                template.add("VCPU", str(vcpu))
            if image := seed.get("image"):
                if not any(known.name == image for known in self.store.all("image")):
                    make_image(self.one, admin, image)
                template.add("DISK", {"IMAGE": image, "IMAGE_UNAME": admin.name})
            for target, image in seed.get("disks", {}).items():
                template.add("DISK", {"IMAGE": image, "IMAGE_UNAME": admin.name, "TARGET": target})
            if nic := seed.get("nic"):
                template.add("NIC", {"NETWORK": nic, "NETWORK_UNAME": admin.name})
            default = {"NETWORK": "YES", "REPORT_READY": "YES", "TOKEN": "YES", "SSH_PUBLIC_KEY": "$USER[SSH_PUBLIC_KEY]"}
            template.add("CONTEXT", {name: str(value) for name, value in seed.get("context", default).items()})
            for name, value in seed.get("attributes", {}).items():
                template.replace(name.upper(), value if isinstance(value, dict) else str(value))
            make_template(self.one, admin, seed["name"], template)
        self.store.set_value("seeded", True)


async def _bare(request: web.Request, response: web.StreamResponse) -> None:
    """Puma, which serves the real OneFlow and OneGate, sends neither of these."""
    response.headers.popall("Date", None)
    response.headers.popall("Server", None)


@contextlib.asynccontextmanager
async def serve(*configs: ZoneConfig):
    """Run zones on the current event loop; yield them when all of them listen."""
    executor = ThreadPoolExecutor(max_workers=16, thread_name_prefix="hypervisor")
    zones = [Zone(config, executor) for config in configs]
    started: list[Zone] = []
    try:
        for zone in zones:
            started.append(zone)
            await zone.start()
        yield zones
    finally:
        await asyncio.gather(*(zone.stop() for zone in started))
        executor.shutdown(wait=False, cancel_futures=True)
