#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oneflow_template
short_description: Manage OneFlow service templates
version_added: "0.1.0"
description:
  - Creates, updates, renames, clones and deletes service templates of one zone.
  - Compares what the task asks for with what the server has and ignores what the server adds, so that a second run changes
    nothing. A template is updated in place, never replaced by another.
  - Every change is read back, as OneFlow reports success for changes that it did not make.
  - "A name stands for: the template of the O(owner) that the task names, else the one of the user who runs the task, else the
    only one of that name that the user may use. When there are several and none is the user's own, the task fails and names
    their ids and owners. O(clone_of) follows the same rule."
  - A template of somebody else is changed like one's own; whether the user may is the server's to say. To remove it takes
    O(owner) or O(id).
  - Names of templates are not unique in OneFlow. Two tasks that create one name at the same time make two templates, and the
    next task fails and names both ids. Do not run such tasks side by side.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  state:
    description: Whether the template should exist.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the template. One of O(name) and O(id) is needed.
      - Together with O(id) it is the name the template should have.
    type: str
  id:
    description: Id of the template. A template that does not exist cannot be created by its id.
    type: int
  template:
    description:
      - Body of the template. Its C(name) is optional, O(name) is used.
      - The field names of OpenNebula 7 and those of 6 (C(vm_template), C(vm_template_contents), C(custom_attrs),
        C(custom_attrs_values)) are understood and translated to what the server speaks.
      - Unknown fields are refused, with the nearest known name, and so is what OneFlow would refuse or never finish, such as
        roles that wait for each other. All faults are told at once, in check mode too.
      - Values and defaults of inputs are hidden in results, except those of inputs that are declared with a type other than
        C(password) that OpenNebula knows.
      - Booleans in C(template_contents) are written as V(YES) and V(NO).
      - Fields that the task leaves out are removed, except those that are unknown here and C(labels).
    type: dict
  new_name:
    description: Rename the template. When there is none named O(name) but one with this name, that is already done.
    type: str
  clone_of:
    description: Name or id of a template to copy when there is none named O(name). A number is an id.
    type: str
  clone_mode:
    description:
      - What is cloned along with O(clone_of). V(templates) clones the VM templates, V(all) their images as well.
    type: str
    choices: [none, templates, all]
    default: none
  delete_type:
    description:
      - What is deleted along with the template. V(templates) deletes the VM templates of its roles, V(all) their images
        as well.
    type: str
    choices: [none, templates, all]
    default: none
  owner:
    description:
      - User who owns the template, by name or id.
      - With this option the template of that owner is meant, if there is one, otherwise the one of the user who runs the task.
    type: str
  group:
    description: Group of the template, by name or id.
    type: str
  mode:
    description:
      - Permissions as three octal digits for owner, group and others (use 4, manage 2, admin 1), for example V("640").
      - Quote the number. Without quotes it is refused, as YAML reads V(0640) and V(640) as other numbers.
    type: raw
seealso:
  - module: oneflower.federation.oneflow_template_info
  - module: oneflower.federation.oneflow_service
"""

EXAMPLES = r"""
- name: Keep the template of a two-tier service
  oneflower.federation.oneflow_template:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: web-and-db
    template:
      deployment: straight
      ready_status_gate: true
      roles:
        - name: db
          template_id: 0
          cardinality: 1
          user_inputs:
            DB_NAME: M|text|Name of the database
        - name: web
          template_id: 0
          cardinality: 2
          parents: [db]
          template_contents:
            NIC:
              - NETWORK_ID: "0"
    mode: "640"

- name: Copy it without copying the VM templates
  oneflower.federation.oneflow_template:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: web-and-db-test
    clone_of: web-and-db

- name: Remove the copy
  oneflower.federation.oneflow_template:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: web-and-db-test
    state: absent
"""

RETURN = r"""
template:
  description: The template as it is, or would be in check mode. Null when it is absent.
  returned: success
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
    body:
      description: Body with the field names of OpenNebula 7. Defaults of inputs declared as passwords are masked.
      type: dict
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import oneflow_template
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/oneflow_template.py."""
    run_module(oneflow_template)


if __name__ == "__main__":
    main()
