#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_vm_attributes
short_description: Manage user attributes of an OpenNebula VM
version_added: "0.1.0"
description:
  - Merges attributes into the user template of a VM, or removes them from it. Other attributes stay.
  - OpenNebula cannot remove one attribute; the user template is read and written back without it. What the VM itself writes
    in that moment could be lost, so the task starts again when it sees the template change between two readings.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  state:
    description: Whether the attributes should be there.
    type: str
    choices: [present, absent]
    default: present
  vm_id:
    description: Id of the VM.
    type: int
    required: true
  attributes:
    description:
      - Attributes and their values. Values may contain quotes, line breaks and any printable character; a mapping is a
        vector attribute. Booleans become C(YES) and C(NO). OpenNebula writes names in upper case and takes outer blanks off
        values. Names have letters, digits and underscores, and no digit at the beginning.
      - With O(state=absent) only the names count.
    type: dict
    required: true
seealso:
  - module: oneflower.federation.one_vm_info
"""

EXAMPLES = r"""
- name: Hand something to a VM
  oneflower.federation.one_vm_attributes:
    endpoint: http://zone-a.example.org:2633/RPC2
    vm_id: 12
    attributes:
      APP_MODE: "blue, with \"quotes\""

- name: Take it away again
  oneflower.federation.one_vm_attributes:
    endpoint: http://zone-a.example.org:2633/RPC2
    vm_id: 12
    state: absent
    attributes:
      APP_MODE:
"""

RETURN = r"""
attributes:
  description:
    - The attributes that the task names, as they are or would be in check mode. Those named like a secret are masked.
    - M(oneflower.federation.one_vm_info) returns all attributes of a VM.
  returned: success
  type: dict
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import one_vm_attributes
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.runner import run_module


def main() -> None:
    """Run module_utils/opennebula/backends/one_vm_attributes.py."""
    run_module(one_vm_attributes)


if __name__ == "__main__":
    main()
