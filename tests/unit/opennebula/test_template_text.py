# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's template language."""

from __future__ import annotations

import contextlib

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


@pytest.mark.parametrize("name", ["1A", "V/1A"])
def test_a_name_that_oned_would_change_is_refused(name: str) -> None:
    """It would be kept as ONE_1A."""
    outer, _slash, inner = name.partition("/")
    with pytest.raises(InvalidRequest, match="1A"):
        template_text.render_template({outer: {inner: "x"} if inner else "x"})


def test_nothing_is_empty_in_xml() -> None:
    """oned leaves an empty element out; one with an empty CDATA section stays."""
    text = template_text.render_template({"A": "end\\", "B": "", "V": {"C": ""}})
    assert "<B><![CDATA[]]></B>" in text and "<V><C><![CDATA[]]></C></V>" in text
    assert answers.xml_to_data(text) == {"A": "end\\", "B": "", "V": {"C": ""}}


@pytest.mark.parametrize(
    ("value", "kept"),
    [([], ""), ({}, ""), (["a"], "a"), (["a", 2], ["a", "2"]), ({"k": True}, {"K": "YES"}), (None, ""), ("a\r\nb", "a\nb")],
)
def test_values_as_opennebula_returns_them(value: object, kept: object) -> None:
    assert template_text.stored(value) == kept and template_text.equal(kept, template_text.stored(value))


def test_outer_blanks_are_nothing() -> None:
    assert template_text.equal({"A": "x", "B": "y"}, {"A": " x", "B": "y\n"}) and template_text.equal(["a", "b"], [" a", "b "])
    assert not template_text.equal({"A": "x"}, {"A": "x", "B": ""}) and not template_text.equal("a", ["a", "b"])


@pytest.mark.parametrize("character", "&|:\\\";/'#{}$<>\t")
def test_names_that_oned_refuses_to_give(character: str) -> None:
    with pytest.raises(InvalidRequest, match="contains"):
        template_text.check_new_name("new_name", f"a{character}b")


@pytest.mark.parametrize("name", ["a:b", "it's", "#1", "a/b", "a|b"])
def test_new_documents_may_have_them(name: str) -> None:
    template_text.check_name("name", name)


@pytest.mark.parametrize(("name", "fits"), [("ü" * 64, True), ("ü" * 65, False), ("a" * 128, True), ("€" * 43, False)])
def test_names_are_measured_in_bytes(name: str, fits: bool) -> None:
    with contextlib.nullcontext() if fits else pytest.raises(InvalidRequest, match="bytes in UTF-8"):
        template_text.check_name("name", name)


@pytest.mark.parametrize(("number", "fits"), [(0, True), (2**31 - 1, True), (2**31, False), (-1, False), (None, True)])
def test_ids(number: int | None, fits: bool) -> None:
    with contextlib.nullcontext() if fits else pytest.raises(InvalidRequest, match="no OpenNebula id"):
        template_text.check_id("id", number)
