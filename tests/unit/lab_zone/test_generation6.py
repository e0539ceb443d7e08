# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow of 6.x in the lab zone: the traps that a client has to know (from published source, there are no recordings)."""

from __future__ import annotations

import pytest

from lab.zone import harness as zones
from lab.zone.oneflow import generation6
from lab.zone.oneflow.schema import ParseError

BODY = {
    "name": "s",
    "custom_attrs": {"SITE": "M|text|x"},
    "roles": [
        {"name": "a", "vm_template": 1, "vm_template_contents": 'X="$SITE"\nY="$SITE_LONG"'},
        {"name": "b", "vm_template": 2, "custom_attrs": {"KEY": "M|text|k"}},
    ],
}


def test_roles_are_merged_by_place():
    merged = generation6.merge_instantiation(BODY, {"roles": [{"name": "b", "cardinality": 3}]})
    assert [(role["name"], role["vm_template"], role.get("cardinality")) for role in merged["roles"]] == [
        ("b", 1, 3),
        ("b", 2, None),
    ]
    assert BODY["roles"][0]["name"] == "a", "the template itself stays as it is"


def test_values_replace_text_and_nothing_else():
    merged = generation6.merge_instantiation(BODY, {"custom_attrs_values": {"SITE": 'a "b"'}})
    assert merged["roles"][0]["vm_template_contents"] == 'X="a "b""\nY="a "b"_LONG"', "not even whole names"
    assert "vm_template_contents" not in merged["roles"][1]


@pytest.mark.parametrize(
    ("merge", "text"),
    [
        ({}, "custom attributes but no values"),
        ({"custom_attrs_values": {}}, "corresponding value"),
        ({"custom_attrs_values": []}, "Wrong custom_attrs"),
        ({"custom_attrs_values": {"SITE": "x"}}, "for the role b"),
        ({"custom_attrs_values": {"SITE": "x"}, "roles": []}, "valid format"),
        ({"custom_attrs_values": {"SITE": "x"}, "roles": [{"name": "a"}]}, "nil:NilClass"),
        ({"custom_attrs_values": {"SITE": "x"}, "roles": [{"name": "b", "custom_attrs_values": {}}]}, "corresponding value"),
    ],
)
def test_values_that_are_missing(merge, text):
    with pytest.raises(ParseError, match=text):
        generation6.check_values(BODY, merge)


def test_names_of_7_are_unknown(tmp_path):
    with zones.running(zones.config(tmp_path, "six", version="6.10.5")) as (_, (zone,)):
        role = {"name": "app", "type": "vm", "template_id": 0}
        status, text = zones.flow(zone, "POST", "/service_template", {"name": "s", "roles": [role]})
        assert status == 400 and "vm_template (integer)" in text
        status, made = zones.flow(zone, "POST", "/service_template", {"name": "s", "roles": [{**role, "vm_template": "0"}]})
        kept = made["DOCUMENT"]["TEMPLATE"]["BODY"]["roles"][0]
        assert status == 201 and kept["vm_template"] == 0 and kept["template_id"] == 0 and kept["cardinality"] == 0
        assert zones.one(zone, "one.system.version") == "6.10.5"


def test_tls_needs_all_of_its_files(tmp_path):
    with pytest.raises(ValueError, match="tls needs cert, key and ca"):
        zones.config(tmp_path, "bad", tls={"cert": "x"})
