#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_observe
short_description: Read a zone or a gateway of a federation
version_added: "0.1.0"
description:
  - Reads what the plan says of this host. A zone is read through its API, as M(oneflower.federation.federation_zone_info) does, in
    the controller's own process; a gateway over SSH, as M(oneflower.federation.gateway_info) does. One task on all hosts so reads
    zones and gateways side by side.
  - It never fails. What cannot be read is part of the result.
  - The fact C(federation_plan) must be there, see P(oneflower.federation.plan#role).
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  wait_timeout:
    description: Seconds that the coordinator is read again for, until every SuperNode is online.
    type: float
    default: 0
  again:
    description: Whether only what the changes of this run can have moved is read. All else keeps the result of the first reading.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Read the zone or the gateway
  oneflower.federation.federation_observe:
    endpoint: https://one-a.example.org:2633/RPC2
  register: observe_result
"""

RETURN = r"""
observed:
  description: What M(oneflower.federation.federation_zone_info) or M(oneflower.federation.gateway_info) returns. Where the host
    could not be read, C(unread) in it says why.
  returned: always
  type: dict
"""
