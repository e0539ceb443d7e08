#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_key
short_description: Ensure that a host has a WireGuard key, and return its public half
version_added: "0.1.0"
description:
  - Makes the private key of an interface on the host, unless there is one, and returns the public key. The private key never
    leaves the host. On a hub it makes one preshared key per peer as well and returns those, so register it with C(no_log).
  - A file of keys that anybody but root may read is closed to others.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
  - wireguard-tools (C(wg) and C(wg-quick)) on the host
seealso:
  - module: oneflower.federation.wireguard_interface
attributes:
  check_mode:
    description: Can run in check mode, also where WireGuard is not installed yet; a key that would be made is not returned then.
    support: full
  diff_mode:
    description: There is nothing to show but keys.
    support: none
options:
  interface:
    description: Name of the interface. Its key stands in C(/etc/wireguard/INTERFACE.key).
    type: str
    required: true
  preshared_for:
    description: Names of the peers that share a key with this host. These keys are made here and stand in
      C(/etc/wireguard/INTERFACE.psk).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ensure the key of the tunnel
  oneflower.federation.wireguard_key:
    interface: wg0
  become: true
  register: key
"""

RETURN = r"""
public_key:
  description: The public key, empty where there is none yet (check mode).
  returned: success
  type: str
preshared_keys:
  description: Preshared keys by peer.
  returned: success
  type: dict
missing:
  description: Executables of WireGuard that are not installed. Outside check mode the module fails when there are any.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import files, tools, wireguard

FOLDER = "/etc/wireguard"
MODE = 0o600


def ensure_key(module, path, make):
    """Return the key in the file, and whether anything had to change; `make` returns a new key where there is none."""
    content = files.read(path).strip()
    if content:
        return content, files.protect(module, path, MODE)
    if module.check_mode:
        return "", True
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    content = make()
    files.write(module, path, content + "\n", MODE)
    return content, True


def main():
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "preshared_for": {"type": "list", "elements": "str", "default": [], "no_log": False},
        },
        supports_check_mode=True,
    )
    interface, peers = module.params["interface"], module.params["preshared_for"]
    if not wireguard.is_interface_name(interface):
        module.fail_json(msg=f"{interface!r} cannot be the name of an interface", missing=[])
    for name in peers:
        if os.path.basename(name) != name or name.startswith("."):
            module.fail_json(msg=f"{name!r} cannot be the name of a peer", missing=[])
    # Both come with wireguard-tools, and a key is of no use without the other one.
    paths, missing = tools.find(module, "wg", "wg-quick")

    def wg(*arguments, data=None):
        _code, output, _errors = module.run_command([paths["wg"], *arguments], data=data, check_rc=True)
        return output.strip()

    private, changed = ensure_key(module, f"{FOLDER}/{interface}.key", lambda: wg("genkey"))
    preshared = {}
    for name in peers:
        preshared[name], made = ensure_key(module, f"{FOLDER}/{interface}.psk/{name}", lambda: wg("genpsk"))
        changed = changed or made
    public = wg("pubkey", data=private) if private and "wg" in paths else ""
    module.exit_json(changed=changed, public_key=public, preshared_keys=preshared, missing=missing)


if __name__ == "__main__":
    main()
