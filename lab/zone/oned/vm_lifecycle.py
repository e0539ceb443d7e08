# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a VM: the steps from PENDING to RUNNING and to DONE, the actions, the guests behind them.

Every step is written to the store before the next begins, so a zone that was killed takes up each VM where it was.
Guests are not children of the zone's process; they live on while it is away.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import typing as t
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

from ..hypervisor import Disk, Hypervisor, Machine, Nic
from ..store import Entity
from . import context
from .core import Oned, now
from .vm_states import (
    ACTIVE,
    BOOT,
    BOOT_FAILURE,
    BOOT_POWEROFF,
    DONE,
    EPILOG,
    HOLD,
    LCM_INIT,
    LCM_STATES,
    PENDING,
    POWEROFF,
    PROLOG,
    RUNNING,
    SHUTDOWN,
    SHUTDOWN_POWEROFF,
    STATES,
    names,
)
from .vms import release_images, release_leases

log = logging.getLogger("lab.zone.vm")

_ACTIONS = ("terminate", "terminate-hard", "poweroff", "poweroff-hard", "resume", "release")
# Numbers of the actions in a history record; a -hard one is the next number.
_NUMBERS = {"poweroff": 19, "terminate": 27}
# What the scheduler writes into SCHED_MESSAGE of a VM that stays PENDING.
_NO_HOST = (
    "Cannot dispatch VM to any Host. Possible reasons: Not enough capacity in Host or System DS, dispatch limit reached, or limit "
    "of free leases reached."
)


class VmLifecycle:
    """Runs the VMs of one zone. `failures` are the rules a test set, see lab.zone.faults."""

    def __init__(self, one: Oned, hypervisor: Hypervisor, executor: ThreadPoolExecutor) -> None:
        self.one, self.hypervisor, self.executor = one, hypervisor, executor
        self.failures: list[dict[str, t.Any]] = []
        self._tasks: dict[int, asyncio.Task] = {}
        self._background: set[asyncio.Task] = set()

    # -- start and stop of the zone -----------------------------------------------------------------------------
    def start(self) -> None:
        """Take up every VM that was on its way when the zone stopped."""
        for vm in self.one.store.all("vm"):
            state, lcm = vm.data["state"], vm.data["lcm"]
            if state == PENDING:
                self._run(vm, self._deploy(vm))
            elif state == ACTIVE and lcm in (PROLOG, BOOT, BOOT_POWEROFF):
                self._run(vm, self._boot(vm, lcm))
            elif state == ACTIVE and lcm in (SHUTDOWN, EPILOG):
                self._run(vm, self._terminate(vm, hard=True))
            elif state == ACTIVE and lcm == SHUTDOWN_POWEROFF:
                self._run(vm, self._power_off(vm, hard=True))
        if self.one.config.timings.reconcile:
            self._later(self._reconcile())

    async def stop(self) -> None:
        tasks = [*self._tasks.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, vm: Entity, steps: Coroutine) -> None:
        """One thing at a time happens to a VM; a new one takes the place of the old."""
        if old := self._tasks.pop(vm.id, None):
            old.cancel()
        task = asyncio.get_running_loop().create_task(steps)
        self._tasks[vm.id] = task
        task.add_done_callback(self._report)

    def _later(self, steps: Coroutine) -> None:
        task = asyncio.get_running_loop().create_task(steps)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(self._report)

    def _report(self, task: asyncio.Task) -> None:
        if not task.cancelled() and task.exception():
            log.error("zone %s: %r", self.one.config.name, task.exception(), exc_info=task.exception())

    async def _blocking(self, function: Callable, *arguments: t.Any, **options: t.Any) -> t.Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, lambda: function(*arguments, **options))

    def _pause(self, name: str) -> Coroutine:
        return asyncio.sleep(self.one.config.timings[name])

    # -- states -------------------------------------------------------------------------------------------------
    def _set(self, vm: Entity, state: int, lcm: int = LCM_INIT) -> None:
        # PREV_* is the state before the last change, except in the states that last: there it is the state itself.
        lasting = lcm in (LCM_INIT, RUNNING, BOOT_FAILURE)
        vm.data["prev_state"] = state if lasting else vm.data["state"]
        vm.data["prev_lcm"] = lcm if lasting else vm.data["lcm"]
        vm.data["state"], vm.data["lcm"] = state, lcm
        self.one.store.put(vm)
        self.one.publish("state", vm.id, *names(vm.data))

    def _fails(self, vm: Entity, step: str) -> dict[str, t.Any] | None:
        """Return the rule of lab.zone.faults that meets this step of this VM, once less."""
        for rule in self.failures:
            if rule["step"] == step and re.search(rule["match"], vm.name):
                rule["times"] -= 1
                if rule["times"] <= 0:
                    self.failures.remove(rule)
                return rule
        return None

    def _open_history(self, vm: Entity) -> None:
        hosts = self.one.config.hosts
        seq, hid = len(vm.data["history"]), vm.id % len(hosts)
        if vm.data["history"]:
            hid = vm.data["history"][-1]["hid"]
        start = now()
        vm.data["history"].append(
            {
                "seq": seq,
                "host": hosts[hid],
                "hid": hid,
                "stime": start,
                "etime": 0,
                "pstime": start,
                "petime": start,
                "rstime": start,
                "retime": 0,
                "estime": 0,
                "eetime": 0,
                "action": 0,
                "uid": -1,
                "gid": -1,
                "request": -1,
            }
        )

    def _note(self, vm: Entity, action: str, hard: bool, user: Entity) -> None:
        """Who ended this record of the VM's history, and how."""
        if not vm.data["history"]:
            return
        request = self.one.store.value("request", 0) + 1
        self.one.store.set_value("request", request)
        number = _NUMBERS[action] + (hard and action not in ("stop", "suspend"))
        vm.data["history"][-1] |= {"action": number, "uid": user.id, "gid": user.gid, "request": request}

    def _close_history(self, vm: Entity) -> None:
        if vm.data["history"]:
            record = vm.data["history"][-1]
            record["etime"], record["retime"] = now(), record["retime"] or now()
            if record["estime"]:
                record["eetime"] = now()

    def machine(self, vm: Entity) -> Machine:
        """Return the VM as the hypervisor takes it."""
        nics = tuple(Nic(mac=nic["MAC"], bridge=nic["BRIDGE"]) for nic in vm.template.vectors("NIC") if "MAC" in nic)
        disk = vm.template.vector("DISK") or {}
        return Machine(
            zone=self.one.config.name,
            vm_id=vm.id,
            name=vm.name,
            image=disk.get("IMAGE", ""),
            nics=nics,
            context=context.files(self.one, vm),
            disks=tuple(
                Disk(image=more["IMAGE"], target=more["TARGET"], size=int(more["SIZE"]))
                for more in vm.template.vectors("DISK")
                if more.get("PERSISTENT") == "YES"
            ),
        )

    # -- steps --------------------------------------------------------------------------------------------------
    def allocated(self, vm: Entity) -> None:
        if vm.data["state"] == PENDING:
            self._run(vm, self._deploy(vm))

    async def _deploy(self, vm: Entity) -> None:
        await self._pause("schedule")
        while self._fails(vm, "schedule"):
            vm.user_template.replace("SCHED_MESSAGE", f"{time.ctime()}: {_NO_HOST}")
            self.one.store.put(vm)
            await self._pause("schedule")
        if vm.user_template.erase("SCHED_MESSAGE"):
            self.one.store.put(vm)
        self._open_history(vm)
        self._set(vm, ACTIVE, PROLOG)
        await self._boot(vm, PROLOG)

    async def _boot(self, vm: Entity, lcm: int) -> None:
        if lcm == PROLOG:
            await self._pause("prolog")
            lcm = BOOT
        if (vm.data["state"], vm.data["lcm"]) != (ACTIVE, lcm):
            self._set(vm, ACTIVE, lcm)
        vm.data["history"][-1]["rstime"] = now()
        try:
            if self.one.config.hypervisor == "none":
                await self._pause("boot")
            if rule := self._fails(vm, "boot"):
                raise RuntimeError(rule.get("error") or f"{vm.data['history'][-1]['host']}:{vm.name}:dummy")
            await self._blocking(self.hypervisor.start, self.machine(vm))
        except Exception as error:  # whatever the driver says, the VM did not boot
            log.warning("zone %s: VM %s does not boot: %s", self.one.config.name, vm.id, error)
            vm.data["history"][-1]["retime"] = vm.data["last_poll"] = now()
            vm.user_template.replace("ERROR", f"{time.ctime()}: DEPLOY: {error}")
            self._set(vm, ACTIVE, BOOT_FAILURE)
            return
        vm.data["deploy_id"] = f"{vm.data['history'][-1]['host']}:{vm.name}:dummy"
        vm.data["history"][-1]["retime"] = 0
        vm.data["last_poll"] = now()
        self._set(vm, ACTIVE, RUNNING)
        if self._fails(vm, "die"):
            await self._terminate(vm, hard=True)
        elif self._fails(vm, "off"):
            await self._power_off(vm, hard=True)

    async def _terminate(self, vm: Entity, *, hard: bool) -> None:
        if vm.data["lcm"] not in (SHUTDOWN, EPILOG):
            self._set(vm, ACTIVE, SHUTDOWN)
        await self._pause("shutdown")
        if self._fails(vm, "terminate"):
            self._set(vm, ACTIVE, RUNNING)  # the driver refused: the VM stays
            return
        if self._fails(vm, "leak"):
            vm.data["leaked"] = True  # OneFlow takes it for gone
            self.one.publish("state", vm.id, STATES[DONE], LCM_STATES[LCM_INIT])
            self._set(vm, ACTIVE, RUNNING)
            return
        if not hard:
            await self._blocking(self.hypervisor.stop, self.one.config.name, vm.id, hard=False)
        if vm.data["history"]:
            vm.data["history"][-1]["estime"] = now()
        if vm.data["lcm"] != EPILOG:
            self._set(vm, ACTIVE, EPILOG)
        await self._pause("epilog")
        await self._blocking(self.hypervisor.destroy, self.one.config.name, vm.id)
        self._finish(vm)

    def _finish(self, vm: Entity) -> None:
        self._close_history(vm)
        vm.data["etime"] = now()
        release_leases(self.one, vm)
        release_images(self.one, vm)
        self._set(vm, DONE)

    async def _power_off(self, vm: Entity, *, hard: bool) -> None:
        self._set(vm, ACTIVE, SHUTDOWN_POWEROFF)
        await self._pause("shutdown")
        await self._blocking(self.hypervisor.stop, self.one.config.name, vm.id, hard=hard)
        self._close_history(vm)
        self._set(vm, POWEROFF)

    # -- requests -----------------------------------------------------------------------------------------------
    @staticmethod
    def supports(action: str) -> bool:
        return action in _ACTIONS

    def act(self, vm: Entity, action: str, user: Entity) -> str:
        """Start an action; return oned's words when the VM is in the wrong state for it, else ''."""
        state, lcm = vm.data["state"], vm.data["lcm"]
        shown = names(vm.data)[1] if state == ACTIVE else names(vm.data)[0]
        wrong = f"This action is not available for state {shown}"
        hard = action.endswith("-hard")
        action = action.removesuffix("-hard")
        if action == "terminate":
            return self._start_terminate(vm, hard, shown, user)
        if action == "poweroff":
            if (state, lcm) != (ACTIVE, RUNNING):
                return wrong
            self._note(vm, action, hard, user)
            self._run(vm, self._power_off(vm, hard=hard))
        elif action == "resume":
            if state != POWEROFF:
                return wrong
            self._open_history(vm)
            self._run(vm, self._boot(vm, BOOT_POWEROFF))
        elif action == "release":
            if state != HOLD:
                return wrong
            self._set(vm, PENDING)
            self._run(vm, self._deploy(vm))
        return ""

    def _start_terminate(self, vm: Entity, hard: bool, shown: str, user: Entity) -> str:
        state, lcm = vm.data["state"], vm.data["lcm"]
        if state == DONE:
            return ""
        if state != ACTIVE or lcm in (RUNNING, SHUTDOWN, BOOT_FAILURE):
            self._note(vm, "terminate", hard, user)
        if state in (PENDING, HOLD):
            if task := self._tasks.pop(vm.id, None):
                task.cancel()
            self._finish(vm)
        elif state != ACTIVE:
            self._run(vm, self._terminate(vm, hard=True))
        elif lcm == RUNNING or (lcm == SHUTDOWN and hard):
            self._run(vm, self._terminate(vm, hard=hard))
        elif lcm == BOOT_FAILURE:
            self.delete(vm)
        else:
            return f"Could not terminate VM {vm.id}, wrong state {shown}."
        return ""

    def delete(self, vm: Entity) -> None:
        async def steps() -> None:
            await self._blocking(self.hypervisor.destroy, self.one.config.name, vm.id)
            self._finish(vm)

        self._run(vm, steps())

    def retry_boot(self, vm: Entity) -> None:
        self._run(vm, self._boot(vm, BOOT))

    async def _reconcile(self) -> None:
        """Do what monitoring does: a guest that died is POWEROFF."""
        while True:
            await self._pause("reconcile")
            for vm in list(self.one.store.all("vm")):
                if (vm.data["state"], vm.data["lcm"]) != (ACTIVE, RUNNING):
                    continue
                alive = await self._blocking(self.hypervisor.running, self.one.config.name, vm.id)
                if not alive and (vm.data["state"], vm.data["lcm"]) == (ACTIVE, RUNNING):
                    log.warning("zone %s: the guest of VM %s is gone", self.one.config.name, vm.id)
                    self._close_history(vm)
                    self._set(vm, POWEROFF)
