# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter `service_template`."""

from __future__ import annotations

from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import plan


class FilterModule:
    """Filters that playbooks need to hand parts of the plan to modules."""

    def filters(self):
        return {"service_template": plan.service_template}
