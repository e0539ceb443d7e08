# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's template language."""

from __future__ import annotations

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula import answers, template_text
from ansible_collections.oneflower.federation.plugins.module_utils.opennebula.errors import InvalidRequest


@pytest.mark.parametrize(
    "value", ['say "hi"', "two\nlines", "ünïcode ☃", "a\\b", 'a\\"b', "[x], y=z", "$HOME ${x} # no comment", "", "<&>", "it's"]
)
def test_values_survive_template_text(value: str) -> None:
    text = template_text.render_template({"A": value, "V": {"B": value}, "N": [{"C": "1"}, {"C": value}]})
    assert template_text.parse_template(text) == {"A": value, "V": {"B": value}, "N": [{"C": "1"}, {"C": value}]}


def test_a_backslash_at_the_end_goes_as_xml() -> None:
    text = template_text.render_template({"A": "end\\", "B": "<&", "V": {"C": "x"}})
    assert answers.xml_to_data(text) == {"A": "end\\", "B": "<&", "V": {"C": "x"}}


@pytest.mark.parametrize("attributes", [{"A": "x]]>y"}, {"A": "\x00"}, {"A B": "x"}, {"V": {"k-ey": "x"}}, {"A": "\ud800"}])
def test_what_opennebula_cannot_store_is_refused(attributes: dict) -> None:
    with pytest.raises(InvalidRequest):
        template_text.render_template(attributes)


@pytest.mark.parametrize("text", ["A=[B=1", "A=[B=[C=1]]", "just words", "A"])
def test_broken_template_text(text: str) -> None:
    with pytest.raises(ValueError):
        template_text.parse_template(text)
