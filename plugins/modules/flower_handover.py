#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: flower_handover
short_description: Replace the SuperNodes of a site, one at a time
version_added: "0.1.0"
description:
  - What a VM is made of cannot be changed in place, and OneFlow has no service with VMs of two kinds. So the SuperNodes go from
    the service O(source) to another, O(target), which is made of the service template as it is now.
  - One SuperNode at a time is taken from one service, the oldest first, and made anew in the other with a partition number that
    nobody holds. The next one goes when the new one works with the settings. So never more than one of O(supernodes) is missing.
    At the end O(source) is gone, and O(target) is called O(name).
  - A task that was ended on its way is taken up by the next one. Where O(source) is gone and O(target) is called O(name), or where
    there is neither, nothing is done. Whether VMs have to be replaced is for others to judge, see
    M(oneflower.federation.federation_changes).
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  source:
    description: Id of the service that is to go; not given where it is gone.
    type: int
  target:
    description: Name of the service that takes over. It is made where there is none.
    type: str
    required: true
  name:
    description: What O(target) is called in the end.
    type: str
    required: true
  template_name:
    description: Name of the service template that O(target) is made of.
    type: str
    required: true
  supernodes:
    description: Number of SuperNodes that the site is to have.
    type: int
    required: true
  user_inputs_values:
    description: Values of the inputs of the role V(supernode), by name. The partition number is no part of it.
    type: dict
    default: {}
  values:
    description: The whole set of live settings, see M(oneflower.federation.flower_settings). Both services get them.
    type: dict
    required: true
  partitions:
    description: The partitions of the site, for example V(0-1,4).
    type: str
    required: true
  failures_before:
    description: What VMs complained of before the run, by the id of the VM. It is overlooked until it is taken back.
    type: dict
    default: {}
  wait_timeout:
    description: Seconds to wait for each step at most.
    type: float
    default: 600.0
seealso:
  - module: oneflower.federation.oneflow_service
  - module: oneflower.federation.flower_settings
"""

EXAMPLES = r"""
- name: Replace the SuperNodes of a site by those of the new service template
  oneflower.federation.flower_handover:
    endpoint: https://one-b.example.org:2633/RPC2
    source: 12
    target: demo training site next
    name: demo training site
    template_name: demo training site
    supernodes: 2
    user_inputs_values: "{{ inputs }}"
    values: "{{ live_settings }}"
    partitions: 0-1
"""

RETURN = r"""
made:
  description: Number of VMs that the task has made.
  returned: success
  type: int
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import flower_handover


def main():
    runner.run_module(flower_handover)


if __name__ == "__main__":
    main()
