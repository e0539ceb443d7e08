# SPDX-License-Identifier: GPL-3.0-or-later
"""networks_values of oneflow_service: what OneFlow cannot deploy is refused, in check mode too, and no service is left behind."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def declared(template, target):
    """Make a service template with the network net and return its id; default stands at the end of its declaration."""

    def make(default: str) -> int:
        roles = [{"name": "app", "cardinality": 0, "template_contents": {"NIC": [{"NETWORK_ID": "$net"}]}}]
        return template(networks={"net": f"M|network|Private| |{default}"}, roles=roles)

    return make


@pytest.mark.parametrize(
    ("default", "value", "text"),
    [
        ("id:", None, "has no value and no default"),
        ("", None, "has no value and no default"),
        ("id:x", None, "id 'x' is no id"),
        ("reserve_from:0", None, "reserve_from needs extra: SIZE=n"),
        ("id:0", {"id": ""}, "id '' is no id"),
        ("id:0", {"id": 987654}, "there is no virtual network 987654"),
        ("id:0", {"template_id": 987654}, "there is no virtual network template 987654"),
        ("id:0", {"reserve_from": 987654, "extra": "SIZE=2"}, "there is no virtual network 987654"),
        ("id:0", {"reserve_from": 0}, "reserve_from needs extra: SIZE=n"),
        ("id:0", {"reserve_from": 0, "extra": 'NAME="x"'}, "reserve_from needs extra: SIZE=n"),
        ("id:0", {"id": 0, "reserve_from": 0}, "exactly one of id, template_id, reserve_from, not id and reserve_from"),
        ("id:0", {"extra": "SIZE=2"}, "exactly one of id, template_id, reserve_from"),
        ("id:0", {"id": 0, "vlan": 3}, "vlan is no known key"),
        ("id:0", "0", "a mapping with one of"),
    ],
)
def test_a_network_that_cannot_be_is_refused(run, name, declared, flow, default, value, text):
    number = declared(default)
    before = flow.services()
    for check in (True, False):
        values = [] if value is None else [{"net": value}]
        options = {"template_id": number, "networks_values": values, "check": check}
        refused = run("oneflow_service", name=name("s"), fails=True, **options)
        assert refused["error"]["kind"] == "invalid_request" and refused["changed"] is False
        assert "network net: " in refused["msg"] and text in refused["msg"], refused["msg"]
    assert flow.services() == before


def test_every_fault_of_the_networks_is_told_at_once(run, name, template):
    number = template(networks={"one": "M|network| | |id:", "two": "M|network| | |id:0"}, roles=[{"name": "app", "cardinality": 0}])
    values = [{"two": {"id": "x"}, "three": {"id": 0}}, {"two": {"id": 0}}]
    refused = run("oneflow_service", name=name("s"), template_id=number, networks_values=values, fails=True)
    for text in ("network one: has no value", "network two: id 'x'", "network three: the template declares", "two: has two values"):
        assert text in refused["msg"], refused["msg"]
