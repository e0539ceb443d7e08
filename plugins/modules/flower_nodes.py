#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: flower_nodes
short_description: Have a SuperLink forget nodes
version_added: "0.1.0"
description:
  - Asks the SuperLink's VM through its zone's API to unregister nodes, and waits until it knows them no more.
  - A node that it does not know is passed over.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  service:
    description: Name or id of the coordinator's service.
    type: str
    required: true
  nodes:
    description: Ids of the nodes.
    type: list
    elements: str
    required: true
  state:
    description: The nodes are to be unknown to the SuperLink.
    type: str
    choices: [absent]
    default: absent
  wait_timeout:
    description: Seconds until the SuperLink must have forgotten them.
    type: float
    default: 60
seealso:
  - module: oneflower.federation.flower_nodes_info
"""

EXAMPLES = r"""
- name: Forget a node that is no SuperNode any more
  oneflower.federation.flower_nodes:
    endpoint: https://one-a.example.org:2633/RPC2
    service: demo coordinator
    nodes: ["7134525087734583204"]
"""

RETURN = r"""
nodes:
  description: The nodes that the SuperLink knows afterwards, by id.
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
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_nodes


def main():
    runner.run_module(flower_nodes)


if __name__ == "__main__":
    main()
