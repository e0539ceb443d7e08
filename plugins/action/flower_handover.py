# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module of this file's name, in the controller's process on a local connection."""

from __future__ import annotations

from ansible_collections.oneflower.federation.plugins.plugin_utils.opennebula_action import action_named

ActionModule = action_named(__name__)
