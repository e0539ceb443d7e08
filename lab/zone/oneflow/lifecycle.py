# SPDX-License-Identifier: GPL-3.0-or-later
"""The life cycle of OneFlow's services: requests, waits, callbacks, watch dog.

A request changes the document, starts a wait and returns; when the wait is over, a callback takes the next step. The
waits are lost when the zone stops; at the next start every service in a transient state is recovered, as OneFlow does.

The ready gate is what OneFlow makes of it: a node is ready when the raw text of any one.vm.update of it, without quotes
and blanks, contains ``READY=YES``, or when its user attribute READY is YES at the start of the wait or at one of the
polls (`wait_timeout`, put off by every update of any VM). It looks at no VM state but those of a VM that is gone or
failed, and it has no timeout.
"""

from __future__ import annotations

import asyncio
import logging
import typing as t
from collections.abc import Callable
from functools import partial

from ..oned.core import Oned
from ..oned.vm_states import FAILURES, names
from ..store import Entity
from . import generation6
from .render import fill_contents
from .schema import RubyError
from .services import RECOVER_DEPLOY, RECOVER_SCALE, RECOVER_UNDEPLOY, ROLE_STATES, TRANSIENT, FlowError, Role, Service

log = logging.getLogger("lab.zone.flow")

_WARNING = ("POWEROFF", *FAILURES)
_LIVE = {"deploy", "scaleup", "add", "release"}  # waits for RUNNING or ready; the others wait for DONE


class Result:
    """What a wait found: node ids that reached their end, and node ids that failed."""

    def __init__(self) -> None:
        self.successful: dict[int, bool] = {}
        self.failure: dict[int, bool] = {}


class ServiceLifecycle:
    def __init__(self, one: Oned) -> None:
        self.one = one
        self._waits: dict[str, asyncio.Task] = {}
        self._others: set[asyncio.Task] = set()
        self._watched: set[int] = set()
        self._queues: list[tuple[Callable[[tuple], bool], asyncio.Queue]] = []
        one.listeners.append(self._heard)

    @property
    def _serveradmin(self) -> Entity:
        return self.one.user(0)

    # -- start and stop -----------------------------------------------------------------------------------------
    def start(self) -> None:
        """Take up the services that were on their way, and watch those that run."""
        for document in list(self.one.store.all("document")):
            if document.data["type"] != 100:
                continue
            service = Service(self.one, self._serveradmin, document.id)
            if service.state in TRANSIENT:
                self._guard(partial(self.recover, self._serveradmin, document.id))
            elif service.state in ("RUNNING", "WARNING"):
                self._watch(service)

    async def stop(self) -> None:
        self.one.listeners.remove(self._heard)
        tasks = [*self._waits.values(), *self._others]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _guard(self, step: Callable[[], t.Any]) -> None:
        """Run a step in the background: its errors go to the log of the server only."""
        try:
            step()
        except (FlowError, RubyError) as error:
            log.info("zone %s: %s", self.one.config.name, error)

    def _spawn(self, steps: t.Any, key: str | None = None) -> None:
        task = asyncio.get_running_loop().create_task(steps)
        if key is None:
            self._others.add(task)
            task.add_done_callback(self._others.discard)
        else:
            if old := self._waits.get(key):
                old.cancel()
            self._waits[key] = task
        task.add_done_callback(self._report)

    def _report(self, task: asyncio.Task) -> None:
        if not task.cancelled() and task.exception():
            log.error("zone %s: %r", self.one.config.name, task.exception(), exc_info=task.exception())

    def _cancel(self, service: Service | int) -> None:
        number = service if isinstance(service, int) else service.id
        for key in [key for key in self._waits if key == str(number) or key.startswith(f"{number}_")]:
            # A callback cancels the waits of its service from within its own; that one is over anyway.
            task = self._waits.pop(key)
            if task is not asyncio.current_task():
                task.cancel()

    def _get(self, user: Entity | None, number: int) -> Service:
        return Service(self.one, user or self._serveradmin, number)

    def _fill(self, body: dict) -> None:
        (generation6.resolve_networks if self.one.config.facts.generation == 6 else fill_contents)(body)

    # -- requests -----------------------------------------------------------------------------------------------
    def deploy_nets(self, user: Entity, number: int) -> None:
        service = self._get(user, number)
        if service.state == "PENDING":
            try:
                service.deploy_networks()
            except FlowError:
                service.load(self._get(user, number).body)
                service.state = "FAILED_DEPLOYING"
                service.save()
                raise
            service.load(service.body)
        service.state = "DEPLOYING_NETS"
        self._wait_nets(user, service, deploy=True)
        service.save()

    def _deploy(self, user: Entity, number: int) -> None:
        service = self._get(user, number)
        self._fill(service.body)
        roles = service.roles_to_deploy()
        if not roles:
            if service.all_roles("RUNNING"):
                service.state = "RUNNING"
                service.save()
                self._watch(service)
            return
        try:
            self._deploy_roles(user, service, roles, "DEPLOYING", "deploy")
            service.state = "HOLD" if service.on_hold else "DEPLOYING"
        except FlowError:
            service.state = "FAILED_DEPLOYING"
            raise
        finally:
            if service.state != "DEPLOYING_NETS":
                service.save()

    def undeploy(self, user: Entity | None, number: int, *, delete: bool = False) -> None:
        service = self._get(user, number)
        state = service.state
        refused = (state in TRANSIENT and state != "UNDEPLOYING") or state == "DONE" or state.startswith("FAILED_")
        if refused and not delete:
            raise FlowError(f"Service cannot be undeployed in state: {state}")
        self._watched.discard(number)
        roles = service.roles_to_shut_down()
        if not roles:
            service.delete()
            return
        self._undeploy_roles(user, service, roles, "UNDEPLOYING", "undeploy")

    def scale(self, user: Entity, number: int, name: str, cardinality: int, force: t.Any) -> None:
        service = self._get(user, number)
        if service.state != "RUNNING":
            raise FlowError(f"Service cannot be scaled in state: {service.state}")
        self._watched.discard(number)
        role = service.roles.get(name)
        if role is None:
            raise FlowError(f"Role {name} not found")
        difference = cardinality - role.cardinality
        try:
            role.scale(cardinality, force)
        except FlowError as error:
            self._watch(service)
            raise FlowError(f"Can't scale service {number}: {error.text}") from None
        if difference > 0:
            service.user = user = service.owner  # scaling up runs as the owner, whoever asks
            role.body["scale_way"] = 0
            try:
                self._deploy_roles(user, service, {name: role}, "SCALING", "scaleup")
                service.state = "SCALING"
            except FlowError:
                service.state = "FAILED_SCALING"
                service.save()
                raise
            service.save()
        elif difference < 0:
            role.body["scale_way"] = 1
            self._undeploy_roles(user, service, {name: role}, "SCALING", "scaledown")
        else:
            raise FlowError(f"Cardinality of {name} is already at {cardinality}")

    def recover(self, user: Entity, number: int, *, delete: bool = False) -> None:
        self._cancel(number)
        if delete:
            self.undeploy(user, number, delete=True)
            return
        service = self._get(user, number)
        state = service.state
        if state in RECOVER_DEPLOY:
            for role in service.roles.values():
                if role.can_recover_deploy() and (nodes := role.recover_deploy(service.gated)) is not None:
                    self._wait(user, service, role, nodes, "deploy")
        elif state in RECOVER_UNDEPLOY:
            for role in service.roles.values():
                if role.can_recover_undeploy():
                    try:
                        nodes = role.shutdown(recover=True)
                    except FlowError:
                        service.save()
                        raise FlowError(f"Error undeploying nodes for role `{role.name}`") from None
                    self._wait(user, service, role, nodes, "undeploy")
        elif state in RECOVER_SCALE:
            service.user = user = service.owner
            for role in service.roles.values():
                if role.state not in RECOVER_SCALE:
                    continue
                up = role.body.get("scale_way") != 1
                nodes = role.recover_deploy(service.gated) if up else role.shutdown(recover=True)
                if nodes is not None:
                    self._wait(user, service, role, nodes, "scaleup" if up else "scaledown")
        elif state in ("DEPLOYING_NETS", "FAILED_DEPLOYING_NETS"):
            self._wait_nets(user, service, deploy=True)
        elif state in ("UNDEPLOYING_NETS", "FAILED_UNDEPLOYING_NETS"):
            self._wait_nets(user, service, deploy=False)
        elif state == "COOLDOWN":
            service.state = "RUNNING"
            for role in service.roles.values():
                role.state = "RUNNING"
        else:
            raise FlowError(f"Service cannot be recovered in state: {state}")
        service.save()

    def release(self, user: Entity, number: int) -> None:
        service = self._get(user, number)
        roles = service.roles_to_release()
        if not roles:
            raise FlowError("Service has no roles in HOLD")
        try:
            self._release_roles(user, service, roles)
            service.state = "DEPLOYING"
        except FlowError:
            service.state = "FAILED_DEPLOYING"
            raise
        finally:
            service.save()

    def chown(self, user: Entity, number: int, uid: int, gid: int) -> None:
        service = self._get(user, number)
        old = (service.document.uid, service.document.gid)
        service.call("one.document.chown", number, uid, gid)
        try:
            for role in service.roles.values():
                role.chown(uid, gid)
        except FlowError:
            service.log("Chown operation failed, will try to rollback all VMs to the old user and group", "E")
            service.save()
            service.call("one.document.chown", number, *old)
            raise

    def add_role(self, user: Entity, number: int, template: dict) -> None:
        service = self._get(user, number)
        if service.state != "RUNNING":
            raise FlowError(f"Cannot modify roles in state: {service.state}")
        if template["name"] in service.roles:
            raise FlowError(f"Role {template['name']} already exists")
        role = service.roles[template["name"]] = Role(service, template)
        # A role's defaults come before what the request did not give, as the real server writes them.
        service.body["roles"].append(role.body)
        self._fill(service.body)
        service.save()
        self._watched.discard(number)
        try:
            self._deploy_roles(user, service, {role.name: role}, "DEPLOYING", "add")
            service.state = "DEPLOYING"
        except FlowError:
            service.state = "FAILED_DEPLOYING"
            raise
        finally:
            service.save()

    def remove_role(self, user: Entity, number: int, name: str) -> None:
        service = self._get(user, number)
        if service.state != "RUNNING":
            raise FlowError(f"Cannot modify roles in state: {service.state}")
        if name not in service.roles:
            raise FlowError(f"Role {name} does not exist")
        self._watched.discard(number)
        self._undeploy_roles(user, service, {name: service.roles[name]}, "UNDEPLOYING", "remove")

    def force(self, number: int, state: str, errors: list[str]) -> None:
        """Put a service into a state, for a test: nothing moves it on. Roles follow as far as they know the state."""
        self._cancel(number)
        self._watched.discard(number)
        service = self._get(None, number)
        for text in errors:
            service.log(text, "E")
        service.state = state
        for role in service.roles.values():
            role.state = state if state in ROLE_STATES else role.state
        service.save()

    # -- steps that requests and callbacks share ----------------------------------------------------------------
    def _deploy_roles(self, user: Entity, service: Service, roles: dict[str, Role], state: str, kind: str) -> None:
        for name, role in roles.items():
            if role.state == "PENDING" and (service.on_hold or role.any_parent_on_hold()):
                role.body["on_hold"] = True
            try:
                nodes = role.deploy()
            except FlowError as error:
                role.state = f"FAILED_{state}"
                raise FlowError(f"Error deploying role {name}: {error.text}") from None
            if role.body["on_hold"] and role.state == "PENDING":
                role.state = "HOLD"
                self._wait(user, service, role, nodes, "hold")
            else:
                role.state = state
                self._wait(user, service, role, nodes, kind)

    def _undeploy_roles(self, user: Entity | None, service: Service, roles: dict[str, Role], state: str, kind: str) -> None:
        try:
            for name, role in roles.items():
                try:
                    nodes = role.shutdown()
                except FlowError as error:
                    role.state = f"FAILED_{state}"
                    raise FlowError(f"Error undeploying role {name}: {error.text}") from None
                role.state = state
                self._wait(user, service, role, nodes, kind)
            service.state = state
        except FlowError:
            service.state = f"FAILED_{state}"
            raise
        finally:
            try:
                service.save()
            except FlowError as error:
                log.info("zone %s: %s", self.one.config.name, error)

    def _release_roles(self, user: Entity, service: Service, roles: dict[str, Role]) -> None:
        for role in roles.values():
            try:
                nodes = role.release()
            except FlowError:
                role.state = "FAILED_DEPLOYING"
                raise
            role.state = "DEPLOYING"
            self._wait(user, service, role, nodes, "release")

    # -- waits --------------------------------------------------------------------------------------------------
    def _wait(self, user: Entity | None, service: Service, role: Role, nodes: list[int], kind: str) -> None:
        key = f"{service.id}_{role.name}"
        self._spawn(self._wait_role(user, service.id, role.name, list(nodes), kind, service.gated), key)

    async def _wait_role(self, user: Entity | None, number: int, name: str, nodes: list[int], kind: str, gated: bool) -> None:
        await self._pause()
        if kind == "cooldown":
            await asyncio.sleep(nodes[0] * self.one.config.timings.scale)
            result, good = Result(), True
        elif kind in _LIVE and gated:
            result, good = await self._wait_ready(nodes)
        else:
            wanted = ("ACTIVE", "RUNNING") if kind in _LIVE else ("HOLD" if kind == "hold" else "DONE", "LCM_INIT")
            result, good = await self._wait_state(nodes, wanted)
        await self._pause()
        callback = getattr(self, f"_{kind}_done" if good else f"_{kind}_failed")
        self._guard(lambda: callback(user, number, name, result))

    def _pause(self) -> t.Any:
        return asyncio.sleep(self.one.config.timings["action"])

    def _heard(self, event: tuple) -> None:
        for wanted, queue in list(self._queues):
            if wanted(event):
                queue.put_nowait(event)
        if event[0] == "state":
            vm = self.one.store.get("vm", event[1])
            service = vm.user_template.get("SERVICE_ID") if vm else ""
            if service.isdigit() and int(service) in self._watched:
                role = vm.user_template.get("ROLE_NAME") if vm else ""
                self._spawn(self._check_watched(int(service), role, event[1], event[2:4]))

    async def _events(
        self,
        wanted: Callable[[tuple], bool],
        poll: Callable[[], None],
        take: Callable[[tuple], None],
        nodes: list[int],
        result: Result,
    ) -> bool:
        """Run `poll` at once and whenever nothing wanted was heard for wait_timeout, `take` for every event, until no node is left.

        Only a poll that is not the first one sees a failure: it ends the wait with False.
        """
        queue: asyncio.Queue = asyncio.Queue()
        entry = (wanted, queue)
        self._queues.append(entry)
        try:
            poll()
            while nodes:
                try:
                    take(await asyncio.wait_for(queue.get(), self.one.config.timings["wait_timeout"]))
                except TimeoutError:
                    poll()
                    if result.failure:
                        return False
            return True
        finally:
            self._queues.remove(entry)

    def _vm(self, node: int) -> tuple[str, str, str]:
        vm = self.one.store.get("vm", node)
        if vm is None or vm.data.get("leaked"):
            return "DONE", "LCM_INIT", ""
        return (*names(vm.data), vm.user_template.get("READY"))

    async def _wait_state(self, nodes: list[int], target: tuple[str, str]) -> tuple[Result, bool]:
        result = Result()

        def poll() -> None:
            for node in list(nodes):
                state, lcm, _ = self._vm(node)
                if state == "DONE" or (state, lcm) == target:
                    result.successful[node] = True
                elif state == "POWEROFF":
                    result.successful[node] = False
                elif lcm in FAILURES:
                    result.failure[node] = False
                else:
                    continue
                nodes.remove(node)

        def take(event: tuple) -> None:
            if event[1] in nodes:
                result.successful[event[1]] = event[2] == "DONE"
                nodes.remove(event[1])

        def wanted(event: tuple) -> bool:
            if event[0] != "state" or event[1] not in nodes:
                return False
            return event[2:4] == target or (event[2] in ("POWEROFF", "DONE") and event[3] == "LCM_INIT")

        return result, await self._events(wanted, poll, take, nodes, result)

    async def _wait_ready(self, nodes: list[int]) -> tuple[Result, bool]:
        result = Result()

        def poll() -> None:
            for node in list(nodes):
                state, lcm, ready = self._vm(node)
                if state == "DONE" or state == "POWEROFF" or ready.strip() == "YES":
                    result.successful[node] = state == "DONE"
                elif lcm in FAILURES:
                    result.failure[node] = False
                else:
                    continue
                nodes.remove(node)

        def take(event: tuple) -> None:
            if event[1] not in nodes:
                return
            if event[0] == "update" and "READY=YES" not in event[2].replace('"', "").replace(" ", ""):
                return
            result.successful[event[1]] = event[0] == "state" and event[2] == "DONE"
            nodes.remove(event[1])

        def wanted(event: tuple) -> bool:
            # The updates of any VM are heard, so each of them puts off the next poll.
            return event[0] == "update" or (event[1] in nodes and event[2] in ("POWEROFF", "DONE") and event[3] == "LCM_INIT")

        return result, await self._events(wanted, poll, take, nodes, result)

    def _wait_nets(self, user: Entity | None, service: Service, *, deploy: bool) -> None:
        steps = self._wait_for_nets(user, service.id, service.networks(deploy=deploy), deploy)
        self._spawn(steps, str(service.id))

    async def _wait_for_nets(self, user: Entity | None, number: int, networks: list[int], deploy: bool) -> None:
        await self._pause()
        # A lab network is READY as soon as it exists; waiting for one to be DONE ends when it is gone.
        while not deploy and any(self.one.store.get("vnet", network) for network in networks):
            await asyncio.sleep(self.one.config.timings["wait_timeout"])
        await self._pause()
        if deploy:
            self._guard(lambda: self._deploy(user or self._serveradmin, number))
        else:
            self._guard(lambda: self._get(user, number).delete())

    # -- callbacks ----------------------------------------------------------------------------------------------
    def _deploy_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        service = self._get(user, number)
        role = service.roles[name]
        role.state = "RUNNING"
        undeploy = service.empty(role)
        if service.all_roles("RUNNING"):
            service.state = "RUNNING"
        elif service.straight:
            try:
                self._deploy_roles(user, service, service.roles_to_deploy(), "DEPLOYING", "deploy")
            except FlowError as error:  # the service keeps its state, only the role shows it
                log.info("zone %s: %s", self.one.config.name, error)
        service.save()
        self._watch_if_running(service)
        if undeploy:
            self.undeploy(user, number)

    def _release_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        service = self._get(user, number)
        role = service.roles[name]
        role.state = "RUNNING"
        undeploy = service.empty(role)
        if service.all_roles("RUNNING"):
            service.state = "RUNNING"
        elif service.straight:
            self._release_roles(user, service, service.roles_to_release())
        service.save()
        self._watch_if_running(service)
        if undeploy:
            self.undeploy(user, number)

    def _hold_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        service = self._get(user, number)
        service.roles[name].state = "HOLD"
        if service.all_roles("HOLD") and service.state != "HOLD":
            service.state = "HOLD"
        elif service.straight:
            self._deploy_roles(user, service, service.roles_to_hold(), "DEPLOYING", "deploy")
        service.save()

    def _failed(self, user: Entity, number: int, name: str, state: str, result: Result | None = None) -> None:
        service = self._get(user, number)
        self._cancel(service)
        service.state = state
        role = service.roles[name]
        role.state = state
        if result:
            self._drop_nodes(role, result)
        service.save()

    def _deploy_failed(self, user: Entity, number: int, name: str, result: Result) -> None:
        self._failed(user, number, name, "FAILED_DEPLOYING")

    _release_failed = _add_failed = _hold_failed = _deploy_failed

    def _scaleup_failed(self, user: Entity, number: int, name: str, result: Result) -> None:
        self._failed(user, number, name, "FAILED_SCALING")

    def _scaledown_failed(self, user: Entity, number: int, name: str, result: Result) -> None:
        self._failed(user, number, name, "FAILED_SCALING", result)

    def _undeploy_failed(self, user: Entity, number: int, name: str, result: Result) -> None:
        self._failed(user, number, name, "FAILED_UNDEPLOYING", result)

    _remove_failed = _undeploy_failed

    @staticmethod
    def _drop_nodes(role: Role, result: Result) -> None:
        gone = set(result.successful) - set(result.failure)
        role.body["nodes"] = [node for node in role.body["nodes"] if node["deploy_id"] not in gone]

    def _undeploy_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        service = self._get(user, number)
        role = service.roles[name]
        role.state = "DONE"
        self._drop_nodes(role, result)
        if service.all_roles("DONE"):
            service.delete_networks()
            service = self._get(user, number)  # the document still has the role as it was before
            service.state = "UNDEPLOYING_NETS"
            self._wait_nets(user, service, deploy=False)
        elif service.straight:
            for next_name, next_role in service.roles_to_shut_down().items():
                try:
                    nodes = next_role.shutdown()
                except FlowError as error:
                    next_role.state = "FAILED_UNDEPLOYING"
                    log.info("zone %s: role %s: %s", self.one.config.name, next_name, error)
                    break
                next_role.state = "UNDEPLOYING"
                self._wait(user, service, next_role, nodes, "undeploy")
        service.save()

    def _scaleup_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        self._cool_down(user, number, name, None)

    def _scaledown_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        self._cool_down(user, number, name, result)

    def _cool_down(self, user: Entity, number: int, name: str, result: Result | None) -> None:
        service = self._get(user, number)
        role = service.roles[name]
        service.state = "COOLDOWN"
        role.state = "COOLDOWN"
        if result:
            self._drop_nodes(role, result)
        steps = self._wait_role(user, number, name, [role.body.get("cooldown") or 0], "cooldown", False)
        self._spawn(steps, f"{number}_{name}")
        role.body.pop("scale_way", None)
        service.save()

    def _cooldown_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        service = self._get(user, number)
        service.state = "RUNNING"
        role = service.roles[name]
        role.state = "RUNNING"
        service.save()
        self._watch(service)
        if service.empty(role):
            self.undeploy(user, number)

    def _add_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        service = self._get(user, number)
        service.roles[name].state = "RUNNING"
        service.state = "RUNNING"
        service.save()
        self._watch_if_running(service)

    def _remove_done(self, user: Entity, number: int, name: str, result: Result) -> None:
        service = self._get(user, number)
        service.body["roles"] = [role for role in service.body["roles"] if role["name"] != name]
        service.load(service.body)
        if service.all_roles("DONE"):
            service.delete_networks()
            service.delete()
            return
        service.state = "RUNNING"
        service.save()
        self._watch_if_running(service)

    # -- watch dog ----------------------------------------------------------------------------------------------
    def _watch(self, service: Service) -> None:
        """From now on the VMs' states make the service WARNING or RUNNING, or take nodes away."""
        self._watched.add(service.id)
        for name, role in service.roles.items():
            for node in role.node_ids():
                self._spawn(self._check_watched(service.id, name, node, None))

    def _watch_if_running(self, service: Service) -> None:
        if service.all_roles("RUNNING"):
            self._watch(service)

    async def _check_watched(self, number: int, name: str, node: int, states: tuple[str, str] | None) -> None:
        state, lcm = states or self._vm(node)[:2]
        await self._pause()
        if number not in self._watched:
            return
        if state in _WARNING or lcm in _WARNING:
            self._guard(lambda: self._node_bad(number, name))
        elif state == "DONE":
            self._guard(lambda: self._node_gone(number, name, node))
        elif lcm == "RUNNING":
            self._guard(lambda: self._node_good(number, name))

    def _node_bad(self, number: int, name: str) -> None:
        service = self._get(None, number)
        if service.state != "WARNING":
            service.state = "WARNING"
        if name in service.roles:
            service.roles[name].state = "WARNING"
        service.save()

    def _node_good(self, number: int, name: str) -> None:
        service = self._get(None, number)
        role = service.roles.get(name)
        if role is None:
            return
        before = (role.state, service.state)
        role.state = "RUNNING"
        if service.all_roles("RUNNING") and service.state != "RUNNING":
            service.state = "RUNNING"
        if (role.state, service.state) != before:
            service.save()
        if service.empty(role):
            self.undeploy(None, number)

    def _node_gone(self, number: int, name: str, node: int) -> None:
        service = self._get(None, number)
        role = service.roles.get(name)
        if role is None or node not in role.node_ids():
            return
        if role.cardinality > 0:
            role.set_cardinality(role.cardinality - 1)
        role.body["nodes"] = [other for other in role.body["nodes"] if other["deploy_id"] != node]
        undeploy = service.empty(role)
        service.save()
        if undeploy:
            self.undeploy(None, number)
