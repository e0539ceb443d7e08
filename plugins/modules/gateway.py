#!/usr/bin/python
# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gateway
short_description: Ensure one federation's end of the overlay on a gateway, with its firewall, now and at boot
version_added: "0.1.0"
description:
  - Ensures the nftables rules and the forwarding, the WireGuard key, the configuration of C(wg-quick), and that all of it is in
    force. Rules, peers, preshared keys, AllowedIPs, port, addresses, MTU, routes and routing rules are compared with what the
    kernel says, not with files, and everything is mended in place. A running interface is never restarted.
  - Everything goes by the name of the interface, so several federations can share a gateway. None of the rules of one matches a
    packet of another, also when the same sites lie behind both. Files are C(/etc/wireguard/INTERFACE.conf) and C(.key),
    C(/etc/oneflower/INTERFACE.nft) and C(.json), and the unit C(oneflower-gateway@INTERFACE.service).
  - On a hub the routes to the sites stand in a routing table of their own, which only packets from the SuperLink use.
  - The private key is made on the host and never leaves it. Public keys of peers that are not given are the stored ones.
  - An interface, port, overlay or SuperLink's address of another federation, and a configuration that somebody made by hand, are
    refused before anything is touched.
notes:
  - M(ansible.builtin.copy) and M(ansible.builtin.systemd_service) could do a part of this in several tasks. It is one module
    because those compare files only, so they do not see that the kernel has drifted from them, and because a run in which there
    is nothing to do pays for one task on the gateway.
author:
  - oneflower.federation contributors (@oneflower)
requirements:
  - Python 3.9 or newer on the host
  - wireguard-tools (C(wg) and C(wg-quick)), nftables (C(nft)), iproute2, procps (C(sysctl)) and systemd on the host
seealso:
  - module: oneflower.federation.gateway_info
attributes:
  check_mode:
    description: Can run in check mode, also where nothing is installed yet; nothing is changed then.
    support: full
  diff_mode:
    description: Shows the rules, the unit, and the configuration without secrets.
    support: full
options:
  interface:
    description: Name of the interface, by which everything goes. At most 15 characters.
    type: str
    required: true
  federation:
    description: Name of the federation that the interface belongs to.
    type: str
    required: true
  state:
    description:
      - V(present) ensures all of it. V(absent) takes all of it away, keys included, and turns forwarding off if it was off before
        the first federation came and this is the last one.
      - An interface that belongs to another federation is not touched by V(absent).
    type: str
    choices: [present, absent]
    default: present
  role:
    description: The coordinator's gateway is the hub, all others are spokes. Required for O(state=present), as are O(address),
      O(lan), O(superlink_address), O(fleet_port) and O(peers).
    type: str
    choices: [hub, spoke]
  address:
    description: Tunnel address with the length of the prefix, such as V(10.10.9.1/24).
    type: str
  listen_port:
    description: UDP port; 0 lets the kernel choose one, which a hub cannot have.
    type: int
    default: 0
  mtu:
    description: MTU in bytes.
    type: int
    default: 1420
  lan:
    description: The zone's own network.
    type: str
  superlink_address:
    description: The only address in the coordinator's zone that the sites may reach.
    type: str
  fleet_port:
    description: The only TCP port there that they may reach.
    type: int
  peers:
    description: All peers. Others are removed.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the peer, unique on this host. Another name changes nothing but a comment.
        type: str
        required: true
        aliases: [host]
      public_key:
        description: Its public key. Without one the key stored on this host stays; where there is none, the peer is left out
          and named in RV(unknown).
        type: str
        default: ""
      preshared_key:
        description: Key shared with it. Without one the key stays that is stored with its public key.
        type: str
        default: ""
      endpoint:
        description: Address and port at which it is reached. Without one it must call first.
        type: str
        default: ""
      allowed_ips:
        description: IPv4 networks behind it, which are routed to it.
        type: list
        elements: str
        required: true
      persistent_keepalive:
        description: Seconds between packets that keep a NAT mapping alive; 0 turns them off.
        type: int
        default: 0
"""

EXAMPLES = r"""
- name: Ensure a spoke
  oneflower.federation.gateway:
    interface: wg0
    federation: flower
    role: spoke
    address: 10.10.9.2/24
    lan: 10.10.11.0/24
    superlink_address: 10.10.10.5
    fleet_port: 9092
    peers:
      - name: gw-a
        public_key: "{{ hub_public_key }}"
        preshared_key: "{{ preshared_key }}"
        endpoint: 203.0.113.2:51820
        allowed_ips: [10.10.9.1/32, 10.10.10.5/32]
        persistent_keepalive: 25
  become: true

- name: Take a federation off a gateway
  oneflower.federation.gateway:
    interface: wg0
    federation: flower
    state: absent
  become: true
"""

RETURN = r"""
changes:
  description: What was done (or would be, in check mode).
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: V(create), V(set) or V(remove).
      type: str
      returned: success
    subject:
      description: What it is, such as V(mtu) or V(peer gw-b).
      type: str
      returned: success
    old:
      description: The value before, without secrets.
      type: str
      returned: success
    new:
      description: The value after, without secrets.
      type: str
      returned: success
federation:
  description: The federation.
  returned: success
  type: str
public_key:
  description: The public key, empty where there is none (check mode, or O(state=absent)).
  returned: success
  type: str
peers:
  description: The peers that are configured, with the digests of their preshared keys.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      returned: success
    public_key:
      description: Public key.
      type: str
      returned: success
    preshared:
      description: The first 16 hexadecimal digits of the SHA-256 of the preshared key, empty for none.
      type: str
      returned: success
unknown:
  description: Peers that were left out because nobody knows their public key yet.
  returned: success
  type: list
  elements: str
missing:
  description: Executables that are not installed. Outside check mode the module fails when something has to be done without them.
  returned: always
  type: list
  elements: str
"""

import json
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import differences, files, firewall, hosts, wireguard

REQUIRED = ["role", "address", "lan", "superlink_address", "fleet_port", "peers"]


class Present:
    """The way to a gateway that is as asked for."""

    def __init__(self, host, asked):
        self.host, self.asked, self.module = host, asked, host.module
        self.observed = hosts.observe(host, wireguard.configuration(asked).table)
        self.before = files.read(wireguard.conf_path(host.name))
        stored = wireguard.parse_configuration(self.before)
        self.stored = stored.peers if stored else ()
        self.peers, self.unknown = wireguard.wanted_peers(asked["peers"], self.stored)
        self.texts = {
            firewall.rules_path(host.name): differences.planned_rules(asked),
            firewall.unit_path(host.name): firewall.unit(host.name),
        }

    def refusal(self):
        """Return why nothing may be changed, empty where it may."""
        name, observed = self.host.name, self.observed
        key, unit = wireguard.key_path(name), wireguard.service(name)
        found = differences.conflicts(self.asked, observed)
        if found:
            return "; ".join(found)
        if observed["live"] and observed["public_key"] not in ("", observed["live"]["public_key"]):
            return (
                f"{name} runs with another private key than {key}; applying this would cut every peer off. Restore the key file, "
                f"or stop {unit} to accept the new key."
            )
        if observed["live"] and not observed["public_key"] and "wg" in self.host.tools:
            return f"{name} runs, but {key} is missing. Restore the key file, or stop {unit} to have a new key made."
        return ""

    def apply(self):
        """Make the gateway as asked for: first the firewall, then the tunnel."""
        self._firewall()
        self._tunnel()

    def _firewall(self):
        host, rules = self.host, self.observed["firewall"]
        name, service = host.name, firewall.service(host.name)
        stale = {path: text for path, text in self.texts.items() if files.differs(path, text, hosts.OPEN)}
        kept = hosts.record(name)
        found = kept.get("ip_forward") or next(
            (other["ip_forward"] for other in map(hosts.record, hosts.recorded()) if other.get("ip_forward")), host.forwarding()
        )
        wanted = {
            "federation": self.asked["federation"],
            "superlink_address": self.asked["superlink_address"],
            "ip_forward": found,
        }
        in_force = rules["loaded"] and rules["forwarding"] and rules["active"] and not stale
        os.makedirs(firewall.RULES_FOLDER, mode=0o755, exist_ok=True)
        if not in_force:
            code, output, errors = self.module.run_command([host.tools["nft"], "--check", "--file", "-"], data=self._rules())
            if code:
                reason = errors.strip() or output.strip()
                self.module.fail_json(msg=f"nft refuses the rules, nothing was touched: {reason}", missing=[])
        # Written first: what forwarding was before must not be forgotten, and a run that stops here has not loaded the rules.
        self._record({**wanted, "listing": kept.get("listing", "") if in_force else ""})
        for path, text in stale.items():
            files.write(self.module, path, text, hosts.OPEN)
        if not (rules["enabled"] and self.observed["enabled"]):
            host.run("systemctl", "enable", service, wireguard.service(name))
        elif stale:
            host.run("systemctl", "daemon-reload")
        if in_force:
            return
        host.run("systemctl", "reload" if rules["active"] else "start", service)
        listing = host.listing()
        if not listing or host.forwarding() != "1":
            self.module.fail_json(
                msg=f"{service} ran, but the table {firewall.table(name)} is not in force or forwarding is off. "
                f"See journalctl -u {service}.",
                missing=[],
            )
        self._record({**wanted, "listing": firewall.fingerprint(listing)})

    def _rules(self):
        return self.texts[firewall.rules_path(self.host.name)]

    def _record(self, wanted):
        path, text = hosts.record_path(self.host.name), json.dumps(wanted, indent=2) + "\n"
        if files.differs(path, text, hosts.OPEN):
            files.write(self.module, path, text, hosts.OPEN)

    def _tunnel(self):
        host, name = self.host, self.host.name
        conf_path, key_path = wireguard.conf_path(name), wireguard.key_path(name)
        private_key = host.private_key()
        os.makedirs(wireguard.FOLDER, mode=0o700, exist_ok=True)
        if not private_key:
            private_key = host.run("wg", "genkey").strip()
        if files.differs(key_path, private_key + "\n", hosts.SECRET):
            files.write(self.module, key_path, private_key + "\n", hosts.SECRET)
        if not self.observed["public_key"]:
            self.observed["public_key"] = host.public_key(private_key)
        wanted = wireguard.configuration(self.asked, self.peers, private_key)
        text = wireguard.render(wanted)
        if files.differs(conf_path, text, hosts.SECRET):
            files.write(self.module, conf_path, text, hosts.SECRET)
        if self.observed["live"]:
            self._mend(wanted)
        else:
            self._start()

    def _start(self):
        """Start the interface.

        wg-quick falls back to wireguard-go where the kernel has no WireGuard. That may return before its socket is there, and the
        unit fails then (seen on a busy machine), so it is started once more.
        """
        command = [self.host.tools["systemctl"], "restart", wireguard.service(self.host.name)]
        if self.module.run_command(command)[0] != 0:
            self.host.run("systemctl", "restart", wireguard.service(self.host.name))

    def _mend(self, wanted):
        """Bring the running interface to what is wanted; what is new comes before what is old goes."""
        host, name, live = self.host, self.host.name, self.observed["live"]
        if wanted.listen_port and live["listen_port"] != wanted.listen_port:
            host.run("wg", "set", name, "listen-port", str(wanted.listen_port))
        masked = wireguard.masked(wanted).peers
        running = {peer.public_key: peer for peer in differences.peers_of(live)}
        to_set, to_remove = wireguard.peer_changes(running, masked, differences.peers_of(self.observed["stored"]))
        for key in to_remove:
            host.run("wg", "set", name, "peer", key, "remove")
        by_key = {peer.public_key: peer for peer in wanted.peers}
        for peer, _differing in to_set:
            self._set_peer(by_key[peer.public_key])
        if live["mtu"] != wanted.mtu:
            host.run("ip", "link", "set", name, "mtu", str(wanted.mtu))
        addresses = set(live["addresses"])
        if wanted.address not in addresses:
            host.run("ip", "addr", "add", wanted.address, "dev", name)
        routes = {(route["to"], route["table"]) for route in live["routes"]}
        needed = wireguard.wanted_routes(wanted)
        for network, table in sorted(needed - routes):
            host.run("ip", "route", "replace", network, "dev", name, "table", str(table or "main"))
        rules = {(rule["source"], rule["table"]) for rule in live["rules"]}
        needed_rules = {(wanted.source, wanted.table)} if wanted.table else set()
        for source, table in sorted(needed_rules - rules):
            host.run("ip", "rule", "add", *wireguard.rule_arguments(source, table))
        for source, table in sorted(rules - needed_rules):
            host.run("ip", "rule", "del", *wireguard.rule_arguments(source, table))
        for network, table in sorted(routes - needed):
            host.run("ip", "route", "del", network, "dev", name, "table", str(table or "main"))
        if addresses - {wanted.address}:
            # Otherwise the kernel removes a new address together with an old one of the same network.
            with open(f"/proc/sys/net/ipv4/conf/{name}/promote_secondaries", "w", encoding="ascii") as stream:
                stream.write("1")
        for address in sorted(addresses - {wanted.address}):
            host.run("ip", "addr", "del", address, "dev", name)

    def _set_peer(self, peer):
        """Set one peer. The preshared key goes through a file of root's, not through the command line."""
        handle, path = tempfile.mkstemp(dir=wireguard.FOLDER)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(peer.preshared_key + "\n" if peer.preshared_key else "")
            arguments = ["set", self.host.name, "peer", peer.public_key]
            arguments += ["preshared-key", path if peer.preshared_key else os.devnull]
            if peer.endpoint:
                arguments += ["endpoint", peer.endpoint]
            arguments += ["persistent-keepalive", str(peer.persistent_keepalive), "allowed-ips", ",".join(peer.allowed_ips)]
            self.host.run("wg", *arguments)
        finally:
            os.unlink(path)

    def diff(self, before):
        """Return the diff of every file; `before` are the rules and the unit as they were."""
        wanted = wireguard.render(wireguard.configuration(self.asked, self.peers), mask=True)
        conf = "".join(
            f"{line.split(' = ')[0]} = ********\n" if line.startswith(("PrivateKey", "PresharedKey")) else f"{line}\n"
            for line in self.before.splitlines()
        )
        rows = [(path, before[path], text) for path, text in self.texts.items()]
        rows.append((wireguard.conf_path(self.host.name), conf, wanted))
        return [{"before": old, "after": new, "before_header": path, "after_header": path} for path, old, new in rows if old != new]


def present(module, host):
    wrong = wireguard.faults(module.params)
    if wrong:
        module.fail_json(msg="; ".join(wrong), missing=[])
    work = Present(host, module.params)
    refusal = work.refusal()
    if refusal:
        module.fail_json(msg=refusal, missing=[])
    before = {path: files.read(path) for path in work.texts}
    found = differences.differences(module.params, work.observed)
    if found and not module.check_mode:
        require(module, host)
        work.apply()
    finish(module, host, found, work.observed["public_key"], work.peers, work.unknown, work.diff(before))


def absent(module, host):
    name = host.name
    observed = hosts.observe(host)
    ours = observed["federation"] in ("", module.params["federation"])
    found = differences.removals(name, observed) if ours else []
    if found and not module.check_mode:
        require(module, host)
        units = {wireguard.service(name): bool(observed["live"]) or observed["enabled"]}
        units[firewall.service(name)] = bool(observed["firewall"]["unit"])
        going = [unit for unit, there in units.items() if there]
        if going:
            host.run("systemctl", "disable", "--now", *going)
        if host.interface():
            host.run("ip", "link", "del", name)
        stored = observed["stored"]
        for source, table in host.rules([stored.get("table", 0), *(rule["table"] for rule in observed["live"].get("rules", ()))]):
            host.run("ip", "rule", "del", *wireguard.rule_arguments(source, table))
        if host.listing():
            host.run("nft", "delete", "table", "inet", firewall.table(name))
        if any(difference.subject == "forwarding" for difference in found):
            host.run("sysctl", "--quiet", "--write", "net.ipv4.ip_forward=0")
        # The record goes last, so that a run that is stopped half-way is finished by the next one.
        for path in (
            wireguard.conf_path(name),
            wireguard.key_path(name),
            firewall.unit_path(name),
            firewall.rules_path(name),
            hosts.record_path(name),
        ):
            if os.path.exists(path):
                os.unlink(path)
        host.run("systemctl", "daemon-reload")
        if os.path.isdir(firewall.RULES_FOLDER) and not os.listdir(firewall.RULES_FOLDER):
            os.rmdir(firewall.RULES_FOLDER)
    finish(module, host, found, "", [], [], [])


def require(module, host):
    """Fail where something is not installed."""
    if host.missing:
        module.fail_json(msg=f"not installed on this host: {', '.join(host.missing)}", missing=host.missing)


def finish(module, host, found, public_key, peers, unknown, diff):
    module.exit_json(
        changed=bool(found),
        changes=[dict(difference._asdict()) for difference in found],
        federation=module.params["federation"],
        public_key=public_key,
        peers=[
            {"name": peer.name, "public_key": peer.public_key, "preshared": wireguard.digest(peer.preshared_key)} for peer in peers
        ],
        unknown=unknown,
        missing=host.missing,
        diff=diff,
    )


def main():
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "federation": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "role": {"type": "str", "choices": ["hub", "spoke"]},
            "address": {"type": "str"},
            "listen_port": {"type": "int", "default": 0},
            "mtu": {"type": "int", "default": 1420},
            "lan": {"type": "str"},
            "superlink_address": {"type": "str"},
            "fleet_port": {"type": "int"},
            "peers": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True, "aliases": ["host"]},
                    "public_key": {"type": "str", "default": ""},
                    "preshared_key": {"type": "str", "default": "", "no_log": True},
                    "endpoint": {"type": "str", "default": ""},
                    "allowed_ips": {"type": "list", "elements": "str", "required": True},
                    "persistent_keepalive": {"type": "int", "default": 0},
                },
            },
        },
        required_if=[("state", "present", REQUIRED)],
        supports_check_mode=True,
    )
    name = module.params["interface"]
    if not wireguard.is_interface_name(name):
        module.fail_json(msg=f"{name!r} cannot be the name of an interface", missing=[])
    host = hosts.Host(module, name)
    (present if module.params["state"] == "present" else absent)(module, host)


if __name__ == "__main__":
    main()
