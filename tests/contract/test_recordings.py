# SPDX-License-Identifier: GPL-3.0-or-later
"""Every distinct error that a real OpenNebula 7.4 gave becomes a clear one: what kind, its code, its own words, where, what to do."""

from __future__ import annotations

import json
import re
import xmlrpc.client

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.errors import OpenNebulaError
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oned import Oned
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.oneflow import OneFlow

from tests.fixtures import recording
from tests.fixtures.stub import Stub, http

pytestmark = pytest.mark.lab  # a server of the test's own answers
# What is not "refused": the server understood and said no.
KINDS = {
    "not_found": {"oneflow": {31, 33, 70, 264}, "xmlrpc": {21, 40, 44, 59, 88, 90, 95, 99, 110}},
    "authentication": {"oneflow": {34, 35}, "xmlrpc": {17, 70}},
    "authorization": {"oneflow": {202}, "xmlrpc": {78, 79, 80, 81, 83, 84, 85, 86}},
    "bad_answer": {"oneflow": {38}, "xmlrpc": set()},
}
# What has to be in the advice.
ADVICE = {
    "oneflow/028": "128",
    "oneflow/030": "'<', '&'",
    "oneflow/033": "another kind",
    "oneflow/038": "OneFlow's URL",
    "oneflow/081": "every input",
    "oneflow/097": "RUNNING",
    "oneflow/106": "force",
    "oneflow/147": "state=absent",
    "oneflow/225": "networks_values",
    "xmlrpc/017": "auth_file",
    "xmlrpc/026": "zone_endpoint",
    "xmlrpc/045": "own endpoint",
    "xmlrpc/078": "oneadmin",
    "xmlrpc/115": "onezone",
    "xmlrpc/119": "master",
}


def words(found: recording.Recording) -> tuple[int, str] | None:
    """(code, the server's own text) of a recorded error."""
    if found.kind == "oneflow" and found.status >= 400:
        try:
            text = str(json.loads(found.answer)["reason"])
        except ValueError:
            text = found.answer
        if text.startswith("<!DOCTYPE"):
            text = re.search(r"<h2>(.*?)</h2>", text).group(1)
        return found.status, " ".join(text.split())
    if found.kind == "xmlrpc":
        try:
            answer = xmlrpc.client.loads(found.answer)[0][0]
        except xmlrpc.client.Fault as fault:
            return fault.faultCode, fault.faultString
        if not answer[0]:
            return answer[2], answer[1].partition("] ")[2].replace("&lt;", "<").replace("&gt;", ">")
    return None


def distinct() -> list[recording.Recording]:
    seen: dict[tuple, recording.Recording] = {}
    for found in recording.all_recordings():
        if error := words(found):
            asked = re.search(r"<methodName>([^<]*)", found.body).group(1) if found.kind == "xmlrpc" else ""
            seen.setdefault((asked, error[0], re.sub(r"\d+", "N", error[1])), found)
    return list(seen.values())


ERRORS = distinct()


@pytest.mark.parametrize("found", ERRORS, ids=[found.key for found in ERRORS])
def test_recorded_error(found: recording.Recording) -> None:
    with Stub(http(found.status, found.answer.encode(), found.answer_headers)) as server, pytest.raises(OpenNebulaError) as caught:
        if found.kind == "oneflow":
            endpoint, method = server.url(), f"{found.verb} {found.path}"
            OneFlow(endpoint, "oneadmin", "planted").call(found.verb, found.path, {})
        else:
            endpoint = server.url("/RPC2")
            method = re.search(r"<methodName>([^<]*)", found.body).group(1)
            Oned(endpoint, "oneadmin", "planted").call(method.removeprefix("one."))
    error = caught.value
    code, text = words(found)
    assert error.kind == next((kind for kind, keys in KINDS.items() if found.number in keys[found.kind]), "refused")
    assert (error.code, error.endpoint, error.method) == (code, endpoint, method)
    assert text in error.text and error.hint
    assert ADVICE.get(found.key, "") in error.hint + error.text
    whole = str(error)
    for part in (str(code), text, endpoint, method, error.hint):
        assert part in whole
    assert "planted" not in whole
    assert len(server.requests) == 1, "a refusal is not asked for again"


def test_what_is_sent() -> None:
    """JSON says that it is JSON, and one call is one request."""
    with Stub(http(500, b"no")) as server, pytest.raises(OpenNebulaError):
        OneFlow(server.url(), "oneadmin", "p").create_template({"name": "ü", "roles": []})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower() and head.lower().count(b"authorization: basic ") == 1
    assert json.loads(body) == {"name": "ü", "roles": []} and len(server.requests) == 1


def test_all_of_them_are_there() -> None:
    """The table above speaks of recordings that exist, and most errors of the recordings are distinct ones."""
    keys = {(found.kind, found.number) for found in ERRORS}
    assert len(ERRORS) > 80
    for kinds in KINDS.values():
        for kind, numbers in kinds.items():
            assert {(kind, number) for number in numbers} <= keys
