#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: flower_run
short_description: Run the smoke-test training of a federation
version_added: "0.1.0"
description:
  - Asks the appliance in the SuperLink's VM, through a user attribute of that VM, to run its smoke-test app, and follows it
    round by round. No connection into the VM is made.
  - A run that is under way is followed, not started again. Where one has finished before, nothing is done unless O(again).
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  vm_id:
    description: Id of the SuperLink's VM.
    type: int
    required: true
  rounds:
    description: Number of rounds.
    type: int
    default: 3
  partitions:
    description: Number of partitions of the federation, which the app finds in its run configuration as C(num-partitions); 0 leaves
      it out.
    type: int
    default: 0
  again:
    description: Whether to run although a run has finished before.
    type: bool
    default: false
  wait_timeout:
    description: Seconds within which the run must finish.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Train for three rounds
  oneflower.federation.flower_run:
    endpoint: https://one-a.example.org:2633/RPC2
    vm_id: 7
  register: trained
"""

RETURN = r"""
run:
  description: The last run.
  returned: success
  type: dict
  contains:
    id:
      description: Id of the request.
      type: str
      returned: success
    status:
      description: One of V(none), V(requested), V(running), V(finished) and V(failed).
      type: str
      returned: success
    rounds:
      description: Rounds asked for.
      type: int
      returned: success
    losses:
      description: Aggregated loss after each finished round.
      type: list
      elements: float
      returned: success
    nodes:
      description: SuperNodes that trained in the last round.
      type: int
      returned: success
    partitions:
      description: Partitions that took part.
      type: list
      elements: int
      returned: success
    seconds:
      description: Duration, once it has finished.
      type: float
      returned: success
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_run


def main():
    runner.run_module(flower_run)


if __name__ == "__main__":
    main()
