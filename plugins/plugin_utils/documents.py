# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents that a run leaves on the controller."""

from __future__ import annotations

import json
import os
import tempfile
import typing as t

from ansible.errors import AnsibleActionFail


def absolute(path: str) -> str:
    """Return a path as the person who started the run means it: Ansible changes its folder on the way."""
    return os.path.join(os.environ.get("PWD", os.getcwd()), path)


def write(path: str, document: t.Mapping[str, t.Any], variable: str) -> str:
    """Replace the file in one step, so that a reader never sees half a document; return its absolute path.

    Raises AnsibleActionFail that names the `variable` to set where it cannot be written.
    """
    path = absolute(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(json.dumps(document, indent=2) + "\n")
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise AnsibleActionFail(f"{path} cannot be written: {error}. Set {variable}.") from error
    return path
