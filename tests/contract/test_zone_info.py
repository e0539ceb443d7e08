# SPDX-License-Identifier: GPL-3.0-or-later
"""federation_zone_info: everything about one zone of a federation, in one task."""

from __future__ import annotations

import threading

import pytest

from tests.contract.contract_run import clients

pytestmark = pytest.mark.usefixtures("clean")
SECRET = "s3cret-of-a-site"


@pytest.fixture
def site(run, name, target):
    """Make a service called as a training site's is, with inputs, a secret among them, and contents."""
    body = {
        "user_inputs": {"WHERE": "O|text|Where| |north"},
        "roles": [
            {
                "name": "app",
                "template_id": target.a.vm_template,
                "cardinality": 1,
                "max_vms": 3,
                "user_inputs": {"SIZE": "O|number|Size| |5", "KEY": "M|password|Key"},
                "template_contents": {"CONTEXT": {"KIND": "one"}, "NOTE": "a"},
            }
        ],
    }
    called = {"name": name("x training site")}
    run("oneflow_template", **called, template=body)
    roles = [{"name": "app", "user_inputs_values": {"KEY": SECRET}}]
    return run("oneflow_service", **called, template_name=called["name"], roles=roles)["service"]


def test_a_zone_in_one_task(run, name, target, site):
    vm_template = run("one_resource_info", vm_templates=[str(target.a.vm_template)])["vm_templates"][0]
    read = {"service": site["name"], "vm_template": vm_template["name"], "lock": name("lock")}
    if target.a.network is not None:
        read["network"] = str(target.a.network)
    found = run("federation_zone_info", **read)
    assert found["changed"] is False and found["faults"] == {} and found["services_found"] == 1 and found["lock"] == {}
    assert found["vm_template_id"] == target.a.vm_template and found["network_id"] == target.a.network
    assert site["name"] in found["federations"]
    service = found["service"]
    assert (service["id"], service["name"], service["state"], service["failure"]) == (site["id"], site["name"], "RUNNING", "")
    (role,) = service["roles"]
    assert (role["name"], role["state"], role["cardinality"]) == ("app", "RUNNING", 1)
    assert role["template_id"] == target.a.vm_template and role["contents"]["NOTE"] == "a"
    assert role["contents"]["CONTEXT"]["KIND"] == "one"
    assert role["inputs"] == {"WHERE": "north", "SIZE": "5", "KEY": "********"}
    assert role["nodes"] == run("oneflow_service_info", id=site["id"])["services"][0]["roles"][0]["nodes"]
    template = run("oneflow_template_info", name=site["name"])["templates"][0]
    assert found["template"]["id"] == template["id"] and "registration_time" not in found["template"]["body"]
    assert found["template"]["body"]["roles"] == template["body"]["roles"]
    assert SECRET not in str({key: value for key, value in found.items() if key != "_secrets"})
    assert SECRET in found["_secrets"]


def test_what_is_not_there_is_data(run, name):
    found = run("federation_zone_info", service=name("never"), vm_template="never there", network="not there either")
    assert (found["service"], found["services_found"], found["template"], found["lock"]) == ({}, 0, {}, {})
    assert found["vm_template_id"] is None and found["network_id"] is None
    assert set(found["faults"]) == {"vm_template", "network"}
    assert "no VM template 'never there'" in found["faults"]["vm_template"] and "There is:" in found["faults"]["vm_template"]


def test_two_services_of_one_name_are_told(run, name, flow, site):
    """Two tasks at once with one name make two services."""
    other = run("oneflow_template", name=name("t"), template={"roles": []})["template"]["id"]
    flow.instantiate(other, {"name": site["name"]})
    found = run("federation_zone_info", service=site["name"])
    assert found["services_found"] == 2 and found["service"] == {}
    assert "2 services are named" in found["faults"]["service"] and str(site["id"]) in found["faults"]["service"]
    assert found["federations"].count(site["name"]) == 1


def test_a_second_service_is_read_as_the_first(run, name, flow, site):
    called = f"{site['name']} next"
    assert run("federation_zone_info", service=site["name"], successor=called)["successor"] == {}
    template = run("oneflow_template_info", name=site["name"])["templates"][0]["id"]
    roles = [{"name": "app", "user_inputs_values": {"KEY": SECRET}}]
    second = run("oneflow_service", name=called, template_id=template, roles=roles)["service"]
    found = run("federation_zone_info", service=site["name"], successor=called)
    assert (found["service"]["id"], found["successor"]["id"]) == (site["id"], second["id"]) and found["services_found"] == 1
    assert set(found["successor"]) == set(found["service"]) and found["faults"] == {}
    assert found["successor"]["roles"][0]["inputs"]["KEY"] == "********"
    assert called in found["federations"]
    flow.instantiate(run("oneflow_template", name=name("t"), template={"roles": []})["template"]["id"], {"name": called})
    twice = run("federation_zone_info", service=site["name"], successor=called)
    assert twice["successor"] == {} and "2 services are named" in twice["faults"]["successor"]


def test_the_templates_name_may_be_another(run, name, site):
    run("oneflow_template", name=name("t"), template={"roles": []})
    found = run("federation_zone_info", service=site["name"], template=name("t"))
    assert found["template"]["body"]["roles"] == [] and found["service"]["id"] == site["id"]


def test_it_waits_for_what_a_vm_shows(run, oned, site):
    read = {"service": site["name"], "wait_attributes": {"COLOUR": "blue"}}
    once = run("federation_zone_info", **read)
    assert once["_progress"] == [], "there is no time to wait"
    vm = site["roles"][0]["nodes"][0]["vm_id"]
    timer = threading.Timer(0.3, oned.vm_update, (vm, 'COLOUR="blue"'))
    timer.start()
    found = run("federation_zone_info", **read, wait_timeout=30)
    timer.join()
    assert found["service"]["roles"][0]["nodes"][0]["attributes"]["COLOUR"] == "blue"
    assert found["_progress"] == [
        f"service {site['name']} (id {site['id']}): RUNNING (app RUNNING 1/1), waits for a VM with COLOUR=blue"
    ]
    late = run("federation_zone_info", service=site["name"], wait_attributes={"COLOUR": "green"}, wait_timeout=0.1)
    assert late["service"]["id"] == site["id"], "what was read last is returned either way"


@pytest.mark.lab
def test_a_failed_service_says_why(run, name, target, vm_fault):
    body = {"roles": [{"name": "app", "template_id": target.a.vm_template, "cardinality": 1}]}
    run("oneflow_template", name=name("s"), template=body)
    vm_fault("boot", error="DEPLOY: no such kernel")
    run("oneflow_service", name=name("s"), template_name=name("s"), fails=True)
    failure = run("federation_zone_info", service=name("s"))["service"]["failure"]
    assert failure.startswith("is in state FAILED_DEPLOYING") and "DEPLOY: no such kernel" in failure


@pytest.mark.lab
def test_it_takes_few_calls(run, name, target, site):
    run("oneflow_service", id=site["id"], roles=[{"name": "app", "cardinality": 3}])
    requests = target.a.lab.faults.requests
    requests.clear()
    run("federation_zone_info", service=site["name"], vm_template="base", network="lan", lock=name("lock"))
    assert sorted(requests) == [
        "oned one.templatepool.info",
        "oned one.vmpool.infoextended",
        "oned one.vnpool.info",
        "oneflow GET /service",
        "oneflow GET /service_template",
    ]
    requests.clear()
    run("federation_zone_info", service=name("never"))
    assert sorted(requests) == ["oneflow GET /service", "oneflow GET /service_template"]


def test_another_owners_service_counts(run, name, second, target, site):
    """Somebody without rights sees nothing of it, and that is no failure."""
    found = run("federation_zone_info", service=site["name"], **second)
    assert found["services_found"] == 0 and found["service"] == {}
    assert clients(target.a)[1].services()
