# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that hand parts of the plan and of results to modules."""

from __future__ import annotations

import typing as t

from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import gateways, services
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.observation import Zone
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation.trust import superlink_ca


def published_ca(service: t.Any) -> str:
    """Return the CA certificate that a SuperLink published, base64 of PEM; empty where the service was not read or has none."""
    return superlink_ca.published_ca(Zone.from_result(service if isinstance(service, dict) else None))


class FilterModule:
    """The filters of this collection."""

    def filters(self) -> dict[str, t.Any]:
        """Return them by name."""
        return {
            "exchanged_peers": gateways.exchanged,
            "new_preshared_keys": gateways.new_preshared_keys,
            "published_ca": published_ca,
            "service_template": services.service_template,
        }
