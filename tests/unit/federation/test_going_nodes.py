# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink is going to forget is announced before the VMs are gone."""

from __future__ import annotations

from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import changes, plan
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.gateways import Gateway
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.observation import Observation, Vm, Zone

from .test_plan import GROUPS, HOSTS


def forgotten(supernodes: int) -> list[tuple[str, str]]:
    """Return (reason, old) of what the SuperLink is to forget, where zone-b has so many SuperNodes and the plan two."""
    made = plan.make_plan(GROUPS, HOSTS)
    sites = {
        "zone-b": tuple(Vm(number, attributes={"FL_NODE_ID": f"b{number}"}) for number in range(supernodes)),
        "zone-c": tuple(Vm(number, attributes={"FL_NODE_ID": f"c{number}"}) for number in range(3)),
    }
    nodes = ",".join(f"{vm.attributes['FL_NODE_ID']}:online" for vms in sites.values() for vm in vms)
    superlink = Vm(0, attributes={"FL_NODES": nodes})
    zones = {
        name: Zone(id=1, state="RUNNING", vms=vms, cardinality=len(vms)) for name, vms in {"zone-a": (superlink,), **sites}.items()
    }
    observed = Observation(zones, {name: Gateway(unread="not asked") for name in GROUPS["gateways"]})
    return [(change.reason, change.old) for change in changes.changes(made, observed) if change.step == changes.NODES]


def test_nodes_of_vms_that_go_are_announced():
    assert forgotten(2) == []
    assert forgotten(1) == []
    assert forgotten(3) == [("their VMs go", "1 node(s)")]
