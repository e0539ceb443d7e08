# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM documents, without I/O."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from .answers import as_dict, as_list, to_int
from .states import lcm_state_name, vm_state_name


def vm_addresses(template: Mapping[str, t.Any]) -> list[str]:
    """Return the addresses of all network interfaces, in the order of the interfaces."""
    interfaces = [as_dict(nic) for nic in as_list(template.get("NIC"))]
    interfaces.sort(key=lambda nic: to_int(nic.get("NIC_ID")))
    interfaces += [as_dict(nic) for nic in as_list(template.get("NIC_ALIAS"))]
    found = [as_list(nic.get(key)) for nic in interfaces for key in ("IP", "IP6", "IP6_GLOBAL", "IP6_ULA")]
    return list(dict.fromkeys(str(address) for group in found for address in group if address))


def vm_node(vm: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return {vm_id, name, state, lcm_state, addresses, attributes} of a VM document."""
    return {
        "vm_id": to_int(vm.get("ID")),
        "name": str(vm.get("NAME", "")),
        "state": vm_state_name(to_int(vm.get("STATE"))),
        "lcm_state": lcm_state_name(to_int(vm.get("LCM_STATE"))),
        "addresses": vm_addresses(as_dict(vm.get("TEMPLATE"))),
        "attributes": as_dict(vm.get("USER_TEMPLATE")),
    }
