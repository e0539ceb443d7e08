# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_handover: the SuperNodes of a site from one service to another, one at a time."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings

from .. import live_settings, services
from ..answers import to_int
from ..errors import InvalidRequest
from ..handover import Add, End, Resize, Side, Step, Take, free_numbers, next_step
from ..live_settings import FlowerVm
from ..services import Service
from ..session import Session
from ..waiting import failures_before
from . import flower_settings, oneflow_service

ARGUMENTS: dict[str, t.Any] = {
    "source": {"type": "int"},
    "target": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "template_name": {"type": "str", "required": True},
    "supernodes": {"type": "int", "required": True},
    # no_log: what fails before the template is read does not know which inputs are secret. See runner.
    "user_inputs_values": {"type": "dict", "default": {}, "no_log": True},
    "values": {"type": "dict", "required": True},
    "partitions": {"type": "str", "required": True},
    "failures_before": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "float", "default": 600.0},
}
RULES: dict[str, t.Any] = {}


def run(params: dict[str, t.Any], session: Session) -> dict[str, t.Any]:
    """Return {changed, made, diff}. Each step is decided from what is there, and waited for before the next one."""
    planned = settings.parse_numbers(_checked(params)["partitions"])
    work = _Handover(params, session, planned)
    source, target = work.read()
    done = source is None and (target is None or target.service.name == params["name"])
    before = _shown(source, target)
    after = before if done else {params["name"]: [str(number) for number in planned[: params["supernodes"]]]}
    made = 0
    if not session.check_mode and not done:
        made = work.carry_out()
        after = _shown(*work.read())
    return {
        "changed": not done if session.check_mode else session.changed,
        "made": made,
        "diff": {"before": before, "after": after},
    }


def _checked(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the options. Raises InvalidRequest for what can be seen without a server."""
    faults = []
    if params["supernodes"] < 1:
        faults.append("supernodes must be 1 or more")
    values = live_settings.check(params["values"], params["partitions"])
    live_settings.check_role(settings.SUPERNODE, values)
    failures_before(params)
    if not faults and len(settings.parse_numbers(params["partitions"])) < params["supernodes"]:
        faults.append(f"partitions: {params['partitions']} are too few for {params['supernodes']} SuperNodes")
    if faults:
        raise InvalidRequest("; ".join(faults))
    return params


@dataclass(frozen=True)
class _Found:
    """One of the two services as it was read."""

    service: Service
    vms: tuple[FlowerVm, ...]

    @property
    def side(self) -> Side:
        """What the next step follows from."""
        born = settings.parse_numbers(str(self.vms[0].context.get(settings.PARTITIONS) or "")) if self.vms else ()
        numbers = [int(machine.partition) if machine.partition.isdigit() else None for machine in self.vms]
        useless = self.service.state != "RUNNING" and not any(machine.ready for machine in self.vms)
        return Side(tuple(numbers), frozenset(born), self.service.going or useless)

    def summary(self) -> str:
        """Return one phrase for people."""
        numbers = settings.format_numbers(number for number in self.side.partitions if number is not None)
        return f"{self.service.name} (id {self.service.id}) {len(self.vms)} with {numbers or 'none'}"


class _Handover:
    def __init__(self, params: dict[str, t.Any], session: Session, planned: list[int]) -> None:
        self._params = params
        self._session = session
        self._planned = planned

    def read(self) -> tuple[_Found | None, _Found | None]:
        """Return the service that goes and the one that stays, None for one that is not there."""
        documents = self._session.flow.services()
        alive = (document for document in documents if services.state_of(document) != "DONE")
        goes = next((document for document in alive if to_int(document.get("ID")) == self._params["source"]), None)
        stays = services.by_name(documents, self._params["target"], caller=self._session.username)
        if goes is not None and goes is stays:
            raise InvalidRequest(f"service {self._params['target']!r} cannot be source and target")
        if goes is None and stays is None:  # it has its last name already
            stays = services.by_name(documents, self._params["name"], caller=self._session.username)
        return self._found(goes), self._found(stays)

    def _found(self, document: t.Mapping[str, t.Any] | None) -> _Found | None:
        if document is None:
            return None
        service = Service.from_document(document)
        self._session.learn(service.body)
        return _Found(service, tuple(live_settings.read(self._session, service)))

    def carry_out(self) -> int:
        """Take step after step until the site is one service of the name that it is to have; return the number of new VMs."""
        added = 0
        while True:
            source, target = self._come_to_rest()
            sides = source.side if source else None, target.side if target else None
            step = next_step(*sides, self._params["supernodes"], self._planned)
            if step is None:
                break
            self._tell(step, source, target)
            self._take(step, source, target)
            added += isinstance(step, Add)
        if target is not None and target.service.name != self._params["name"]:
            self._session.progress(f"{target.service.name} becomes {self._params['name']}")
            self._service(target.service.name, new_name=self._params["name"], wait=False)
        return added

    def _come_to_rest(self) -> tuple[_Found | None, _Found | None]:
        """Return both services as soon as all VMs of the one that stays work with the settings, and the other can be changed."""
        source, target = self.read()
        if target is not None:
            told = {str(machine.vm.id): text for machine in target.vms if (text := machine.vm.attributes.get(attributes.ERROR))}
            self._settings(target, source, wait=False)
            self._service(target.service.name, wait=True, complaints=told)
            source, target = self.read()
            if target is not None:
                self._settings(target, source, wait=True)
            source, target = self.read()
        if source is not None and not source.side.going:
            # Those who go later go on with the federation until then.
            self._settings(source, target, wait=False)
            if source.service.state != "RUNNING":
                self._service(None, id=source.service.number, wait=True)
                source, target = self.read()
        return source, target

    def _tell(self, step: Step, source: _Found | None, target: _Found | None) -> None:
        what = {
            Add: lambda: f"one more for {self._params['target']}",
            Take: lambda: f"one less of service {self._params['source']}",
            End: lambda: f"service {self._params['source']} goes",
            Resize: lambda: f"{self._params['target']} keeps {self._params['supernodes']}",
        }[type(step)]()
        there = ", ".join(found.summary() for found in (source, target) if found is not None)
        self._session.progress(f"SuperNodes: {there or 'none'}; {what}")

    def _take(self, step: Step, source: _Found | None, target: _Found | None) -> None:
        if isinstance(step, Add) and target is None:
            inputs = {**self._params["user_inputs_values"], settings.PARTITIONS: str(step.number)}
            template = self._params["template_name"]
            self._service(self._params["target"], count=1, template_name=template, inputs=inputs, wait=False)
        elif isinstance(step, Add):
            # It waits for a number, which `_come_to_rest` gives to it.
            self._service(self._params["target"], count=step.vms, wait=False)
        elif isinstance(step, Take):
            self._service(None, id=self._params["source"], count=step.vms, wait=True)
        elif isinstance(step, Resize):
            self._service(self._params["target"], count=step.vms, wait=True)
        else:
            self._service(None, id=self._params["source"], state="absent", wait=True)

    def _service(
        self,
        name: str | None,
        *,
        count: int | None = None,
        inputs: dict[str, t.Any] | None = None,
        complaints: dict[str, str] | None = None,
        **more: t.Any,
    ) -> None:
        """Run oneflow_service. complaints: by VM; None where nobody asks what VMs complain of."""
        role: dict[str, t.Any] = {**_defaults(oneflow_service.ARGUMENTS["roles"]["options"]), "name": settings.SUPERNODE}
        if inputs is not None:
            role["user_inputs_values"] = inputs
        given = {"name": name, "roles": [] if count is None else [{**role, "cardinality": count}], "on_failed": "recover", **more}
        if complaints is not None:
            given["failure_attribute"] = attributes.ERROR
            given["failures_before"] = {**self._params["failures_before"], **complaints}
        self._run(oneflow_service, given)

    def _settings(self, of: _Found, other: _Found | None, *, wait: bool) -> None:
        """Run flower_settings. A VM without a number may take those that are free, and no other."""
        free = free_numbers(self._planned, of.side, other.side if other else None)
        given = {"service": str(of.service.number), "values": self._params["values"], "wait": wait}
        given["partitions"] = settings.format_numbers(free) if free else None
        given["failures_before"] = self._params["failures_before"]
        if of.vms:
            self._run(flower_settings, given)

    def _run(self, backend: t.Any, given: dict[str, t.Any]) -> None:
        backend.run({**_defaults(backend.ARGUMENTS), "wait_timeout": self._params["wait_timeout"], **given}, self._session)


def _shown(*found: _Found | None) -> dict[str, list[str]]:
    """Return the partitions of each service's VMs, by the service's name, for a diff."""
    return {
        one.service.name: sorted((machine.partition or "none" for machine in one.vms), key=lambda text: (len(text), text))
        for one in found
        if one is not None
    }


def _defaults(arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: spec.get("default") for name, spec in arguments.items()}
