# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State tables of OneFlow services, their roles, and VMs (flow/lib/models/service.rb, role.rb; VirtualMachine.h)."""

from __future__ import annotations

SERVICE_STATES = (
    "PENDING",
    "DEPLOYING",
    "RUNNING",
    "UNDEPLOYING",
    "WARNING",
    "DONE",
    "FAILED_UNDEPLOYING",
    "FAILED_DEPLOYING",
    "SCALING",
    "FAILED_SCALING",
    "COOLDOWN",
    "DEPLOYING_NETS",
    "UNDEPLOYING_NETS",
    "FAILED_DEPLOYING_NETS",
    "FAILED_UNDEPLOYING_NETS",
    "HOLD",
)
# Roles count alike up to 10, but their HOLD is 11.
ROLE_STATES = SERVICE_STATES[:11] + ("HOLD",)

FAILED_STATES = frozenset(state for state in SERVICE_STATES if state.startswith("FAILED_"))
GOING_STATES = frozenset({"UNDEPLOYING", "UNDEPLOYING_NETS"})
# From these DELETE is refused; `recover` with delete works.
STUCK_STATES = FAILED_STATES | {"DEPLOYING", "DEPLOYING_NETS", "SCALING", "COOLDOWN"}
# A role is added, removed or scaled only here.
STEADY_STATES = frozenset({"RUNNING"})

VM_STATES = (
    "INIT",
    "PENDING",
    "HOLD",
    "ACTIVE",
    "STOPPED",
    "SUSPENDED",
    "DONE",
    "FAILED",
    "POWEROFF",
    "UNDEPLOYED",
    "CLONING",
    "CLONING_FAILURE",
)

LCM_STATES = (
    "LCM_INIT",
    "PROLOG",
    "BOOT",
    "RUNNING",
    "MIGRATE",
    "SAVE_STOP",
    "SAVE_SUSPEND",
    "SAVE_MIGRATE",
    "PROLOG_MIGRATE",
    "PROLOG_RESUME",
    "EPILOG_STOP",
    "EPILOG",
    "SHUTDOWN",
    "CANCEL",
    "FAILURE",
    "CLEANUP_RESUBMIT",
    "UNKNOWN",
    "HOTPLUG",
    "SHUTDOWN_POWEROFF",
    "BOOT_UNKNOWN",
    "BOOT_POWEROFF",
    "BOOT_SUSPENDED",
    "BOOT_STOPPED",
    "CLEANUP_DELETE",
    "HOTPLUG_SNAPSHOT",
    "HOTPLUG_NIC",
    "HOTPLUG_SAVEAS",
    "HOTPLUG_SAVEAS_POWEROFF",
    "HOTPLUG_SAVEAS_SUSPENDED",
    "SHUTDOWN_UNDEPLOY",
    "EPILOG_UNDEPLOY",
    "PROLOG_UNDEPLOY",
    "BOOT_UNDEPLOY",
    "HOTPLUG_PROLOG_POWEROFF",
    "HOTPLUG_EPILOG_POWEROFF",
    "BOOT_MIGRATE",
    "BOOT_FAILURE",
    "BOOT_MIGRATE_FAILURE",
    "PROLOG_MIGRATE_FAILURE",
    "PROLOG_FAILURE",
    "EPILOG_FAILURE",
    "EPILOG_STOP_FAILURE",
    "EPILOG_UNDEPLOY_FAILURE",
    "PROLOG_MIGRATE_POWEROFF",
    "PROLOG_MIGRATE_POWEROFF_FAILURE",
    "PROLOG_MIGRATE_SUSPEND",
    "PROLOG_MIGRATE_SUSPEND_FAILURE",
    "BOOT_UNDEPLOY_FAILURE",
    "BOOT_STOPPED_FAILURE",
    "PROLOG_RESUME_FAILURE",
    "PROLOG_UNDEPLOY_FAILURE",
    "DISK_SNAPSHOT_POWEROFF",
    "DISK_SNAPSHOT_REVERT_POWEROFF",
    "DISK_SNAPSHOT_DELETE_POWEROFF",
    "DISK_SNAPSHOT_SUSPENDED",
    "DISK_SNAPSHOT_REVERT_SUSPENDED",
    "DISK_SNAPSHOT_DELETE_SUSPENDED",
    "DISK_SNAPSHOT",
    "DISK_SNAPSHOT_REVERT",
    "DISK_SNAPSHOT_DELETE",
    "PROLOG_MIGRATE_UNKNOWN",
    "PROLOG_MIGRATE_UNKNOWN_FAILURE",
    "DISK_RESIZE",
    "DISK_RESIZE_POWEROFF",
    "DISK_RESIZE_UNDEPLOYED",
    "HOTPLUG_NIC_POWEROFF",
    "HOTPLUG_RESIZE",
    "HOTPLUG_SAVEAS_UNDEPLOYED",
    "HOTPLUG_SAVEAS_STOPPED",
)

ZONE_STATES = ("ENABLED", "DISABLED")
RAFT_STATES = ("SOLO", "CANDIDATE", "FOLLOWER", "LEADER")


def _name(table: tuple[str, ...], number: int) -> str:
    return table[number] if 0 <= number < len(table) else f"UNKNOWN_{number}"


def service_state_name(number: int) -> str:
    """Return the name; a number this table does not know gives UNKNOWN_<number>, never an error."""
    return _name(SERVICE_STATES, number)


def role_state_name(number: int) -> str:
    """Return the name of a role's state."""
    return _name(ROLE_STATES, number)


def vm_state_name(number: int) -> str:
    """Return the name of a VM's state."""
    return _name(VM_STATES, number)


def lcm_state_name(number: int) -> str:
    """Return the name of a VM's life-cycle state."""
    return _name(LCM_STATES, number)


def zone_state_name(number: int) -> str:
    """Return the name of a zone's state."""
    return _name(ZONE_STATES, number)


def raft_state_name(number: int) -> str:
    """Return the name of a server's raft state."""
    return _name(RAFT_STATES, number)
