# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The appliance's own code and tables, for those here who play or watch its VMs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "flower_appliance" / "files"))

from oneflower_appliance import context, onegate, partition, publish, tls
from oneflower_appliance.appliance import attributes, settings

__all__ = ["attributes", "context", "onegate", "partition", "publish", "settings", "tls"]
