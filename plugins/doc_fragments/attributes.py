# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # What all OpenNebula modules have in common.
    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/oneflower.federation.opennebula) in C(module_defaults) to set the connection options once.
    support: full
    membership:
      - oneflower.federation.opennebula
  async:
    description: Supports being used with the C(async) keyword.
    support: full
"""

    # Modules that change something.
    STATE = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what it would change, without changing it.
    support: full
  diff_mode:
    description: Returns what has changed, or would change in check mode. Secrets are masked.
    support: full
"""

    # Modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode; it never changes anything.
    support: full
  diff_mode:
    description: Returns what has changed.
    support: N/A
"""
