#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: onezone
short_description: Manage zones of an OpenNebula federation
version_added: "0.1.0"
description:
  - Creates, changes, renames, enables, disables and deletes zones, and manages their HA servers.
  - Each call is sent to the oned that accepts it, found from the zone pool. Zones are written at the federation's master;
    enabling and servers are a matter of the zone itself. The credentials are the same everywhere in a federation.
  - Attributes are merged. Replacing them would drop the zone's C(ENDPOINT) and cut it off.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  state:
    description: Whether the zone should exist. OpenNebula does not delete zones with an id below 100.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the zone, unique in the federation. One of O(name) and O(id) is needed.
      - Together with O(id) it is the name the zone should have.
    type: str
  id:
    description: Id of the zone.
    type: int
  zone_endpoint:
    description: URL of the zone's oned, its attribute C(ENDPOINT). Needed to create a zone; it is not contacted.
    type: str
  zone_oneflow_endpoint:
    description: URL of the zone's OneFlow, its attribute C(ONEFLOW_ENDPOINT).
    type: str
  attributes:
    description: Other attributes of the zone. Those that are not named stay. Values whose names look secret are never shown.
    type: dict
    default: {}
  new_name:
    description: Rename the zone. When there is none named O(name) but one with this name, that is already done.
    type: str
  enabled:
    description: Whether the zone takes writing calls. Not changed when it is not given.
    type: bool
  servers:
    description: HA servers of the zone. Those that are not named stay.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the server.
        type: str
        required: true
      endpoint:
        description: URL of its oned. Needed to add a server.
        type: str
      state:
        description: Whether the server should be there.
        type: str
        choices: [present, absent]
        default: present
seealso:
  - module: oneflower.federation.onezone_info
"""

EXAMPLES = r"""
- name: Let the zones find each other's OneFlow
  oneflower.federation.onezone:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: zone-b
    zone_endpoint: http://zone-b.example.org:2633/RPC2
    zone_oneflow_endpoint: http://zone-b.example.org:2474

- name: Close a zone for maintenance
  oneflower.federation.onezone:
    endpoint: http://zone-a.example.org:2633/RPC2
    name: zone-b
    enabled: false
"""

RETURN = r"""
zone:
  description: The zone as it is, or would be in check mode. Null when it is absent.
  returned: success
  type: dict
  contains:
    id:
      description: Id. Null in check mode for what does not exist yet.
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
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import onezone
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/onezone.py."""
    run_module(onezone)


if __name__ == "__main__":
    main()
