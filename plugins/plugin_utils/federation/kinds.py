# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of values that inventory variables have: from what YAML or the command line gives to a typed value. Pure.

A kind is called with a value that is neither None nor empty text. It returns the typed value or raises ValueError with a
phrase that follows the name of the variable, such as "is 'abc'; a whole number is needed".
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections.abc import Callable
from urllib.parse import urlsplit

from ansible_collections.oneflower.federation.plugins.module_utils.gateway.wireguard import is_interface_name

Kind = Callable[[t.Any], t.Any]


def text(value: t.Any) -> str:
    """Return any scalar as text."""
    if isinstance(value, (dict, list, tuple, bool)):
        raise ValueError(f"is {value!r}; text is needed")
    return str(value)


def service_name(value: t.Any) -> str:
    """Return the beginning of the services' names; OpenNebula takes names of 128 bytes, without these characters."""
    name = text(value)
    if re.search(r"""[&|:\\";/'#{}$<>\t\n]""", name):
        raise ValueError(f"""is {name!r}; OpenNebula takes no & | : \\ " ; / ' # {{ }} $ < > in a name""")
    if len(name.encode()) > 100:
        raise ValueError(f"has {len(name.encode())} bytes; at most 100 are left for it in a name of OpenNebula")
    return name


def whole_number(low: int, high: int) -> Kind:
    """Return the kind of whole numbers from `low` to `high`."""

    def kind(value: t.Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            number = low - 1
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError(f"is {value!r}; a whole number from {low} to {high} is needed")
        return number

    return kind


def boolean(value: t.Any) -> bool:
    """Return true or false, from what YAML and the command line call so."""
    word = str(value).lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"is {value!r}; true or false is needed")


def network(value: t.Any) -> ipaddress.IPv4Network:
    """Return an IPv4 network."""
    try:
        return ipaddress.IPv4Network(str(value))
    except ValueError as error:
        raise ValueError(f"is {value!r}, not an IPv4 network such as 10.10.11.0/24 ({error})") from None


def address(value: t.Any) -> ipaddress.IPv4Address:
    """Return an IPv4 address."""
    try:
        return ipaddress.IPv4Address(str(value))
    except ValueError:
        raise ValueError(f"is {value!r}, not an IPv4 address") from None


def host(value: t.Any) -> str:
    """Return an IPv4 or IPv6 address or a DNS name, as text."""
    name = str(value)
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    labels = name.rstrip(".").split(".")
    if len(name) > 253 or not all(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", label) for label in labels):
        raise ValueError(f"is {value!r}; an IP address or a DNS name is needed, without scheme and port")
    return name


def url(value: t.Any) -> str:
    """Return an http or https URL without credentials."""
    try:
        parts = urlsplit(str(value))
        _port = parts.port
        good = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    except ValueError:
        good = False
    if not good or re.search(r"\s", str(value)):
        raise ValueError(f"is {value!r}, not an http(s) URL such as https://one.example.org:2633/RPC2")
    return str(value)


def interface(value: t.Any) -> str:
    """Return the name of a network interface; Linux takes 15 characters (IFNAMSIZ)."""
    name = str(value)
    if not is_interface_name(name):
        raise ValueError(f"is {value!r}; 1 to 15 letters, digits, and of _ = + . - are needed")
    return name


def host_port(name: str, port: int) -> str:
    """Return "host:port", an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
