# SPDX-License-Identifier: GPL-3.0-or-later
"""Id 0 is an id like any other: in a zone that has nothing yet, every object is number 0."""

from __future__ import annotations

import pytest

from tests.contract import contract_target as targets
from tests.contract.contract_run import run_task

pytestmark = pytest.mark.lab


@pytest.fixture
def fresh(tmp_path):
    with targets.lab_federation(tmp_path, "7.4.0") as found:
        yield found


def test_everything_is_number_zero(fresh):
    def run(module, **options):
        result = run_task(module, fresh.a, fresh, **options)
        assert not result.get("failed"), result
        return result

    body = {"roles": [{"name": "app", "template_id": 0, "cardinality": 1}]}
    assert run("oneflow_template", name="zero", template=body)["template"]["id"] == 0
    assert run("oneflow_template_info", id=0)["templates"][0]["name"] == "zero"
    assert run("oneflow_template", id=0, template={**body, "description": "changed"})["changed"]
    assert run("oneflow_template", id=0, owner=0, group=0)["changed"] is False
    made = run("oneflow_service", name="one", template_id=0)["service"]
    assert made["roles"][0]["nodes"][0]["vm_id"] == 0
    assert run("one_vm_info", vm_ids=[0])["vms"][0]["vm_id"] == 0
    assert run("one_vm_attributes", vm_id=0, attributes={"A": 0})["attributes"]["A"] == "0"
    assert run("one_resource_info", vm_templates=[0], virtual_networks=["0"])["virtual_networks"][0]["id"] == 0
    assert run("onezone_info", id=0)["zones"][0]["id"] == 0
    assert run("onezone", id=0, attributes={"A": 0})["zone"]["id"] == 0
    assert run("oneflow_service", id=made["id"], state="absent")["changed"]
    assert run("oneflow_template", id=0, state="absent")["changed"]
    assert run("oneflow_template_info", id=0)["templates"] == []


def test_deleting_everything_along(fresh):
    """clone_mode and delete_type all: VM templates and their images. Only here, where the images are nobody's."""

    def images():
        return [image.name for image in fresh.a.lab.store.all("image")]

    assert images() == ["base"]
    run_task("oneflow_template", fresh.a, fresh, name="t", template={"roles": [{"name": "app", "template_id": 0}]})
    copy = run_task("oneflow_template", fresh.a, fresh, name="copy", clone_of="t", clone_mode="all")["template"]
    assert copy["body"]["roles"][0]["template_id"] != 0
    assert run_task("oneflow_template", fresh.a, fresh, name="copy", state="absent", delete_type="all", check=True)["changed"]
    assert images() == ["base"]
    assert run_task("oneflow_template", fresh.a, fresh, name="copy", state="absent", delete_type="all")["changed"]
    assert images() == []


def test_service_zero(fresh):
    """Documents share their ids: with the template gone, a service can never be 0 in a lab zone unless it is set so."""
    fresh.a.lab.store.set_value("next:document", 5)
    body = {"roles": [{"name": "app", "template_id": 0, "cardinality": 0}]}
    run_task("oneflow_template", fresh.a, fresh, name="t", template=body)
    fresh.a.lab.store.set_value("next:document", 0)
    made = run_task("oneflow_service", fresh.a, fresh, name="zero", template_id=5)
    assert made["changed"] and made["service"]["id"] == 0, made
    assert run_task("oneflow_service", fresh.a, fresh, id=0, template_id=5)["changed"] is False
    assert run_task("oneflow_service", fresh.a, fresh, id=0, mode="644")["service"]["mode"] == "644"
    assert run_task("oneflow_service_info", fresh.a, fresh, id=0)["services"][0]["name"] == "zero"
    assert run_task("one_vm_info", fresh.a, fresh, service="0")["vms"] == []
    assert run_task("oneflow_service", fresh.a, fresh, id=0, state="absent")["changed"]
    assert run_task("oneflow_service_info", fresh.a, fresh, id=0)["services"] == []
