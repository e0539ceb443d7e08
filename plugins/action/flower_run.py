# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_run in the controller's process on a local connection; the module elsewhere."""

from __future__ import annotations

from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.tasks import flower_run
from ansible_collections.oneflower.federation.plugins.plugin_utils.opennebula_action import OpenNebulaAction


class ActionModule(OpenNebulaAction):
    """Run flower_run."""

    TASK = flower_run
