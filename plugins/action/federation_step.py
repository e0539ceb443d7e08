# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mark where a step of the walkthrough begins, so that the report can state what each took."""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Append one step to the fact `federation_steps` of the host that the task is delegated to."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "name": {"type": "str", "required": True},
                "waits": {"type": "bool", "default": False},
                "training": {"type": "bool", "default": False},
            }
        )
        keeper = task_vars["groups"]["coordinator"][0]
        steps = list(task_vars["hostvars"][keeper].get("ansible_facts", {}).get("federation_steps", []))
        steps.append({**arguments, "started": time.time()})
        result.update(changed=False, ansible_facts={"federation_steps": steps})
        return result
