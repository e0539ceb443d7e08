# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text files that a module writes on its host. They belong to the user that runs the module, which is root."""

from __future__ import annotations

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule


def read(path: str) -> str:
    """Return the file's text, empty where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def differs(path: str, text: str, mode: int) -> bool:
    """Tell whether the file's text, owner, group or mode is not as asked for, or the file is not there."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return True
    return (status.st_uid, status.st_gid, status.st_mode & 0o7777) != (os.geteuid(), os.getegid(), mode) or read(path) != text


def write(module: AnsibleModule, path: str, text: str, mode: int) -> None:
    """Write the file in one step, so that no reader sees half of it, and nobody more than `mode` allows.

    AnsibleModule does the work, because it knows SELinux and file systems that refuse a rename.
    """
    handle, temporary = tempfile.mkstemp(prefix=".ansible_tmp", dir=os.path.dirname(path))
    module.add_cleanup_file(temporary)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(temporary, mode)
    # atomic_move gives a new file the mode that the umask leaves.
    umask = os.umask(0o777 & ~mode)
    try:
        module.atomic_move(temporary, path, keep_dest_attrs=False)
    finally:
        os.umask(umask)
    protect(module, path, mode)


def protect(module: AnsibleModule, path: str, mode: int) -> bool:
    """Give the file its owner, group and mode, and tell whether it had others; in check mode only tell."""
    wanted = {"owner": str(os.geteuid()), "group": str(os.getegid()), "mode": mode}
    return module.set_fs_attributes_if_different(module.load_file_common_arguments(wanted, path=path), False)
