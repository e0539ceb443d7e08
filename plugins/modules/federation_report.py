#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_report
short_description: Hold a live federation against its plan and report it
version_added: "0.1.0"
description:
  - Compares what was read from zones and gateways with the plan, row by row, writes the report as a JSON file on the
    controller and prints it as a table. Fails when the federation is not what the plan says.
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
    description:
      - What was read. C(services) holds a service per zone, as M(oneflower.federation.oneflow_service_info) returns it,
        C(tunnels) an interface per gateway, as M(oneflower.federation.wireguard_interface_info) returns it, and
        C(probes) a result of M(oneflower.federation.tls_probe) per gateway.
    type: dict
    required: true
  steps:
    description: Steps recorded by M(oneflower.federation.federation_step).
    type: list
    elements: dict
    default: []
  training:
    description: Result of a training run, as M(oneflower.federation.flower_run) returns it.
    type: dict
  path:
    description: File to write on the controller.
    type: path
    required: true
  show:
    description: Which table to print.
    type: str
    choices: [checks, training]
    default: checks
"""

EXAMPLES = r"""
- name: Report
  oneflower.federation.federation_report:
    plan: "{{ federation_plan }}"
    observed:
      services: "{{ services }}"
      tunnels: "{{ tunnels }}"
      probes: "{{ probes }}"
    path: report.json
"""

RETURN = r"""
report:
  description: What was written to the file.
  returned: when every check holds; otherwise read it from RV(path)
  type: dict
path:
  description: The file.
  returned: always
  type: str
"""
