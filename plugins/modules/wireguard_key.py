#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_key
short_description: Make the WireGuard key of a host and tell its public half
version_added: "0.1.0"
description:
  - Makes the private key of an interface on the host, unless there is one, and returns the public key. The private key never
    leaves the host. On a hub it makes one preshared key per peer as well and returns those, so register it with C(no_log).
author:
  - oneflower.federation contributors (@oneflower)
attributes:
  check_mode:
    description: Can run in check mode; a key that would be made is not returned then.
    support: full
  diff_mode:
    description: There is nothing to show but keys.
    support: none
options:
  interface:
    description: Name of the interface. Its key is kept in C(/etc/wireguard/INTERFACE.key).
    type: str
    required: true
  preshared_for:
    description: Names of the peers that share a key with this host, made here. Kept in C(/etc/wireguard/INTERFACE.psk).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Make the key
  oneflower.federation.wireguard_key:
    interface: wg0
  become: true
  register: key
"""

RETURN = r"""
installed:
  description: Whether C(wg) and C(nft) are installed. Without them nothing else is done.
  returned: success
  type: bool
public_key:
  description: The public key, empty where there is none yet (check mode).
  returned: success
  type: str
preshared_keys:
  description: Preshared keys by peer.
  returned: success
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule


def keep(module, path, make):
    """Content of `path`, made by `make` (mode 0600) where there is none; returns (content, made)."""
    try:
        with open(path, encoding="ascii") as stream:
            content = stream.read().strip()
        if content:
            return content, False
    except FileNotFoundError:
        pass
    if module.check_mode:
        return "", True
    content = make()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(content + "\n")
    return content, True


def main():
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "preshared_for": {"type": "list", "elements": "str", "default": [], "no_log": False},
        },
        supports_check_mode=True,
    )
    wg, nft = module.get_bin_path("wg"), module.get_bin_path("nft")
    if not (wg and nft and module.get_bin_path("wg-quick")):
        module.exit_json(changed=False, installed=False, public_key="", preshared_keys={})

    def ask(*arguments, data=None):
        _code, output, _errors = module.run_command([wg, *arguments], data=data, check_rc=True)
        return output.strip()

    folder = "/etc/wireguard"
    if not module.check_mode:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    private, changed = keep(module, f"{folder}/{module.params['interface']}.key", lambda: ask("genkey"))
    public = ask("pubkey", data=private) if private else ""
    preshared = {}
    if module.params["preshared_for"]:
        place = f"{folder}/{module.params['interface']}.psk"
        if not module.check_mode:
            os.makedirs(place, mode=0o700, exist_ok=True)
        for name in module.params["preshared_for"]:
            if os.path.basename(name) != name or name.startswith("."):
                module.fail_json(msg=f"{name!r} cannot be the name of a peer")
            preshared[name], made = keep(module, f"{place}/{name}", lambda: ask("genpsk"))
            changed = changed or made
    module.exit_json(changed=changed, installed=True, public_key=public, preshared_keys=preshared)


if __name__ == "__main__":
    main()
