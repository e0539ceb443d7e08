# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oneflow_service: a service as the task describes it."""

from __future__ import annotations

import contextlib
import typing as t

from ..answers import as_dict, as_list, parse_mode, to_int
from ..bodies import ROLE_NAME, check_contents, check_parents
from ..documents import ACCESS_ARGUMENTS, ServiceTemplate, access_steps, find_template
from ..errors import Ambiguous, InvalidRequest, NotFound, WaitFailed
from ..generation6 import instantiation_for_server, needs_vm_templates
from ..inputs import merge_template, network_ids
from ..lookup import refuse_anothers
from ..service_steps import (
    Access,
    Create,
    Recover,
    Release,
    Remove,
    RemoveRole,
    Revive,
    Scale,
    Step,
    Work,
    added_role,
    vm_templates,
    warning_of,
)
from ..services import Role, Service, by_name
from ..session import Session
from ..template_text import check_name
from ..waiting import HEAL, failures_before

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str"},
    "id": {"type": "int"},
    "template_name": {"type": "str"},
    "template_id": {"type": "int"},
    # no_log: what fails before the template is read does not know which inputs are secret. See runner.
    "user_inputs_values": {"type": "dict", "default": {}, "no_log": True},
    "networks_values": {"type": "list", "elements": "dict", "default": []},
    "roles": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "cardinality": {"type": "int"},
            "user_inputs_values": {"type": "dict", "no_log": True},
            "template_contents": {"type": "dict"},
            "template_id": {"type": "int"},
            "parents": {"type": "list", "elements": "str"},
        },
    },
    "force_scale": {"type": "bool", "default": False},
    "on_failed": {"type": "str", "choices": ["fail", "recover", "recreate"], "default": "fail"},
    "release": {"type": "bool", "default": False},
    "new_name": {"type": "str"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "float", "default": 600.0},
    "wait_interval": {"type": "float", "default": 2.0},
    "failure_attribute": {"type": "str"},
    "failures_before": {"type": "dict", "default": {}},
    "settling": {"type": "float", "default": 0.0},
    **ACCESS_ARGUMENTS,
}
RULES: dict[str, t.Any] = {
    "required_one_of": [("name", "id")],
    "mutually_exclusive": [("template_name", "template_id")],
}

Params = dict[str, t.Any]


def run(params: Params, session: Session) -> dict[str, t.Any]:
    """Return {changed, service, input_drift, diff}; service is None when it is absent."""
    _check(params)
    work = Work(params, session)
    service = _find(work)
    return _absent(work, service) if params["state"] == "absent" else _present(work, service)


def _check(params: Params) -> None:
    """Raise InvalidRequest for what can be seen without a server."""
    faults: list[str] = []
    seen: set[str] = set()
    for option in ("name", "new_name"):
        if params[option] is not None and params["state"] == "present":
            check_name(option, params[option])
    parse_mode(params["mode"])
    for role in params["roles"]:
        if role["name"] in seen:
            faults.append(f"roles: {role['name']} appears twice")
        seen.add(role["name"])
        if role["cardinality"] is not None and role["cardinality"] < 0:
            faults.append(f"roles: {role['name']} cannot have {role['cardinality']} VMs")
        check_contents(role["template_contents"] or {}, f"roles[{role['name']}].template_contents", faults)
    failures_before(params)
    if params["wait_timeout"] < 0 or params["wait_interval"] <= 0:
        faults.append("wait_timeout and wait_interval must be positive")
    if faults:
        raise InvalidRequest("; ".join(faults))


def _find(work: Work) -> Service | None:
    """Return the service meant by id or name; a DONE one counts as none."""
    params = work.params
    if params["id"] is not None:
        try:
            service = work.read(params["id"])
        except NotFound:
            if params["state"] == "present":
                raise
            return None
        return None if service.state == "DONE" else service
    documents = work.flow.services()
    work.ids_before = {to_int(document.get("ID")) for document in documents}
    current = by_name(documents, params["name"], caller=work.session.username, owner=params["owner"])
    if params["state"] == "absent":
        refuse_anothers(current, params["name"], "service", caller=work.session.username, owner=params["owner"])
    elif params["new_name"]:
        renamed = by_name(documents, params["new_name"], caller=work.session.username, owner=params["owner"])
        if current is not None and renamed is not None and current is not renamed:
            raise Ambiguous(
                f"service {params['name']!r} (id {current['ID']}) cannot become {params['new_name']!r}: "
                f"id {renamed['ID']} has that name"
            )
        current = current or renamed
    return None if current is None else Service.from_document(current)


def _absent(work: Work, service: Service | None) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {"changed": service is not None, "service": None, "input_drift": []}
    if service is not None and not work.session.check_mode:
        work.remove(service, wait=work.params["wait"])
    return {**result, "diff": {"before": {} if service is None else service.to_diff(), "after": {}}}


def _present(work: Work, found: Service | None) -> dict[str, t.Any]:
    """Do, or foretell, the steps that are needed: first those that bring a service up, then what is to change about it."""
    params, session = work.params, work.session
    if found is not None:
        session.learn(found.body)
    steps = _first(work, found)
    made = any(isinstance(step, Create) for step in steps)
    service = found
    if found is not None and not made:
        _changes(work, found)  # refuses what cannot be, before anything is sent
    for step in steps:
        service = _do(work, step, service)
    if service is None:
        raise AssertionError("a step makes the service where there is none")
    drift = [] if made else _drift(work, service)
    if params["wait"] and not session.check_mode and not (params["release"] and service.on_hold):
        # A service that was up before is scaled to what is asked; one on its way is to come up with it.
        on_its_way = made or service.state not in ("RUNNING", "HOLD", "WARNING")
        service = work.wait(service, asked=_asked(work, steps) if on_its_way else None)
    changed = bool(steps)
    for step in _changes(work, service):
        changed = True
        service = _do(work, step, service)
    vms = session.vms(service.vm_ids)
    dead = [f"{vm.name} (id {vm.id})" for vm in vms.values() if vm.done]
    if dead and params["wait"] and not session.check_mode and service.state == "RUNNING":
        # OneFlow has not noticed yet, or counts a dead VM as one that is ready (flow/lib/EventManager.rb).
        error = WaitFailed(f"{service.title} is RUNNING without all of its VMs: {', '.join(dead)} died", hint=HEAL)
        raise work.waiter(service).with_service(error, service)
    return {
        "changed": changed if session.check_mode else session.changed,
        "service": service.to_result(vms),
        "input_drift": drift,
        "diff": {"before": {} if found is None else found.to_diff(), "after": service.to_diff()},
    }


def _do(work: Work, step: Step, service: Service | None) -> Service:
    return (step.predict if work.session.check_mode else step.apply)(work, service)  # type: ignore[arg-type]


def _asked(work: Work, steps: list[Step]) -> dict[str, int]:
    """Return the number of VMs by role that the service must come up with."""
    made = [step.body for step in steps if isinstance(step, Create)]
    roles = [Role.from_body(role) for body in made for role in body.get("roles") or []]
    return {role.name: role.cardinality for role in roles} or work.asked()


def _drift(work: Work, service: Service) -> list[str]:
    drift = service.input_drift(work.params["user_inputs_values"], work.params["roles"])
    if drift:
        work.session.warnings.append(
            f"service {service.id} was made with other values for {', '.join(drift)}; inputs of a service cannot be "
            "changed, only those of a new one"
        )
    return drift


# -- the steps ----------------------------------------------------------------------------------------------------------


def _first(work: Work, service: Service | None) -> list[Step]:
    """Return the steps that give the task a service that comes up. Raises WaitFailed for a failed one, see on_failed."""
    if service is None:
        return [_create(work, None)]
    session, how = work.session, work.params["on_failed"]
    warning = warning_of(session, service)
    reason = service.failure() or warning
    if service.going:
        reason = f"is being removed ({service.state})"
    if reason is None:
        return []
    if how == "recreate":
        return [Remove(), _create(work, service)]
    if how == "recover" and not service.going:
        return [Revive() if warning else Recover()]
    if warning and not work.params["wait"]:
        session.warnings.append(f"{service.title} {warning}")
        return []
    error = WaitFailed(
        f"{service.title} {reason}",
        hint="on_failed=recover tries again, on_failed=recreate replaces it, state=absent removes it.",
    )
    raise work.waiter(service).with_service(error, service)


def _template(work: Work) -> ServiceTemplate:
    """Return the service template to instantiate."""
    params, flow = work.params, work.flow
    if params["template_id"] is not None:
        return ServiceTemplate.from_document(flow.template(params["template_id"]))
    if params["template_name"] is None:
        raise NotFound(
            f"there is no service {params['new_name'] or params['name']!r}",
            endpoint=flow.endpoint,
            hint="Give template_name or template_id to create it.",
        )
    return find_template(work.session, params["template_name"], option="template_id")


def _create(work: Work, replaced: Service | None) -> Create:
    """Return the step that makes the service. Raises for everything that the server would refuse or fail over."""
    params, session = work.params, work.session
    if params["id"] is not None and replaced is None:
        raise NotFound(f"service {params['id']} is DONE", hint="Use name to create a new one.")
    template = _template(work)
    session.learn(template.body)
    known = {role.get("name") for role in template.body.get("roles") or []}
    roles = [role for role in params["roles"] if role["state"] == "present"]
    roles = [role for role in roles if role["name"] in known or role["template_id"] is None]
    name = params["new_name"] or params["name"] or (replaced.name if replaced else template.name)
    merge = merge_template(
        template.body, name=name, values=params["user_inputs_values"], networks_values=params["networks_values"], roles=roles
    )
    counts = {role["name"]: role["cardinality"] for role in merge.get("roles") or [] if "cardinality" in role}
    body = {
        **template.body,
        "roles": [
            {**role, "cardinality": counts.get(role["name"], to_int(role.get("cardinality"), 0))}
            for role in template.body.get("roles") or []
        ],
    }
    faults = [Role.from_body(role).limit(role["cardinality"]) for role in body["roles"]]
    faults += _network_faults(session, merge.get("networks_values"))
    if any(faults):
        raise InvalidRequest("the service cannot be instantiated: " + "; ".join(fault for fault in faults if fault))
    found = {}
    for number in needs_vm_templates(merge, template.body, session.version):
        with contextlib.suppress(NotFound):  # the server's to refuse
            found.update(vm_templates(session, {number}))
    sent = instantiation_for_server(merge, template.body, session.version, found)
    return Create(t.cast(int, template.id), name, body, sent)


def _network_faults(session: Session, networks_values: t.Any) -> list[str]:
    """Return what is wrong with the networks: OneFlow fails over one that is not there, and leaves the service behind."""
    faults = []
    for name, kind, number in network_ids(networks_values):
        if kind == "template_id":
            pool = as_dict(session.oned.call("vntemplatepool.info", -2, number, number)).get("VNTEMPLATE")
        else:
            pool = as_dict(session.oned.call("vnpool.info", -2, number, number)).get("VNET")
        if not as_list(pool):
            what = "virtual network template" if kind == "template_id" else "virtual network"
            faults.append(f"network {name}: there is no {what} {number} that {session.username} may use")
    return faults


def _changes(work: Work, service: Service) -> list[Step]:
    """Return what has to be done to a service that is up. Raises InvalidRequest for what cannot be."""
    params = work.params
    steps: list[Step] = [Release()] if params["release"] and service.on_hold else []
    name = params["new_name"] or (params["name"] if params["id"] is not None else None)
    steps += [Access(step) for step in access_steps(service, params, name)]
    adds: list[Step] = []
    removals: list[Step] = []
    faults: list[str] = []
    for role in params["roles"]:
        have = service.role(role["name"])
        if role["state"] == "absent":
            if have is not None:
                removals.append(RemoveRole(role["name"]))
        elif have is not None:
            if role["cardinality"] is not None and role["cardinality"] != have.cardinality:
                adds.append(Scale(role["name"], role["cardinality"]))
                beyond = None if params["force_scale"] else have.limit(role["cardinality"])
                faults += [beyond] if beyond else []
        elif role["template_id"] is None:
            known = ", ".join(role.name for role in service.roles)
            faults.append(f"there is no role {role['name']!r}, only {known}; template_id would add it")
        elif not ROLE_NAME.match(role["name"]):
            faults.append(f"role {role['name']!r}: letters, digits and underscores only")
        else:
            parents = {other.name: list(other.parents) for other in service.roles}
            check_parents({**parents, role["name"]: role["parents"] or []}, faults)
            if not faults:
                adds.append(added_role(role, work.session))
    if removals and len(removals) == len(service.roles) and len(adds) == len([step for step in adds if isinstance(step, Scale)]):
        faults.append("a service cannot be without roles: OneFlow removes it with its last one; state: absent does that")
    if faults:
        limited = any(" cardinality is " in fault for fault in faults)
        raise InvalidRequest(
            "; ".join(faults), hint="Keep cardinality within min_vms and max_vms, or say force_scale." if limited else None
        )
    # Removals last: for a moment without any role the service would be gone.
    return [*steps, *adds, *removals]
