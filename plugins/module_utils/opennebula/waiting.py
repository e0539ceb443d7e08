# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for services: one deadline, every state, and what the VMs have to say."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable, Collection, Mapping

from .errors import (
    AuthenticationFailed,
    BadAnswer,
    InvalidRequest,
    NotFound,
    OpenNebulaError,
    Unreachable,
    WaitFailed,
    WaitTimedOut,
)
from .services import Service
from .session import Deadline, Session
from .vms import Vm

# Seconds that a failed state may outlive an accepted `recover` (the first readings still show it).
RECOVER_GRACE = 10.0
FIRST_PAUSE = 0.25
# Seconds after which a wait says again what it waits for.
REPEAT = 15.0
HEAL = "Run the task again with the cardinality of the role: OneFlow then makes the VMs that are missing."


class Telling:
    """Says what a step waits for: at once when that changes, and every REPEAT seconds since when it has been so."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._line = ""
        self._since = self._told = 0.0
        self._clock = ""

    @property
    def told(self) -> bool:
        """Whether anything was said."""
        return bool(self._line)

    def tell(self, line: str) -> None:
        """Say the line if it is new, or if it was said long ago."""
        now = self._session.clock()
        if line != self._line:
            self._line, self._since, self._clock = line, now, time.strftime("%H:%M:%S")
            self._session.progress(line)
        elif now - self._told >= REPEAT:
            self._session.progress(f"{line}, since {self._clock} ({now - self._since:.0f} s)")
        else:
            return
        self._told = now


class Complaints:
    """What VMs say in the attribute in which they tell what is wrong with them (None: nothing is asked).

    What a VM has said before (by id) is no failure until it was taken back: it is older than what the task does. Several
    complaints stand in one text, with "; " between them. Until `settled` has passed nothing is a failure: what the VMs complain
    of is being changed.
    """

    def __init__(self, attribute: str | None, before: Mapping[int, str], settled: Deadline | None = None) -> None:
        self._attribute, self._settled = attribute, settled
        self._before = {number: _parts(text) for number, text in before.items()}

    def new(self, vms: Mapping[int, Vm]) -> str | None:
        """Return what the first VM with a new text says."""
        if self._settled is not None and self._settled.left() > 0:
            return None
        for vm in vms.values():
            old, parts = self._before.get(vm.id, []), _parts(self._text(vm))
            self._before[vm.id] = [part for part in old if part in parts]
            fresh = [part for part in parts if part not in old]
            if fresh:
                return f"has a VM that reports {self._attribute}: {'; '.join(fresh)} ({vm.name}, id {vm.id})"
        return None

    def old(self, vms: Mapping[int, Vm]) -> str:
        """Return what VMs still say as before, ", VM 7 says: ..." each."""
        said = {vm.id: self._text(vm) for vm in vms.values() if self._before.get(vm.id)}
        return "".join(f", VM {number} says: {text}" for number, text in said.items())

    def _text(self, vm: Vm) -> str:
        return str(vm.attributes.get(self._attribute) or "") if self._attribute else ""


def _parts(text: str) -> list[str]:
    return [part for part in text.split("; ") if part]


class Waiter:
    """Polls one service. interval is the longest pause; the first ones are shorter.

    asked: number of VMs by role that the service is to have. attribute: where its VMs say what is wrong with them; before: what
    they said there before, see Complaints.
    """

    def __init__(
        self,
        session: Session,
        service_id: int,
        deadline: Deadline,
        interval: float,
        attribute: str | None,
        before: Mapping[int, str] | None = None,
        settled: Deadline | None = None,
    ) -> None:
        self._session = session
        self._id = service_id
        self._deadline = deadline
        self._interval = interval
        self._reads_vms = bool(attribute)
        self._complaints = Complaints(attribute, before or {}, settled)
        self._telling = Telling(session)
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
            vms = self._vms(service)
            new = self._complaints.new(vms)
            if not reached or self._telling.told:  # nothing to tell of a service that is already there
                self._show(service, vms)
            fresh = log_before is None or not is_stale(service, log_before) or grace.left() <= 0
            reason = service.failure(log_before or ()) if fresh else None
            if service.going and not removing:
                reason = f"is being removed ({service.state})"
            reason = reason or new or (in_warning(vms) if service.state == "WARNING" else None)
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
                self._show(service, {})
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

    def _vms(self, service: Service) -> dict[int, Vm]:
        """Return the VMs of the service if they are asked what is wrong, or if one of them must be down; else nothing."""
        if not (self._reads_vms or service.state == "WARNING"):
            return {}
        try:
            return self._session.vms(service.vm_ids)
        except (Unreachable, BadAnswer, NotFound):
            return {}

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

    def _show(self, service: Service, vms: Mapping[int, Vm]) -> None:
        self._telling.tell(f"service {service.name} (id {self._id}): {service.summary()}{self._complaints.old(vms)}")

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
            error.text += self._complaints.old(vms) + scheduler_messages(vms)
        if service.failure() or isinstance(error, WaitTimedOut):
            error.text += service.driver_errors(vms)
        error.result["service"] = service.to_result(vms)
        return error


def failures_before(params: Mapping[str, t.Any]) -> dict[int, str]:
    """Return the option of that name: what VMs said, by id. Raises InvalidRequest for a key that is no id."""
    wrong = [str(key) for key in params["failures_before"] if not str(key).isdigit()]
    if wrong:
        raise InvalidRequest(f"failures_before: {', '.join(wrong)} is no id of a VM")
    return {int(key): str(text) for key, text in params["failures_before"].items()}


def is_stale(service: Service, log_before: Collection[Mapping[str, t.Any]]) -> bool:
    """Tell whether a failed state is the one from before `recover`: nothing was logged since."""
    return list(service.log) == list(log_before)


def in_warning(vms: Mapping[int, Vm]) -> str | None:
    """Return which VMs keep a service in WARNING, None when all of them run or are about to."""
    down = [vm for vm in vms.values() if vm.down]
    if not down:
        return None
    return f"is in WARNING: {', '.join(f'VM {vm.id} ({vm.name}) is {vm.condition}' for vm in down)}"


def awaited(service: Service, wanted: Mapping[str, t.Any]) -> str:
    """Return one line for people: the service, and what one of its VMs has to show."""
    names = ", ".join(f"{name}={value}" for name, value in wanted.items())
    return f"service {service.name} (id {service.id}): {service.summary()}, waits for a VM with {names}"


def scheduler_messages(vms: Mapping[int, Vm]) -> str:
    """Return why VMs find no host, "; VM 7: ..." each (SCHED_MESSAGE)."""
    said = {vm.id: vm.attributes.get("SCHED_MESSAGE") for vm in vms.values() if vm.state == "PENDING"}
    return "".join(f"; VM {vm_id}: {text}" for vm_id, text in said.items() if text)
