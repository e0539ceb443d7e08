# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links: how the sites reach the SuperLink. Pure.

A link is a module of this folder, with `NEEDS_GATEWAYS` and `link(inventory, topology, addresses, release, found)`. It answers
the same questions for whatever it is, in one `Link`; everything else does not know which link it is. `link` returns None where
the inventory does not allow it, which is then in `found`.
"""

from __future__ import annotations

import importlib
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    """What follows from a link for all others.

    `host` and `port` are what the sites dial, `names` what the SuperLink's certificate has to name for that, `nics` more
    attributes of each zone's network interface, `routes` what the zone's VMs reach through their gateway, as the setting has it,
    and `gateways` the variables of the role that makes each gateway's end of it.
    """

    host: str
    port: int
    names: tuple[str, ...]
    nics: Mapping[str, Mapping[str, str]]
    routes: Mapping[str, str] = field(default_factory=dict)
    gateways: Mapping[str, Mapping[str, t.Any]] = field(default_factory=dict)


def named(name: str) -> t.Any:
    """Return the module of a link, such as "wireguard"."""
    return importlib.import_module(f"{__name__}.{name}")
