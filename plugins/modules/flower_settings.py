#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: flower_settings
short_description: Bring live settings of the Flower appliance into force
version_added: "0.1.0"
description:
  - Writes settings into the VMs of a service as user attributes, only those that differ, and waits until every VM publishes the
    digest of exactly these settings and works. No VM is made anew, and no connection into a VM is made.
  - All VMs are written to before any of them is waited for.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  service:
    description:
      - Name or id of the service. Its roles are called as the appliance's are, V(superlink) and V(supernode).
    type: str
    required: true
  values:
    description:
      - The whole set of live settings and their values; what is not given has its default. docs/context.md lists them.
      - The list of partitions is no part of it, see O(partitions).
    type: dict
    required: true
  partitions:
    description: The partitions of the site, for example V(0-1,4). Written only to SuperNodes that hold no partition yet.
    type: str
  failures_before:
    description:
      - What VMs complained of before the run, by the id of the VM. It is overlooked until it is taken back. So is what a VM
        complains of when this task writes to it.
    type: dict
    default: {}
  settling:
    description: Seconds from the beginning of the wait in which no complaint of a VM is a failure, because what it complains of
      is being changed.
    type: float
    default: 0.0
  wait:
    description: Whether to wait until the settings are in force.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: float
    default: 300.0
seealso:
  - module: oneflower.federation.flower_settings_info
"""

EXAMPLES = r"""
- name: Bring the planned settings into force
  oneflower.federation.flower_settings:
    endpoint: https://one-a.example.org:2633/RPC2
    service: demo coordinator
    values: "{{ live_settings }}"
"""

RETURN = r"""
vms:
  description: The VMs, by id.
  returned: success, and when the wait ended without success
  type: list
  elements: dict
  contains:
    vm_id:
      description: Id of the VM.
      type: int
    name:
      description: Name of the VM.
      type: str
    role:
      description: What the VM is.
      type: str
      sample: supernode
    differing:
      description: The settings that were, or in check mode would be, written, each with C(before) and C(after). Certificates are
        shown by their SHA-256.
      type: dict
    in_force:
      description: Whether the VM works with the settings.
      type: bool
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_settings


def main():
    runner.run_module(flower_settings)


if __name__ == "__main__":
    main()
