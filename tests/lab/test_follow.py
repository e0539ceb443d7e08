# SPDX-License-Identifier: GPL-3.0-or-later
"""The running federation follows its inventory: every row of the table, announced first, then held against what was done.

The tests are one story, in this order. The zones play OpenNebula 6.10, 7.0 and 7.4; the walkthrough has 7.4 alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time

import pytest

from tests.lab.conftest import NAME, changes
from tests.lab.follow import (
    NOTHING,
    Follow,
    announced,
    children,
    compare,
    differing,
    variant,
)
from tests.lab.traces import left_by, traces

BEFORE: dict[str, set[str]] = {}
VERSIONS = {"a": "6.10.0", "b": "7.0.0", "c": "7.4.0"}
# What a gateway has of any federation.
TRACES = r"""
ls -A /etc/wireguard /etc/oneflower /etc/systemd/system /etc/systemd/system/*.wants /etc/systemd/system/*.requires /etc/sysctl.d 2>/dev/null
nft list tables; ip -4 rule; ip -4 route show table all | grep -v 'table local' | sort; ip -br link | awk '{print $1}' | sort
sysctl net.ipv4.ip_forward; systemctl list-units --all --plain --no-legend 'wg-quick@*' 'oneflower*' | awk '{print $1, $3}'
"""
FULL, TWO = variant(), variant(without="c")


@pytest.fixture(scope="module")
def follow(lab, tmp_path_factory):
    BEFORE.update(traces(NAME))
    lab.lab("image")
    lab.lab("down")
    lab.lab("up", *(f"--version={site}={version}" for site, version in VERSIONS.items()))
    yield Follow(lab, tmp_path_factory.mktemp("follow"))
    lab.lab("down")


@pytest.fixture(scope="module")
def untouched(follow):
    """Return what gateways and zones are without any federation."""
    return found(follow)


def found(follow) -> dict[str, str]:
    """Return what each gateway has, and which objects each zone has."""
    state = {gateway: follow.lab.inside(gateway, "bash", "-c", TRACES) for gateway in ("gw-a", "gw-b", "gw-c")}
    return {**state, **{site: objects(follow, site) for site in "abc"}}


def objects(follow, site: str) -> str:
    """Return the names of what a zone has; VMs that are done stay in its list for ever, so those are not in it."""
    url = "http://127.0.0.1:9869/state"
    get = (
        "import json, sys, urllib.request as r; "
        "print(json.dumps({k: v for k, v in json.load(r.urlopen(sys.argv[1], timeout=9)).items() if k != 'vm'}, sort_keys=True))"
    )
    return follow.lab.inside(f"fe-{site}", "python3", "-c", get, url)


def carried_out(follow, inventory, *arguments: str, nothing_after: bool = True, names=None, cured: str = ""):
    """Show the change, make it, hold both against each other, and see that nothing is left to do. Return (announced, worlds, output)."""
    told = announced(follow.plan(inventory))
    before = follow.world()
    output = follow.run("deploy", inventory, *arguments)
    after = follow.world()
    # A SuperNode that ends in good order takes its leave itself, and then there is nothing to forget.
    certain = {host for host, entries in told.items() if any(entry["step"] != "nodes" for entry in entries)}
    assert certain <= differing(output) <= set(told), f"announced {told}\n{output[-3000:]}"
    compare(told, before, after, names=names, cured=cured)
    if nothing_after:
        nothing_left(follow, inventory)
    return told, before, after, output


def nothing_left(follow, inventory) -> None:
    output = follow.run("deploy", inventory)
    assert NOTHING in output and differing(output) == set()


def refused(follow, inventory, *arguments: str, playbook: str = "deploy", code: str) -> str:
    """Run what has to be refused; nothing may be touched by it. Return its output."""
    before = follow.world()
    follow.lab.report_path.unlink(missing_ok=True)
    output = follow.run(playbook, inventory, *arguments, check=False)
    assert differing(output) == set()
    assert f"[{code}]" in output, output[-3000:]
    assert follow.world().gateways == before.gateways
    assert {name: vm.invocation for name, vm in follow.world().vms.items()} == {
        name: vm.invocation for name, vm in before.vms.items()
    }
    return output


def subjects(told, host: str) -> set[str]:
    return {entry["subject"] for entry in told.get(host, ())}


def test_check_mode_announces_all_of_a_federation_that_does_not_exist(follow, untouched):
    """F12: it ends well, and touches nothing."""
    output = follow.run("walkthrough", follow.write(FULL), "--check", "--diff")
    assert set(changes(output)) == {"zone-a", "zone-b", "zone-c", "gw-a", "gw-b", "gw-c"} == differing(output)
    assert "+create service: 1 VM(s)" in output
    assert found(follow) == untouched


def test_a_saved_plan_builds_two_zones(follow, untouched):
    inventory = follow.write(TWO)
    document = follow.plan(inventory)
    told = announced(document)
    assert set(told) == {"zone-a", "zone-b", "gw-a", "gw-b"}
    assert {entry["kind"] for entries in told.values() for entry in entries} == {"create"}
    output = follow.run("walkthrough", inventory, "-e", f"federation_plan_file={follow.changes_path}")
    assert differing(output) == set(told)
    assert follow.lab.report()["training"]["partitions"] == [0]
    nothing_left(follow, inventory)


def test_a_saved_plan_that_does_not_hold_is_refused_with_what_moved(follow):
    output = refused(follow, follow.write(TWO), "-e", f"federation_plan_file={follow.changes_path}", code="plan.stale")
    assert re.search(r"zone-a: service: none -> id \d+, RUNNING", output)
    assert "gw-b" in output


def test_the_exit_status_tells_drift(follow):
    same, other = follow.write(TWO), follow.write(FULL)
    assert follow.plan(same, "-e", "federation_fail_on_change=true")["changed"] is False
    assert follow.plan(other, "-e", "federation_fail_on_change=true", check=False)["changed"] is True


def test_a_site_is_added(follow):
    """F4: on OpenNebula 6.10 no NIC carries a route, and the SuperLink's VM is there already."""
    told, before, after, _output = carried_out(follow, follow.write(FULL))
    assert set(told) == {"zone-a", "gw-a", "zone-c", "gw-c"}
    assert {entry["kind"] for entry in told["zone-a"]} == {"set"}
    (superlink,) = after.of_site("a").values()
    assert "10.10.12.0/24 via 10.10.10.1" in superlink.routes
    assert superlink.streams >= next(iter(before.of_site("a").values())).streams, "other sites' streams run on"
    assert sorted(vm.partition for vm in after.vms.values()) == ["", "0", "1"]


def test_a_training_by_fewer_partitions_is_told_and_repeated_only_when_asked(follow):
    """F6."""
    inventory = follow.write(FULL)
    last = follow.lab.report()
    output = follow.run("walkthrough", inventory)
    report = follow.lab.report()
    assert "[training.older]" in output and report["ok"] and differing(output) == set()
    assert report["training"]["partitions"] == [0]
    assert last is not report
    output = follow.run("train", inventory, "-e", "federation_train=true")
    assert follow.lab.report()["training"]["partitions"] == [0, 1] and "[training.older]" not in output


def test_another_order_is_no_change(follow):
    def turned(inventory):
        for group in ("training_sites", "gateways"):
            hosts = children(inventory, group)
            for name in reversed(list(hosts)):
                hosts[name] = hosts.pop(name)

    document = follow.plan(follow.write(variant(turned)))
    assert document["changes"] == [] and document["findings"] == []


def test_a_renamed_site_keeps_all_it_has(follow):
    def renamed(inventory):
        sites, gateways = children(inventory, "training_sites"), children(inventory, "gateways")
        sites["site-west"] = sites.pop("zone-c")
        gateways["gate-west"] = {**gateways.pop("gw-c"), "federation_zone": "site-west"}

    inventory = follow.write(variant(renamed))
    names = {"site-west": "c", "gate-west": "c"}
    told, before, after, _output = carried_out(follow, inventory, names=names)
    assert set(told) <= {"gw-a"}, told
    assert before.tunnels("gw-c", "key") == after.tunnels("gw-c", "key")


SETTINGS = {
    "federation_keepalive_time": 30,
    "federation_keepalive_timeout": 10,
    "federation_log_level": "DEBUG",
    "federation_certificate_names": "DNS:superlink.example.org",
}


def test_settings_are_changed_in_place_server_first(follow):
    """F2, and the announced seconds are not exceeded. The renamed site gets its name back in the same run."""
    inventory = follow.write(variant(**SETTINGS))
    with follow.sampled() as samples:
        told, before, after, _output = carried_out(follow, inventory, nothing_after=False)
    assert set(told) - {"gw-a"} == {"zone-a", "zone-b", "zone-c"}
    (superlink,) = after.of_site("a").values()
    sites = [vm for site in "bc" for vm in after.of_site(site).values()]
    assert all(vm.started > superlink.started for vm in sites), "a site was restarted before the SuperLink ran again"
    assert SETTINGS["federation_certificate_names"] in superlink.attributes["FL_CERT_SAN"].split(",")
    measured = follow.interruptions(samples, before, after)
    assert set(measured) == set(after.vms)
    for name, seconds in measured.items():
        said = max(entry["effect"]["seconds"] for entry in told[f"zone-{name.split('-')[1]}"])
        assert 0 < seconds <= said, f"{name} was interrupted for {seconds:.1f} s, announced were {said}"
    print({name: round(seconds, 1) for name, seconds in measured.items()})
    nothing_left(follow, inventory)


def test_a_setting_of_one_site_restarts_that_site_alone(follow):
    def configured(inventory):
        children(inventory, "training_sites")["zone-b"]["federation_node_config"] = "shelf=3"

    told, *_ = carried_out(follow, follow.write(variant(configured, **SETTINGS)))
    assert set(told) == {"zone-b"}


def test_two_runs_at_once(follow):
    """The site's setting is taken back by one of them."""
    inventory = follow.write(variant(**SETTINGS))
    first = follow.background("deploy", inventory)
    while "PLAY [Read the federation]" not in follow.printed.read_text():
        time.sleep(0.1)
    output = follow.run("deploy", inventory, "-e", "federation_wait_for_run=0", check=False)
    assert differing(output) == set() and "[run.locked]" in output and f"process {first.pid}" in output, output[-3000:]
    second = follow.run("deploy", inventory)
    assert first.wait() == 0 and differing(follow.printed.read_text()) == {"zone-b"}
    assert NOTHING in second and differing(second) == set()


def more(inventory) -> None:
    for given in children(inventory, "training_sites").values():
        given["federation_supernodes"] = 2


@pytest.fixture(scope="module")
def training(follow):
    """Start a training that takes longer than the tests that need it."""
    process = follow.background(
        "train",
        follow.write(variant(**SETTINGS)),
        "-e",
        "federation_train=true",
        "-e",
        "federation_rounds=5000",
        "-e",
        "federation_training_timeout=3000",
    )
    deadline = time.monotonic() + 90
    while active_runs(follow) == 0:
        assert process.poll() is None and time.monotonic() < deadline, "no training began"
        time.sleep(0.5)
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def active_runs(follow) -> int:
    return sum(int(shown.get("FL_RUNS_ACTIVE", 0)) for shown in follow.attributes().values())


def test_supernodes_are_added_while_a_training_runs(follow, training):
    """F1: what exists keeps its numbers and its process."""
    told, before, after, _output = carried_out(follow, follow.write(variant(more, **SETTINGS)))
    assert set(told) == {"zone-b", "zone-c"} and {entry["kind"] for entry in told["zone-b"]} == {"scale", "set"}, told
    assert sorted(vm.partition for vm in after.vms.values()) == ["", "0", "1", "2", "3"]
    assert set(before.vms) < set(after.vms)
    assert active_runs(follow) == 1, follow.printed.read_text()[-3000:]


def test_what_stops_a_training_waits_and_is_refused(follow, training):
    fewer, other = follow.write(variant(**SETTINGS)), follow.write(variant(more))
    for inventory in (fewer, other):
        output = refused(follow, inventory, "-e", "federation_wait_for_training=1", code="training.running")
        assert "a training is still under way after 1 s" in output
    output = refused(
        follow, fewer, "-e", "site=zone-c", "-e", "federation_wait_for_training=1", playbook="remove_site", code="training.running"
    )
    assert active_runs(follow) == 1


def test_a_training_is_interrupted_when_asked(follow, training):
    inventory = follow.write(variant(more))
    assert active_runs(follow) == 1
    told, *_ = carried_out(follow, inventory, "-e", "federation_interrupt_training=true", nothing_after=False)
    assert set(told) == {"zone-a", "zone-b", "zone-c"} and all(entry["effect"]["training"] for entry in told["zone-a"])
    nothing_left(follow, inventory)
    assert active_runs(follow) == 0


def test_supernodes_are_taken_away(follow):
    told, before, after, _output = carried_out(follow, follow.write(FULL))
    assert {"zone-b", "zone-c"} <= set(told)
    (superlink,) = after.of_site("a").values()
    assert len(superlink.nodes) == 2 < len(next(iter(before.of_site("a").values())).nodes)


def test_a_site_that_left_the_inventory_is_an_orphan_and_comes_back(follow):
    """F3: each takes one run."""
    without = follow.write(TWO)
    document = follow.plan(without)
    assert {(finding["code"], finding["host"]) for finding in document["findings"]} == {("site.orphan", "gw-a")}, document[
        "findings"
    ]
    told, before, after, output = carried_out(follow, without, nothing_after=False)
    assert "[site.orphan]" in output
    assert set(before.vms) == set(after.vms), "what is not in the inventory is not touched"
    assert before.of_site("b").values() and after.of_site("b").keys() == before.of_site("b").keys()
    nothing_left(follow, without)
    # Long enough for its SuperNodes to say that nobody answers.
    deadline = time.monotonic() + 90
    while not any("FL_ERROR" in vm for name, vm in follow.attributes().items() if name.startswith("vm-c-")):
        assert time.monotonic() < deadline
        time.sleep(1)
    back = follow.write(FULL)
    _told, before, after, _output = carried_out(follow, back, cured="c")
    assert set(before.vms) == set(after.vms)


def test_a_coordinator_made_anew_is_trusted_in_one_run(follow):
    """F5."""
    before = follow.world()
    (old,) = before.of_site("a").values()
    remove_service(follow, "a")
    inventory = follow.write(FULL)
    told, _before, after, _output = carried_out(follow, inventory)
    (new,) = after.of_site("a").values()
    assert {"zone-a", "zone-b", "zone-c"} == set(told) and subjects(told, "zone-a") == {"service"}
    assert new.attributes["FL_CA_CERT"] != old.attributes["FL_CA_CERT"]
    text = json.dumps({name: vm.attributes for name, vm in after.vms.items()})
    for secret in (old.attributes["FL_CA_CERT"], old.attributes["FL_CERT_FINGERPRINT"]):
        assert secret not in text
    assert len(new.nodes) == 2


def remove_service(follow, site: str) -> None:
    """Delete the zone's services, as somebody may."""
    session = (follow.lab.state / "one_auth").read_text().strip()
    script = (
        "import base64, json, sys, time, urllib.request as r\n"
        "head = {'Authorization': 'Basic ' + base64.b64encode(sys.argv[1].encode()).decode()}\n"
        "def ask(path, method='GET'):\n"
        "    with r.urlopen(r.Request('http://127.0.0.1:2474' + path, method=method, headers=head), timeout=9) as answer:\n"
        "        return answer.read()\n"
        "def pool():\n"
        "    found = json.loads(ask('/service'))['DOCUMENT_POOL'].get('DOCUMENT', [])\n"
        "    return found if isinstance(found, list) else [found]\n"
        "for service in pool():\n"
        "    ask('/service/' + str(service['ID']), 'DELETE')\n"
        "while pool():\n"
        "    time.sleep(0.2)\n"
    )
    follow.lab.lab("exec", f"fe-{site}", "python3", "-c", script, session)


def smaller(inventory) -> None:
    for given in children(inventory, "gateways").values():
        given["federation_underlay_mtu"] = 1460


# What the federation is from here on.
TUNNEL = {"federation_overlay": "10.10.29.0/24", "federation_wireguard_port": 51825}
OTHER, OTHER_TWO = variant(smaller, **TUNNEL), variant(smaller, without="c", **TUNNEL)


def test_mtu_overlay_and_port_are_changed_in_place(follow):
    told, before, after, _output = carried_out(follow, follow.write(OTHER))
    assert {"gw-a", "gw-b", "gw-c"} <= set(told)
    for gateway in ("gw-a", "gw-b", "gw-c"):
        assert before.tunnels(gateway, "unit") == after.tunnels(gateway, "unit")
        assert "mtu 1380" in after.tunnels(gateway, "settings")[0]
        assert "10.10.29." in after.tunnels(gateway, "key")[0]
    assert "port 51825" in after.tunnels("gw-a", "settings")[0]
    for name, vm in before.vms.items():
        assert vm.streams <= after.vms[name].streams, "streams run on"


def test_what_needs_new_vms_is_announced_and_refused(follow):
    def moved(inventory):
        smaller(inventory)
        children(inventory, "coordinator")["zone-a"]["federation_superlink_address"] = "10.10.10.7"

    inventory = follow.write(variant(moved, **TUNNEL))
    told = announced(follow.plan(inventory, check=None))
    assert ("replace", "federation_superlink_address") in {(entry["kind"], entry["reason"]) for entry in told["zone-a"]}
    refused(follow, inventory, code="change.replace")


SECOND = {
    "federation_name": "second",
    "federation_wireguard_interface": "wg1",
    "federation_wireguard_port": 51822,
    "federation_overlay": "10.10.39.0/24",
}


def test_a_second_federation_lives_beside_the_first(follow):
    def elsewhere(inventory):
        children(inventory, "coordinator")["zone-a"]["federation_superlink_address"] = "10.10.10.6"

    first, second = follow.write(OTHER), follow.write(variant(elsewhere, **SECOND))
    before = follow.world()
    told = announced(follow.plan(second))
    assert {entry["kind"] for entries in told.values() for entry in entries} == {"create"}
    follow.run("deploy", second)
    nothing_left(follow, second)
    nothing_left(follow, first)
    both = follow.world()
    assert len(both.vms) == 2 * len(before.vms)
    same_as(before, both)
    without_name = follow.run("teardown", second, check=False)
    assert "[teardown.unconfirmed]" in without_name
    follow.run("teardown", second, "-e", "federation_confirm=second")
    after = follow.world()
    assert set(after.vms) == set(before.vms) and after.gateways == before.gateways
    same_as(before, after)
    nothing_left(follow, first)


def same_as(before, after) -> None:
    """See that VMs and tunnels of a world go on in another one."""
    for name, vm in before.vms.items():
        assert after.vms[name].invocation == vm.invocation
        assert vm.streams <= after.vms[name].streams, f"a stream of {name} ended"
    for gateway, lines in before.gateways.items():
        assert set(lines) <= set(after.gateways[gateway])


def test_a_site_that_is_removed_may_keep_its_service(follow):
    inventory = follow.write(OTHER)
    before = follow.world()
    output = follow.run("remove_site", inventory, "-e", "site=zone-c", "-e", "keep_service=true")
    after = follow.world()
    assert differing(output) == {"zone-a", "gw-a", "gw-c"}
    assert set(after.vms) == set(before.vms) and not after.gateways["gw-c"]
    (superlink,) = after.of_site("a").values()
    assert len(superlink.nodes) == 1
    told, _before, back, _output = carried_out(follow, inventory, cured="c")
    assert "gw-c" in told and set(back.vms) == set(before.vms)


def test_a_site_is_removed_and_the_others_streams_run_on(follow):
    inventory = follow.write(OTHER)
    shown = follow.run("remove_site", inventory, "-e", "site=zone-c", "--check", "--diff")
    before = follow.world()
    output = follow.run("remove_site", inventory, "-e", "site=zone-c")
    after = follow.world()
    assert differing(output) == differing(shown) == {"zone-a", "zone-c", "gw-a", "gw-c"}
    assert not after.of_site("c") and not after.gateways["gw-c"]
    for name in (*before.of_site("a"), *before.of_site("b")):
        assert after.vms[name].invocation == before.vms[name].invocation
        assert after.vms[name].partition == before.vms[name].partition
    (site,) = before.of_site("b").items()
    assert site[1].streams and site[1].streams <= after.vms[site[0]].streams, "the stream runs on"
    (superlink,) = after.of_site("a").values()
    assert "10.10.12.0/24" not in superlink.routes
    assert superlink.nodes == (after.vms[site[0]].attributes["FL_NODE_ID"],)
    assert len(after.tunnels("gw-a", "peers")[0].split()) == 3
    nothing_left(follow, follow.write(OTHER_TWO))


def test_teardown_leaves_what_was_found(follow, untouched):
    inventory = follow.write(OTHER_TWO)
    output = follow.run("teardown", inventory, "-e", "federation_confirm=flower")
    assert differing(output) == {"zone-a", "zone-b", "gw-a", "gw-b"}
    assert found(follow) == untouched and follow.attributes() == {}
    again = follow.run("teardown", inventory, "-e", "federation_confirm=flower")
    assert differing(again) == set()


def test_a_site_is_added_to_a_coordinator_of_opennebula_7_0(follow):
    """F4 once more; on the lab's smallest federation."""
    follow.lab.lab("down")
    follow.lab.lab("up", "--version=a=7.0.0", "--version=b=7.4.0", "--version=c=6.10.0")
    follow.run("deploy", follow.write(TWO))
    told, _before, after, _output = carried_out(follow, follow.write(FULL))
    assert set(told) == {"zone-a", "gw-a", "zone-c", "gw-c"}
    (superlink,) = after.of_site("a").values()
    assert "10.10.12.0/24 via 10.10.10.1" in superlink.routes and len(superlink.nodes) == 2


def test_down_leaves_nothing(follow):
    follow.lab.lab("down")
    assert left_by(NAME, BEFORE) == {}
