# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services: each zone's OneFlow service, from the plan's parts to a service template. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.appliance.flower_releases import FlowerRelease

from . import kinds, variables
from .addresses import Partitions
from .inventory import Inventory
from .links import Link
from .topology import Topology
from .trust import Trust

KINDS_OF_SERVICE = {settings.SUPERLINK: "coordinator", settings.SUPERNODE: "training site"}


def services(
    inventory: Inventory, topology: Topology, partitions: Partitions, link: Link, trust: Trust, release: FlowerRelease
) -> dict[str, dict[str, t.Any]]:
    """Return the service of every zone, by zone.

    {name, role, cardinality, inputs, context, nic, vm_template, network, from_superlink, failure_attribute}: `inputs` are values
    of the role's user inputs, `from_superlink` maps an input to the attribute of the SuperLink's VM that it is taken from, and
    `failure_attribute` is the one in which a VM says what keeps it from its work.
    """
    common = {
        settings.VERSION: release.version,
        settings.TLS_ENABLED: trust.superlink[settings.TLS_ENABLED],
        settings.LOG_LEVEL: inventory.federation(variables.LOG_LEVEL),
        settings.KEEPALIVE_TIME: str(inventory.federation(variables.KEEPALIVE_TIME)),
        settings.KEEPALIVE_TIMEOUT: str(inventory.federation(variables.KEEPALIVE_TIMEOUT)),
    }

    def inputs(zone: str) -> dict[str, str]:
        if zone == topology.coordinator:
            return {**common, **trust.superlink}
        return {
            **common,
            settings.SUPERLINK_ADDRESS: kinds.host_port(link.host, link.port),
            settings.PARTITIONS: settings.format_numbers(
                range(partitions.offsets[zone], partitions.offsets[zone] + partitions.supernodes[zone])
            ),
            settings.NUM_PARTITIONS: str(partitions.total),
        }

    def service(zone: str) -> dict[str, t.Any]:
        is_coordinator = zone == topology.coordinator
        role = settings.SUPERLINK if is_coordinator else settings.SUPERNODE
        return {
            "name": f"{inventory.federation(variables.NAME)} {KINDS_OF_SERVICE[role]}",
            "role": role,
            "cardinality": 1 if is_coordinator else partitions.supernodes[zone],
            "inputs": inputs(zone),
            "context": {"NETWORK": "YES", "TOKEN": "YES", settings.ROLE: role},
            "nic": dict(link.nics[zone]),
            "vm_template": inventory.get(zone, variables.VM_TEMPLATE),
            "network": inventory.get(zone, variables.NETWORK),
            "from_superlink": {} if is_coordinator else dict(trust.from_superlink),
            "failure_attribute": attributes.ERROR,
        }

    return {zone: service(zone) for zone in topology.zones}


def service_template(service: Mapping[str, t.Any], template_id: int, network_id: int) -> dict[str, t.Any]:
    """Return the body of the OneFlow service template (7.x schema) for the `service` of a zone's plan.

    `template_id` and `network_id` are what the zone calls the VM template and the virtual network named in the plan.
    """
    return {
        "name": service["name"],
        "description": f"{service['role']} of a Flower federation; managed by oneflower.federation",
        "deployment": "straight",
        "ready_status_gate": True,
        "roles": [
            {
                "name": service["role"],
                "type": "vm",
                "template_id": int(template_id),
                "cardinality": service["cardinality"],
                "user_inputs": settings.user_inputs(service["role"]),
                "template_contents": {
                    "CONTEXT": dict(service["context"]),
                    "NIC": [{"NETWORK_ID": str(network_id), **service["nic"]}],
                },
            }
        ],
    }
