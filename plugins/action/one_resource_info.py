# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_resource_info in the controller's process on a local connection; the module elsewhere."""

from __future__ import annotations

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.tasks import one_resource_info
from ansible_collections.oneflower.federation.plugins.plugin_utils.opennebula_action import OpenNebulaAction


class ActionModule(OpenNebulaAction):
    """Run one_resource_info."""

    TASK = one_resource_info
