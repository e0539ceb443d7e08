# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What moves the removal of a service on, by the state that it is in."""

from __future__ import annotations

import contextlib
import typing as t

from .errors import NotFound, OpenNebulaError, Refused, WaitFailed
from .services import Service
from .session import Session
from .states import GOING_STATES, STUCK_STATES
from .waiting import RECOVER_GRACE, is_stale

# Seconds without any movement after which a removal hangs. An event may be lost, and a network that was never made is waited
# for (flow/lib/LifeCycleManager.rb).
HANGS_AFTER = 10.0


class Removal:
    """One removal. OneFlow refuses DELETE in failed and most passing states; a second one would leave the VMs behind."""

    def __init__(self, session: Session, service_id: int) -> None:
        self._session = session
        self._id = service_id
        self._sent: str | None = None
        self._log: tuple[t.Mapping[str, t.Any], ...] = ()
        self._grace = session.deadline(0)
        self._stage: tuple[str, int] | None = None
        self._still = session.deadline(HANGS_AFTER)

    def step(self, service: Service) -> None:
        """Send what is due. Raises WaitFailed when the removal itself has failed."""
        if service.state in GOING_STATES:
            self._push(service)
        elif self._sent == "recover":
            reason = service.failure(self._log)
            if reason and (not is_stale(service, self._log) or self._grace.left() <= 0):
                raise WaitFailed(f"service {self._id} {reason}", hint="Its VMs or networks may need attention in OpenNebula.")
        elif service.state in STUCK_STATES:
            self._sent, self._log, self._grace = "recover", service.log, self._session.deadline(RECOVER_GRACE)
            self._act("recover", {"delete": True})
        elif self._sent is None:
            self._sent = "delete"
            try:
                with contextlib.suppress(NotFound):
                    self._session.flow.delete_service(self._id)
            except Refused as error:
                if "cannot be undeployed in state" not in error.text:
                    raise
                self._sent = None  # it changed its state under our hands

    def _push(self, service: Service) -> None:
        """Move on a removal that hangs.

        Waiting for networks, a second recover with delete ends it at once; there are no VMs any more. Waiting for VMs, a plain
        recover ends it, while one with delete, like a second DELETE, would drop the service and leave its VMs (measured, 7.4.0).
        """
        stage = (service.state, len(service.vm_ids))
        if stage != self._stage:
            self._stage, self._still = stage, self._session.deadline(HANGS_AFTER)
        if self._still.left() > 0 or (service.state == "UNDEPLOYING" and self._vms_are_leaving(service)):
            return
        self._still = self._session.deadline(HANGS_AFTER)
        self._session.progress(f"service {self._id}: its removal hangs in {service.state}; moving it on")
        with contextlib.suppress(Refused):  # it moved by itself
            self._act("recover", {"delete": True} if service.state == "UNDEPLOYING_NETS" else {})

    def _vms_are_leaving(self, service: Service) -> bool:
        """Tell whether a VM is still on its way out; one that cannot be read counts as such."""
        try:
            return any(vm.leaving for vm in self._session.vms(service.vm_ids).values())
        except OpenNebulaError:
            return True

    def _act(self, perform: str, params: dict[str, t.Any]) -> None:
        with contextlib.suppress(NotFound):
            self._session.flow.service_action(self._id, perform, params)
