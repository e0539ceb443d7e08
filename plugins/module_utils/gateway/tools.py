# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Executables that a module needs on its host."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


def find(module: AnsibleModule, *names: str) -> tuple[dict[str, str], list[str]]:
    """Return ({name: path}, names that are missing)."""
    paths = {name: path for name, path in ((name, module.get_bin_path(name)) for name in names) if path}
    return paths, [name for name in names if name not in paths]
