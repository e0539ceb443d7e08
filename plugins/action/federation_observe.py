# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a zone through its API, in the controller's own process, or a gateway over SSH; both in one task, so side by side."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.backends import federation_zone_info
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.session import CONNECTION_ARGUMENTS
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.observation import NOT_IN_THIS_RUN, REGISTERED
from ansible_collections.oneflower.federation.plugins.plugin_utils.opennebula_action import run_in_process


class ActionModule(ActionBase):
    """Read what the plan says of this host. What cannot be read is part of the result, so nothing here fails."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return what federation_zone_info or gateway_info returns, and `unread` with the reason where it failed."""
        result = super().run(tmp, task_vars)
        given = task_vars or {}
        host = given["inventory_hostname"]
        # Not an argument: templating the plan for every host would cost more than reading the host.
        plan = given["federation_plan"]
        if self._task.args.get("again") and not _touched(given, host) and REGISTERED in given:
            result.update(changed=False, observed=given[REGISTERED]["observed"])
            return result
        zone = plan["zones"].get(host) or plan["leaving"]["zones"].get(host)
        gateway = plan["gateways"].get(host) or plan["leaving"]["gateways"].get(host)
        try:
            if zone is not None:
                found = self._zone(plan, host, zone, given)
            elif gateway is not None:
                found = self._gateway(plan, gateway, given)
            else:
                found = {"failed": True, "msg": NOT_IN_THIS_RUN}
        except AnsibleConnectionFailure as error:
            found = {"failed": True, "unreachable": True, "msg": str(error)}
        except AnsibleError as error:
            found = {"failed": True, "msg": str(error)}
        if found.pop("failed", False):
            reason = str(found.get("msg") or found.get("module_stderr") or "it gave no answer")
            found = {"unread": " ".join(reason.split()), "error": found.get("error", {}), "gone": bool(found.get("unreachable"))}
        found.pop("changed", None)
        result.update(changed=False, observed=found)
        return result

    def _zone(
        self, plan: t.Mapping[str, t.Any], host: str, zone: t.Mapping[str, t.Any], given: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        service = zone["service"]
        connection = {name: value for name, value in self._task.args.items() if name in CONNECTION_ARGUMENTS}
        wait = float(self._task.args.get("wait_timeout") or 0) if host == plan["superlink"]["zone"] else 0.0
        arguments = {
            **connection,
            "service": service["name"],
            "successor": service["successor"],
            "vm_template": service["vm_template"],
            "network": service["network"],
            "wait_attributes": plan["superlink"]["online"] if wait else {},
            "wait_timeout": wait,
        }
        return run_in_process(self, federation_zone_info, arguments, given)

    def _gateway(self, plan: t.Mapping[str, t.Any], gateway: t.Mapping[str, t.Any], given: dict[str, t.Any]) -> dict[str, t.Any]:
        arguments: dict[str, t.Any] = {"interface": gateway["wireguard_gateway_interface"]}
        if gateway["wireguard_gateway_role"] == "spoke":
            arguments["probe"] = {"host": plan["superlink"]["host"], "port": plan["superlink"]["port"]}
        name = "oneflower.federation.gateway_info"
        found: dict[str, t.Any] = self._execute_module(module_name=name, module_args=arguments, task_vars=given)
        return found


def _touched(given: t.Mapping[str, t.Any], host: str) -> bool:
    """Tell whether a run that made its changes has to read a host again.

    The SuperLink shows in all: its certificate at the gateways, and in what SuperNodes tell. What sites change shows in the
    SuperLink.
    """
    hosts, coordinator = given["federation_changes"]["hosts"], given["federation_plan"]["superlink"]["zone"]
    return host == coordinator or host in hosts or coordinator in hosts
