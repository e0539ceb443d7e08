#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oneflow_service_info
short_description: Read OneFlow services with their VMs
version_added: "0.1.0"
description:
  - Returns the services of one zone that the user may see, with the VMs of their roles. Services in state V(DONE) are left out.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  name:
    description: Only services of this name; names are not unique.
    type: str
  id:
    description: Only the service with this id.
    type: int
  owner:
    description: Name or id of the user whose service RV(selected) is to be, as in M(oneflower.federation.oneflow_service).
    type: str
  vms:
    description: Whether to read the VMs too. Without them nodes have only their id and name.
    type: bool
    default: true
  wait_attributes:
    description:
      - User attributes that a VM of each service found must show. The services are read again until one does, or until
        O(wait_timeout) has passed; what was read last is returned either way. A service without VMs is not waited for.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds to wait for O(wait_attributes) at most.
    type: float
    default: 0.0
seealso:
  - module: oneflower.federation.oneflow_service
  - module: oneflower.federation.one_vm_info
"""

EXAMPLES = r"""
- name: Read one service
  oneflower.federation.oneflow_service_info:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: shop
  register: found

- name: Show its state
  ansible.builtin.debug:
    msg: "{{ found.services | map(attribute='state') }}"
"""

RETURN = r"""
shown:
  description: Whether every service that has VMs has one that shows O(wait_attributes).
  returned: success
  type: bool
selected:
  description:
    - Id of the service that M(oneflower.federation.oneflow_service) works with for that name, or the O(id). Null without either,
      and where there is none or more than one.
  returned: success
  type: int
services:
  description: The services, ordered by id; empty when there is none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id. Null in check mode for what does not exist yet.
      type: int
    name:
      description: Name.
      type: str
    uid:
      description: Id of the owner.
      type: int
    gid:
      description: Id of the group.
      type: int
    uname:
      description: Name of the owner.
      type: str
    gname:
      description: Name of the group.
      type: str
    mode:
      description: Permissions as three octal digits.
      type: str
    state:
      description: State by name.
      type: str
      sample: RUNNING
    state_id:
      description: State as OneFlow's number.
      type: int
    roles:
      description: Roles in the order of the template.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the role.
          type: str
        state:
          description: State of the role by name.
          type: str
        cardinality:
          description: Number of VMs the role should have.
          type: int
        nodes:
          description: The VMs of the role.
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
    log:
      description: The service's log, oldest entry first.
      type: list
      elements: dict
      contains:
        timestamp:
          description: Seconds since 1970.
          type: int
        severity:
          description: V(I) or V(E).
          type: str
        message:
          description: Text.
          type: str
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import oneflow_service_info
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/oneflow_service_info.py."""
    run_module(oneflow_service_info)


if __name__ == "__main__":
    main()
