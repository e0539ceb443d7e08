# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_nodes and flower_nodes_info. No guest runs here: the test answers in the place of the SuperLink's VM."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.template_text import render_template

from tests.contract.contract_run import until

pytestmark = pytest.mark.usefixtures("clean")
# Ids of Flower have up to 20 digits; by number and by text their order differs.
NODES = {"9": True, "10": False, "7134525087734583204": True}


@pytest.fixture
def superlink(run, name, target):
    """Make a coordinator's service of one VM; return the id of the VM."""
    role = {"name": settings.SUPERLINK, "template_id": target.a.vm_template, "cardinality": 1}
    run("oneflow_template", name=name("c"), template={"roles": [role]})
    made = run("oneflow_service", name=name("c"), template_name=name("c"))
    return made["service"]["roles"][0]["nodes"][0]["vm_id"]


@pytest.fixture
def publish(oned, superlink):
    """publish({id: online}) as the SuperLink's VM does."""
    return lambda nodes: oned.vm_update(superlink, render_template({attributes.NODES: attributes.format_nodes(nodes)}))


@pytest.fixture
def asked(oned, superlink):
    """Return which nodes the VM is asked to forget."""
    return lambda: oned.vm(superlink)["USER_TEMPLATE"].get(attributes.NODES_FORGET, "")


@pytest.fixture
def forgets(asked, publish):
    """Play the VM: once it is asked, it knows these nodes only, one look after the other."""
    threads = []

    def play(*looks):
        def answer():
            until(asked, "the VM is asked to forget", 30)
            for nodes in looks:
                publish(nodes)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()

    yield play
    for thread in threads:
        thread.join()


def test_nodes_are_read(run, name, superlink, publish):
    read = {"service": name("c")}
    assert run("flower_nodes_info", **read)["nodes"] == [], "before the VM published any"
    publish(NODES)
    found = run("flower_nodes_info", **read)
    assert found["changed"] is False
    assert found["nodes"] == [
        {"id": "9", "online": True},
        {"id": "10", "online": False},
        {"id": "7134525087734583204", "online": True},
    ]


def test_what_is_no_node_is_left_out(run, name, superlink, oned):
    oned.vm_update(superlink, render_template({attributes.NODES: "9:online,x:online,10:perhaps,{{ 1 }}:offline,"}))
    assert run("flower_nodes_info", service=name("c"))["nodes"] == [{"id": "9", "online": True}]


def test_nodes_are_forgotten(twice, name, publish, forgets, asked):
    publish(NODES)
    forgets({"7134525087734583204": True, "10": False}, {"7134525087734583204": True})
    done = twice("flower_nodes", service=name("c"), nodes=["10", "9"], state="absent", wait_timeout=30)
    assert asked() == "9,10"
    assert done["nodes"] == [{"id": "7134525087734583204", "online": True}]
    assert done["diff"] == {"before": {"nodes": ["9", "10", "7134525087734583204"]}, "after": {"nodes": ["7134525087734583204"]}}


def test_a_node_that_is_not_known_is_passed_over(run, name, publish, asked):
    publish(NODES)
    done = run("flower_nodes", service=name("c"), nodes=["11", "12"])
    assert done["changed"] is False and asked() == "" and len(done["nodes"]) == 3


def test_only_what_is_known_is_asked_for(run, name, publish, forgets, asked):
    publish(NODES)
    forgets({"9": True, "7134525087734583204": True})
    assert run("flower_nodes", service=name("c"), nodes=["11", "10"], wait_timeout=30)["changed"] is True
    assert asked() == "10"


def test_a_node_that_came_meanwhile_is_told_and_stays(run, name, publish, forgets):
    publish({"9": True})
    forgets({"12": True})
    assert run("flower_nodes", service=name("c"), nodes=["9"], wait_timeout=30)["nodes"] == [{"id": "12", "online": True}]


def test_a_superlink_that_does_not_forget_ends_in_a_timeout(run, name, publish):
    publish(NODES)
    late = run("flower_nodes", service=name("c"), nodes=["9", "10"], wait_timeout=0.2, fails=True)
    assert late["error"]["kind"] == "timeout" and "still knows 9, 10" in late["msg"] and "journalctl" in late["error"]["hint"]
    assert late["changed"] is True


@pytest.mark.parametrize("nodes", [["x"], ["1,2"], ["-1"], ["1" * 21], ["9", ""]])
def test_what_is_no_id_is_refused_before_anything_is_read(run, name, nodes):
    refused = run("flower_nodes", service=name("nothing"), nodes=nodes, fails=True)
    assert refused["error"]["kind"] == "invalid_request" and refused["changed"] is False


@pytest.mark.parametrize("module", ["flower_nodes", "flower_nodes_info"])
def test_without_service_or_vm(run, name, target, module):
    options = {"nodes": ["9"]} if module == "flower_nodes" else {}
    missing = run(module, service=name("c"), **options, fails=True)
    assert missing["error"]["kind"] == "not_found"
    role = {"name": settings.SUPERLINK, "template_id": target.a.vm_template, "cardinality": 0}
    run("oneflow_template", name=name("c"), template={"roles": [role]})
    run("oneflow_service", name=name("c"), template_name=name("c"))
    empty = run(module, service=name("c"), **options, fails=True)
    assert empty["error"]["kind"] == "not_found" and "has no VM" in empty["msg"]


@pytest.mark.lab
def test_it_takes_few_calls(run, name, publish, target):
    publish(NODES)
    requests = target.a.lab.faults.requests
    requests.clear()
    run("flower_nodes", service=name("c"), nodes=["11"])
    assert len(requests) <= 2, list(requests)
