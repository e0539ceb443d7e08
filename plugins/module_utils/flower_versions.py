# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which transport, ports and options a version of Flower has.

Pure and free of Ansible: the controller and the appliance read the same table. The facts were read in the released
packages; 1.39.0 was run as well.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlowerVersion:
    """One release: its Fleet API's transport ("grpc" or "http") and port, the Control API's port, and whether gRPC
    keepalive has an object."""

    version: str
    fleet_transport: str
    fleet_port: int
    control_port: int

    @property
    def keepalive(self) -> bool:
        """Whether the link from SuperNode to SuperLink is gRPC, the only one that gRPC keepalive applies to."""
        return self.fleet_transport == "grpc"


# Since 1.37 the Control API is HTTP on port 8000; from 1.40 the Fleet API is too, which this appliance does not serve yet.
KNOWN = {
    version.version: version
    for version in (
        FlowerVersion("1.37.0", "grpc", 9092, 8000),
        FlowerVersion("1.38.0", "grpc", 9092, 8000),
        FlowerVersion("1.39.0", "grpc", 9092, 8000),
    )
}
DEFAULT = "1.39.0"


def lookup(version: str) -> FlowerVersion:
    """The entry of one version; raises ValueError that names the known ones."""
    try:
        return KNOWN[version]
    except KeyError:
        raise ValueError(f"Flower {version!r} is not known; known are {', '.join(KNOWN)}") from None
