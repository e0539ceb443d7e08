#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_plan
short_description: Compute the plan of a federation from the inventory
version_added: "0.1.0"
description:
  - Reads the C(federation_*) variables of the hosts in the groups C(coordinator), C(training_sites) and C(gateways) and
    computes everything that follows from them; tunnel addresses, AllowedIPs, routes, the address at which the sites dial
    the SuperLink, certificate names, keepalive settings, partition numbers, and the CONTEXT of every role.
  - It touches nothing and needs no network. Every problem is reported at once, each with the host, the variable to change and a
    code that stands in C(docs/findings.md). Unknown C(federation_*) variables are refused.
  - Runs on the controller. The variables are described in C(docs/inventory.md).
author:
  - oneflower.federation contributors (@oneflower)
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  leaving:
    description: Training sites that leave the federation.
    type: list
    elements: str
    default: []
  teardown:
    description: Whether the whole federation is taken away. The run has to be given the federation's name then.
    type: bool
    default: false
  keep_services:
    description: Whether the services of what leaves stay.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Compute the plan
  oneflower.federation.federation_plan:
  register: computed

- name: Show what the sites will dial
  ansible.builtin.debug:
    var: computed.plan.superlink.dialled
"""

RETURN = r"""
plan:
  description: Zones, gateways, SuperLink, keepalive and partitions of the federation.
  returned: success
  type: dict
"""
