# SPDX-License-Identifier: GPL-3.0-or-later
"""onezone and onezone_info: every parameter, asked of the master and of a slave."""

from __future__ import annotations

import pytest

from tests.contract.contract_run import clients, until

pytestmark = pytest.mark.usefixtures("clean")
# Nothing listens there: the endpoint of a new zone is not contacted by OpenNebula's API.
NOWHERE = "http://127.0.0.1:1/RPC2"


@pytest.fixture(params=["at the master", "through a slave"])
def there(request, target):
    if request.param == "at the master":
        return target.a
    if target.b is None:
        pytest.skip("needs CONTRACT_B_ENDPOINT")
    return target.b


def test_life_of_a_zone(run, twice, name, there, target):
    """Each task reads where the one before wrote: a lagging slave must not show a false change."""
    zone_b = {"zone": there}
    made = twice("onezone", name=name("z"), zone_endpoint=NOWHERE, attributes={"NOTE": 'a "b" <&> ü'}, **zone_b)["zone"]
    assert made["id"] >= 100 and made["endpoint"] == NOWHERE and made["attributes"]["NOTE"] == 'a "b" <&> ü'
    more = twice("onezone", name=name("z"), zone_oneflow_endpoint="http://127.0.0.1:2/", attributes={"note": 5}, **zone_b)
    assert more["zone"]["oneflow_endpoint"] == "http://127.0.0.1:2/" and more["zone"]["attributes"]["NOTE"] == "5"
    assert more["zone"]["endpoint"] == NOWHERE, "an update must not wipe the endpoint"
    moved = twice("onezone", id=made["id"], zone_endpoint="http://127.0.0.1:3/RPC2", **zone_b)
    assert moved["zone"]["endpoint"] == "http://127.0.0.1:3/RPC2"
    renamed = twice("onezone", name=name("z"), new_name=name("y"), **zone_b)
    assert renamed["zone"]["name"] == name("y") and renamed["zone"]["id"] == made["id"]
    assert twice("onezone", id=made["id"], name=name("x"), **zone_b)["zone"]["name"] == name("x")
    known = run("onezone_info", name=name("x"), status=False, **zone_b)["zones"]
    assert [entry["id"] for entry in known] == [made["id"]]
    assert run("onezone", name=name("x"), state="absent", check=True, **zone_b)["changed"]
    gone = run("onezone", name=name("x"), state="absent", **zone_b)
    assert gone["changed"] and gone["zone"] is None
    assert run("onezone", name=name("x"), state="absent", **zone_b)["changed"] is False
    assert run("onezone", id=made["id"], state="absent", **zone_b)["changed"] is False
    assert run("onezone_info", id=made["id"], **zone_b)["zones"] == []


def test_refusals(run, name, target):
    own = run("onezone_info", status=False)["zones"][0]
    assert own["id"] == 0
    for check in (True, False):
        kept = run("onezone", id=0, state="absent", check=check, fails=True)
        assert kept["error"]["kind"] == "invalid_request" and "cannot be deleted" in kept["msg"] and kept["error"]["hint"]
        assert kept["changed"] is False
    wrong = [{"attributes": {"NAME": "x"}}, {"zone_endpoint": ""}, {"attributes": {"endpoint": "-"}}, {"attributes": {"1A": "x"}}]
    wrong += [{"new_name": f"a{character}b"} for character in "&|:\\\";/'#{}$<>\t"] + [{"new_name": "ü" * 65}]
    for options in wrong:
        for check in (True, False):
            refused = run("onezone", id=0, check=check, fails=True, **options)
            assert refused["error"]["kind"] == "invalid_request" and refused["changed"] is False, options
    refused = run("onezone", name="it's", zone_endpoint=NOWHERE, check=True, fails=True)
    assert refused["error"]["kind"] == "invalid_request", "a new zone may not have such a name either"
    for options in ({"id": 2**31}, {"id": 2**31, "state": "absent"}, {"id": -1}):
        assert run("onezone", fails=True, **options)["error"]["kind"] == "invalid_request"
    assert run("onezone_info", id=2**31, fails=True)["error"]["kind"] == "invalid_request"
    assert "Give zone_endpoint" in run("onezone", name=name("n"), fails=True)["msg"]
    assert run("onezone", id=987654, fails=True)["error"]["kind"] == "not_found"
    run("onezone", name=name("one"), zone_endpoint=NOWHERE)
    taken = run("onezone", name=name("one"), new_name=own["name"], fails=True)["error"]
    assert taken["code"] == 2048 and "collides" in taken["text"] and taken["hint"]
    assert run("onezone_info", id=0, status=False)["zones"] == [own]


def test_a_secret_attribute_is_not_shown(run, twice, name, oned):
    attributes = {"API_PASSWORD": "planted-s3cret", "PROXY": {"TOKEN": "planted-t0ken", "PORT": "1"}}
    made = twice("onezone", name=name("z"), zone_endpoint=NOWHERE, attributes=attributes)
    known = run("onezone_info", name=name("z"), status=False)
    for result in (made, known):
        shown = (result.get("zone") or result["zones"][0])["attributes"]
        assert (shown["API_PASSWORD"], shown["PROXY"]) == ("********", {"TOKEN": "********", "PORT": "1"})
        assert "planted" not in str({key: value for key, value in result.items() if key != "_secrets"})
    assert made["_secrets"] >= {"planted-s3cret", "planted-t0ken"}, "and they are taken out of the invocation"
    kept = next(zone for zone in oned.zones() if zone["NAME"] == name("z"))
    assert kept["TEMPLATE"]["API_PASSWORD"] == "planted-s3cret"
    wrong = run("onezone", name=name("z"), attributes={**attributes, "A-B": "x"}, fails=True)
    assert wrong["_secrets"] >= {"planted-s3cret", "planted-t0ken"}


def test_what_opennebula_makes_of_values_is_no_change(twice, name):
    attributes = {"OUT": " x ", "V": {"a": " y "}, "NONE": [], "TWO": ["1", "2"], "LINES": "a\r\nb"}
    made = twice("onezone", name=name("z"), zone_endpoint=NOWHERE, attributes=attributes)["zone"]
    assert made["attributes"]["OUT"].strip() == "x" and made["attributes"]["TWO"] == ["1", "2"]


def test_faults_in_servers_come_before_any_write(run, name, oned):
    servers = [{"name": "s1"}]
    for check in (True, False):
        refused = run("onezone", name=name("z"), zone_endpoint=NOWHERE, servers=servers, check=check, fails=True)
        assert "needs an endpoint" in refused["msg"] and refused["changed"] is False
    assert name("z") not in [zone["NAME"] for zone in oned.zones()]


def test_without_the_right(run, name, second, target):
    denied = run("onezone", name=name("z"), zone_endpoint=NOWHERE, fails=True, **second)["error"]
    assert (denied["kind"], denied["code"]) == ("authorization", 512) and "CREATE ZONE" in denied["text"] and denied["hint"]
    seen = run("onezone_info", id=0, **second)["zones"][0]
    assert seen["status"]["reachable"] and "Not authorized" in seen["status"]["error"], "raft status is for oneadmin"


@pytest.mark.disruptive
def test_closing_and_opening(run, twice, name, there, target):
    """Sent to the zone itself, whichever endpoint the task names."""
    number = 0 if target.b is None else int(zone_id(target.b))
    closed = twice("onezone", id=number, enabled=False, zone=there)
    assert closed["zone"]["state"] == "DISABLED"
    try:
        own = target.b or target.a
        refused = run("oneflow_template", name=name("t"), template={"roles": []}, zone=own, fails=True)
        assert "zone disabled" in refused["msg"] and "Enable the zone" in refused["error"]["hint"]
    finally:
        opened = twice("onezone", id=number, enabled=True, zone=there)
    assert opened["zone"]["state"] == "ENABLED"


@pytest.mark.disruptive
def test_servers(run, twice, there, target):
    number = 0 if target.b is None else int(zone_id(target.b))
    server = {"name": "contract-server", "endpoint": "http://127.0.0.1:4/RPC2"}
    added = twice("onezone", id=number, servers=[server], zone=there)["zone"]
    assert [entry["name"] for entry in added["servers"]] == ["contract-server"]
    moved = run("onezone", id=number, servers=[{**server, "endpoint": "http://127.0.0.1:5/RPC2"}], zone=there, fails=True)
    assert "cannot change it" in moved["msg"] and moved["error"]["hint"]
    left = twice("onezone", id=number, servers=[{"name": "contract-server", "state": "absent"}], zone=there)
    assert left["zone"]["servers"] == []


def zone_id(zone):
    oned = clients(zone)[0]
    return next(entry["ID"] for entry in oned.zones() if entry["TEMPLATE"].get("ENDPOINT", "").rstrip("/") == zone.endpoint)


def test_how_far_zones_lag(run, name, target):
    scheme = target.a.endpoint.partition(":")[0]  # an endpoint without TLS would not be asked at all
    run("onezone", name=name("dead"), zone_endpoint=f"{scheme}://127.0.0.1:1/RPC2")
    zones = {entry["name"]: entry for entry in run("onezone_info")["zones"]}
    dead = zones.pop(name("dead"))
    assert dead["status"]["reachable"] is False and "Connection refused" in dead["status"]["error"]
    reached = [entry for entry in zones.values() if entry["status"]["reachable"]]
    assert len(reached) >= len(target.all())
    master = next(entry for entry in reached if entry["id"] == 0)
    assert master["status"]["lag"] == 0 and master["status"]["in_step"] is True
    assert master["status"]["raft_state"] in ("SOLO", "LEADER") and master["status"]["fedlog_index"] >= 0
    if target.b is not None:
        number = int(zone_id(target.b))

        def in_step():
            status = run("onezone_info", id=number)["zones"][0]["status"]
            return status["lag"] == 0 and status["in_step"] is True

        until(in_step, "the slave has caught up")
