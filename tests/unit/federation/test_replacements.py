# SPDX-License-Identifier: GPL-3.0-or-later
"""A site whose VMs are being made anew is two services: both are its own, until there is one again that has the planned name."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import changes, checks, kept, plan, saved
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.changes import REMOVALS, REPLACE, REPLACEMENTS

from tests.unit.federation import as_planned
from tests.unit.federation.certificates_of_tests import NOW
from tests.unit.federation.test_plan import GROUPS, HOSTS, changed

PLAN = plan.make_plan(GROUPS, HOSTS)
SITE = "zone-c"
SERVICE = PLAN["zones"][SITE]["service"]
NEW = 42


def half_way(moved: int, *, old: int = as_planned.VM_TEMPLATE, new: int = NEW, wanted: int = NEW):
    """Return what is found when so many of the site's three VMs are in the successor; `old` and `new` are the VM templates."""
    found = as_planned.results(PLAN)
    zone = found[SITE]
    own = zone["service"]
    successor = copy.deepcopy(own) | {"id": 99, "name": SERVICE["successor"]}
    nodes = own["roles"][0]["nodes"]
    own["roles"][0] |= {"nodes": nodes[moved:], "cardinality": 3 - moved, "template_id": old}
    for node in nodes[:moved]:
        node["vm_id"] += 100
    successor["roles"][0] |= {"nodes": nodes[:moved], "cardinality": moved, "template_id": new}
    zone |= {
        "service": own if moved < 3 else {},
        "services_found": int(moved < 3),
        "successor": successor,
        "vm_template_id": wanted,
    }
    zone["template"]["body"]["roles"][0]["template_id"] = wanted
    return found


def announced(found, hosts=HOSTS, **more):
    made = as_planned.planned(found, GROUPS, hosts, **more)
    return made, as_planned.found_changes(made, found)


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_the_vms_of_both_services_are_the_sites(moved):
    found = half_way(moved)
    zone = as_planned.observed(PLAN, found).zones[SITE]
    assert len(zone.vms) == 3 and not zone.absent and zone.state == "RUNNING" and zone.cardinality == 3
    assert len(zone.parts) == (1 if moved == 3 else 2)
    made, told = announced(found)
    assert kept.kept(made, as_planned.observed(made, found)).partitions[SITE] == (2, 3, 4)
    assert changes.unknown_nodes(made, as_planned.observed(made, found)) == []
    rows = checks.checks(made, as_planned.observed(made, found), NOW)
    assert {(row.check, row.host) for row in rows if not row.ok} == {("as planned", SITE)}
    assert {(change.host, change.step, change.kind) for change in told} == {(SITE, REPLACEMENTS, REPLACE)}


@pytest.mark.parametrize(
    ("moved", "templates", "expected"),
    [
        (1, {}, ["onward"]),
        (3, {}, ["onward"]),
        # The inventory is as it was before: what was made for the other one goes back.
        (1, {"wanted": as_planned.VM_TEMPLATE}, ["back"]),
        (3, {"wanted": as_planned.VM_TEMPLATE}, ["back"]),
        # It has changed once more.
        (2, {"wanted": 43}, ["back", "onward"]),
        (3, {"wanted": 43}, ["back"]),
        # Both are as planned: one of the two names is still too many.
        (2, {"old": NEW}, ["onward"]),
    ],
)
def test_which_service_goes(moved, templates, expected):
    found = half_way(moved, **templates)
    made, told = announced(found)
    own = found[SITE]["service"].get("id")
    ways = {"onward": {"source": own, "target": SERVICE["successor"]}, "back": {"source": 99, "target": SERVICE["name"]}}
    zone = as_planned.observed(made, found).zones[SITE]
    assert changes.handovers(SITE, made["zones"][SITE], zone) == [ways[way] for way in expected]
    assert [change.kind for change in told if change.host == SITE] == [REPLACE] * len({*told})


def test_without_a_successor_the_vms_go_onward():
    found = as_planned.results(PLAN)
    found[SITE]["vm_template_id"] = NEW
    made, _told = announced(found)
    zone = as_planned.observed(made, found).zones[SITE]
    source = found[SITE]["service"]["id"]
    assert changes.handovers(SITE, made["zones"][SITE], zone) == [{"source": source, "target": SERVICE["successor"]}]


def test_a_successor_that_is_being_removed_is_none():
    found = half_way(2, old=NEW)
    found[SITE]["successor"]["state"] = "UNDEPLOYING"
    made, _told = announced(found)
    zone = as_planned.observed(made, found).zones[SITE]
    assert [way["source"] for way in changes.handovers(SITE, made["zones"][SITE], zone)] == [99]


@pytest.mark.parametrize("state", ["SCALING", "FAILED_SCALING", "DEPLOYING", "WARNING"])
def test_no_other_step_touches_the_site(state):
    for which in ("service", "successor"):
        found = half_way(1)
        found[SITE][which]["state"] = state
        _made, told = announced(found, changed(SITE, federation_node_config="site=c"))
        assert {change.step for change in told if change.host == SITE} == {REPLACEMENTS}


def test_it_goes_on_only_where_it_is_allowed():
    found = half_way(3)
    for allowed in (False, True):
        hosts = changed("zone-a", federation_allow_replace=allowed)
        made, told = announced(found, hosts)
        findings = changes.findings(made, as_planned.observed(made, found), told)
        assert [(finding.code, finding.host) for finding in findings] == ([] if allowed else [("change.replace", SITE)])


def test_a_site_that_leaves_takes_both_with_it():
    found = half_way(3)
    _made, told = announced(found, leaving=[SITE])
    assert [(change.subject, change.step) for change in told if change.host == SITE] == [
        ("service", REMOVALS),
        ("service template", REMOVALS),
    ]


def test_a_saved_plan_knows_of_the_successor():
    found = half_way(1)
    facts = saved.facts(as_planned.observed(PLAN, found))[SITE]
    assert facts["successor"] == "id 99, RUNNING"


def test_two_successors_are_told_and_nothing_is_done():
    found = half_way(1)
    found[SITE] |= {"successor": {}, "faults": {"successor": "2 services are named so"}}
    _made, told = announced(found)
    assert as_planned.observed(PLAN, found).zones[SITE].unread == "2 services are named so"
    assert not [change for change in told if change.host == SITE]
