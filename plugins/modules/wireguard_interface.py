#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_interface
short_description: Ensure that a WireGuard interface is as it should be, at run time and at boot
version_added: "0.1.0"
description:
  - Writes the configuration of C(wg-quick), enables its unit, and brings the running interface to the same state; peers,
    preshared keys, AllowedIPs, port, addresses, MTU and routes are compared with what the kernel says, not with the file.
  - A running interface is never restarted; every difference is mended in place, so no other peer loses a packet.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
  - wireguard-tools (C(wg) and C(wg-quick)), iproute2 and systemd on the host
seealso:
  - module: oneflower.federation.wireguard_key
  - module: oneflower.federation.wireguard_interface_info
attributes:
  check_mode:
    description: Can run in check mode, also where WireGuard is not installed yet; nothing is changed then.
    support: full
  diff_mode:
    description: Shows the configuration without keys.
    support: full
options:
  name:
    description: Name of the interface.
    type: str
    required: true
  state:
    description: Whether the interface is there.
    type: str
    choices: [present, absent]
    default: present
  address:
    description: Its address with the length of the prefix, such as V(10.10.9.1/24). Required for O(state=present).
    type: str
  listen_port:
    description: UDP port; 0 lets the kernel choose one.
    type: int
    default: 0
  mtu:
    description: MTU in bytes.
    type: int
    default: 1420
  peers:
    description: All peers. Others are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the peer, unique on this host.
        type: str
        required: true
      public_key:
        description: Its public key. Without one the key stored on this host stays; where there is none, the peer is left out
          and named in RV(unknown).
        type: str
        default: ""
      preshared_key:
        description: Key shared with it. Without one the stored one stays.
        type: str
        default: ""
      endpoint:
        description: Address and port at which it is reached. Without one it must call first.
        type: str
        default: ""
      allowed_ips:
        description: Networks behind it, which are routed to it.
        type: list
        elements: str
        required: true
      persistent_keepalive:
        description: Seconds between packets that keep a NAT mapping alive; 0 turns them off.
        type: int
        default: 0
"""

EXAMPLES = r"""
- name: Ensure the tunnel to the hub
  oneflower.federation.wireguard_interface:
    name: wg0
    address: 10.10.9.2/24
    peers:
      - name: gw-a
        public_key: "{{ hub_public_key }}"
        preshared_key: "{{ preshared_key }}"
        endpoint: 203.0.113.2:51820
        allowed_ips: [10.10.9.1/32, 10.10.10.5/32]
        persistent_keepalive: 25
  become: true
"""

RETURN = r"""
changes:
  description: What was done (or would be, in check mode), one sentence each.
  returned: success
  type: list
  elements: str
unknown:
  description: Peers that were left out because nobody knows their public key yet.
  returned: success
  type: list
  elements: str
missing:
  description: Executables that are not installed. Outside check mode the module fails when there are any.
  returned: success, or failure because of them
  type: list
  elements: str
"""

import json
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import files, tools, wireguard

FOLDER = "/etc/wireguard"
MODE = 0o600


class Host:
    """The commands of the host."""

    def __init__(self, module):
        self.module = module
        self.name = module.params["name"]
        self.tools, self.missing = tools.find(module, "wg", "wg-quick", "ip", "systemctl")

    def run(self, tool, *arguments, check=True):
        """Return what the tool writes; None where it fails and that is allowed, and where check mode does without it."""
        if tool not in self.tools:
            return None
        code, output, errors = self.module.run_command([self.tools[tool], *arguments])
        if code and check:
            self.module.fail_json(msg=f"{tool} {' '.join(arguments)} failed: {errors.strip() or output.strip()}")
        return output if code == 0 else None

    def live(self):
        """Return the running interface, or None."""
        output = self.run("wg", "show", self.name, "dump", check=False)
        return wireguard.parse_dump(output) if output else None

    def link(self):
        """Return (MTU, addresses with prefix, routes) of the running interface."""
        entry = json.loads(self.run("ip", "-json", "addr", "show", "dev", self.name))[0]
        addresses = {f"{a['local']}/{a['prefixlen']}" for a in entry.get("addr_info", []) if a.get("scope") == "global"}
        routes = set()
        for route in json.loads(self.run("ip", "-json", "route", "show", "dev", self.name) or "[]"):
            if route.get("protocol") != "kernel":
                routes.add(route["dst"] if "/" in route["dst"] else f"{route['dst']}/32")
        return entry["mtu"], addresses, routes

    @property
    def unit(self):
        return f"wg-quick@{self.name}.service"

    def enabled(self):
        return (self.run("systemctl", "is-enabled", self.unit, check=False) or "").strip() == "enabled"


def present(module, host):
    params = module.params
    path = f"{FOLDER}/{params['name']}.conf"
    wrong = wireguard.faults(params["peers"])
    if wrong:
        module.fail_json(msg="; ".join(wrong))
    private_key = files.read(f"{FOLDER}/{params['name']}.key").strip()
    if not private_key and not module.check_mode:
        module.fail_json(msg=f"{FOLDER}/{params['name']}.key is missing; run oneflower.federation.wireguard_key first")
    before_text = files.read(path)
    stored = wireguard.parse_configuration(before_text)
    peers, unknown = wireguard.wanted_peers(params["peers"], stored)
    shape = {"address": params["address"], "listen_port": params["listen_port"], "mtu": params["mtu"], "peers": peers}
    text = wireguard.render(private_key=private_key, **shape)
    live = host.live()
    if live and private_key:
        _code, output, _errors = module.run_command([host.tools["wg"], "pubkey"], data=private_key, check_rc=True)
        if output.strip() != live.public_key:
            module.fail_json(
                msg=f"{params['name']} runs with another private key than {FOLDER}/{params['name']}.key; applying this would cut "
                f"every peer off. Restore the key file, or stop {host.unit} to accept the new key."
            )
    changes, steps = [], []

    def change(sentence, *commands):
        changes.append(sentence)
        steps.extend(commands)

    if files.differs(path, text, MODE):
        change(f"write {path}", lambda: files.write(module, path, text, MODE))
    if not host.enabled():
        change(f"enable {host.unit}", lambda: host.run("systemctl", "enable", host.unit))
    if live is None:
        change(f"start {host.unit}", lambda: host.run("systemctl", "restart", host.unit))
    else:
        _mend(params, host, live, peers, stored, change)
    if not module.check_mode:
        for step in steps:
            step()
    after_text = wireguard.render(private_key="", mask=True, **shape)
    masked_before = "\n".join(
        f"{line.split(' = ')[0]} = ********" if line.startswith(("PrivateKey", "PresharedKey")) else line
        for line in before_text.splitlines()
    )
    diff = {"before": masked_before + "\n" if before_text else "", "after": after_text, "before_header": path, "after_header": path}
    module.exit_json(changed=bool(changes), changes=changes, unknown=unknown, missing=host.missing, diff=diff)


def _mend(params, host, live, peers, stored, change):
    name = params["name"]
    mtu, addresses, routes = host.link()
    if params["listen_port"] and live.listen_port != params["listen_port"]:
        change(f"listen on {params['listen_port']}", lambda: host.run("wg", "set", name, "listen-port", str(params["listen_port"])))
    to_set, to_remove = wireguard.peer_changes(live.peers, peers, stored)
    for key in to_remove:
        change(f"remove peer {key}", lambda key=key: host.run("wg", "set", name, "peer", key, "remove"))
    for peer in to_set:
        change(f"set peer {peer.name}", lambda peer=peer: _set_peer(host, name, peer))
    if mtu != params["mtu"]:
        change(f"set MTU {params['mtu']}", lambda: host.run("ip", "link", "set", name, "mtu", str(params["mtu"])))
    for address in sorted({params["address"]} - addresses):
        change(f"add address {address}", lambda address=address: host.run("ip", "addr", "add", address, "dev", name))
    for address in sorted(addresses - {params["address"]}):
        change(f"remove address {address}", lambda address=address: host.run("ip", "addr", "del", address, "dev", name))
    wanted = wireguard.wanted_routes(params["address"], peers)
    for route in sorted(wanted - routes):
        change(f"add route {route}", lambda route=route: host.run("ip", "route", "replace", route, "dev", name))
    for route in sorted(routes - wanted):
        change(f"remove route {route}", lambda route=route: host.run("ip", "route", "del", route, "dev", name))


def _set_peer(host, name, peer):
    """Set one peer. The preshared key goes through a file of root's, not through the command line."""
    handle, path = tempfile.mkstemp(dir=FOLDER)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(peer.preshared_key + "\n" if peer.preshared_key else "")
        arguments = ["set", name, "peer", peer.public_key, "preshared-key", path if peer.preshared_key else os.devnull]
        if peer.endpoint:
            arguments += ["endpoint", peer.endpoint]
        arguments += ["persistent-keepalive", str(peer.persistent_keepalive), "allowed-ips", ",".join(peer.allowed_ips)]
        host.run("wg", *arguments)
    finally:
        os.unlink(path)


def absent(module, host):
    path = f"{FOLDER}/{module.params['name']}.conf"
    running, enabled, there = host.live() is not None, host.enabled(), os.path.exists(path)
    changes = [
        sentence
        for sentence, needed in ((f"stop {host.unit}", running), (f"disable {host.unit}", enabled), (f"remove {path}", there))
        if needed
    ]
    if changes and not module.check_mode:
        host.run("systemctl", "disable", "--now", host.unit, check=False)
        if there:
            os.unlink(path)
    module.exit_json(changed=bool(changes), changes=changes, unknown=[], missing=host.missing)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "address": {"type": "str"},
            "listen_port": {"type": "int", "default": 0},
            "mtu": {"type": "int", "default": 1420},
            "peers": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "public_key": {"type": "str", "default": ""},
                    "preshared_key": {"type": "str", "default": "", "no_log": True},
                    "endpoint": {"type": "str", "default": ""},
                    "allowed_ips": {"type": "list", "elements": "str", "required": True},
                    "persistent_keepalive": {"type": "int", "default": 0},
                },
            },
        },
        required_if=[("state", "present", ["address"])],
        supports_check_mode=True,
    )
    if not wireguard.is_interface_name(module.params["name"]):
        module.fail_json(msg=f"{module.params['name']!r} cannot be the name of an interface", missing=[])
    host = Host(module)
    if module.params["state"] == "present":
        present(module, host)
    absent(module, host)


if __name__ == "__main__":
    main()
