#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: flower_settings_info
short_description: Read live settings of the Flower appliance
version_added: "0.1.0"
description:
  - Returns the live settings that the VMs of a service were given last, and the digest of those in force.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  service:
    description:
      - Name or id of the service. Its roles are called as the appliance's are, V(superlink) and V(supernode).
    type: str
    required: true
seealso:
  - module: oneflower.federation.flower_settings
"""

EXAMPLES = r"""
- name: Read the settings of a training site
  oneflower.federation.flower_settings_info:
    endpoint: https://one-b.example.org:2633/RPC2
    service: demo training site
  register: found
"""

RETURN = r"""
vms:
  description: The VMs, by id.
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
    role:
      description: What the VM is.
      type: str
      sample: supernode
    settings:
      description: The settings that it was given last. Certificates are shown by their SHA-256.
      type: dict
    digest:
      description: Digest of the settings that are in force; empty while others are being put in force.
      type: str
    ready:
      description: Whether it does its work.
      type: bool
    partition:
      description: The partition that it holds; empty when it holds none.
      type: str
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_settings_info


def main():
    runner.run_module(flower_settings_info)


if __name__ == "__main__":
    main()
