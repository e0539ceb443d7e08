#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: federation_announce
short_description: Announce the changes of a host
version_added: "0.1.0"
description:
  - Reports the host as changed where a run would change it, with the changes as a diff. It touches nothing.
  - Runs on the controller. The fact C(federation_changes) must be there, see M(oneflower.federation.federation_changes).
author:
  - oneflower.federation contributors (@oneflower)
attributes:
  check_mode:
    description: Can run in check mode, which it is for.
    support: full
  diff_mode:
    description: Shows what is and what is planned, a line for each change.
    support: full
options: {}
"""

EXAMPLES = r"""
- name: Announce the changes of this host
  oneflower.federation.federation_announce:
  when: ansible_check_mode
"""

RETURN = r"""#"""
