#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oneflow_service
short_description: Manage OneFlow services
version_added: "0.1.0"
description:
  - Instantiates a service template and waits until the service runs; scales, renames, releases and removes services.
  - Fills the declared defaults of all user inputs and names every mandatory one that has no value, before anything is sent.
  - While waiting, a failed state ends the task at once, with the lines of the service's log and the failing role. So do
    V(WARNING) with a VM that is down, and VMs that died before they were ready. On a local connection each change of state
    is displayed.
  - What OneFlow would refuse, or accept and never finish, is refused in check mode and before anything is sent.
  - A service in state V(DONE) does not count as existing.
  - OpenNebula 6 puts no input into a VM by itself. There the task writes the values into the roles that it instantiates, as
    OpenNebula 7 does, and refuses values with a C($) that OpenNebula 6 would expand.
  - "A name stands for: the service of the O(owner) that the task names, else the one of the user who runs the task, else the
    only one of that name that the user may use. So a colleague of the same group who runs the same tasks finds the service
    that is there. When there are several and none is the user's own, the task fails and names their ids and owners."
  - A service of somebody else is changed like one's own; whether the user may is the server's to say. OneFlow lets a user
    scale a service that he may only use. To remove it takes O(owner) or O(id).
  - Names of services are not unique in OneFlow. Two tasks that instantiate one name at the same time make two services, and the
    next task fails and names both ids. Do not run such tasks side by side.
  - The values of inputs are hidden in results, except those of inputs that the template declares with a type other than
    C(password) that OpenNebula knows. That includes the values given to a role that the task adds, which declares nothing.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  state:
    description:
      - Whether the service should exist.
      - V(absent) undeploys it, also out of a failed or passing state, in which OneFlow refuses an ordinary deletion. A removal
        that does not move on is pushed, without leaving VMs behind.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the service. One of O(name) and O(id) is needed.
      - Together with O(id) it is the name the service should have.
    type: str
  id:
    description: Id of the service.
    type: int
  template_name:
    description:
      - Name of the service template to instantiate when there is no such service. The user's own template comes first, then
        the only one of that name that the user may use.
    type: str
  template_id:
    description: Id of the service template to instantiate when there is no such service.
    type: int
  user_inputs_values:
    description:
      - Values for the inputs that the template declares for the whole service.
      - The inputs of a service cannot be changed. RV(input_drift) names those that differ in an existing one.
    type: dict
    default: {}
  networks_values:
    description:
      - "Values for the networks that the template declares, for example C({net: {id: 0}}). Where the task gives none, the
        default that the template declares is used."
      - Each value has exactly one of C(id), C(template_id) and C(reserve_from), and may have C(extra). C(reserve_from) needs
        C(extra) with C(SIZE=n).
    type: list
    elements: dict
    default: []
  roles:
    description: What is asked of single roles. Roles that are not named stay as they are.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      state:
        description:
          - V(absent) removes the role from a running service. OneFlow would remove the service with its last role, so that is
            refused; O(state=absent) does it.
        type: str
        choices: [present, absent]
        default: present
      cardinality:
        description:
          - Number of VMs. An existing role is scaled.
          - OneFlow takes VMs that die off the number that a role should have. With this option the task notices that, and a
            later run restores the number.
        type: int
      user_inputs_values:
        description: Values for the inputs that the template declares for this role.
        type: dict
      template_contents:
        description: Attributes that override the VM template's when the service is instantiated or the role added.
        type: dict
      template_id:
        description: Id of the VM template for a role that the service does not have; the role is added.
        type: int
      parents:
        description: Roles that an added role depends on.
        type: list
        elements: str
  force_scale:
    description: Scale beyond the role's C(min_vms) and C(max_vms).
    type: bool
    default: false
  on_failed:
    description:
      - What to do with an existing service in a failed state.
      - V(fail) ends the task with the reason, V(recover) lets OneFlow try again, V(recreate) removes the service and
        instantiates it anew.
      - V(WARNING) with a VM that is down is treated alike. OneFlow does not recover it, so V(recover) resumes VMs that are
        stopped, and retries the last action of those whose driver failed. Without O(wait), V(fail) only warns then.
    type: str
    choices: [fail, recover, recreate]
    default: fail
  release:
    description: Release the roles that are on hold.
    type: bool
    default: false
  new_name:
    description: Rename the service. When there is none named O(name) but one with this name, that is already done.
    type: str
  wait:
    description:
      - Whether to wait until the service is RUNNING (or on hold, without O(release)), or gone. A service of which some roles
        run and the others are on hold counts as on hold.
      - After scaling this includes OneFlow's cooldown, 300 seconds unless the role or the server says otherwise.
    type: bool
    default: true
  wait_timeout:
    description: Seconds for the whole task when O(wait=true).
    type: float
    default: 600.0
  wait_interval:
    description: Longest pause between two looks at the service, in seconds. The first ones are shorter.
    type: float
    default: 2.0
  failure_attribute:
    description:
      - Name of a user attribute of a VM. When any VM of the service has it, with a value, while the task waits, the task
        fails at once with that value.
    type: str
  failures_before:
    description:
      - What VMs have in O(failure_attribute) before the task, by the id of the VM. The same text is overlooked until it changes,
        as it is older than what the task does; when the time is over it is told.
    type: dict
    default: {}
  settling:
    description: Seconds from the beginning of the wait in which no complaint of a VM is a failure, because what it complains of
      is being changed.
    type: float
    default: 0.0
  owner:
    description:
      - User who owns the service, by name or id.
      - With this option the service of that owner is meant, if there is one, otherwise the one of the user who runs the task.
    type: str
  group:
    description: Group of the service, by name or id.
    type: str
  mode:
    description:
      - Permissions as three octal digits for owner, group and others (use 4, manage 2, admin 1), for example V("640").
      - Quote the number. Without quotes it is refused, as YAML reads V(0640) and V(640) as other numbers.
    type: raw
seealso:
  - module: oneflower.federation.oneflow_service_info
  - module: oneflower.federation.oneflow_template
"""

EXAMPLES = r"""
- name: Have a service run
  oneflower.federation.oneflow_service:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: shop
    template_name: web-and-db
    roles:
      - name: db
        user_inputs_values:
          DB_NAME: shop
      - name: web
        cardinality: 3
    wait_timeout: 900
    failure_attribute: APP_ERROR
  register: shop

- name: Show the addresses of its VMs
  ansible.builtin.debug:
    msg: "{{ shop.service.roles | map(attribute='nodes') | flatten | map(attribute='addresses') }}"

- name: Remove it, whatever state it is in
  oneflower.federation.oneflow_service:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: shop
    state: absent
"""

RETURN = r"""
service:
  description: The service as it is, or would be in check mode. Null when it is absent. After a failure, as last seen.
  returned: success, and failure once there is a service
  type: dict
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
input_drift:
  description: Names of inputs for which the task gives other values than the existing service was made with.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import oneflow_service
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/oneflow_service.py."""
    run_module(oneflow_service)


if __name__ == "__main__":
    main()
