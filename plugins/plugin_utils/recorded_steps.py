# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of the run under way, as the callback plugin `timeline` records them.

The callback works in Ansible's main process. Workers are forked from it, so an action plugin finds here what was recorded before
its task began. Nothing is kept beyond the process.
"""

from __future__ import annotations

import typing as t

# {name: str, started: seconds since 1970, kind: "" | "waits" | "training", since: name of a step or ""}, in order of start; None:
# nobody records.
steps: list[dict[str, t.Any]] | None = None
