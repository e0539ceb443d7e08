# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import wireguard

KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize("text", ["", "abc", KEY[:-4], KEY + "AAAA", "-" * 44])
def test_what_is_no_key(text: str) -> None:
    assert not wireguard.is_key(text)


def test_a_key() -> None:
    assert wireguard.is_key(KEY)


@pytest.mark.parametrize("text", ["wg0", "wg-hub_1.2", "a" * 15])
def test_a_name_of_an_interface(text: str) -> None:
    assert wireguard.is_interface_name(text)


@pytest.mark.parametrize("text", ["", ".", "..", "../wg0", "a/b", "wg0; reboot", "wg0\n", "wg 0", "a" * 16])
def test_what_is_no_name_of_an_interface(text: str) -> None:
    assert not wireguard.is_interface_name(text)
