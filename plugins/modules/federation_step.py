#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_step
short_description: Mark the beginning of a step of the walkthrough
version_added: "0.1.0"
description:
  - Appends the step and the time of day to the fact C(federation_steps) of the coordinator zone, from which
    M(oneflower.federation.federation_report) works out what each step took.
  - Delegate it to the coordinator zone with C(delegate_facts), and run it once.
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
  name:
    description: Name of the step.
    type: str
    required: true
  waits:
    description: Whether the step only waits for what other machines do, and so belongs to the critical path.
    type: bool
    default: false
  training:
    description: Whether the step is the training, which is no part of the deployment.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Mark the step
  oneflower.federation.federation_step:
    name: Wait for the SuperLink
    waits: true
  delegate_to: "{{ groups['coordinator'][0] }}"
  delegate_facts: true
  run_once: true
"""

RETURN = r"""
ansible_facts:
  description: All steps so far, as the fact C(federation_steps).
  returned: success
  type: dict
  contains:
    federation_steps:
      description: Steps with name and start in seconds since 1970.
      type: list
      elements: dict
      returned: success
"""
