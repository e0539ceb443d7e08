#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_report
short_description: Judge a live federation by its plan and report it
version_added: "0.1.0"
description:
  - Compares what was read from zones and gateways with the plan, row by row, writes the report as a JSON file on the
    controller and prints it as a table, with a line for every finding.
  - It judges and does not fail. RV(failures) says what each host is to fail with.
  - Reads from every host of the plan what M(oneflower.federation.federation_observe) registered there as C(observe_result), and
    C(step_failed), the step that failed there. What is not there was not read.
  - The file is replaced in one step on every run and holds no secret. Writing it does not count as a change.
author:
  - oneflower.federation contributors (@oneflower)
attributes:
  check_mode:
    description: Can run in check mode; the report is written there too, since it only tells what was read.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  plan:
    description: The plan, as M(oneflower.federation.federation_plan) returns it.
    type: dict
    required: true
  observed:
    description: Whether the federation was read. If not, only failed steps are told, and no file is written.
    type: bool
    default: true
  trained:
    description: Whether this run has trained. An earlier training may have been by other partitions than there are now.
    type: bool
    default: false
  training:
    description: A training run, as M(oneflower.federation.flower_run) returns it; it is then shown in place of the checks.
    type: dict
  path:
    description: File to write on the controller; C(report.json) in the current folder if it is not given.
    type: path
"""

EXAMPLES = r"""
- name: Report
  oneflower.federation.federation_report:
    plan: "{{ federation_plan }}"
    path: report.json
  run_once: true
  register: verify_report

- name: Fail with what is wrong
  ansible.builtin.fail:
    msg: "{{ verify_report.failures[inventory_hostname] }}"
  when: inventory_hostname in verify_report.failures
"""

RETURN = r"""
ok:
  description: Whether the federation is as planned and no step failed.
  returned: always
  type: bool
findings:
  description: What is wrong. The codes stand in C(docs/findings.md).
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable code of the finding.
      type: str
      returned: always
    severity:
      description: C(error) or C(warning).
      type: str
      returned: always
    host:
      description: Inventory host that it is about.
      type: str
      returned: always
    subject:
      description: Variable or playbook that mends it.
      type: str
      returned: always
    message:
      description: What is wrong there.
      type: str
      returned: always
    fix:
      description: What to do.
      type: str
      returned: always
failures:
  description: By host of the play, the errors among the findings; those of hosts that are not in the play fall to its first host.
  returned: always
  type: dict
path:
  description: The file.
  returned: when O(observed=true)
  type: str
"""
