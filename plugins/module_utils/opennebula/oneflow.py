# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow over REST. No policy.

Every answer is labelled text/html, errors are plain text, wrong state is 500, missing rights are 401, and 401
"Invalid credentials" is also what OneFlow says when its oned is down (facts measured on OpenNebula 7.4.0).
"""

from __future__ import annotations

import base64
import json
import re
import typing as t
from collections.abc import Callable, Mapping

from .errors import (
    AuthenticationFailed,
    BadAnswer,
    InvalidRequest,
    NotAllowed,
    NotFound,
    OpenNebulaError,
    Refused,
    may_have_happened,
)
from .hints import hint_for
from .template_text import check_id
from .transport import Answer, HttpClient, check_status, excerpt, is_html

_WRONG_URL = "Is this OneFlow's URL (http://HOST:2474)?"


class OneFlow:
    """One OneFlow server.

    diagnose is asked after a 401 that may mean a dead oned; it returns a sentence or None. on_write is called after each
    writing call that was, or may have been, carried out.
    """

    def __init__(
        self,
        endpoint: str,
        username: str,
        password: str,
        *,
        diagnose: Callable[[], str | None] | None = None,
        on_write: Callable[[], None] = lambda: None,
        **http: t.Any,
    ) -> None:
        self._http = HttpClient(endpoint, **http)
        self.endpoint = self._http.url
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        self._diagnose = diagnose
        self._on_write = on_write

    def call(self, verb: str, path: str, body: t.Any = None) -> t.Any:
        """Return the parsed JSON answer, or None for an empty one. Raises OpenNebulaError."""
        try:
            answer = self._call(verb, path, body)
        except OpenNebulaError as error:
            if verb != "GET" and may_have_happened(error):
                self._on_write()
            raise
        if verb != "GET":
            self._on_write()
        return answer

    def _call(self, verb: str, path: str, body: t.Any) -> t.Any:
        method = f"{verb} {path}"
        try:
            content = None if body is None else json.dumps(body).encode()
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"the request cannot be written as JSON: {error}", method=method) from None
        answer = self._http.request(verb, path, content, self._headers, method=method, repeatable=verb == "GET")
        check_status(answer, self.endpoint, method)
        if answer.status >= 400:
            raise self._refusal(answer, method)
        if not answer.body.strip():
            return None
        try:
            return json.loads(answer.body)
        except ValueError:
            raise BadAnswer(
                f"not JSON: {excerpt(answer.body)}",
                code=answer.status,
                endpoint=self.endpoint,
                method=method,
                hint=_WRONG_URL,
            ) from None

    def _document(self, verb: str, path: str, body: t.Any = None) -> dict:
        answer = self.call(verb, path, body)
        document = answer.get("DOCUMENT") if isinstance(answer, dict) else None
        if not isinstance(document, dict) or not isinstance(document.get("TEMPLATE"), dict):
            raise self._strange(f"{verb} {path}", "document")
        return document

    def _documents(self, path: str) -> list[dict]:
        answer = self.call("GET", path)
        pool = answer.get("DOCUMENT_POOL") if isinstance(answer, dict) else None
        if not isinstance(pool, dict):
            raise self._strange(f"GET {path}", "list")
        documents = pool.get("DOCUMENT", [])
        return [d for d in (documents if isinstance(documents, list) else [documents]) if isinstance(d, dict)]

    def _strange(self, method: str, what: str) -> BadAnswer:
        return BadAnswer(f"the answer is not a OneFlow {what}", endpoint=self.endpoint, method=method, hint=_WRONG_URL)

    def _refusal(self, answer: Answer, method: str) -> OpenNebulaError:
        kwargs: dict[str, t.Any] = {"code": answer.status, "endpoint": self.endpoint, "method": method}
        if is_html(answer):
            return BadAnswer(
                f"a web page instead of an answer: {excerpt(_title(answer.body))}",
                hint=_WRONG_URL,
                **kwargs,
            )
        text = _text(answer.body)
        if answer.status == 401 and "not authorized" in text.lower():
            return NotAllowed(text, hint=hint_for(text), **kwargs)
        if answer.status == 401:
            found = self._diagnose() if self._diagnose else None
            return AuthenticationFailed(text, hint=found or "OneFlow says the same when its oned is down; check both.", **kwargs)
        if answer.status == 403:
            return AuthenticationFailed(text, hint=hint_for(text), **kwargs)
        if answer.status == 404 and "Error getting" not in text:
            # OneFlow always names what it did not get; any other server's 404 must not pass for an absent object.
            return BadAnswer(text, hint=_WRONG_URL, **kwargs)
        kwargs["hint"] = hint_for(text)
        # A clone of what does not exist is answered with 500.
        if answer.status == 404 or re.match(r"\[[\w.]+\] Error getting document \[\d+\]", text):
            return NotFound(text, **kwargs)
        return Refused(text, **kwargs)

    def templates(self) -> list[dict]:
        """Return all service template documents that the user may use."""
        return self._documents("/service_template")

    def template(self, template_id: int) -> dict:
        """Return one service template document."""
        return self._document("GET", f"/service_template/{_id(template_id)}")

    def create_template(self, body: Mapping[str, t.Any]) -> dict:
        """Create a service template and return its document."""
        return self._document("POST", "/service_template", body)

    def replace_template(self, template_id: int, body: Mapping[str, t.Any]) -> None:
        """Replace a service template's whole body (name and roles are mandatory)."""
        self.call("PUT", f"/service_template/{_id(template_id)}", body)

    def merge_template(self, template_id: int, body: Mapping[str, t.Any]) -> None:
        """Merge keys into a service template's body; roles would be replaced as a whole."""
        # template_json has to be a string inside the JSON, or the server fails with 500.
        self.template_action(template_id, "update", {"append": True, "template_json": json.dumps(body)})

    def template_action(self, template_id: int, perform: str, params: Mapping[str, t.Any]) -> None:
        """Run an action on a template. rename, chmod, chown and chgrp answer 204 even when nothing happened."""
        path = f"/service_template/{_id(template_id)}/action"
        self.call("POST", path, {"action": {"perform": perform, "params": params}})

    def _acted(self, template_id: int, perform: str, params: Mapping[str, t.Any]) -> dict:
        path = f"/service_template/{_id(template_id)}/action"
        return self._document("POST", path, {"action": {"perform": perform, "params": params}})

    def clone_template(self, template_id: int, name: str, mode: str = "none") -> dict:
        """Clone; mode none|templates|all says whether VM templates and images are cloned too."""
        return self._acted(template_id, "clone", {"name": name, "recursive": mode})

    def delete_template(self, template_id: int, delete_type: str = "none") -> None:
        """Delete; delete_type none|templates|all, all takes the images too."""
        self.call("DELETE", f"/service_template/{_id(template_id)}", {"delete_type": delete_type})

    def instantiate(self, template_id: int, merge: Mapping[str, t.Any]) -> dict:
        """Create a service and return its document (PENDING or later)."""
        return self._acted(template_id, "instantiate", {"merge_template": merge})

    def services(self) -> list[dict]:
        """Return all service documents that the user may use."""
        return self._documents("/service")

    def service(self, service_id: int) -> dict:
        """Return one service document."""
        return self._document("GET", f"/service/{_id(service_id)}")

    def delete_service(self, service_id: int) -> None:
        """Begin to undeploy; the document vanishes at the end."""
        self.call("DELETE", f"/service/{_id(service_id)}")

    def service_action(self, service_id: int, perform: str, params: Mapping[str, t.Any] | None = None) -> None:
        """Run recover, release, rename, chmod, chown or chgrp on a service."""
        self.call("POST", f"/service/{_id(service_id)}/action", {"action": {"perform": perform, "params": params or {}}})

    def role_action(self, service_id: int, perform: str, role: t.Any) -> None:
        """add_role (role is an object) or remove_role (role is a name)."""
        path = f"/service/{_id(service_id)}/role_action"
        self.call("POST", path, {"action": {"perform": perform, "params": {"role": role}}})

    def scale(self, service_id: int, role: str, cardinality: int, *, force: bool) -> None:
        """Scale a role. force is always sent: without it the server writes invalid JSON to itself (500)."""
        body = {"role_name": role, "cardinality": int(cardinality), "force": bool(force)}
        self.call("POST", f"/service/{_id(service_id)}/scale", body)


def _id(value: int) -> int:
    # A non-numeric id means document 0 to the server.
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{value!r} is no id")
    check_id("id", value)
    return value


def _text(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        data = json.loads(text)
    except ValueError:
        return text or "(no reason given)"
    if isinstance(data, dict):
        return str(data.get("reason") or data.get("error") or data.get("message") or text)
    return text


def _title(body: bytes) -> bytes:
    lower = body.lower()
    for tag in (b"title", b"h1", b"h2"):
        start = lower.find(b"<" + tag + b">")
        end = lower.find(b"</" + tag, start)
        if 0 <= start < end:
            return body[start + len(tag) + 2 : end]
    return body
