# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials and endpoints: from options, from the environment, from a one_auth file; a password with colons."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.contract import contract_target as targets
from tests.contract.contract_run import PREFIX, clients, run_task

COLONS = "a:b::c:"
NAMES = ("ONE_XMLRPC", "ONEFLOW_URL", "ONE_USERNAME", "ONE_PASSWORD", "ONE_AUTH")


@pytest.fixture
def somebody(oned, target, monkeypatch):
    """Make a user of its own with colons in the password; none of the variables is set."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    number = oned.call("user.allocate", f"{PREFIX}user", COLONS, "core", [])
    yield f"{PREFIX}user"
    oned.call("user.delete", number)


def read(target, module, **options):
    """Without any option of the connection but those given."""
    nothing = dict.fromkeys(("endpoint", "oneflow_endpoint", "username", "password"))
    return run_task(module, target.a, target, **{**nothing, **options})


def both(target, **options):
    return [read(target, module, **options) for module in ("oneflow_template_info", "onezone_info")]


def test_options(target, somebody):
    where = {"endpoint": target.a.endpoint, "oneflow_endpoint": target.a.oneflow}
    for result in both(target, **where, username=somebody, password=COLONS):
        assert not result.get("failed"), result
        assert COLONS in result["_secrets"]
    for result in both(target, **where, username=somebody, password="a:b"):
        assert result["error"]["kind"] == "authentication"


def test_environment(target, somebody, monkeypatch):
    for name, value in zip(NAMES, (target.a.endpoint, target.a.oneflow, somebody, COLONS), strict=False):
        monkeypatch.setenv(name, value)
    for result in both(target):
        assert not result.get("failed"), result


def test_one_auth(target, somebody, monkeypatch, tmp_path):
    where = {"endpoint": target.a.endpoint, "oneflow_endpoint": target.a.oneflow}
    auth = tmp_path / "one_auth"
    auth.write_text(f"{somebody}:{COLONS}\n")
    for result in both(target, **where, auth_file=str(auth)):
        assert not result.get("failed"), result
    monkeypatch.setenv("ONE_AUTH", str(auth))
    for result in both(target, **where):
        assert not result.get("failed"), result
    monkeypatch.setenv("ONE_PASSWORD", "only-half")
    assert "username is missing" in both(target, **where)[0]["msg"]


@pytest.mark.parametrize("text", [None, "no colon\n", ":secret\n", "user:\n", ""])
def test_one_auth_that_is_none(target, somebody, tmp_path, text):
    auth = tmp_path / "one_auth"
    if text is not None:
        auth.write_text(text)
    for result in both(target, endpoint=target.a.endpoint, oneflow_endpoint=target.a.oneflow, auth_file=str(auth)):
        assert result["error"]["kind"] == "invalid_request" and str(auth) in result["msg"] and "secret" not in result["msg"]


def test_oneflow_endpoint_of_the_zone(target, oned, somebody):
    """Without oneflow_endpoint the zone's own ONEFLOW_ENDPOINT is used, or the port that OneFlow has by default."""
    own = [zone for zone in oned.zones() if zone["TEMPLATE"].get("ENDPOINT", "").rstrip("/") == target.a.endpoint]
    if not own or own[0]["TEMPLATE"].get("ONEFLOW_ENDPOINT"):
        pytest.skip("the zone is known by another address, or names a OneFlow that would be used")
    result = read(target, "oneflow_template_info", endpoint=target.a.endpoint, username=somebody, password=COLONS, timeout=5)
    url = urlsplit(target.a.endpoint)
    if result.get("failed"):
        assert result["error"]["endpoint"] == f"{url.scheme}://{url.hostname}:2474", result
    else:
        assert urlsplit(target.a.oneflow).port == 2474, "nothing else can have answered"


@pytest.mark.lab
def test_the_only_zone_may_have_another_name(tmp_path):
    """Zone 0 is born as http://localhost. With a second zone nobody can tell which of them answers here."""
    with targets.lab_federation(tmp_path, "7.4.0") as found:
        oned = clients(found.a)[0]
        text = f'ENDPOINT="http://localhost:2633/RPC2"\nONEFLOW_ENDPOINT="{found.a.oneflow}"'
        oned.call("zone.update", 0, text, 1)
        two = run_task("oneflow_service_info", found.a, found, oneflow_endpoint=None, timeout=5)
        assert two["error"]["endpoint"].endswith(":2474")
        oned.call("zone.delete", 100)
        assert run_task("oneflow_service_info", found.a, found, oneflow_endpoint=None)["services"] == []
