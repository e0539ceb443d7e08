#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_zone_info
short_description: Read everything about one zone of a federation
version_added: "0.1.0"
description:
  - Returns a zone's OneFlow service with its VMs, its service template, the ids of what they are made of, the other services of
    federations in the zone, and the lock of a run, in one task with one call for each pool that is asked for.
  - What is not there, or has a name that is not unique, is no failure; RV(faults) says so.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  service:
    description: Name of the service.
    type: str
    required: true
  template:
    description: Name of the service template. The name of the service when it is not given.
    type: str
  successor:
    description:
      - Name of a second service to read, such as the one that takes over from O(service), see
        M(oneflower.federation.flower_handover).
    type: str
  vm_template:
    description: Name or id of a VM template to find.
    type: str
  network:
    description: Name or id of a virtual network to find.
    type: str
  lock:
    description: Name of a lock, see M(oneflower.federation.federation_lock).
    type: str
  wait_attributes:
    description:
      - User attributes that a VM of the service must show. Service and VMs are read again until one does, or until
        O(wait_timeout) has passed; what was read last is returned either way. A service without VMs is not waited for.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds to wait for O(wait_attributes) at most.
    type: float
    default: 0.0
seealso:
  - module: oneflower.federation.oneflow_service_info
  - module: oneflower.federation.federation_lock
"""

EXAMPLES = r"""
- name: Read a training site
  oneflower.federation.federation_zone_info:
    endpoint: https://one-b.example.org:2633/RPC2
    service: demo training site
    vm_template: flower-appliance
    network: lan
  register: found
"""

RETURN = r"""
service:
  description: The service; empty when there is none, or more than one that could be meant.
  returned: success
  type: dict
  contains:
    id:
      description: Id.
      type: int
    name:
      description: Name.
      type: str
    state:
      description: State by name.
      type: str
      sample: RUNNING
    failure:
      description: What is wrong with it, with OneFlow's and oned's own words; empty when nothing is.
      type: str
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
        template_id:
          description: Id of the VM template.
          type: int
        contents:
          description: The role's template contents, as OneFlow 7 has them; secrets are masked.
          type: dict
        inputs:
          description: Values of the inputs with which it was made, those of the service included; secrets are masked.
          type: dict
        nodes:
          description: The VMs, as M(oneflower.federation.oneflow_service_info) returns them.
          type: list
          elements: dict
services_found:
  description: Number of services of that name that the user may see.
  returned: success
  type: int
successor:
  description: The second service, as RV(service) is; empty when it was not asked for or there is none.
  returned: success
  type: dict
template:
  description: The service template as C(id) and C(body), without secrets; empty when there is none.
  returned: success
  type: dict
vm_template_id:
  description: Id of the VM template. Null when it was not asked for or not found.
  returned: success
  type: int
network_id:
  description: Id of the virtual network. Null when it was not asked for or not found.
  returned: success
  type: int
federations:
  description: Names of all services in the zone that are called as services of a federation are.
  returned: success
  type: list
  elements: str
  sample: ["demo coordinator", "other training site"]
lock:
  description: The lock; empty when it was not asked for or nobody holds it.
  returned: success
  type: dict
  contains:
    id:
      description: Id of the VM template that is the lock.
      type: int
    holder:
      description: Who holds it.
      type: str
    since:
      description: Since when, in seconds since 1970.
      type: int
    host:
      description: Name of the host of the process that holds it.
      type: str
    boot_id:
      description: Boot of that host, and the namespace of its processes.
      type: str
    pid:
      description: Id of the process.
      type: str
    started:
      description: When the process started, in ticks since the boot.
      type: str
    left_behind:
      description: Whether the process has certainly ended; known only on its own host.
      type: bool
faults:
  description: Why something was not found, by the name of the option that asked for it.
  returned: success
  type: dict
  sample: {"network": "there is no virtual network 'lan' that oneadmin may use. There is: 'wan'."}
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import federation_zone_info


def main():
    runner.run_module(federation_zone_info)


if __name__ == "__main__":
    main()
