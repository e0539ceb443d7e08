# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory variables: every `federation_*` variable that an operator may set, defined once. Pure.

From this table come the validation, the defaults, the refusal of unknown names and the reference page docs/inventory.md.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import flower_releases, settings

from . import kinds

# Scopes: where a variable stands, and where it is read.
FEDERATION, ZONE, GATEWAY, RUN = "federation", "zone", "gateway", "run"
SCOPES = {
    FEDERATION: "The federation (set for all hosts, read from the coordinator)",
    ZONE: "Zones (hosts of `coordinator` and `training_sites`)",
    GATEWAY: "Gateways (hosts of `gateways`)",
    RUN: "A run (what one run may do and where it writes; given with `-e` as a rule, read from the coordinator)",
}
# A part of a scope.
COORDINATOR, SITE, HUB, SPOKE = "the coordinator", "training sites", "the coordinator's gateway", "training sites' gateways"

PREFIX = "federation_"
# Facts that the roles set, and no variables of the inventory.
FACTS = ("federation_plan", "federation_changes")

# A WireGuard packet costs at most 80 bytes: IPv6 header 40, UDP 8, WireGuard header and tag 32.
WIREGUARD_OVERHEAD = 80
# The smallest MTU that an IPv6 link may have (RFC 8200, section 5).
MINIMUM_MTU = 1280


@dataclass(frozen=True)
class Variable:
    """One variable.

    `kind` makes the typed value of it (see kinds.py), `type` names it for people. `required` is what it is, in words, where it
    must be set; `only` the part of the scope that it belongs to. A variable that feeds a `setting` has that setting's rule and
    default. `absent` says for people what holds where neither value nor default is there. One of `access` says how a zone is
    reached, and nothing of the federation.
    """

    name: str
    scope: str
    type: str
    kind: kinds.Kind
    help: str
    only: str = ""
    required: str = ""
    standard: t.Any = None
    unit: str = ""
    setting: str = ""
    secret: bool = False
    absent: str = ""
    access: bool = False

    @property
    def default(self) -> t.Any:
        """Return the typed default, None where there is none."""
        given = settings.BY_NAME[self.setting].default if self.setting and self.standard is None else self.standard
        return None if given in (None, "") else self.kind(given)

    def typed(self, raw: t.Any) -> t.Any:
        """Return the typed value of `raw`, which is neither None nor empty. Raises ValueError with what is wrong."""
        try:
            value = self.kind(raw)
        except ValueError:
            if self.secret:
                raise ValueError("is not text") from None
            raise
        fault = settings.BY_NAME[self.setting].fault(str(value)) if self.setting else None
        if fault:
            raise ValueError(fault)
        return value


# -- zones ---------------------------------------------------------------------------------------------------------------
ENDPOINT = Variable(
    "federation_endpoint",
    ZONE,
    "URL",
    kinds.url,
    "URL of the zone's oned",
    required="the URL of the zone's oned, http(s)://.../RPC2",
)
ONEFLOW_ENDPOINT = Variable(
    "federation_oneflow_endpoint",
    ZONE,
    "URL",
    kinds.url,
    "URL of the zone's OneFlow",
    absent="the zone's `ONEFLOW_ENDPOINT`, else port 2474 of the endpoint's host",
)
LAN = Variable(
    "federation_lan",
    ZONE,
    "IPv4 network",
    kinds.network,
    "network that the zone's VMs and its gateway share",
    required="the network that the zone's VMs and its gateway share",
)
SUPERLINK_ADDRESS = Variable(
    "federation_superlink_address",
    ZONE,
    "IPv4 address",
    kinds.address,
    "the SuperLink's fixed address on the coordinator's LAN",
    only=COORDINATOR,
    required="the SuperLink's fixed address on the coordinator's LAN",
)
VM_TEMPLATE = Variable(
    "federation_vm_template",
    ZONE,
    "text",
    kinds.text,
    "name or id of the VM template made from the appliance image",
    standard="flower-appliance",
)
STATE_DISK = Variable(
    "federation_state_disk",
    ZONE,
    "text",
    kinds.text,
    "disk of the SuperLink's VM that keeps its CA and state when the VM is made anew, such as `vdb`",
    only=COORDINATOR,
    setting=settings.STATE_DISK,
    absent="none: they go with the VM",
)
NETWORK = Variable("federation_network", ZONE, "text", kinds.text, "name or id of the virtual network", standard="lan")
SUPERNODES = Variable(
    "federation_supernodes", ZONE, "integer", kinds.whole_number(1, 1000), "number of SuperNodes", only=SITE, standard=2
)
PARTITION_OFFSET = Variable(
    "federation_partition_offset",
    ZONE,
    "integer",
    kinds.whole_number(0, 1_000_000),
    "number of the first partition",
    only=SITE,
    absent="the next free numbers",
)
NODE_CONFIG = Variable(
    "federation_node_config",
    ZONE,
    "text",
    kinds.text,
    "more node configuration for apps: key=value pairs, separated by blanks",
    only=SITE,
    setting=settings.NODE_CONFIG,
    absent="none",
)
USERNAME = Variable(
    "federation_username",
    ZONE,
    "text",
    kinds.text,
    "user of the zone's OpenNebula; keep credentials in ansible-vault",
    absent="`ONE_USERNAME` of the environment",
    access=True,
)
PASSWORD = Variable(
    "federation_password",
    ZONE,
    "text",
    kinds.text,
    "that user's password",
    secret=True,
    absent="`ONE_PASSWORD` of the environment",
    access=True,
)
AUTH_FILE = Variable(
    "federation_auth_file",
    ZONE,
    "path",
    kinds.text,
    "file that holds `user:password`",
    absent="`ONE_AUTH` of the environment, else `~/.one/one_auth`",
    access=True,
)
VALIDATE_CERTS = Variable(
    "federation_validate_certs",
    ZONE,
    "boolean",
    kinds.boolean,
    "whether the endpoints' certificates are verified",
    standard=True,
    access=True,
)
CA_PATH = Variable(
    "federation_ca_path",
    ZONE,
    "path",
    kinds.text,
    "CA certificates that the endpoints are verified with",
    absent="the system's CAs",
    access=True,
)
API_TIMEOUT = Variable(
    "federation_api_timeout",
    ZONE,
    "integer",
    kinds.whole_number(1, 3600),
    "limit of one API call",
    standard=30,
    unit="s",
    access=True,
)
WAIT_TIMEOUT = Variable(
    "federation_wait_timeout",
    ZONE,
    "integer",
    kinds.whole_number(1, 86_400),
    "limit until a service is RUNNING",
    standard=600,
    unit="s",
    access=True,
)

# -- gateways ------------------------------------------------------------------------------------------------------------
GATEWAY_ZONE = Variable(
    "federation_zone",
    GATEWAY,
    "text",
    kinds.text,
    "inventory name of the zone that it serves",
    required="the inventory name of the zone that this gateway serves",
)
LAN_ADDRESS = Variable(
    "federation_lan_address",
    GATEWAY,
    "IPv4 address",
    kinds.address,
    "its address on the zone's network",
    required="the gateway's address on its zone's LAN",
)
WAN_ADDRESS = Variable(
    "federation_wan_address",
    GATEWAY,
    "address or DNS name",
    kinds.host,
    "address or name at which the sites reach the hub",
    only=HUB,
    required="the public address or name at which the sites reach the hub",
)
TUNNEL_ADDRESS = Variable(
    "federation_tunnel_address",
    GATEWAY,
    "IPv4 address",
    kinds.address,
    "its address in the overlay",
    only=SPOKE,
    absent="the next free one; the hub has the first",
)
UNDERLAY_MTU = Variable(
    "federation_underlay_mtu",
    GATEWAY,
    "integer",
    kinds.whole_number(MINIMUM_MTU + WIREGUARD_OVERHEAD, 9216),
    f"MTU of the path to the hub; the tunnel's is {WIREGUARD_OVERHEAD} less",
    standard=1500,
    unit="bytes",
)

# -- the federation ------------------------------------------------------------------------------------------------------
NAME = Variable(
    "federation_name", FEDERATION, "text", kinds.service_name, "begins the names of the OneFlow services", standard="flower"
)
FLOWER_VERSION = Variable(
    "federation_flower_version",
    FEDERATION,
    f"one of {', '.join(flower_releases.KNOWN)}",
    kinds.text,
    "version of Flower",
    setting=settings.VERSION,
)
OVERLAY = Variable(
    "federation_overlay", FEDERATION, "IPv4 network", kinds.network, "network of the tunnels", standard="10.10.9.0/24"
)
WIREGUARD_INTERFACE = Variable(
    "federation_wireguard_interface", FEDERATION, "text", kinds.interface, "the tunnels' interface on the gateways", standard="wg0"
)
WIREGUARD_PORT = Variable(
    "federation_wireguard_port", FEDERATION, "integer", kinds.whole_number(1, 65535), "the hub's UDP port", standard=51820
)
KEEPALIVE_TIME = Variable(
    "federation_keepalive_time",
    FEDERATION,
    "integer",
    kinds.whole_number(1, 999_999_999),
    "silence before a gRPC keepalive ping, at both ends",
    unit="s",
    setting=settings.KEEPALIVE_TIME,
)
KEEPALIVE_TIMEOUT = Variable(
    "federation_keepalive_timeout",
    FEDERATION,
    "integer",
    kinds.whole_number(1, 999_999_999),
    "time after which an unanswered peer is dead; less than the keepalive time",
    unit="s",
    setting=settings.KEEPALIVE_TIMEOUT,
)
LOG_LEVEL = Variable(
    "federation_log_level",
    FEDERATION,
    f"one of {', '.join(settings.BY_NAME[settings.LOG_LEVEL].options)}",
    kinds.text,
    "log level of Flower",
    setting=settings.LOG_LEVEL,
)
CERTIFICATE_NAMES = Variable(
    "federation_certificate_names",
    FEDERATION,
    "text",
    kinds.text,
    "more names for the SuperLink's certificate: IP:address or DNS:name, separated by commas",
    setting=settings.EXTRA_SAN,
    absent="none; what the sites dial is always named",
)
ROUNDS = Variable(
    "federation_rounds", FEDERATION, "integer", kinds.whole_number(1, 9999), "rounds of the smoke-test training", standard=3
)

# -- a run ---------------------------------------------------------------------------------------------------------------
TRAIN = Variable("federation_train", RUN, "boolean", kinds.boolean, "train although a training has finished before", standard=False)
TRAINING_TIMEOUT = Variable(
    "federation_training_timeout",
    RUN,
    "integer",
    kinds.whole_number(1, 86_400),
    "limit of the smoke-test training",
    standard=600,
    unit="s",
)
ALLOW_REPLACE = Variable(
    "federation_allow_replace",
    RUN,
    "boolean",
    kinds.boolean,
    "make VMs anew for what cannot be changed in place",
    standard=False,
)
WAIT_FOR_TRAINING = Variable(
    "federation_wait_for_training",
    RUN,
    "integer",
    kinds.whole_number(0, 604_800),
    "how long a change that stops Flower waits for a training under way, before it is refused",
    standard=600,
    unit="s",
)
INTERRUPT_TRAINING = Variable(
    "federation_interrupt_training",
    RUN,
    "boolean",
    kinds.boolean,
    "stop Flower although a training is under way",
    standard=False,
)
WAIT_FOR_RUN = Variable(
    "federation_wait_for_run",
    RUN,
    "integer",
    kinds.whole_number(0, 86_400),
    "how long another run on the same federation is waited for, before this one is refused",
    standard=600,
    unit="s",
)
BREAK_LOCK = Variable(
    "federation_break_lock",
    RUN,
    "boolean",
    kinds.boolean,
    "take over from a run that died on another controller",
    standard=False,
)
PLAN_FILE = Variable(
    "federation_plan_file",
    RUN,
    "path",
    kinds.text,
    "a saved plan, which plan.yml wrote: make exactly its changes, or refuse",
    absent="the inventory decides",
)
FAIL_ON_CHANGE = Variable(
    "federation_fail_on_change",
    RUN,
    "boolean",
    kinds.boolean,
    "end plan.yml with an exit status other than 0 where anything is to change",
    standard=False,
)
CHANGES_PATH = Variable(
    "federation_changes_path",
    RUN,
    "path",
    kinds.text,
    "where plan.yml writes the changes",
    absent="`changes.json` in the current folder",
)
CONFIRM = Variable(
    "federation_confirm",
    RUN,
    "text",
    kinds.text,
    "name of the federation that teardown.yml may take away",
    absent="teardown.yml refuses",
)
REPORT_PATH = Variable(
    "federation_report_path",
    RUN,
    "path",
    kinds.text,
    "where the report is written",
    absent="`report.json` in the current folder",
)

VARIABLES: tuple[Variable, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Variable))
BY_NAME = {variable.name: variable for variable in VARIABLES}
BY_SETTING = {variable.setting: variable for variable in VARIABLES if variable.setting}


def reference() -> str:
    """Return the variables as Markdown, a table per scope; it stands in docs/inventory.md."""
    parts = []
    for scope, title in SCOPES.items():
        lines = [f"## {title}", "", "| variable | type | default | meaning |", "|---|---|---|---|"]
        for variable in (entry for entry in VARIABLES if entry.scope == scope):
            of = f"{variable.only} only: " if variable.only else ""
            kind = f"{variable.type}, {variable.unit}" if variable.unit else variable.type
            lines.append(f"| `{variable.name}` | {kind} | {_default(variable)} | {of}{variable.help} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _default(variable: Variable) -> str:
    if variable.required:
        return "required"
    if variable.default is None:
        return variable.absent
    return f"`{str(variable.default).lower() if isinstance(variable.default, bool) else variable.default}`"
