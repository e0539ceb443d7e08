#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oneflow_template_info
short_description: Read OneFlow service templates
version_added: "0.1.0"
description:
  - Returns the service templates of one zone that the user may see.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  name:
    description: Only templates of this name; names are not unique.
    type: str
  id:
    description: Only the template with this id.
    type: int
seealso:
  - module: oneflower.federation.oneflow_template
"""

EXAMPLES = r"""
- name: Read all service templates
  oneflower.federation.oneflow_template_info:
    endpoint: http://zone-a.example.org:2633/RPC2
  register: found

- name: Show their names
  ansible.builtin.debug:
    msg: "{{ found.templates | map(attribute='name') }}"
"""

RETURN = r"""
templates:
  description: The templates, ordered by id; empty when there is none.
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
    body:
      description: Body with the field names of OpenNebula 7. Values and defaults of inputs whose type is not known to be
        harmless are masked.
      type: dict
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import oneflow_template_info
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/oneflow_template_info.py."""
    run_module(oneflow_template_info)


if __name__ == "__main__":
    main()
