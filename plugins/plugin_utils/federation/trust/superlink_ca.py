# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SuperLink makes its own CA; the playbook carries the CA's certificate to the sites. Pure."""

from __future__ import annotations

import datetime
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings

from ..findings import CODES, Finding
from ..observation import Zone
from . import Trust
from .certificates import Authority, authority


class Untrusted(Exception):
    """What the SuperLink published must not be carried to the sites; `finding` says why."""

    def __init__(self, finding: Finding):
        self.finding = finding
        super().__init__(str(finding))


def trust(names: Iterable[str]) -> Trust:
    """Return the trust in a SuperLink whose certificate has to have these `names`, such as "IP:10.10.10.5"."""
    return Trust(
        superlink={settings.TLS_ENABLED: attributes.YES, settings.EXTRA_SAN: attributes.format_names(names)},
        from_superlink={settings.CA_CERTIFICATE: attributes.CA_CERTIFICATE},
    )


def published_ca(zone: Zone) -> str:
    """Return what the SuperLink's VM published as its CA certificate, base64 of PEM; empty where there is none."""
    return zone.vms[0].attributes.get(attributes.CA_CERTIFICATE, "") if zone.vms else ""


def carried(plan: Mapping[str, t.Any], zone: Zone, now: datetime.datetime) -> Authority:
    """Return the CA certificate that the sites are to trust, from the coordinator's `zone` as it was read.

    Raises Untrusted for a SuperLink that is not there, a certificate that is not fit, or one that does not name what is dialled.
    """
    host = plan["superlink"]["zone"]

    def refused(code: str, message: str) -> Untrusted:
        return Untrusted(Finding(code, host, CODES[code].mend, message))

    if zone.unread:
        raise refused(zone.code, f"the SuperLink's service could not be read: {zone.unread}")
    if zone.absent:
        raise refused(
            "service.absent", f"there is no service {plan['zones'][host]['service']['name']!r} yet; run coordinator.yml first"
        )
    if not zone.vms:
        raise refused("service.state", "the SuperLink's service has no VM; run coordinator.yml, which recovers it")
    published = zone.vms[0].attributes
    try:
        found = authority(published_ca(zone), now)
    except ValueError as error:
        reason = published.get(attributes.ERROR) or "it reports no error; is OneGate reachable from its VM?"
        raise refused("certificate.authority", f"{error} ({reason})" if not published_ca(zone) else str(error)) from None
    named = attributes.parse_names(published.get(attributes.CERTIFICATE_SANS, ""))
    missing = [name for name in plan["superlink"]["names"] if name not in named]
    if missing:
        text = f"the SuperLink's certificate names {', '.join(named) or 'nothing'}, but the sites dial {', '.join(missing)}"
        raise refused("certificate.name", text)
    return found
