# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for services: one deadline, every state, and what the VMs have to say."""

from __future__ import annotations

import typing as t
from collections.abc import Collection

from .answers import as_dict, to_int
from .errors import AuthenticationFailed, BadAnswer, NotFound, OpenNebulaError, Unreachable, WaitFailed, WaitTimedOut
from .services import describe, driver_errors, failure, is_stale, log_of, short_of_vms, state_of, summary, vm_ids
from .session import Deadline, Session
from .states import GOING_STATES, vm_state_name

# How long a failed state may outlive an accepted `recover` (the first readings still show it).
RECOVER_GRACE = 10.0


class Waiter:
    """Polls one service. interval is the longest pause; the first ones are shorter."""

    def __init__(self, session: Session, service_id: int, deadline: Deadline, interval: float, attribute: str | None) -> None:
        self._session = session
        self._id = service_id
        self._deadline = deadline
        self._interval = interval
        self._attribute = attribute
        self._pause = min(0.25, interval)
        self._shown = ""
        self._trouble: OpenNebulaError | None = None

    def until(self, states: Collection[str], *, log_before: list[dict] | None = None, removing: bool = False) -> dict:
        """Return the service's document as soon as it is in one of the states.

        log_before: the log at the time of `recover`; the failed state that belongs to it is overlooked for a while.
        removing: a role is being removed, so that UNDEPLOYING does not mean the service.
        Raises WaitFailed at once in a failed or ending state, when a VM shows the failure attribute, or when the
        service is gone; WaitTimedOut at the deadline. Both carry the service in their result.
        """
        grace = self._session.deadline(RECOVER_GRACE)
        while True:
            document = self._read()
            if document is not None:
                state = state_of(document)
                if state not in states or self._shown:  # nothing to tell of a service that is already there
                    self._show(document)
                if log_before is not None and is_stale(document, log_before) and grace.left() > 0:
                    reason = None
                else:
                    reason = failure(document, log_before or ())
                    if state in GOING_STATES and not removing:
                        reason = f"is being removed ({state})"
                if reason is None and self._attribute:
                    reason = self._complaint(document)
                if reason is None and state in states:
                    short = short_of_vms(document) if state == "RUNNING" else []
                    if not short:
                        return document
                    reason = f"is RUNNING without all of its VMs ({'; '.join(short)}): they died before they were ready"
                if reason is not None:
                    raise self.with_service(WaitFailed(f"service {document.get('NAME')!r} (id {self._id}) {reason}"), document)
            self._sleep(f"to become {' or '.join(sorted(states))}", document)

    def until_recovering(self, log_before: list[dict]) -> dict:
        """Return the service as soon as an accepted `recover` shows, or as it is after RECOVER_GRACE."""
        grace = self._session.deadline(RECOVER_GRACE)
        while True:
            document = self._read()
            if document is not None and (grace.left() <= 0 or not failure(document) or not is_stale(document, log_before)):
                return document
            self._sleep("to be recovered", document)

    def until_gone(self, step: t.Callable[[dict], None]) -> None:
        """Wait until there is no such service; step is called with each reading and moves the removal on."""
        while True:
            try:
                document = self._read(gone_ends=True)
            except NotFound:
                return
            if document is not None:
                self._show(document)
                step(document)
            self._sleep("to be gone", document)

    def _read(self, *, gone_ends: bool = False) -> dict | None:
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
        return document

    def _complaint(self, document: dict) -> str | None:
        try:
            vms = self._session.vms_by_id(vm_ids(document))
        except (Unreachable, BadAnswer, NotFound):
            return None
        for vm_id, vm in vms.items():
            value = as_dict(vm.get("USER_TEMPLATE")).get(self._attribute)
            if value:
                return f"has a VM that reports {self._attribute}: {value} ({vm.get('NAME')}, id {vm_id})"
        return None

    def _show(self, document: dict) -> None:
        line = summary(document)
        if line != self._shown:
            self._shown = line
            self._session.progress(f"service {document.get('NAME')} (id {self._id}): {line}")

    def _sleep(self, goal: str, document: dict | None) -> None:
        left = self._deadline.left()
        if left <= 0:
            text = f"service {self._id} took longer than {self._deadline.seconds:g} s {goal}"
            if self._trouble is not None:
                text += f"; the last attempt to read it failed: {self._trouble}"
            elif document is not None:
                text += f"; it is {summary(document)}"
                lines = [entry["message"] for entry in log_of(document) if entry["severity"] == "E"]
                text += f": {' | '.join(lines)}" if lines else ""
            raise self.with_service(WaitTimedOut(text, hint="See wait_timeout."), document)
        self._session.sleep(min(self._pause, left))
        self._pause = min(self._pause * 1.5, self._interval)

    def with_service(self, error: OpenNebulaError, document: dict | None) -> OpenNebulaError:
        """Return the error with the endpoint, the service, and what its VMs have to say; a VM that cannot be read says nothing."""
        error.endpoint = self._session.flow.endpoint
        if document is not None:
            try:
                vms = self._session.vms_by_id(vm_ids(document))
            except OpenNebulaError:
                vms = {}
            if isinstance(error, WaitTimedOut) and state_of(document) in GOING_STATES and vms:
                left = [f"{vm_id} ({vm_state_name(to_int(vm.get('STATE')))})" for vm_id, vm in vms.items()]
                error.text += f"; these VMs do not go: {', '.join(left)}"
                error.hint = "Terminate or recover them in OpenNebula, then the removal goes on; or see wait_timeout."
            if failure(document):
                error.text += driver_errors(vms)
            error.result["service"] = describe(document, vms)
        return error
