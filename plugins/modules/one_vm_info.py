#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_vm_info
short_description: Read OpenNebula VMs
version_added: "0.1.0"
description:
  - Returns the VMs of a service, VMs by their ids, or all VMs of one zone that the user may see, filtered.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  service:
    description: Name or id (digits only) of a service; only its VMs are returned.
    type: str
  role:
    description: Only VMs of this role.
    type: str
  vm_ids:
    description: Only VMs with these ids, terminated ones included. An id that does not exist is an error.
    type: list
    elements: int
  name:
    description: Only VMs whose name matches this pattern, in which V(*) and V(?) stand for any characters.
    type: str
  attributes:
    description: Only VMs that have all these user attributes with these values.
    type: dict
seealso:
  - module: oneflower.federation.one_vm_attributes
  - module: oneflower.federation.oneflow_service_info
"""

EXAMPLES = r"""
- name: Read the VMs of one role
  oneflower.federation.one_vm_info:
    endpoint: http://zone-a.example.org:2633/RPC2
    service: shop
    role: web
  register: web

- name: Show their addresses
  ansible.builtin.debug:
    msg: "{{ web.vms | map(attribute='addresses') | flatten }}"
"""

RETURN = r"""
vms:
  description: The VMs, ordered by id.
  returned: success
  type: list
  elements: dict
  contains:
    vm_id:
      description: Id of the VM.
      type: int
    name:
      description: Name of the VM.
      type: str
    state:
      description: State of the VM, for example V(ACTIVE). Null when it was not read.
      type: str
    lcm_state:
      description: Life-cycle state of the VM, for example V(RUNNING). Null when it was not read.
      type: str
    addresses:
      description: Addresses of its network interfaces, in their order.
      type: list
      elements: str
    attributes:
      description: User attributes (C(USER_TEMPLATE)). Values of inputs whose type is not known to be harmless, and of
        attributes named like a secret, are masked.
      type: dict
    service_id:
      description: Id of the service the VM belongs to, null when it belongs to none.
      type: int
    role:
      description: Role of the VM in its service, null when it has none.
      type: str
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import one_vm_info
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/one_vm_info.py."""
    run_module(one_vm_info)


if __name__ == "__main__":
    main()
