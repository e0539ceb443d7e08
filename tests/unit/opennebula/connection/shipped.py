# SPDX-License-Identifier: GPL-3.0-or-later
"""The local connection under another name, so that the action plugins ship their modules over it."""

from __future__ import annotations

from ansible.plugins.connection.local import DOCUMENTATION as DOCUMENTATION
from ansible.plugins.connection.local import Connection as LocalConnection


class Connection(LocalConnection):
    transport = "shipped"
