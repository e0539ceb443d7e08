#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_trust
short_description: Judge the CA certificate that the SuperLink published
version_added: "0.1.0"
description:
  - Takes the CA certificate out of the SuperLink's service as it was read, and fails unless it is one valid certificate of a CA
    for 30 days more and the SuperLink's own certificate names what the sites dial.
  - Touches nothing and needs no network. Runs on the controller.
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
  plan:
    description: The plan, as M(oneflower.federation.federation_plan) returns it.
    type: dict
    required: true
  superlink:
    description: Result of M(oneflower.federation.oneflow_service_info) for the coordinator's service.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Read the SuperLink's service
  oneflower.federation.oneflow_service_info:
    name: flower coordinator
  register: superlink

- name: Judge what the SuperLink published
  oneflower.federation.federation_trust:
    plan: "{{ federation_plan }}"
    superlink: "{{ superlink }}"
  register: trust
"""

RETURN = r"""
inputs:
  description: By zone, values of user inputs that its service gets from the SuperLink.
  returned: success
  type: dict
authority:
  description: The CA certificate.
  returned: success
  type: dict
  contains:
    pem:
      description: The certificate.
      type: str
      returned: success
    subject:
      description: Its subject (RFC 4514).
      type: str
      returned: success
    not_after:
      description: End of its validity, in UTC.
      type: str
      returned: success
    fingerprint:
      description: SHA-256 in hexadecimal digits.
      type: str
      returned: success
code:
  description: Code of the finding, see C(docs/findings.md).
  returned: failure
  type: str
"""
