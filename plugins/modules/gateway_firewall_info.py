#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_firewall_info
short_description: Return the firewall and the forwarding of a gateway as they are in force
version_added: "0.1.0"
description:
  - Reads the table V(inet oneflower) from the kernel, whether packets are forwarded, and the state of the unit
    C(oneflower-gateway.service). It reads no file, so it shows what is in force and not what was written.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
  - nftables (C(nft)) and systemd on the host
seealso:
  - module: oneflower.federation.gateway_firewall
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options: {}
"""

EXAMPLES = r"""
- name: Read the firewall of a gateway
  oneflower.federation.gateway_firewall_info:
  become: true
  register: firewall

- name: Prove that nothing is forwarded without rules
  ansible.builtin.assert:
    that: firewall.table or not firewall.forwarding
"""

RETURN = r"""
table:
  description: The table as C(nft --stateless list table) shows it, empty where there is none.
  returned: success
  type: str
forwarding:
  description: Whether the kernel forwards IPv4 packets.
  returned: success
  type: bool
enabled:
  description: Whether the unit is started at boot.
  returned: success
  type: bool
active:
  description: Whether the unit is active.
  returned: success
  type: bool
missing:
  description: Executables that are not installed. Outside check mode the module fails when there are any.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import firewall, tools


def main():
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    paths, missing = tools.find(module, "nft", "systemctl")
    module.exit_json(
        changed=False,
        table=firewall.listing(module, paths["nft"]) if "nft" in paths else "",
        forwarding=firewall.forwards(),
        enabled="systemctl" in paths and firewall.unit_is(module, paths["systemctl"], "enabled"),
        active="systemctl" in paths and firewall.unit_is(module, paths["systemctl"], "active"),
        missing=missing,
    )


if __name__ == "__main__":
    main()
