# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML-RPC face of the lab zone's oned, with the headers and the spelling of the real one's answers."""

from __future__ import annotations

import typing as t
import xmlrpc.client
from email.utils import formatdate
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape

from aiohttp import web

from ..store import Entity

# Imported for the methods that they register.
from . import documents, templates, users, vms, vnets, zones  # noqa: F401
from .core import AUTHENTICATION, METHODS, Fault, Oned, OneError, bind


def _value(value: t.Any) -> str:
    if isinstance(value, bool):
        return f"<value><boolean>{int(value)}</boolean></value>"
    if isinstance(value, int):
        return f"<value><i4>{value}</i4></value>"
    if isinstance(value, dict):
        return xmlrpc.client.dumps((value,)).split("<param>\n", 1)[1].rsplit("</param>", 1)[0].strip()
    return f"<value><string>{escape(str(value))}</string></value>"


def _answer(inner: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\r\n<methodResponse>\r\n{inner}</methodResponse>\r\n'
    return web.Response(
        body=text.encode(),
        headers={
            "Content-Type": "text/xml; charset=utf-8",
            "Date": formatdate(usegmt=True).replace("GMT", "UTC"),
            "Server": "Xmlrpc-c_Abyss/1.33.14",
        },
    )


def _array(values: list[str]) -> web.Response:
    lines = "".join(f"{value}\r\n" for value in values)
    return _answer(f"<params>\r\n<param><value><array><data>\r\n{lines}</data></array></value></param>\r\n</params>\r\n")


def success(value: t.Any) -> web.Response:
    return _array([_value(True), _value(value), _value(0)])


def failure(error: OneError) -> web.Response:
    return _array([_value(False), _value(error.text), _value(error.code), _value(error.object_id), "<value><i8>-1</i8></value>"])


def fault(error: Fault) -> web.Response:
    return _answer(
        "<fault>\r\n<value><struct>\r\n<member><name>faultCode</name>\r\n"
        f"<value><i4>{error.code}</i4></value></member>\r\n<member><name>faultString</name>\r\n"
        f"<value><string>{escape(error.text)}</string></value></member>\r\n</struct></value>\r\n</fault>\r\n"
    )


class XmlRpcServer:
    """Handler of every request to the XML-RPC port."""

    def __init__(self, one: Oned) -> None:
        self.one = one

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/RPC2":
            return web.Response(status=404, text="File not found")
        if request.method != "POST":
            return web.Response(status=405, text="POST is the only HTTP method this server understands")
        try:
            arguments, name = xmlrpc.client.loads(await request.read())
        except (ExpatError, xmlrpc.client.Error, ValueError, TypeError) as error:
            return fault(Fault(-503, f"Call is not valid XML.  {error}"))
        try:
            return success(await self._dispatch(str(name), arguments))
        except Fault as error:
            return fault(error)
        except OneError as error:
            return failure(error)

    async def _dispatch(self, name: str, arguments: tuple) -> t.Any:
        internal = name.startswith("lab.federation.")
        spec = METHODS.get(name)
        if spec is None and not internal:
            raise Fault(-506, f"Method '{name}' not defined")
        if not arguments:
            raise Fault(-501, "Not enough parameters")
        session, arguments = arguments[0], arguments[1:]
        if not isinstance(session, str):
            raise Fault(-501, "Parameter that is supposed to be string is not")
        if spec:
            bind(spec, arguments)
        user = self.one.authenticate(session)
        if user is None:
            raise OneError(f"[{name}] User couldn't be authenticated, aborting call.", AUTHENTICATION)
        federation = self.one.federation
        if internal:
            return federation.internal(user, name, arguments)
        assert spec
        if spec.federated and federation.is_slave:
            return await self._forward(user, name, session, arguments)
        own = self.one.store.get("zone", self.one.config.zone_id) if name in zones.OWN else None
        before = own.dump() if own else ""
        value = self.one.call(user, name, *arguments)
        if before and federation.is_slave:
            try:
                await federation.tell_master(session, before)
            except OneError as error:
                raise OneError(f"[{name}] {error.text.partition('] ')[2]}", error.code) from None
        elif spec.federated or before:
            federation.changed()
        return value

    async def _forward(self, user: Entity, name: str, session: str, arguments: tuple) -> t.Any:
        if self.one.disabled():
            raise OneError(f"[{name}] Cannot process request, zone disabled")
        return await self.one.federation.forward(name, session, arguments)
