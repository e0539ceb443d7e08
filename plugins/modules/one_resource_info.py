#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: one_resource_info
short_description: Find VM templates and virtual networks of an OpenNebula zone
version_added: "0.1.0"
description:
  - Finds VM templates and virtual networks by name or id. One that is not there, or a name that is not unique, is an error
    which names what there is.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  vm_templates:
    description: Names or ids of VM templates.
    type: list
    elements: str
    default: []
  virtual_networks:
    description: Names or ids of virtual networks.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Find what a service needs
  oneflower.federation.one_resource_info:
    endpoint: https://one-a.example.org:2633/RPC2
    vm_templates: [flower-appliance]
    virtual_networks: [lan]
  register: found
"""

RETURN = r"""
vm_templates:
  description: VM templates in the order asked for.
  returned: success
  type: list
  elements: dict
  sample: [{"id": 0, "name": "flower-appliance", "attributes": {"CPU": "1"}}]
virtual_networks:
  description: Virtual networks in the order asked for.
  returned: success
  type: list
  elements: dict
  sample: [{"id": 0, "name": "lan", "attributes": {"BRIDGE": "lan"}}]
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import one_resource_info


def main():
    runner.run_module(one_resource_info)


if __name__ == "__main__":
    main()
