#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: onezone_info
short_description: Read the zones of an OpenNebula federation
version_added: "0.1.0"
description:
  - Returns all zones with their attributes and servers, and asks each zone's own oned how it follows the master.
  - All zones are asked at the same time, each within O(timeout) in all.
  - A zone that does not answer neither fails the task nor holds up the others; its RV(zones[].status.error) says why.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.info
options:
  name:
    description: Only the zone of this name.
    type: str
  id:
    description: Only the zone with this id.
    type: int
  status:
    description: Whether to ask each zone's own oned for its status.
    type: bool
    default: true
seealso:
  - module: oneflower.federation.onezone
"""

EXAMPLES = r"""
- name: Read the federation
  oneflower.federation.onezone_info:
    endpoint: http://zone-a.example.org:2633/RPC2
  register: federation

- name: Show which zones do not answer
  ansible.builtin.debug:
    msg: "{{ federation.zones | rejectattr('status.reachable') | map(attribute='name') }}"
"""

RETURN = r"""
zones:
  description: The zones, ordered by id.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id.
      type: int
    name:
      description: Name.
      type: str
    endpoint:
      description: URL of its oned.
      type: str
    oneflow_endpoint:
      description: URL of its OneFlow, empty when the zone does not name one.
      type: str
    state:
      description: V(ENABLED) or V(DISABLED).
      type: str
    attributes:
      description: All attributes of the zone.
      type: dict
    servers:
      description: The zone's own HA servers.
      type: list
      elements: dict
      contains:
        id:
          description: Id of the server.
          type: int
        name:
          description: Name of the server.
          type: str
        endpoint:
          description: URL of its oned.
          type: str
        state:
          description: Raft state by name, null when unknown.
          type: str
    status:
      description: What the zone's own oned says, when O(status=true).
      type: dict
      contains:
        reachable:
          description: Whether it answered.
          type: bool
        version:
          description: Version of OpenNebula.
          type: str
        raft_state:
          description: Raft state of the server behind the endpoint; V(SOLO) outside HA. Read by oneadmin only.
          type: str
        term:
          description: Raft term.
          type: int
        fedlog_index:
          description: Last entry of the federation's log that the zone has.
          type: int
        lag:
          description: Entries by which it is behind the master; null when the two cannot be compared.
          type: int
        in_step:
          description: Whether it has the same zone pool as the master; null when one of them did not answer.
          type: bool
        error:
          description: Why something could not be read, otherwise null.
          type: str
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import onezone_info
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/onezone_info.py."""
    run_module(onezone_info)


if __name__ == "__main__":
    main()
