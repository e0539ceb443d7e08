# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest doubles say through OneGate what the appliance would, on real lab zones."""

from __future__ import annotations

import socket
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.follow import guests
from benchmarks.follow.appliance import attributes, settings, tls
from lab.zone import harness as lab
from lab.zone.server import Zone

ADDRESS = "10.0.0.5:9092"
ROLE = {"name": "role", "type": "vm", "template_id": 0, "cardinality": 1}
TEMPLATE = {"name": "service", "deployment": "straight", "ready_status_gate": True, "roles": [ROLE]}


def zone(folder: Path, name: str, context: dict[str, str]) -> t.Any:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = lab.config(folder, name, onegate_endpoint=f"http://127.0.0.1:{port}")
    made.listen["onegate"] = ("127.0.0.1", port)
    context = {"NETWORK": "YES", "TOKEN": "YES", **context}
    made.seed["vm_templates"] = [{"name": "base", "image": "base", "nic": "lan", "context": context}]
    return made


def serve(place: Zone) -> int:
    status, answer = lab.flow(place, "POST", "/service_template", TEMPLATE)
    assert status == 201, answer
    status, answer = lab.flow(
        place, "POST", f"/service_template/{answer['DOCUMENT']['ID']}/action", {"action": {"perform": "instantiate"}}
    )
    assert status == 201, answer
    return int(answer["DOCUMENT"]["ID"])


def said(place: Zone, number: int) -> dict[str, t.Any]:
    vm = place.store.get("vm", number)
    return dict(vm.user_template.pairs) if vm else {}


def online(place: Zone, nodes: int) -> None:
    lab.until(lambda: said(place, 0).get(attributes.NODES_ONLINE) == str(nodes), f"{nodes} nodes online", 20)


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[tuple[Zone, Zone]]:
    made = tls.ensure(tmp_path / "ca", tmp_path / "tls", ["IP:10.0.0.5"], "superlink", 0, tls.utcnow())
    node = {
        settings.ROLE: settings.SUPERNODE,
        settings.SUPERLINK_ADDRESS: ADDRESS,
        settings.CA_CERTIFICATE: settings.format_pem(made.ca_pem),
        settings.PARTITIONS: "4,7",
    }
    configs = zone(tmp_path, "hub", {settings.ROLE: settings.SUPERLINK}), zone(tmp_path, "site", node)
    with lab.running(*configs) as (_runner, zones):
        played = guests.Guests(zones, guests.SuperLink(ADDRESS, made))
        played.start()
        try:
            yield zones[0], zones[1]
        finally:
            played.stop()


def test_a_federation_comes_up_grows_shrinks_and_forgets(federation: tuple[Zone, Zone]) -> None:
    hub, site = federation
    coordinator, service = serve(hub), serve(site)
    for place, number in ((hub, coordinator), (site, service)):
        lab.until(lambda place=place, number=number: (lab.body(place, number) or {}).get("state") == 2, "the gate opens", 20)
    online(hub, 1)
    node = said(site, 0)
    assert node[attributes.PARTITION] == "4" and node[attributes.SUPERLINK_DIALLED] == ADDRESS
    assert node[attributes.PEER_FINGERPRINT] == said(hub, 0)[attributes.CERTIFICATE_FINGERPRINT]

    scale = {"role_name": "role", "cardinality": 2, "force": False}
    status, answer = lab.flow(site, "POST", f"/service/{service}/scale", scale)
    assert status in (200, 201, 204), answer
    online(hub, 2)
    assert said(site, 1)[attributes.PARTITION] == "7"
    gone = said(site, 0)[attributes.NODE_ID]

    lab.one(site, "one.vm.action", "terminate-hard", 0)
    online(hub, 1)
    assert attributes.parse_nodes(said(hub, 0)[attributes.NODES])[gone] is False
    lab.one(hub, "one.vm.update", 0, f'{attributes.NODES_FORGET}="{gone}"', 1)
    lab.until(lambda: gone not in attributes.parse_nodes(said(hub, 0)[attributes.NODES]), "the node is forgotten", 20)


def test_a_changed_setting_is_in_force_with_its_digest(federation: tuple[Zone, Zone]) -> None:
    hub, _site = federation
    serve(hub)
    before = lab.until(lambda: said(hub, 0).get(attributes.SETTINGS_DIGEST), "a digest", 20)
    lab.one(hub, "one.vm.update", 0, f'{settings.KEEPALIVE_TIME}="45"', 1)
    wanted = settings.digest(settings.SUPERLINK, {settings.KEEPALIVE_TIME: "45"})
    lab.until(lambda: said(hub, 0)[attributes.SETTINGS_DIGEST] == wanted, "the new digest", 20)
    assert wanted != before and "time_ms=45000" in said(hub, 0)[attributes.KEEPALIVE]


def test_a_supernode_that_trusts_another_ca_does_not_connect(federation: tuple[Zone, Zone], tmp_path: Path) -> None:
    hub, site = federation
    serve(hub)
    serve(site)
    online(hub, 1)
    other = tls.ensure(tmp_path / "other", tmp_path / "other-tls", ["IP:10.0.0.5"], "superlink", 0, tls.utcnow())
    lab.one(site, "one.vm.update", 0, f'{settings.CA_CERTIFICATE}="{settings.format_pem(other.ca_pem)}"', 1)
    online(hub, 0)
    assert said(site, 0)[attributes.READY] == settings.NO
