# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flower releases: the transport, the ports and the options of each.

This table is the one owner of the Fleet API's port and type. Pure, and free of Ansible: the controller and the appliance
read the same file. The facts were read in the released packages; 1.39.0 was run as well.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlowerRelease:
    """One release of Flower.

    `fleet_transport` is "grpc" or "http", `fleet_api_type` the value of `flower-superlink --fleet-api-type`; the ports are
    those on which Flower serves the Fleet API and the Control API by default.
    """

    version: str
    fleet_transport: str
    fleet_api_type: str
    fleet_port: int
    control_port: int

    @property
    def keepalive(self) -> bool:
        """Tell whether the SuperNode's link to the SuperLink is gRPC, the only one that gRPC keepalive applies to."""
        return self.fleet_transport == "grpc"


# Since 1.37 the Control API is HTTP on port 8000; from 1.40 the Fleet API is too, which this appliance does not serve yet.
KNOWN = {
    release.version: release
    for release in (
        FlowerRelease("1.37.0", "grpc", "grpc-rere", 9092, 8000),
        FlowerRelease("1.38.0", "grpc", "grpc-rere", 9092, 8000),
        FlowerRelease("1.39.0", "grpc", "grpc-rere", 9092, 8000),
    )
}
DEFAULT = KNOWN["1.39.0"]


def lookup(version: str) -> FlowerRelease:
    """Return the entry of one version. Raises ValueError that names the known ones."""
    try:
        return KNOWN[version]
    except KeyError:
        raise ValueError(f"Flower {version!r} is not known; known are {', '.join(KNOWN)}") from None
