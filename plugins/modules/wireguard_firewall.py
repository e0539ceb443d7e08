#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_firewall
short_description: Keep the nftables rules and the forwarding of a gateway in force, now and at boot
version_added: "0.1.0"
description:
  - Writes the rules and the unit that loads them, enables the unit, and holds the table in the kernel against the rules. A
    table that somebody flushed or changed is loaded again although no file differs.
  - Rules are first loaded in a network namespace of their own, which shows whether C(nft) accepts them and how the kernel
    lists them; nothing is touched when they are refused.
  - The table is replaced in one transaction, and the unit is reloaded, never restarted, so the tunnel that requires it
    stays up.
author:
  - oneflower.federation contributors (@oneflower)
seealso:
  - module: oneflower.federation.wireguard_interface
attributes:
  check_mode:
    description: Can run in check mode; nothing is changed then.
    support: full
  diff_mode:
    description: Shows the rules.
    support: full
options:
  rules:
    description: What C(nft --file) reads. It must replace the table V(inet oneflower) and touch no other.
    type: str
    required: true
  unit:
    description: The systemd unit C(oneflower-gateway.service) that loads C(/etc/oneflower/gateway.nft) and turns forwarding on.
      It needs an C(ExecReload).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Keep the firewall of a gateway
  oneflower.federation.wireguard_firewall:
    rules: "{{ lookup('ansible.builtin.template', 'gateway.nft.j2') }}"
    unit: "{{ lookup('ansible.builtin.template', 'oneflower-gateway.service.j2') }}"
  become: true
"""

RETURN = r"""
changes:
  description: What was done (or would be, in check mode), one sentence each.
  returned: success
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway.files import read, replace

TABLE = ("inet", "oneflower")
RULES = "/etc/oneflower/gateway.nft"
NAME = "oneflower-gateway.service"
UNIT = f"/etc/systemd/system/{NAME}"
MODE = 0o644
FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def differs(path, text):
    """Whether the file is not there as it should be: content, owner and mode."""
    if read(path) != text:
        return True
    status = os.stat(path)
    return (status.st_uid, status.st_gid, status.st_mode & 0o7777) != (0, 0, MODE)


def listing(module, nft):
    """The table as the kernel lists it, empty where there is none."""
    code, output, _errors = module.run_command([nft, "--stateless", "list", "table", *TABLE])
    return output if code == 0 else ""


def expected_listing(module, nft, rules):
    """What the kernel will list once the rules are loaded."""
    unshare = module.get_bin_path("unshare", required=True)
    load_and_list = f'"{nft}" --file - && "{nft}" --stateless list table {" ".join(TABLE)}'
    code, output, errors = module.run_command([unshare, "--net", "sh", "-c", load_and_list], data=rules)
    if code:
        module.fail_json(msg=f"nft refuses the rules, nothing was touched: {errors.strip() or output.strip()}")
    return output


def main():
    module = AnsibleModule(
        argument_spec={"rules": {"type": "str", "required": True}, "unit": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    wanted = {RULES: module.params["rules"], UNIT: module.params["unit"]}
    nft = module.get_bin_path("nft", required=not module.check_mode)
    systemctl = module.get_bin_path("systemctl", required=True)

    def unit(*arguments):
        code, output, errors = module.run_command([systemctl, *arguments, NAME])
        return code, output.strip(), errors.strip()

    before = read(RULES)
    stale = {path: text for path, text in wanted.items() if differs(path, text)}
    changes = [f"write {path}" for path in stale]
    expected = expected_listing(module, nft, wanted[RULES]) if nft else None
    if expected is None or listing(module, nft) != expected:
        changes.append(f"load the table {' '.join(TABLE)}")
    if read(FORWARDING).strip() != "1":
        changes.append("turn on forwarding")
    if unit("is-enabled")[1] != "enabled":
        changes.append(f"enable {NAME}")
    if unit("is-active")[1] != "active":
        changes.append(f"start {NAME}")

    if changes and not module.check_mode:
        for path, text in stale.items():
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            replace(path, text, MODE)
        module.run_command([systemctl, "daemon-reload"], check_rc=True)
        for verb in ("enable", "reload" if unit("is-active")[1] == "active" else "start"):
            code, output, errors = unit(verb)
            if code:
                module.fail_json(msg=f"systemctl {verb} {NAME} failed: {errors or output}", changes=changes)
        if listing(module, nft) != expected or read(FORWARDING).strip() != "1":
            module.fail_json(
                msg=f"{NAME} ran, but the table {' '.join(TABLE)} is not in force or forwarding is off. See journalctl -u {NAME}.",
                changes=changes,
            )
    module.exit_json(
        changed=bool(changes),
        changes=changes,
        diff={"before": before, "after": wanted[RULES], "before_header": RULES, "after_header": RULES},
    )


if __name__ == "__main__":
    main()
