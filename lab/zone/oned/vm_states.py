# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and numbers of the VM states that a lab zone uses."""

from __future__ import annotations

STATES = {0: "INIT", 1: "PENDING", 2: "HOLD", 3: "ACTIVE", 4: "STOPPED", 5: "SUSPENDED", 6: "DONE", 8: "POWEROFF", 9: "UNDEPLOYED"}
INIT, PENDING, HOLD, ACTIVE, STOPPED, SUSPENDED, DONE, POWEROFF, UNDEPLOYED = STATES

LCM_STATES = {
    0: "LCM_INIT",
    1: "PROLOG",
    2: "BOOT",
    3: "RUNNING",
    5: "SAVE_STOP",
    6: "SAVE_SUSPEND",
    11: "EPILOG",
    12: "SHUTDOWN",
    16: "UNKNOWN",
    18: "SHUTDOWN_POWEROFF",
    20: "BOOT_POWEROFF",
    21: "BOOT_SUSPENDED",
    30: "SHUTDOWN_UNDEPLOY",
    36: "BOOT_FAILURE",
}
(
    LCM_INIT,
    PROLOG,
    BOOT,
    RUNNING,
    SAVE_STOP,
    SAVE_SUSPEND,
    EPILOG,
    SHUTDOWN,
    UNKNOWN,
    SHUTDOWN_POWEROFF,
    BOOT_POWEROFF,
    BOOT_SUSPENDED,
    SHUTDOWN_UNDEPLOY,
    BOOT_FAILURE,
) = LCM_STATES

# LCM states in which OneFlow takes a VM for failed; a lab zone reaches only the first.
FAILURES = (
    "BOOT_FAILURE",
    "PROLOG_FAILURE",
    "EPILOG_FAILURE",
    "BOOT_MIGRATE_FAILURE",
    "BOOT_STOPPED_FAILURE",
    "BOOT_UNDEPLOY_FAILURE",
    "PROLOG_RESUME_FAILURE",
    "PROLOG_UNDEPLOY_FAILURE",
)


def names(data: dict) -> tuple[str, str]:
    return STATES[data["state"]], LCM_STATES[data["lcm"]]
