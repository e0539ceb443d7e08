#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: flower_nodes_info
short_description: Read the nodes that a SuperLink knows
version_added: "0.1.0"
description:
  - Returns the nodes that the SuperLink's VM published.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  service:
    description: Name or id of the coordinator's service.
    type: str
    required: true
seealso:
  - module: oneflower.federation.flower_nodes
"""

EXAMPLES = r"""
- name: Read the nodes
  oneflower.federation.flower_nodes_info:
    endpoint: https://one-a.example.org:2633/RPC2
    service: demo coordinator
  register: found
"""

RETURN = r"""
nodes:
  description: The nodes, by id.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the node in the SuperLink.
      type: str
    online:
      description: Whether it is connected.
      type: bool
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_nodes_info


def main():
    runner.run_module(flower_nodes_info)


if __name__ == "__main__":
    main()
