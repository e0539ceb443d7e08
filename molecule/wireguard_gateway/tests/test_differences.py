# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller finds out of what was read is what the role does: everything on a fresh host, nothing afterwards."""

import json
import os
from pathlib import Path

import pytest
from ansible_collections.oneflower.federation.plugins.plugin_utils.federation import gateways

RESULTS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
HOSTS = ("gw-a", "gw-b", "gw-c")


def kept(interface: str, suffix: str = ""):
    """Return ({host: planned}, {host: Gateway}, {host: changes of the role}) as converge.yml kept them."""
    found = {host: json.loads((RESULTS / f"{interface}-{host}{suffix}.json").read_text()) for host in HOSTS}
    return (
        {host: entry["planned"] for host, entry in found.items()},
        {host: gateways.Gateway.from_result(entry["read"]) for host, entry in found.items()},
        {host: entry["applied"]["changes"] for host, entry in found.items()},
    )


@pytest.mark.parametrize("interface", ["wg0", "wg1"])
def test_a_gateway_as_planned_has_no_difference(interface):
    planned, read, _changes = kept(interface)
    for host in HOSTS:
        assert gateways.differences(planned[host], read[host], read) == []


@pytest.mark.parametrize("interface", ["wg0", "wg1"])
@pytest.mark.parametrize("host", HOSTS)
def test_check_mode_of_the_role_and_the_controller_say_the_same(interface, host):
    planned, read, changes = kept(interface, "-check")
    found = [difference._asdict() for difference in gateways.differences(planned[host], read[host], {})]
    assert found == changes[host] and found
    # The peers' keys will be made in the same run.
    with_peers = {str(difference) for difference in gateways.differences(planned[host], read[host], read)}
    assert {f"create peer {peer['host']}" for peer in planned[host]["wireguard_gateway_peers"]} <= {
        text.split(":")[0] for text in with_peers
    }


@pytest.mark.parametrize("interface", ["wg0", "wg1"])
def test_what_a_removal_would_take(interface):
    planned, read, _changes = kept(interface)
    subjects = {difference.subject for difference in gateways.removals(planned["gw-b"], read["gw-b"])}
    assert {"interface", "configuration", "key", "firewall", "federation"} <= subjects
    other = {**planned["gw-b"], "wireguard_gateway_federation": "third"}
    assert gateways.removals(other, read["gw-b"]) == []
