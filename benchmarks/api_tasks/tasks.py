# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: one task each, in a play over N zones."""

from __future__ import annotations

import dataclasses
import typing as t

from benchmarks.api_tasks.federation import PASSWORD, SERVICE, USER

OURS = {"endpoint": "{{ oned }}", "oneflow_endpoint": "{{ oneflow }}", "username": USER, "password": PASSWORD}
THEIRS = {"api_url": "{{ oneflow }}", "api_username": USER, "api_password": PASSWORD, "service_name": SERVICE}


@dataclasses.dataclass(frozen=True)
class Kind:
    """One row of the table. `proof` is a condition on the registered result `r` that shows that the task did its work."""

    key: str
    title: str
    action: str
    options: dict[str, t.Any]
    proof: str
    connection: str = "local"
    one_call: bool = False  # one host asks all zones at once

    def task(self) -> dict[str, t.Any]:
        return {"name": self.title, self.action: self.options}


_SERVICE = (
    "oneflower.federation.oneflow_service_info",
    {**OURS, "name": SERVICE},
    "r.services[0].state == 'RUNNING' and r.services[0].roles[0].nodes[0].state == 'ACTIVE'",
)
_VM = ("oneflower.federation.one_vm_info", {**OURS, "vm_ids": [0]}, "r.vms[0].state == 'ACTIVE'")

KINDS = (
    Kind("noop", "no-op module (ping)", "ansible.builtin.ping", {}, "r.ping == 'pong'"),
    Kind("general", "community.general.one_service", "community.general.one_service", THEIRS, "r.state == 'RUNNING'"),
    Kind("service_module", "oneflow_service_info, module", *_SERVICE, "shipped"),
    Kind("service", "oneflow_service_info, in-process", *_SERVICE),
    Kind("vm_module", "one_vm_info, module", *_VM, "shipped"),
    Kind("vm", "one_vm_info, in-process", *_VM),
    # With two templates, as ours has: compiling them is a part of what Ansible itself takes for a task.
    Kind("floor", "action floor (debug)", "ansible.builtin.debug", {"msg": "{{ oned }} {{ oneflow }}"}, "'/RPC2' in r.msg"),
    Kind(
        "one_call",
        "onezone_info, one call for all",
        "oneflower.federation.onezone_info",
        {key: value for key, value in OURS.items() if key != "oneflow_endpoint"},
        "r.zones | length == zone_count | int and r.zones | map(attribute='status.reachable') is all",
        one_call=True,
    ),
)
