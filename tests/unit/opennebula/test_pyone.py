# SPDX-License-Identifier: GPL-3.0-or-later
"""pyone is used by public names only, and whatever its version and environment, the call is the same."""

from __future__ import annotations

import re
import xmlrpc.client
from pathlib import Path

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.pyone_adapter import Pyone

PACKAGE = Path(__file__).parents[3] / "plugins/module_utils/opennebula"


class Carrier:
    """Keeps the request and gives the answer."""

    def __init__(self, answer: list) -> None:
        self.answer = answer

    def __call__(self, body: bytes) -> list:
        self.params, self.method = xmlrpc.client.loads(body)
        return self.answer


@pytest.mark.parametrize("protocol", [None, "grpc", "xmlrpc"])
def test_the_call_is_pyones_and_the_answer_is_ours(monkeypatch: pytest.MonkeyPatch, protocol: str | None) -> None:
    monkeypatch.delenv("ONEAPI_PROTOCOL", raising=False)
    if protocol:
        monkeypatch.setenv("ONEAPI_PROTOCOL", protocol)
    carrier = Carrier([True, "", 0])
    client = Pyone("http://127.0.0.1:1/RPC2", "user:pass:word", carrier)
    assert client.call("vm.update", 7, 'A="ü <&>"', 1) == [True, "", 0], "pyone itself fails over an empty string"
    assert (carrier.method, carrier.params) == ("one.vm.update", ("user:pass:word", 7, 'A="ü <&>"', 1))
    carrier.answer = [False, "no", 512, 3]
    assert client.call("zone.info", 0) == [False, "no", 512, 3], "a refusal is handed on, not raised"


def test_no_other_file_knows_pyone() -> None:
    users = [path.name for path in PACKAGE.rglob("*.py") if re.search(r"\bpyone\.\w|import pyone\b", path.read_text())]
    assert users == ["pyone_adapter.py"]
    assert "_ServerProxy" not in (PACKAGE / "pyone_adapter.py").read_text()
