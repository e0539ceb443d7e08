# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for services: one deadline, every state, and what the VMs have to say."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Collection, Mapping

from .errors import AuthenticationFailed, BadAnswer, NotFound, OpenNebulaError, Unreachable, WaitFailed, WaitTimedOut
from .services import Service
from .session import Deadline, Session
from .vms import Vm

# Seconds that a failed state may outlive an accepted `recover` (the first readings still show it).
RECOVER_GRACE = 10.0
FIRST_PAUSE = 0.25
HEAL = "Run the task again with the cardinality of the role: OneFlow then makes the VMs that are missing."


class Waiter:
    """Polls one service. interval is the longest pause; the first ones are shorter.

    asked: number of VMs by role that the service is to have.
    """

    def __init__(self, session: Session, service_id: int, deadline: Deadline, interval: float, attribute: str | None) -> None:
        self._session = session
        self._id = service_id
        self._deadline = deadline
        self._interval = interval
        self._attribute = attribute
        self._shown = ""
        self._trouble: OpenNebulaError | None = None
        self._seen: dict[int, str] = {}
        self.asked: dict[str, int] = {}

    def until(
        self,
        states: Collection[str],
        *,
        log_before: Collection[Mapping[str, t.Any]] | None = None,
        removing: bool = False,
    ) -> Service:
        """Return the service as soon as it is in one of the states; HOLD among them also stands for a part on hold.

        log_before: the log at the time of `recover`; the failed state that belongs to it is overlooked for a while.
        removing: a role is being removed, so that UNDEPLOYING does not mean the service.
        Raises WaitFailed at once in a failed or ending state, when a VM is down, lost, or shows the failure attribute, or when
        the service is gone; WaitTimedOut at the deadline. Both carry the service in their result.
        """
        grace = self._session.deadline(RECOVER_GRACE)
        service = None
        for _left in self._session.ticks(self._deadline, FIRST_PAUSE, self._interval):
            service = self._read()
            if service is None:
                continue
            reached = service.state in states or ("HOLD" in states and service.settled)
            if not reached or self._shown:  # nothing to tell of a service that is already there
                self._show(service)
            fresh = log_before is None or not is_stale(service, log_before) or grace.left() <= 0
            reason = service.failure(log_before or ()) if fresh else None
            if service.going and not removing:
                reason = f"is being removed ({service.state})"
            reason = reason or self._complaint(service)
            if reason is not None:
                raise self.with_service(WaitFailed(f"{service.title} {reason}"), service)
            reason = self._lost(service, reached)
            if reason is not None:
                raise self.with_service(WaitFailed(f"{service.title} {reason}", hint=HEAL), service)
            if reached:
                return service
        raise self._too_late(f"to become {' or '.join(sorted(states))}", service)

    def until_recovering(self, log_before: Collection[Mapping[str, t.Any]]) -> Service:
        """Return the service as soon as an accepted `recover` shows. Raises WaitFailed when it has failed again."""
        grace = self._session.deadline(RECOVER_GRACE)
        service = None
        for _left in self._session.ticks(self._deadline, FIRST_PAUSE, self._interval):
            service = self._read()
            if service is None or (is_stale(service, log_before) and service.failure() and grace.left() > 0):
                continue
            reason = service.failure(log_before)
            if reason is not None:
                raise self.with_service(WaitFailed(f"{service.title} {reason}"), service)
            return service
        raise self._too_late("to be recovered", service)

    def until_gone(self, step: Callable[[Service], None]) -> None:
        """Wait until there is no such service; step is called with each reading and moves the removal on."""
        service = None
        for _left in self._session.ticks(self._deadline, FIRST_PAUSE, self._interval):
            try:
                service = self._read(gone_ends=True)
            except NotFound:
                return
            if service is not None:
                self._show(service)
                step(service)
        raise self._too_late("to be gone", service)

    def _read(self, *, gone_ends: bool = False) -> Service | None:
        self._session.limit_calls(self._deadline)
        try:
            document = self._session.flow.service(self._id)
        except NotFound:
            if gone_ends:
                raise
            raise WaitFailed(f"service {self._id} is gone: somebody removed it") from None
        except (Unreachable, BadAnswer, AuthenticationFailed) as error:
            # A restarting front-end; and with oned down OneFlow refuses credentials that worked a moment ago.
            if self._trouble is None:
                self._session.progress(f"service {self._id}: {error.text}; waiting on")
            self._trouble = error
            return None
        finally:
            self._session.release_calls()
        self._trouble = None
        service = Service.from_document(document)
        self._seen |= {node.vm_id: node.name for role in service.roles for node in role.nodes}
        return service

    def _complaint(self, service: Service) -> str | None:
        """Return what a VM of the service has to say: the failure attribute, or that it is down while the service is in WARNING."""
        warning = service.state == "WARNING"
        if not (self._attribute or warning):
            return None
        try:
            vms = self._session.vms(service.vm_ids)
        except (Unreachable, BadAnswer, NotFound):
            return None
        for vm in vms.values():
            value = vm.attributes.get(self._attribute) if self._attribute else None
            if value:
                return f"has a VM that reports {self._attribute}: {value} ({vm.name}, id {vm.id})"
        return in_warning(vms) if warning else None

    def _lost(self, service: Service, reached: bool) -> str | None:
        """Return which VMs died before they were ready; OneFlow takes them off the cardinality and calls the rest RUNNING."""
        if not reached or service.state != "RUNNING":
            return None
        short = service.short_of_vms(self.asked)
        if not short:
            return None
        text = f"is RUNNING without all of its VMs ({'; '.join(short)}): they died before they were ready"
        lost = {number: name for number, name in self._seen.items() if number not in service.vm_ids}
        names = [f"{name} (id {number})" for number, name in sorted(lost.items())]
        names += [name for name in service.lost_names(self.asked) if name not in lost.values()]
        return text + (f": {', '.join(names)}" if names else "")

    def _show(self, service: Service) -> None:
        line = service.summary()
        if line != self._shown:
            self._shown = line
            self._session.progress(f"service {service.name} (id {self._id}): {line}")

    def _too_late(self, goal: str, service: Service | None) -> OpenNebulaError:
        text = f"service {self._id} took longer than {self._deadline.seconds:g} s {goal}"
        if self._trouble is not None:
            text += f"; the last attempt to read it failed: {self._trouble}"
        elif service is not None:
            text += f"; it is {service.summary()}"
            lines = service.errors()
            text += f": {' | '.join(lines)}" if lines else ""
        return self.with_service(WaitTimedOut(text, hint="See wait_timeout."), service)

    def with_service(self, error: OpenNebulaError, service: Service | None) -> OpenNebulaError:
        """Return the error with the endpoint, the service, and what its VMs have to say; a VM that cannot be read says nothing."""
        error.endpoint = self._session.flow.endpoint
        if service is None:
            return error
        try:
            vms = self._session.vms(service.vm_ids)
        except OpenNebulaError:
            vms = {}
        if isinstance(error, WaitTimedOut):
            if service.going and vms:
                left = [f"{vm.id} ({vm.state})" for vm in vms.values()]
                error.text += f"; these VMs do not go: {', '.join(left)}"
                error.hint = "Terminate or recover them in OpenNebula, then the removal goes on; or see wait_timeout."
            error.text += scheduler_messages(vms)
        if service.failure() or isinstance(error, WaitTimedOut):
            error.text += service.driver_errors(vms)
        error.result["service"] = service.to_result(vms)
        return error


def is_stale(service: Service, log_before: Collection[Mapping[str, t.Any]]) -> bool:
    """Tell whether a failed state is the one from before `recover`: nothing was logged since."""
    return list(service.log) == list(log_before)


def in_warning(vms: Mapping[int, Vm]) -> str | None:
    """Return which VMs keep a service in WARNING, None when all of them run or are about to."""
    down = [vm for vm in vms.values() if vm.down]
    if not down:
        return None
    return f"is in WARNING: {', '.join(f'VM {vm.id} ({vm.name}) is {vm.condition}' for vm in down)}"


def scheduler_messages(vms: Mapping[int, Vm]) -> str:
    """Return why VMs find no host, "; VM 7: ..." each (SCHED_MESSAGE)."""
    said = {vm.id: vm.attributes.get("SCHED_MESSAGE") for vm in vms.values() if vm.state == "PENDING"}
    return "".join(f"; VM {vm_id}: {text}" for vm_id, text in said.items() if text)
