# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the services of a federation are called, without I/O."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.oneflower.federation.plugins.module_utils.appliance.settings import SUPERLINK, SUPERNODE

from .template_text import NOT_IN_NEW_NAMES

# Role of the appliance: what the zone is to the federation.
KINDS_OF_SERVICE = {SUPERLINK: "coordinator", SUPERNODE: "training site"}
# What follows the name of a service while it takes over the VMs of the one that has that name.
NEXT = " next"


def service_name(federation: str, role: str) -> str:
    """Return the name of a federation's service; role is `superlink` or `supernode`."""
    return f"{federation} {KINDS_OF_SERVICE[role]}"


def successor_name(service: str) -> str:
    """Return the name of the service that takes over the VMs of another."""
    return f"{service}{NEXT}"


def lock_name(federation: str) -> str:
    """Return the name of a federation's lock, without what oned refuses in the name of a VM template."""
    return "".join("-" if character in NOT_IN_NEW_NAMES else character for character in f"{federation} lock")


def of_federations(names: Iterable[str]) -> list[str]:
    """Return the names that services of any federation have, each once, in order."""
    endings = tuple(f" {kind}{last}" for kind in KINDS_OF_SERVICE.values() for last in ("", NEXT))
    return sorted({name for name in names if name.endswith(endings)})
