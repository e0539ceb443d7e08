# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the appliance's package importable as on the image: with the collection's two modules inside it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "roles" / "flower_appliance" / "files"))

import oneflower_appliance  # noqa: E402

oneflower_appliance.__path__.append(str(ROOT / "plugins" / "module_utils"))
