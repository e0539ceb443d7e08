# SPDX-License-Identifier: GPL-3.0-or-later
"""Every recorded exchange of a real OpenNebula 7.4.0, replayed in order against fresh lab zones.

All are replayed. Two answers of slaves show the federation's lag at that moment and are checked for that instead of
literally (`replay.LAG`); the recordings with a stopped master or a killed oned stop that part of the lab zone.
"""

from __future__ import annotations

import copy

import pytest

from tests.fixtures import recording
from tests.unit.lab_zone import replay

KEYS = [f"{found.key}" for found in recording.all_recordings()]


@pytest.fixture(scope="module")
def differences(tmp_path_factory):
    return replay.replay(tmp_path_factory.mktemp("replay"))


@pytest.mark.parametrize("key", KEYS)
def test_lab_zone_answers_as_recorded(differences, key):
    assert differences[key] == ""


def test_nothing_is_left_out():
    counts = {kind: sum(key.startswith(kind) for key in KEYS) for kind in recording.APIS}
    assert counts == {"oneflow": 261, "xmlrpc": 123, "onegate": 17}


def test_the_comparison_sees_a_changed_answer():
    """The normalisation must not normalise away what matters."""
    changes = {
        "oneflow/101": ('"state": 10', '"state": 2'),
        "oneflow/145": ("Error getting virtual machine template [999]", "Error getting template [999]"),
        "xmlrpc/009": ("&lt;READY&gt;&lt;![CDATA[YES]]", "&lt;READY&gt;&lt;![CDATA[NO]]"),
        "xmlrpc/021": ("<i4>1024</i4>", "<i4>512</i4>"),
        "onegate/015": ('"READY":"YES"', '"READY":"NO"'),
        "oneflow/001": ("{\n  }", "{}"),
    }
    known = {found.key: found for found in recording.all_recordings()}
    for key, (old, new) in changes.items():
        found = known[key]
        assert old in found.answer, key
        other = copy.copy(found)
        other.answer = found.answer.replace(old, new)
        assert replay.normal(found.kind, other.answer, {}) != replay.normal(found.kind, found.answer, {}), key
