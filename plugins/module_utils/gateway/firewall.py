# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's nftables table, its unit and its forwarding, as the host has them now."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from .files import read

TABLE = ("inet", "oneflower")
RULES = "/etc/oneflower/gateway.nft"
SERVICE = "oneflower-gateway.service"
UNIT = f"/etc/systemd/system/{SERVICE}"
FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def listing(module: AnsibleModule, nft: str) -> str:
    """Return the table as the kernel lists it, without counters; empty where there is none."""
    code, output, _errors = module.run_command([nft, "--stateless", "list", "table", *TABLE])
    return output if code == 0 else ""


def forwards() -> bool:
    """Tell whether the kernel forwards IPv4 packets."""
    return read(FORWARDING).strip() == "1"


def unit_is(module: AnsibleModule, systemctl: str, state: str) -> bool:
    """Tell whether the unit is in `state`, which is `enabled` or `active`."""
    _code, output, _errors = module.run_command([systemctl, f"is-{state}", SERVICE])
    return output.strip() == state
