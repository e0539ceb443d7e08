# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the CA certificate that the SuperLink published, in the controller's own process."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import asdict

from ansible.plugins.action import ActionBase
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.observation import Zone
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.trust import superlink_ca


class ActionModule(ActionBase):
    """Return what the sites' services get from the SuperLink, or fail with the finding."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return {inputs, authority}."""
        result = super().run(tmp, task_vars)
        spec = {"plan": {"type": "dict", "required": True}, "superlink": {"type": "dict", "required": True}}
        _validation, arguments = self.validate_argument_spec(spec)
        plan, zone = arguments["plan"], Zone.from_result(arguments["superlink"])
        try:
            found = superlink_ca.carried(plan, zone, datetime.datetime.now(datetime.UTC))
        except superlink_ca.Untrusted as error:
            result.update(failed=True, msg=str(error), code=error.finding.code)
            return result
        published = zone.vms[0].attributes
        result.update(
            changed=False,
            authority=asdict(found),
            inputs={
                name: published.get(attribute, "")
                for entry in plan["zones"].values()
                for name, attribute in entry["service"]["from_superlink"].items()
            },
        )
        return result
