# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_nodes: nodes that the SuperLink is to forget."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes

from .. import services
from ..errors import InvalidRequest, NotFound, WaitTimedOut
from ..session import Session
from ..template_text import render_template
from ..vms import Vm

ARGUMENTS: dict[str, t.Any] = {
    "service": {"type": "str", "required": True},
    "nodes": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["absent"], "default": "absent"},
    "wait_timeout": {"type": "float", "default": 60.0},
}
RULES: dict[str, t.Any] = {}

INTERVAL = 0.5


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, nodes: [{id, online}], diff}: the nodes that the SuperLink knows afterwards."""
    bad = [node for node in params["nodes"] if not re.fullmatch(r"[0-9]{1,20}", node)]
    if bad:
        raise InvalidRequest(f"nodes: {', '.join(repr(node) for node in bad)} cannot be ids of nodes; whole numbers are needed")
    vm, known = read(session, params["service"])
    unwanted = sorted(set(params["nodes"]) & set(known), key=int)
    after = {node: online for node, online in known.items() if node not in unwanted}
    if unwanted and not session.check_mode:
        session.oned.vm_update(vm.id, render_template({attributes.NODES_FORGET: attributes.format_node_ids(unwanted)}))
        after = _wait(params, session, set(unwanted))
    diff = {"before": {"nodes": sorted(known, key=int)}, "after": {"nodes": sorted(after, key=int)}}
    return {"changed": bool(unwanted), "nodes": to_result(after), "diff": diff}


def read(session: Session, service: str) -> tuple[Vm, dict[str, bool]]:
    """Return the SuperLink's VM and its nodes, {id: online}. Raises NotFound where there is no such service or VM."""
    found = services.find(session, service)
    vms = [vm for vm in session.vms(found.vm_ids).values() if not vm.done]
    if not vms:
        raise NotFound(f"{found.title} has no VM", endpoint=session.flow.endpoint)
    return vms[0], attributes.parse_nodes(str(vms[0].attributes.get(attributes.NODES, "")))


def _wait(params: dict[str, t.Any], session: Session, unwanted: set[str]) -> dict[str, bool]:
    left: set[str] = set()
    for _left in session.ticks(session.deadline(params["wait_timeout"]), INTERVAL, INTERVAL):
        _vm, known = read(session, params["service"])
        left = unwanted & set(known)
        if not left:
            return known
    raise WaitTimedOut(
        f"the SuperLink still knows {', '.join(sorted(left, key=int))} after {params['wait_timeout']:.0f} s",
        hint="Its journal (journalctl -u oneflower-agent in its VM) says why.",
    )


def to_result(nodes: dict[str, bool]) -> list[dict[str, t.Any]]:
    """Return [{id, online}], by id."""
    return [{"id": node, "online": online} for node, online in sorted(nodes.items(), key=lambda item: int(item[0]))]
