#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_interface_info
short_description: Return the state of a running WireGuard interface
version_added: "0.1.0"
description:
  - Reads a running interface and its peers, without any secret. With O(wait) it waits until every peer that this host calls
    has made a handshake.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
  - wireguard-tools (C(wg)) on the host
seealso:
  - module: oneflower.federation.wireguard_interface
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing. It does not wait then, because what would bring the handshake about
      has not been done.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  name:
    description: Name of the interface.
    type: str
    required: true
  wait:
    description: Seconds to wait for a handshake with every peer that has an endpoint and a persistent keepalive.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Wait for the tunnel
  oneflower.federation.wireguard_interface_info:
    name: wg0
    wait: 30
  become: true
"""

RETURN = r"""
interface:
  description: The interface, empty where it does not run.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      returned: success
    public_key:
      description: Its public key.
      type: str
      returned: success
    listen_port:
      description: UDP port.
      type: int
      returned: success
    peers:
      description: Its peers.
      type: list
      elements: dict
      returned: success
      contains:
        public_key:
          description: Public key.
          type: str
          returned: success
        endpoint:
          description: Where it was last heard from, or is called.
          type: str
          returned: success
        latest_handshake_age:
          description: Seconds since the last handshake, null if there was none.
          type: int
          returned: success
        allowed_ips:
          description: Networks behind it.
          type: list
          elements: str
          returned: success
        received:
          description: Bytes received.
          type: int
          returned: success
        sent:
          description: Bytes sent.
          type: int
          returned: success
        persistent_keepalive:
          description: Seconds, 0 for off.
          type: int
          returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import tools, wireguard


def main():
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "wait": {"type": "int", "default": 0}},
        supports_check_mode=True,
    )
    name = module.params["name"]
    wait = 0 if module.check_mode else module.params["wait"]
    paths, missing = tools.find(module, "wg")

    def read():
        if missing:
            return None
        code, output, _errors = module.run_command([paths["wg"], "show", name, "dump"])
        return wireguard.parse_dump(output) if code == 0 else None

    def silent(interface):
        now = time.time()
        return [
            peer
            for peer in interface.peers.values()
            if peer.endpoint and peer.persistent_keepalive and now - peer.latest_handshake > wireguard.SESSION_LIMIT_S
        ]

    deadline = time.monotonic() + wait
    interface = read()
    while wait and interface and silent(interface) and time.monotonic() < deadline:
        time.sleep(0.1)
        interface = read()
    if interface is None:
        if wait:
            module.fail_json(msg=f"{name} does not run; see `journalctl -u wg-quick@{name}`", interface={})
        module.exit_json(changed=False, interface={})
    if wait:
        unanswered = silent(interface)
        if unanswered:
            calls = ", ".join(f"{peer.public_key} at {peer.endpoint}" for peer in unanswered)
            module.fail_json(
                msg=f"no handshake on {name} within {wait} s with {calls}. Is that UDP port open towards the "
                "peer, and does the peer know this host's public key?"
            )
    now = time.time()
    module.exit_json(
        changed=False,
        interface={
            "name": name,
            "public_key": interface.public_key,
            "listen_port": interface.listen_port,
            "peers": [
                {
                    "public_key": peer.public_key,
                    "endpoint": peer.endpoint,
                    "latest_handshake_age": max(0, int(now - peer.latest_handshake)) if peer.latest_handshake else None,
                    "allowed_ips": list(peer.allowed_ips),
                    "received": peer.received,
                    "sent": peer.sent,
                    "persistent_keepalive": peer.persistent_keepalive,
                }
                for peer in interface.peers.values()
            ],
        },
    )


if __name__ == "__main__":
    main()
