#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_changes
short_description: Find what a run has to change
version_added: "0.1.0"
description:
  - Compares the plan with what M(oneflower.federation.federation_observe) registered as C(observe_result) on every host, and
    returns every difference with its reason and effect. Numbers that exist are kept, so the plan is made once more with them.
  - Runs on the controller, once for all hosts, and touches nothing. The fact C(federation_plan) must be there.
author:
  - oneflower.federation contributors (@oneflower)
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing.
    support: full
  diff_mode:
    description: M(oneflower.federation.federation_announce) shows the changes of a host as a diff.
    support: none
options:
  show:
    description: Whether the table of the changes is shown.
    type: bool
    default: true
  save:
    description: Whether the changes are written to O(path).
    type: bool
    default: false
  path:
    description: Where they are written; C(changes.json) in the current folder where it is not given. Its schema stands in
      C(docs/changes.schema.json).
    type: path
  plan_file:
    description: A saved plan. The module fails, and names every fact that moved, unless inventory and federation are as they
      were when it was saved.
    type: path
  apply:
    description: Whether the steps of this run may carry the changes out; where it is false, RV(changes.steps) is empty.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Compare the plan with what was read
  oneflower.federation.federation_changes:
  run_once: true
  register: found
"""

RETURN = r"""
plan:
  description: The plan with the numbers that are kept.
  returned: success
  type: dict
changes:
  description: The changes by host and by step of the run, and what stands in their way.
  returned: success
  type: dict
  contains:
    any:
      description: Whether there is anything to change.
      type: bool
    settled:
      description: Whether the federation is as planned and has all SuperNodes online.
      type: bool
    digest:
      description: Digest over inventory and observation.
      type: str
    hosts:
      description: Lists of changes by host.
      type: dict
    steps:
      description: Hosts by step.
      type: dict
    replaced:
      description: Hosts whose VMs are made anew in this run.
      type: list
      elements: str
    handovers:
      description: By site, the services between which its VMs move when they are made anew, each the id C(source) and the
        name C(target).
      type: dict
    findings:
      description: What stands in the way, and what is left over of other sites.
      type: list
      elements: dict
path:
  description: Where the changes were written.
  returned: when O(save) is true
  type: str
"""
