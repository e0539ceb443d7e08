# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the appliance's package importable as it is on an image."""

import sys
from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "roles/flower_appliance/files"
sys.path[:0] = [str(FILES), str(FILES / "smoke_app")]


@pytest.fixture
def paths(tmp_path):
    """Paths of an image below a scratch folder, with the folders the role makes."""
    from oneflower_appliance.paths import Paths

    made = Paths(tmp_path)
    for folder in (made.tls, made.run, made.state, made.home, made.runs, made.data, made.cli):
        folder.mkdir(parents=True)
    return made
