# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trust: how the sites come to trust the SuperLink's certificate. Pure.

A trust mode is a module of this folder, with `trust(names)`. It answers the same questions for whatever it is, in one `Trust`:
which settings the SuperLink gets for it, and which settings of the SuperNodes are known only once the SuperLink runs.
"""

from __future__ import annotations

import importlib
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """What follows from a trust mode: the SuperLink's settings, and the SuperNodes' settings that come from its attributes.

    `from_superlink` maps a setting of the SuperNodes to the attribute of the SuperLink's VM that holds its value.
    """

    superlink: Mapping[str, str]
    from_superlink: Mapping[str, str]


def named(name: str) -> t.Any:
    """Return the module of a trust mode, such as "superlink_ca"."""
    return importlib.import_module(f"{__name__}.{name}")
