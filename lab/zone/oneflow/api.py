# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow's REST API, with the status codes and bodies of the real one - those that mislead included.

Every answer, JSON too, is ``text/html``; errors are plain text; an exception inside the real server is a 500 with JSON.
The template actions drop the results of what they do: renaming a template that does not exist is a 204.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import copy
import json
import re
import typing as t
from collections.abc import Callable
from html import escape

from aiohttp import web

from ..oned.core import AUTHENTICATION, AUTHORIZATION, NO_EXISTS, Oned, OneError, now
from ..store import Entity
from . import generation6, schema
from .lifecycle import ServiceLifecycle
from .render import merge_instantiation
from .schema import ParseError, RubyError, compact, parse_json, to_i
from .services import SERVICE_TYPE, TEMPLATE_TYPE, FlowError, Service, allocate, call, get_document, write_body

_HTTP = {0: 200, AUTHORIZATION: 401, AUTHENTICATION: 403, NO_EXISTS: 404}
_HTML = {
    "Content-Type": "text/html;charset=utf-8",
    "X-XSS-Protection": "1; mode=block",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}
ROUTES: list[tuple[str, str, str]] = []


def route(verb: str, path: str) -> Callable:
    def register(function: Callable) -> Callable:
        ROUTES.append((verb, path, function.__name__))
        return function

    return register


def pretty(value: t.Any, indent: str = "") -> str:
    """Return JSON as Ruby's pretty_generate writes it, empty arrays and hashes on several lines."""
    if isinstance(value, dict):
        if not value:
            return "{\n" + indent + "}"
        inner = ",\n".join(f"{indent}  {compact(str(k))}: {pretty(v, indent + '  ')}" for k, v in value.items())
        return "{\n" + inner + "\n" + indent + "}"
    if isinstance(value, list):
        if not value:
            return "[\n\n" + indent + "]"
        return "[\n" + ",\n".join(f"{indent}  {pretty(v, indent + '  ')}" for v in value) + "\n" + indent + "]"
    return compact(value)


class FlowApi:
    """Handler of every request to OneFlow's port."""

    def __init__(self, one: Oned, lifecycle: ServiceLifecycle) -> None:
        self.one, self.lifecycle = one, lifecycle
        rules = generation6 if one.config.facts.generation == 6 else schema
        self._validate, self._validate_role = rules.validate, rules.validate_role
        self._vm_template = one.config.facts.vm_template

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self.one.config.timings["latency"])
        text = (await request.read()).decode("utf-8", "replace")
        try:
            user = self._authenticate(request.headers.get("Authorization", ""))
            if isinstance(user, str):
                return self._answer(401, user)
            return self._dispatch(request, user, text)
        except FlowError as error:
            return self._answer(_HTTP.get(error.code, 500), error.text)
        except RubyError as error:
            return self._ruby(str(error))

    # -- HTTP ---------------------------------------------------------------------------------------------------
    def _authenticate(self, header: str) -> Entity | str:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "basic":
            return "A username and password must be provided"
        try:
            session = base64.b64decode(token, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return "Invalid credentials"
        # A dead oned looks to OneFlow's clients like wrong credentials.
        user = None if self.one.down else self.one.authenticate(session)
        return user or "Invalid credentials"

    def _dispatch(self, request: web.Request, user: Entity, text: str) -> web.Response:
        verb = "GET" if request.method == "HEAD" else request.method
        for wanted, path, name in ROUTES:
            pattern = re.sub(r":(\w+)", r"(?P<\1>[^/?#]+)", path)
            match = re.fullmatch(pattern, request.path) if wanted == verb else None
            if match:
                status, body = getattr(self, name)(user, text, **match.groupdict())
                return self._answer(status, body)
        return self._unknown(request)

    @staticmethod
    def _answer(status: int, body: str) -> web.Response:
        if status == 204:
            return web.Response(status=204, headers={"X-Content-Type-Options": "nosniff"})
        # The body of an answer to HEAD stays away by itself; its length does not.
        return web.Response(status=status, body=body.encode(), headers=_HTML)

    def _ruby(self, reason: str) -> web.Response:
        return self._answer(500, compact({"message": "Internal server error", "reason": reason}))

    @staticmethod
    def _unknown(request: web.Request) -> web.Response:
        path = escape(f"'{request.path}'").replace("/", "&#x2F;")
        page = (
            '<!DOCTYPE html>\n<html>\n<head>\n  <style type="text/css">\n'
            "  body { text-align:center;font-family:helvetica,arial;font-size:22px;\n    color:#888;margin:20px}\n"
            "  #c {margin:0 auto;width:500px;text-align:left}\n  </style>\n</head>\n<body>\n"
            f"  <h2>Sinatra doesn’t know this ditty.</h2>\n  <img src='http://{request.host}/__sinatra__/404.png'>\n"
            f'  <div id="c">\n    Try this:\n    <pre>{request.method.lower()} {path} do\n'
            "  &quot;Hello World&quot;\nend\n</pre>\n  </div>\n</body>\n</html>\n"
        )
        return web.Response(status=404, body=page.encode(), headers={"X-Cascade": "pass", **_HTML})

    # -- documents ----------------------------------------------------------------------------------------------
    def _hash(self, document: Entity) -> dict[str, t.Any]:
        one = self.one
        return {
            "ID": str(document.id),
            "UID": str(document.uid),
            "GID": str(document.gid),
            "UNAME": one.user_name(document.uid),
            "GNAME": one.group_name(document.gid),
            "NAME": document.name,
            "TYPE": str(document.data["type"]),
            "PERMISSIONS": one.permissions(document),
            "TEMPLATE": {"BODY": json.loads(document.template.get("BODY"))},
        }

    def _shown(self, user: Entity, number: int, kind: int) -> str:
        return pretty({"DOCUMENT": self._hash(get_document(self.one, user, number, kind))})

    def _list(self, user: Entity, kind: int) -> str:
        call(self.one, user, "one.documentpool.info", -2, -1, -1, kind)
        found = [self._hash(d) for d in self.one.visible(user, "document") if d.data["type"] == kind]
        return pretty({"DOCUMENT_POOL": {"DOCUMENT": found} if found else {}})

    @staticmethod
    def _action(text: str) -> tuple[t.Any, t.Any]:
        """(perform, params) of an action body; what is not one makes the real server raise."""
        try:
            body = parse_json(text)
        except ParseError as error:
            raise RubyError(str(error)) from None
        action = body.get("action") if isinstance(body, dict) else None
        if not isinstance(action, dict):
            raise RubyError(
                "undefined method `[]' for nil:NilClass\n\n    opts   = action['params']\n                   ^^^^^^^^^^"
            )
        return action.get("perform"), action.get("params")

    # -- services -----------------------------------------------------------------------------------------------
    @route("GET", "/service")
    def services(self, user: Entity, text: str) -> tuple[int, str]:
        return 200, self._list(user, SERVICE_TYPE)

    @route("GET", "/service/:number")
    def service(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        return 200, self._shown(user, to_i(number), SERVICE_TYPE)

    @route("DELETE", "/service/:number")
    def service_delete(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        get_document(self.one, user, to_i(number), SERVICE_TYPE)
        self.lifecycle.undeploy(user, to_i(number))
        return 204, ""

    @route("POST", "/service/:number/action")
    def service_action(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        perform, options = self._action(text)
        given = options if isinstance(options, dict) else {}
        identity, lifecycle = to_i(number), self.lifecycle
        missing = {
            "chown": ("owner_id", "a UID"),
            "chgrp": ("group_id", "a GID"),
            "chmod": ("octet", "an OCTET"),
            "rename": ("name", "a name"),
        }
        if perform in missing and not given.get(missing[perform][0]):
            raise FlowError(f"Action {perform}: You have to specify {missing[perform][1]}")
        if perform == "recover":
            lifecycle.recover(user, identity, delete=bool(given.get("delete")))
        elif perform == "chown":
            lifecycle.chown(user, identity, to_i(given["owner_id"]), to_i(given.get("group_id", -1)))
        elif perform == "chgrp":
            lifecycle.chown(user, identity, -1, to_i(given["group_id"]))
        elif perform == "chmod":
            Service(self.one, user, identity)
            call(self.one, user, "one.document.chmod", identity, *_octet(given["octet"]))
        elif perform == "rename":
            Service(self.one, user, identity)
            call(self.one, user, "one.document.rename", identity, str(given["name"]))
        elif perform == "release":
            lifecycle.release(user, identity)
        else:
            raise FlowError(f"Action {perform} not supported")
        return 204, ""

    @route("PUT", "/service/:number")
    def service_update(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        append = False
        try:
            template = parse_json(text)
            if "append" in template:
                if "template" not in template:
                    return 400, "Missing template to append"
                append, text = template["append"], template["template"]
                template = parse_json(text)
            if not append:
                self._validate(template)
        except ParseError as error:
            return 400, str(error)
        Service(self.one, user, to_i(number)).replace(text, bool(append))
        return 204, ""

    @route("POST", "/service/:number/scale")
    def service_scale(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        try:
            body = parse_json(text)
        except ParseError as error:
            raise RubyError(str(error)) from None
        cardinality = to_i(body.get("cardinality"))
        self.lifecycle.scale(user, to_i(number), body.get("role_name"), cardinality, body.get("force"))
        return 204, ""

    @route("POST", "/service/:number/role_action")
    def service_roles(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        perform, options = self._action(text)
        given = options if isinstance(options, dict) else {}
        if perform == "add_role":
            try:
                role = given.get("role")
                role = role if isinstance(role, dict) else parse_json(role or "")
                self._validate_role(role)
            except ParseError as error:
                return 400, str(error)
            self.lifecycle.add_role(user, to_i(number), role)
        elif perform == "remove_role":
            self.lifecycle.remove_role(user, to_i(number), str(given.get("role")))
        else:
            raise FlowError(f"Action {perform} not supported")
        return 204, ""

    # -- service templates --------------------------------------------------------------------------------------
    @route("GET", "/service_template")
    def templates(self, user: Entity, text: str) -> tuple[int, str]:
        return 200, self._list(user, TEMPLATE_TYPE)

    @route("GET", "/service_template/:number")
    def template(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        return 200, self._shown(user, to_i(number), TEMPLATE_TYPE)

    @route("POST", "/service_template")
    def template_create(self, user: Entity, text: str) -> tuple[int, str]:
        try:
            body = parse_json(text)
            self._validate(body)
        except ParseError as error:
            return 400, str(error)
        body["registration_time"] = now()
        return 201, self._shown(user, allocate(self.one, user, TEMPLATE_TYPE, body["name"], body), TEMPLATE_TYPE)

    @route("DELETE", "/service_template/:number")
    def template_delete(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        try:
            how = json.loads(text)["delete_type"]
        except (ValueError, KeyError, TypeError):
            how = "none"
        document = get_document(self.one, user, to_i(number), TEMPLATE_TYPE)
        if how and how != "none":
            body = json.loads(document.template.get("BODY"))
            for template in dict.fromkeys(int(role[self._vm_template]) for role in body["roles"]):
                call(self.one, user, "one.template.delete", template, how == "all")
        call(self.one, user, "one.document.delete", document.id)
        return 204, ""

    @route("PUT", "/service_template/:number")
    def template_update(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        try:
            if wrong := self._update(user, to_i(number), text, append=False):
                raise FlowError(f"Immutable value: `{wrong}` can not be changed")
        except ParseError as error:
            return 400, str(error)
        return 200, self._shown(user, to_i(number), TEMPLATE_TYPE)

    def _update(self, user: Entity, number: int, text: t.Any, *, append: bool) -> str | None:
        """Write a template's body; return the name of an immutable attribute that would change."""
        body = json.loads(get_document(self.one, user, number, TEMPLATE_TYPE).template.get("BODY"))
        if not isinstance(text, str):
            raise RubyError("no implicit conversion of Hash into String")
        new = parse_json(text)
        if append:
            if new.get("registration_time") is not None:
                return "service_template/registration_time"
            new = {**body, **new}
        elif isinstance(new, dict):
            if new.get("registration_time") is None:
                new["registration_time"] = body["registration_time"]
            if new["registration_time"] != body["registration_time"]:
                return "service_template/registration_time"
        self._validate(new)
        write_body(self.one, user, number, compact(new))
        return None

    @route("POST", "/service_template/:number/action")
    def template_action(self, user: Entity, text: str, number: str) -> tuple[int, str]:
        perform, options = self._action(text)
        options = {} if options is None else options
        identity = to_i(number)
        if perform == "instantiate":
            return self._instantiate(user, identity, options.get("merge_template") or {})
        if perform == "clone":
            return self._clone(user, identity, options.get("name"), options.get("recursive"))
        if perform == "update":
            return self._action_update(user, identity, options)
        # What follows reports success whatever happens.
        if perform == "chown" and options.get("owner_id"):
            return self._ignoring("one.document.chown", user, identity, to_i(options["owner_id"]), to_i(options.get("group_id")))
        if perform == "chgrp" and options.get("group_id"):
            return self._ignoring("one.document.chown", user, identity, -1, to_i(options["group_id"]))
        if perform == "chmod" and options.get("octet"):
            return self._ignoring("one.document.chmod", user, identity, *_octet(options["octet"]))
        if perform == "rename":
            if isinstance(options.get("name"), str):
                return self._ignoring("one.document.rename", user, identity, options["name"])
            return 204, ""
        return 200, ""

    def _ignoring(self, name: str, user: Entity, number: int, *arguments: t.Any) -> tuple[int, str]:
        try:
            get_document(self.one, user, number, TEMPLATE_TYPE)
            self.one.call(user, name, number, *arguments)
        except (FlowError, OneError):
            pass
        return 204, ""

    def _action_update(self, user: Entity, number: int, options: dict) -> tuple[int, str]:
        if options.get("template_json"):
            try:
                self._update(user, number, options["template_json"], append=options.get("append") is True)
            except ParseError as error:
                return 400, str(error)
            except FlowError:
                pass
            return 204, ""
        return (204 if options.get("template_raw") else 200), ""

    def _clone(self, user: Entity, number: int, name: t.Any, recursive: t.Any) -> tuple[int, str]:
        """Without `recursive` the VM templates are cloned as well; "none" leaves them alone."""
        try:
            source = get_document(self.one, user, number, TEMPLATE_TYPE)
            new = call(self.one, user, "one.document.clone", source.id, str(name))
            body = json.loads(self.one.find("document", new).template.get("BODY"))
            body["registration_time"] = now()
            if recursive != "none":
                cloned: dict[int, int] = {}
                for role in body["roles"]:
                    old = role[self._vm_template]
                    if old not in cloned:
                        call(self.one, user, "one.template.info", old, False, False)
                        title = f"{self.one.find('template', old).name}-{name}"
                        cloned[old] = call(self.one, user, "one.template.clone", old, title, recursive == "all")
                    role[self._vm_template] = cloned[old]
            write_body(self.one, user, new, compact(body))
            return 201, self._shown(user, new, TEMPLATE_TYPE)
        except FlowError as error:
            return 500, error.text

    def _instantiate(self, user: Entity, number: int, merge: dict) -> tuple[int, str]:
        document = get_document(self.one, user, number, TEMPLATE_TYPE)
        body = json.loads(document.template.get("BODY"))
        merge = copy.deepcopy(merge)
        old = self.one.config.facts.generation == 6
        if "custom_attrs_values" in merge and not old:
            merge["user_inputs_values"] = merge.pop("custom_attrs_values")
        try:
            (generation6.check_values if old else _check_values)(body, merge)
            _check_networks(body, merge)
        except ParseError as error:
            return 400, str(error)
        merged = (generation6.merge_instantiation if old else merge_instantiation)(body, merge)
        try:
            self._validate(merged)
        except ParseError as error:
            return 500, str(error)
        merged["state"] = 0
        for role in merged["roles"]:
            if role.get("state") is None:
                role["state"] = 0
        merged["start_time"] = now()
        service = allocate(self.one, user, SERVICE_TYPE, merged["name"], merged)
        shown = self._shown(user, service, SERVICE_TYPE)
        self.lifecycle.deploy_nets(user, service)
        return 201, shown


def _octet(octet: t.Any) -> list[int]:
    return [int(bool(to_i(digit) & bit)) for digit in f"{octet:0>3}"[:3] for bit in (4, 2, 1)]


def _check_inputs(inputs: t.Any, values: t.Any) -> None:
    """Check the presence of every declared key, optional ones included, and nothing else."""
    if not inputs:
        return
    if values is None:
        raise ParseError("The Service template specifies User Inputs but no values have been found")
    if not isinstance(inputs, dict) or not isinstance(values, dict):
        raise ParseError("Wrong User Inputs or User Inputs Values format")
    if set(inputs) - set(values):
        raise ParseError("Verify that every User Input have its corresponding value defined")


def _check_values(body: dict, merge: dict) -> None:
    _check_inputs(body.get("user_inputs"), merge.get("user_inputs_values"))
    for role in body["roles"]:
        if role.get("user_inputs") is None:
            continue
        given = merge.get("roles")
        if given is None:
            raise ParseError(
                f"The Service template specifies user inputs for the role {role['name']} but no values have been found"
            )
        if not isinstance(given, list) or not given:
            raise ParseError("The role user inputs are empty or do not have a valid format")
        found = next((item for item in given if item.get("name") == role["name"]), None)
        if found is None:
            continue  # a role that is left out is not checked at all
        if "custom_attrs_values" in found:
            found["user_inputs_values"] = found.pop("custom_attrs_values")
        _check_inputs(role["user_inputs"], found.get("user_inputs_values"))


def _check_networks(body: dict, merge: dict) -> None:
    networks, values = body.get("networks"), merge.get("networks_values")
    if networks is not None and values is None:
        try:
            values = []
            for name, descriptor in networks.items():
                kind, *rest = descriptor.split("|")[4].strip().split(":")
                values.append({name: {kind: rest[0] if rest and rest[0] else None}})
        except (AttributeError, IndexError):
            raise ParseError("Wrong networks format") from None
        merge["networks_values"] = values
    if networks is not None and not isinstance(networks, dict):
        raise ParseError("Wrong networks format")
    if values and any(not isinstance(value, dict) for value in values):
        raise ParseError("Wrong networks_values format")
    if networks and set(networks) - {name for value in values or [] for name in value}:
        raise ParseError("Every network key must have its value defined at networks_value")
    for value in values or []:
        for net in value.values():
            for key, text in net.items():
                if isinstance(text, str):
                    net[key] = text.replace('\\"', "")
