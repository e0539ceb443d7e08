#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_info
short_description: Return what one federation has on a gateway, in files and in force
version_added: "0.1.0"
description:
  - Reads the tunnel, its configuration, the firewall, the forwarding and the units, without any secret, and what other federations
    this collection put on the host. It needs none of the tools; what is missing is part of the result.
  - With O(probe) it makes a TLS handshake from the gateway as well. With O(wait) it waits until every peer that this host calls has
    made a WireGuard handshake.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
seealso:
  - module: oneflower.federation.gateway
attributes:
  check_mode:
    description: Can run in check mode; it changes nothing. It does not wait then, because what would bring the handshake about
      has not been done.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  interface:
    description: Name of the interface.
    type: str
    required: true
  probe:
    description: Where to make a TLS handshake. Nothing is verified, whoever reads the result compares the certificate.
    type: dict
    suboptions:
      host:
        description: Name or address to dial.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        required: true
      timeout:
        description: Seconds for the connection, and for each step of the handshake.
        type: float
        default: 5
  wait:
    description: Seconds to wait for a handshake with every peer that has an endpoint and a persistent keepalive. The module fails
      when there is none within that time.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Read a gateway
  oneflower.federation.gateway_info:
    interface: wg0
    probe:
      host: 10.10.10.5
      port: 9092
  become: true
  register: gateway

- name: Wait for the tunnel
  oneflower.federation.gateway_info:
    interface: wg0
    wait: 30
  become: true
"""

RETURN = r"""
gateway:
  description: The gateway.
  returned: success
  type: dict
  contains:
    tools:
      description: RV(ignore:missing) names the executables that M(oneflower.federation.gateway) needs and that are not installed.
      type: dict
      returned: success
    federation:
      description: The federation that the interface belongs to, empty where it is none's.
      type: str
      returned: success
    public_key:
      description: The public half of the stored private key, empty where there is none.
      type: str
      returned: success
    foreign:
      description: Whether the configuration was made by somebody else.
      type: bool
      returned: success
    stored:
      description: The stored configuration, empty where there is none of this collection's. V(intact) tells whether configuration
        and key are files exactly as they were written. V(preshared) is a digest, 16 hexadecimal digits of a SHA-256.
      type: dict
      returned: success
      sample:
        address: 10.10.9.2/24
        listen_port: 0
        mtu: 1420
        table: 0
        source: ""
        intact: true
        peers:
          - name: gw-a
            public_key: 3wCjzI0cyzXeNFmpWBEJvXfX0QIFdxGDCFdLhjN3RSE=
            endpoint: 203.0.113.2:51820
            allowed_ips: [10.10.9.1/32, 10.10.10.5/32]
            persistent_keepalive: 25
            preshared: 0f3c9d0b5e1a7724
    live:
      description: The running interface, empty where it does not run. Table 0 is the main one. V(latest_handshake_age) is in
        seconds, null where there was no handshake; V(received) and V(sent) are bytes.
      type: dict
      returned: success
      sample:
        public_key: 8yQh1mJ0c8m1o0bXvUoX0lN8bGkTz3vE8W6qk3dGJ2w=
        listen_port: 51820
        mtu: 1420
        addresses: [10.10.9.1/24]
        routes:
          - to: 10.10.11.0/24
            table: 151820
        rules:
          - source: 10.10.10.5
            table: 151820
        peers:
          - public_key: 3wCjzI0cyzXeNFmpWBEJvXfX0QIFdxGDCFdLhjN3RSE=
            endpoint: 203.0.113.6:40000
            allowed_ips: [10.10.11.0/24, 10.10.9.2/32]
            persistent_keepalive: 0
            preshared: 0f3c9d0b5e1a7724
            latest_handshake_age: 12
            received: 1000
            sent: 2000
    enabled:
      description: Whether the interface comes up at boot.
      type: bool
      returned: success
    firewall:
      description: V(rules) and V(unit) are SHA-256 sums of the files, empty where there is none with the right owner and mode;
        V(loaded) tells whether the kernel has the rules as they were loaded; V(forwarding) whether it forwards IPv4 packets, and
        V(forwarding_found) whether it did before the first federation came; V(enabled) and V(active) are the unit's states.
      type: dict
      returned: success
    others:
      description: Other federations on this host, each with V(interface), V(federation), V(listen_port), V(address) and
        V(superlink_address).
      type: list
      elements: dict
      returned: success
    probe:
      description: Result of the TLS handshake, V(connected), V(certificate) (base64 of DER), V(seconds) and V(error). Empty without
        O(probe).
      type: dict
      returned: success
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import hosts, wireguard


def silent(interface):
    """Return the peers that this host calls and that have not answered."""
    now = time.time()
    return [
        peer
        for peer in interface.peers.values()
        if peer.endpoint and peer.persistent_keepalive and now - peer.latest_handshake > wireguard.SESSION_LIMIT_S
    ]


def wait_for_handshakes(module, host, seconds):
    """Return when every called peer has answered; fail when one has not in time."""
    deadline = time.monotonic() + seconds
    while True:
        interface = host.interface()
        if interface is None:
            module.fail_json(msg=f"{host.name} does not run; see `journalctl -u {wireguard.service(host.name)}`")
        unanswered = silent(interface)
        if not unanswered:
            return
        if time.monotonic() >= deadline:
            calls = ", ".join(f"{peer.public_key} at {peer.endpoint}" for peer in unanswered)
            module.fail_json(
                msg=f"no handshake on {host.name} within {seconds} s with {calls}. Is that UDP port open towards the peer, and "
                "does the peer know this host's public key?"
            )
        time.sleep(0.1)


def main():
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "probe": {
                "type": "dict",
                "options": {
                    "host": {"type": "str", "required": True},
                    "port": {"type": "int", "required": True},
                    "timeout": {"type": "float", "default": 5},
                },
            },
            "wait": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    name, probe = module.params["interface"], module.params["probe"]
    if not wireguard.is_interface_name(name):
        module.fail_json(msg=f"{name!r} cannot be the name of an interface")
    host = hosts.Host(module, name)
    if module.params["wait"] and not module.check_mode:
        wait_for_handshakes(module, host, module.params["wait"])
    gateway = hosts.observe(host)
    gateway["probe"] = hosts.probe(probe["host"], probe["port"], probe["timeout"]) if probe else {}
    module.exit_json(changed=False, gateway=gateway)


if __name__ == "__main__":
    main()
