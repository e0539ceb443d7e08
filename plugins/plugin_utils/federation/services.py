# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services: each zone's OneFlow service, from the plan's parts to a service template. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.appliance.flower_releases import FlowerRelease
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.names import service_name, successor_name

from . import kinds, variables
from .addresses import Partitions
from .inventory import Inventory
from .links import Link
from .topology import Topology
from .trust import Trust


def services(
    inventory: Inventory, topology: Topology, partitions: Partitions, link: Link, trust: Trust, release: FlowerRelease
) -> dict[str, dict[str, t.Any]]:
    """Return the service of every zone, by zone.

    {name, successor, role, cardinality, inputs, live, partitions, context, nic, vm_template, network, from_superlink,
    failure_attribute}: `inputs` are values of the role's user inputs, `live` those that are kept in force in running VMs,
    `partitions` the numbers that a VM without one may choose from, `from_superlink` maps an input to the attribute of the
    SuperLink's VM that it is taken from, `failure_attribute` is the one in which a VM says what keeps it from its work, and
    `successor` the name of the service that takes over when the VMs are replaced, "" where none does.
    """
    common = {
        settings.LOG_LEVEL: inventory.federation(variables.LOG_LEVEL),
        settings.KEEPALIVE_TIME: str(inventory.federation(variables.KEEPALIVE_TIME)),
        settings.KEEPALIVE_TIMEOUT: str(inventory.federation(variables.KEEPALIVE_TIMEOUT)),
    }

    def live(zone: str) -> dict[str, str]:
        mine = {**common, settings.ROUTES: link.routes.get(zone, "")}
        if zone == topology.coordinator:
            return {**mine, settings.EXTRA_SAN: trust.superlink[settings.EXTRA_SAN]}
        given = inventory.get(zone, variables.NODE_CONFIG) or ""
        return {**mine, settings.NODE_CONFIG: given, settings.SUPERLINK_ADDRESS: kinds.host_port(link.host, link.port)}

    def service(zone: str) -> dict[str, t.Any]:
        is_coordinator = zone == topology.coordinator
        role = settings.SUPERLINK if is_coordinator else settings.SUPERNODE
        numbers = "" if is_coordinator else settings.format_numbers(partitions.numbers[zone])
        fixed = {settings.VERSION: release.version, settings.TLS_ENABLED: trust.superlink[settings.TLS_ENABLED]}
        disk = inventory.get(zone, variables.STATE_DISK) if is_coordinator else None
        kept = {settings.STATE_DISK: disk} if disk else {}
        numbered = {settings.PARTITIONS: numbers, settings.NUM_PARTITIONS: str(partitions.total)}
        name = service_name(inventory.federation(variables.NAME), role)
        return {
            "name": name,
            "successor": "" if is_coordinator else successor_name(name),
            "role": role,
            "cardinality": 1 if is_coordinator else partitions.supernodes[zone],
            "inputs": {**fixed, **kept, **live(zone), **({} if is_coordinator else numbered)},
            "live": live(zone),
            "partitions": numbers,
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
                # OneFlow keeps a role in COOLDOWN after every scaling, 300 s unless told otherwise, and takes no other change.
                "cooldown": 0,
                "user_inputs": settings.user_inputs(service["role"]),
                "template_contents": {
                    "CONTEXT": dict(service["context"]),
                    "NIC": [{"NETWORK_ID": str(network_id), **service["nic"]}],
                },
            }
        ],
    }
