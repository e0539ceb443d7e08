# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Executables that a module needs on its host."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


def find(module: AnsibleModule, *names: str) -> tuple[dict[str, str], list[str]]:
    """Return ({name: path}, names that are missing).

    In check mode something may be missing, because an earlier task of the same run would install it. Otherwise the module fails
    then, and its result has the names as `missing`.
    """
    paths = {name: path for name, path in ((name, module.get_bin_path(name)) for name in names) if path}
    missing = [name for name in names if name not in paths]
    if missing and not module.check_mode:
        module.fail_json(msg=f"not installed on this host: {', '.join(missing)}", missing=missing)
    return paths, missing
