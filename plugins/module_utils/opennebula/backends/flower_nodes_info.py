# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_nodes_info: the nodes that the SuperLink knows."""

from __future__ import annotations

import typing as t

from ..session import Session
from .flower_nodes import read, to_result

ARGUMENTS: dict[str, t.Any] = {"service": {"type": "str", "required": True}}
RULES: dict[str, t.Any] = {}


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, nodes: [{id, online}]}."""
    _vm, known = read(session, params["service"])
    return {"changed": False, "nodes": to_result(known)}
