# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_settings_info: the live settings of the VMs of a service."""

from __future__ import annotations

import typing as t

from .. import live_settings, services
from ..session import Session

ARGUMENTS: dict[str, t.Any] = {"service": {"type": "str", "required": True}}
RULES: dict[str, t.Any] = {}


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, vms: [{vm_id, name, role, settings, digest, ready, partition}]}, ordered by id."""
    service = services.find(session, params["service"])
    session.learn(service.body)
    vms = [
        {
            "vm_id": machine.vm.id,
            "name": machine.vm.name,
            "role": machine.role,
            "settings": live_settings.shown_settings(machine),
            "digest": machine.digest,
            "ready": machine.ready,
            "partition": machine.partition,
        }
        for machine in live_settings.read(session, service)
    ]
    return {"changed": False, "vms": vms}
