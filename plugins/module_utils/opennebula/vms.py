# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM documents, without I/O."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from .answers import as_dict, as_list, to_int
from .secrets import masked
from .states import lcm_state_name, vm_state_name

# States in which nothing runs and from which `resume` starts the VM again.
STOPPED = frozenset({"STOPPED", "SUSPENDED", "POWEROFF", "UNDEPLOYED"})
# Parts of the names of life-cycle states in which a VM is on its way out.
_LEAVING = ("SHUTDOWN", "EPILOG", "CANCEL", "CLEANUP_DELETE")


def vm_addresses(template: Mapping[str, t.Any]) -> list[str]:
    """Return the addresses of all network interfaces, in the order of the interfaces."""
    interfaces = [as_dict(nic) for nic in as_list(template.get("NIC"))]
    interfaces.sort(key=lambda nic: to_int(nic.get("NIC_ID")))
    interfaces += [as_dict(nic) for nic in as_list(template.get("NIC_ALIAS"))]
    found = [as_list(nic.get(key)) for nic in interfaces for key in ("IP", "IP6", "IP6_GLOBAL", "IP6_ULA")]
    return list(dict.fromkeys(str(address) for group in found for address in group if address))


@dataclass(frozen=True)
class Vm:
    """One VM. state and lcm_state are names; service_id is None outside a service."""

    id: int
    name: str
    state: str
    lcm_state: str
    addresses: tuple[str, ...]
    attributes: Mapping[str, t.Any]

    @classmethod
    def from_document(cls, document: Mapping[str, t.Any]) -> Vm:
        """Return the VM of a VM document."""
        return cls(
            id=to_int(document.get("ID")),
            name=str(document.get("NAME", "")),
            state=vm_state_name(to_int(document.get("STATE"))),
            lcm_state=lcm_state_name(to_int(document.get("LCM_STATE"))),
            addresses=tuple(vm_addresses(as_dict(document.get("TEMPLATE")))),
            attributes=as_dict(document.get("USER_TEMPLATE")),
        )

    @property
    def service_id(self) -> int | None:
        """Id of the service that made it."""
        number = to_int(self.attributes.get("SERVICE_ID"))
        return number if number >= 0 else None

    @property
    def role(self) -> str | None:
        """Name of its role in the service."""
        return self.attributes.get("ROLE_NAME")

    @property
    def done(self) -> bool:
        """Whether it is terminated."""
        return self.state == "DONE"

    @property
    def failed(self) -> bool:
        """Whether a driver failed on it."""
        return self.state in ("FAILED", "CLONING_FAILURE") or self.lcm_state.endswith("FAILURE")

    @property
    def down(self) -> bool:
        """Whether it runs no longer, and nothing is under way that would change that."""
        return self.done or self.failed or self.state in STOPPED or (self.state == "ACTIVE" and self.lcm_state == "UNKNOWN")

    @property
    def leaving(self) -> bool:
        """Whether it is being shut down."""
        return self.state == "ACTIVE" and any(part in self.lcm_state for part in _LEAVING) and not self.failed

    @property
    def condition(self) -> str:
        """Its state in a word: the life-cycle state of an active VM, else the state."""
        return self.lcm_state if self.state == "ACTIVE" else self.state

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.state == "ACTIVE" and self.lcm_state == "RUNNING"

    def to_result(self, secret: t.Container[str] = ()) -> dict[str, t.Any]:
        """Return {vm_id, name, state, lcm_state, addresses, attributes}.

        Hidden are the attributes named in secret, and those whose names look secret.
        """
        return {
            "vm_id": self.id,
            "name": self.name,
            "state": self.state,
            "lcm_state": self.lcm_state,
            "addresses": list(self.addresses),
            "attributes": masked(self.attributes, secret, by_name=True),
        }
