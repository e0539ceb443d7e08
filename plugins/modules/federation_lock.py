#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_lock
short_description: Let one run at a time change a federation
version_added: "0.1.0"
description:
  - Takes or gives back the lock of a federation. It is a VM template of an agreed name in the coordinator's zone, as OpenNebula
    refuses a second one of that name and owner; no VM can be made of it.
  - A lock whose process has ended is taken over, if it ran on this host since its last boot. Of a process on another host
    nobody knows; its lock is waited for.
  - M(oneflower.federation.federation_zone_info) reads the lock.
author:
  - oneflower.federation contributors (@oneflower)
extends_documentation_fragment:
  - oneflower.federation.opennebula
  - oneflower.federation.attributes
  - oneflower.federation.attributes.state
options:
  state:
    description: Whether to hold the lock. With V(absent) only the task's own lock is removed, see O(force).
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the lock. What OpenNebula refuses in a rename is refused here too, such as slashes, quotes and semicolons.
    type: str
    required: true
  holder:
    description: Whose run it is, for whoever has to wait for it. Required with O(state=present).
    type: str
    default: ""
  identity:
    description:
      - The process that holds the lock. A lock of the same process is the task's own. Required with O(state=present).
    type: dict
    suboptions:
      host:
        description: Name of its host.
        type: str
        required: true
      boot_id:
        description: Boot of the host, and the namespace of the process.
        type: str
        required: true
      pid:
        description: Id of the process.
        type: str
        required: true
      started:
        description: When the process started, in ticks since the boot.
        type: str
        required: true
  force:
    description: Whether to take, or to remove, a lock that another run holds.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for another run at most. In check mode nothing is waited for.
    type: float
    default: 0.0
seealso:
  - module: oneflower.federation.federation_zone_info
"""

EXAMPLES = r"""
- name: Remove the lock that a lost controller left behind
  oneflower.federation.federation_lock:
    endpoint: https://one-a.example.org:2633/RPC2
    name: demo lock
    state: absent
    force: true
"""

RETURN = r"""
lock:
  description: The lock as it is, or would be in check mode; empty where there is none. When the task fails because of another's
    lock, that one.
  returned: success, and when another run holds the lock
  type: dict
  sample:
    id: 12
    holder: deploy.yml by operator on ctl1
    since: 1780000000
    host: ctl1
    boot_id: "0b1e1c3c-9b0e-4f0e-8a6c-5d7a3c2f1e00/pid:[4026531836]"
    pid: "4711"
    started: "123456"
    left_behind: false
"""

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import runner
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import federation_lock


def main():
    runner.run_module(federation_lock)


if __name__ == "__main__":
    main()
