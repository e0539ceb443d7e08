# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules are nftables' own language, name what is this federation's alone, and do not depend on the order of peers."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.gateway import firewall

LANS = ["10.10.11.0/24", "10.10.12.0/24"]
NFT = shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin")


def rules(role: str, interface: str = "wg0", number: int = 9, superlink: str = "10.10.10.5", **more) -> str:
    overlay = f"10.10.{number}"
    behind = [f"{overlay}.2/32", f"{overlay}.3/32", *LANS] if role == "hub" else [f"{overlay}.1/32", f"{superlink}/32"]
    return firewall.rules(
        interface=interface,
        role=role,
        address=f"{overlay}.1/24" if role == "hub" else f"{overlay}.2/24",
        lan="10.10.10.0/24" if role == "hub" else "10.10.11.0/24",
        superlink_address=superlink,
        fleet_port=9092,
        **{"allowed_ips": behind, **more},
    )


@pytest.mark.parametrize("order", list(itertools.permutations(["10.10.9.2/32", "10.10.9.3/32", "10.10.11.0/24"])))
def test_the_order_of_peers_is_no_difference(order):
    assert rules("hub", allowed_ips=order) == rules("hub", allowed_ips=["10.10.9.2/32", "10.10.9.3/32", "10.10.11.0/24"])


@pytest.mark.skipif(os.geteuid() != 0 or NFT is None, reason="needs root and nft")
@pytest.mark.parametrize("interface", ["wg0", "wg-b_1.2"])
@pytest.mark.parametrize("role", ["hub", "spoke"])
@pytest.mark.parametrize("behind", [None, [], ["10.10.11.0/24", "10.10.11.5/32"]])
def test_the_kernel_takes_them(role, interface, behind):
    """Also without peers, with networks inside others, twice, and beside another federation's."""
    more = {} if behind is None else {"allowed_ips": behind}
    text = rules(role, interface, **more) * 2 + rules(role, "wg9", 19, "10.10.10.6")
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"{NFT} --file - && {NFT} --json list tables"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tables = {entry["table"]["name"] for entry in json.loads(done.stdout)["nftables"] if "table" in entry}
    assert tables == {firewall.table(interface), firewall.table("wg9")}


def test_a_hub_matches_nothing_of_another_federation_with_the_same_sites():
    """Every rule names the interface, or an address that only this federation has."""
    own = ('"wg0"', "ip daddr { 10.10.9.", "ip saddr 10.10.10.5 ")
    for line in rules("hub").splitlines():
        if line.endswith((" drop", " accept")) and "policy" not in line:
            assert any(text in line for text in own), line


def test_everything_goes_by_the_interface():
    for made in (firewall.table, firewall.rules_path, firewall.unit_path, firewall.service):
        assert "wg7" in made("wg7")
    text = firewall.unit("wg7")
    assert "RequiredBy=wg-quick@wg7.service" in text and "wg0" not in text
    # Forwarding only with rules.
    lines = text.splitlines()
    starts = [line for line in lines if line.startswith("ExecStart=")]
    assert "nft" in starts[0] and "ip_forward=1" in starts[1]
