#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_firewall
short_description: Ensure that a gateway's nftables rules and its forwarding are in force, now and at boot
version_added: "0.1.0"
description:
  - Writes the rules and the unit that loads them, enables the unit, and compares the table in the kernel with the rules. A
    table that somebody flushed or changed is loaded again although no file differs.
  - Rules are first loaded in a network namespace of their own, which shows whether C(nft) accepts them and how the kernel
    lists them; nothing is touched when they are refused.
  - The table is replaced in one transaction, and the unit is reloaded, never restarted, so a tunnel that requires it
    stays up.
notes:
  - M(ansible.builtin.copy) and M(ansible.builtin.systemd_service) could do a part of this in four tasks. It is one module because
    those compare files only, so they do not see that the kernel's table has drifted from them, and because a run in which there
    is nothing to do pays for one task on the gateway instead of four.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
  - nftables (C(nft)), util-linux (C(unshare)) and systemd on the host
seealso:
  - module: oneflower.federation.gateway_firewall_info
  - module: oneflower.federation.wireguard_interface
attributes:
  check_mode:
    description: Can run in check mode, also where nftables is not installed yet; nothing is changed then.
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
- name: Ensure the firewall of a gateway
  oneflower.federation.gateway_firewall:
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
missing:
  description: Executables that are not installed. Outside check mode the module fails when there are any.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import files, firewall, tools

MODE = 0o644


def expected_listing(module, paths, rules):
    """Return what the kernel will list once the rules are loaded."""
    load_and_list = f'"{paths["nft"]}" --file - && "{paths["nft"]}" --stateless list table {" ".join(firewall.TABLE)}'
    code, output, errors = module.run_command([paths["unshare"], "--net", "sh", "-c", load_and_list], data=rules)
    if code:
        module.fail_json(msg=f"nft refuses the rules, nothing was touched: {errors.strip() or output.strip()}", missing=[])
    return output


def main():
    module = AnsibleModule(
        argument_spec={"rules": {"type": "str", "required": True}, "unit": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    wanted = {firewall.RULES: module.params["rules"], firewall.UNIT: module.params["unit"]}
    table = " ".join(firewall.TABLE)
    paths, missing = tools.find(module, "nft", "unshare", "systemctl")
    nft, systemctl = paths.get("nft"), paths.get("systemctl")

    before = files.read(firewall.RULES)
    stale = {path: text for path, text in wanted.items() if files.differs(path, text, MODE)}
    changes = [f"write {path}" for path in stale]
    expected = expected_listing(module, paths, wanted[firewall.RULES]) if nft and "unshare" in paths else None
    if expected is None or firewall.listing(module, nft) != expected:
        changes.append(f"load the table {table}")
    if not firewall.forwards():
        changes.append("turn on forwarding")
    if not systemctl or not firewall.unit_is(module, systemctl, "enabled"):
        changes.append(f"enable {firewall.SERVICE}")
    active = bool(systemctl) and firewall.unit_is(module, systemctl, "active")
    if not active:
        changes.append(f"start {firewall.SERVICE}")

    if changes and not module.check_mode:
        for path, text in stale.items():
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            files.write(module, path, text, MODE)
        module.run_command([systemctl, "daemon-reload"], check_rc=True)
        for verb in ("enable", "reload" if active else "start"):
            code, output, errors = module.run_command([systemctl, verb, firewall.SERVICE])
            if code:
                reason = errors.strip() or output.strip()
                module.fail_json(msg=f"systemctl {verb} {firewall.SERVICE} failed: {reason}", changes=changes, missing=[])
        if firewall.listing(module, nft) != expected or not firewall.forwards():
            module.fail_json(
                msg=f"{firewall.SERVICE} ran, but the table {table} is not in force or forwarding is off. "
                f"See journalctl -u {firewall.SERVICE}.",
                changes=changes,
                missing=[],
            )
    module.exit_json(
        changed=bool(changes),
        changes=changes,
        missing=missing,
        diff={
            "before": before,
            "after": wanted[firewall.RULES],
            "before_header": firewall.RULES,
            "after_header": firewall.RULES,
        },
    )


if __name__ == "__main__":
    main()
