# SPDX-License-Identifier: GPL-3.0-or-later
"""The local connection under another name, so that the action plugins ship their modules over it."""

from __future__ import annotations

from ansible.plugins.connection import local

DOCUMENTATION = local.DOCUMENTATION


class Connection(local.Connection):
    transport = "shipped"
