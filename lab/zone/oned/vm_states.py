# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and numbers of the VM states that a lab zone uses."""

from __future__ import annotations

STATES = {1: "PENDING", 2: "HOLD", 3: "ACTIVE", 6: "DONE", 8: "POWEROFF"}
PENDING, HOLD, ACTIVE, DONE, POWEROFF = STATES

LCM_STATES = {
    0: "LCM_INIT",
    1: "PROLOG",
    2: "BOOT",
    3: "RUNNING",
    11: "EPILOG",
    12: "SHUTDOWN",
    18: "SHUTDOWN_POWEROFF",
    20: "BOOT_POWEROFF",
    36: "BOOT_FAILURE",
}
(
    LCM_INIT,
    PROLOG,
    BOOT,
    RUNNING,
    EPILOG,
    SHUTDOWN,
    SHUTDOWN_POWEROFF,
    BOOT_POWEROFF,
    BOOT_FAILURE,
) = LCM_STATES

# LCM states in which OneFlow takes a VM for failed, as far as a lab zone reaches them.
FAILURES = ("BOOT_FAILURE",)


def names(data: dict) -> tuple[str, str]:
    return STATES[data["state"]], LCM_STATES[data["lcm"]]
