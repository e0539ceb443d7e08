# SPDX-License-Identifier: GPL-3.0-or-later
"""From CONTEXT to a federation, and what happens to it then. The tests build on one another, in this order."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest
from ansible_collections.oneflower.federation.plugins.module_utils.appliance import attributes, settings
from ansible_collections.oneflower.federation.plugins.module_utils.appliance.attributes import Keepalive

from tests.lab.appliance.conftest import NAME


@pytest.fixture(scope="module")
def superlink(federation):
    host = federation.superlink
    host.context(FL_ROLE="superlink", FL_CERT_EXTRA_SAN="IP:203.0.113.2")
    host.ready()
    return host


@pytest.fixture(scope="module")
def nodes(federation, superlink):
    for node in federation.nodes:
        node.context(**federation.node_context())
    for node in federation.nodes:
        node.ready()
    return federation.nodes


def sockets(host) -> set[str]:
    return set(re.findall(r"^LISTEN\s+\d+\s+\d+\s+(\S+)", host.inside("ss", "-Hltn"), flags=re.MULTILINE))


def test_superlink_serves_and_says_so(superlink):
    held = superlink.attributes
    assert held["FL_ENDPOINT"] == f"{superlink.address}:9092"
    assert {f"IP:{superlink.address}", "IP:203.0.113.2", "DNS:superlink"} <= set(held["FL_CERT_SAN"].split(","))
    assert held["FL_KEEPALIVE"] == "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,min_interval_ms=30000"
    assert (held["FL_TLS"], held["FL_READY"], held["FL_VERSION"], held["FL_ROLE"]) == ("YES", "YES", "1.39.0", "superlink")


def test_only_the_fleet_api_is_open(superlink):
    listening = sockets(superlink)
    assert "*:9092" in listening
    assert "127.0.0.1:8000" in listening
    assert {entry for entry in listening if not entry.startswith(("127.", "[::1]"))} <= {"*:9092", "0.0.0.0:22", "[::]:22"}


def test_the_service_user_cannot_read_the_ca_key(superlink):
    assert superlink.inside("stat", "-c", "%a %U", "/var/lib/oneflower/ca.key").split() == ["600", "root"]
    for path in ("/var/lib/oneflower/ca.key", "/run/oneflower/context.json"):
        assert "denied" in superlink.inside("runuser", "-u", "flower", "--", "cat", path, check=False)
    assert superlink.inside("stat", "-c", "%a %U %G", "/etc/flower/tls/server.key").split() == ["640", "root", "flower"]


def test_supernodes_are_verified_connected_and_counted(federation, superlink, nodes):
    federation.online(2)
    for node in nodes:
        assert node.attributes["FL_PEER_FINGERPRINT"] == superlink.attributes["FL_CERT_FINGERPRINT"]
        assert node.attributes["FL_SUPERLINK"] == f"{superlink.address}:9092"
        # The last is what the kernel reports for the connection: dead peers are noticed after that.
        assert node.attributes["FL_KEEPALIVE"] == "time_ms=60000,timeout_ms=20000,permit=1,max_pings=0,tcp_user_timeout_ms=20000"
        assert "127.0.0.1:9094" in sockets(node)
    assert [node.attributes["FL_PARTITION_ID"] for node in nodes] == ["0", "1"]


def test_what_is_in_force_is_published(federation, superlink, nodes):
    assert superlink.attributes["FL_SETTINGS"] == settings.digest("superlink", {"FL_CERT_EXTRA_SAN": "IP:203.0.113.2"})
    for node in nodes:
        assert node.attributes["FL_SETTINGS"] == settings.digest("supernode", federation.node_context())


def ids_agree(superlink, nodes) -> set[str]:
    """Wait until the SuperLink has the nodes that the SuperNodes say they are, all online and no others; return their ids."""

    def own() -> set[str]:
        return {node.attributes.get("FL_NODE_ID", "") for node in nodes}

    superlink.wait(30, lambda held: attributes.parse_nodes(held.get("FL_NODES", "")) == dict.fromkeys(own(), True))
    return own()


def test_nodes_are_known_by_the_ids_that_they_publish(superlink, nodes):
    assert len(ids_agree(superlink, nodes)) == 2


def test_trains(superlink, nodes):
    assert superlink.attributes["FL_RUNS_ACTIVE"] == "0"
    superlink.attributes["FL_RUN_REQUEST"] = "first rounds=3 partitions=2"
    superlink.wait(30, lambda held: held["FL_RUNS_ACTIVE"] == "1")
    superlink.wait(120, lambda held: held.get("FL_RUN_ID") == "first" and held["FL_RUN_STATUS"] != "running")
    superlink.wait(30, lambda held: held["FL_RUNS_ACTIVE"] == "0")
    held = superlink.attributes
    assert (held["FL_RUN_STATUS"], "FL_RUN_ERROR" in held) == ("finished", False)
    assert (held["FL_RUN_ROUND"], held["FL_RUN_NODES"], held["FL_RUN_PARTITIONS"]) == ("3", "2", "0,1")
    losses = [float(loss) for loss in held["FL_RUN_LOSS"].split(",")]
    assert len(losses) == 3
    assert losses[0] > 3 * losses[1] > 9 * losses[2]


def test_the_number_of_partitions_reaches_the_apps_with_the_run(superlink, nodes):
    superlink.attributes["FL_RUN_REQUEST"] = "short rounds=1 partitions=1"
    superlink.wait(120, lambda held: held.get("FL_RUN_ID") == "short" and held["FL_RUN_STATUS"] != "running")
    assert superlink.attributes["FL_RUN_STATUS"] == "failed"
    assert "holds partition 1 of a federation that has 1" in superlink.attributes["FL_RUN_ERROR"]


def test_same_context_again_restarts_nothing(federation, superlink, nodes):
    before = [superlink.main_pid("flower-superlink"), *(node.main_pid("flower-supernode") for node in nodes)]
    superlink.context(FL_ROLE="superlink", FL_CERT_EXTRA_SAN="IP:203.0.113.2")
    for node in nodes:
        node.context(**federation.node_context())
    time.sleep(4)
    assert [superlink.main_pid("flower-superlink"), *(node.main_pid("flower-supernode") for node in nodes)] == before
    assert all(host.attributes["READY"] == "YES" for host in (superlink, *nodes))


def test_bad_context_changes_nothing_and_is_told(federation, nodes):
    before = nodes[0].main_pid("flower-supernode")
    nodes[0].context(**federation.node_context(FL_LOG_LEVEL="LOUD", FL_NUM_PARTITIONS="some"))
    nodes[0].wait(10, lambda held: "FL_ERROR" in held)
    assert "FL_LOG_LEVEL" in nodes[0].attributes["FL_ERROR"]
    assert "FL_NUM_PARTITIONS" in nodes[0].attributes["FL_ERROR"]
    assert nodes[0].main_pid("flower-supernode") == before
    nodes[0].context(**federation.node_context())
    nodes[0].ready()
    assert nodes[0].main_pid("flower-supernode") == before


def change(host, role, values, **changes) -> float:
    """Change settings as user attributes; return the seconds until they are published as in force."""
    host.attributes.update(changes)
    return host.wait(
        60, lambda held: held.get("FL_SETTINGS") == settings.digest(role, {**values, **changes}) and held["FL_READY"] == "YES"
    )


def interrupted(host, unit: str, since: float) -> float:
    """Return from when on the agent restarts a unit, which it tells its journal, in seconds since 1970."""
    lines = host.inside("journalctl", "-u", "oneflower-agent", "-o", "short-unix", "--no-pager").splitlines()
    (line,) = [line for line in lines if f"restarting {unit}" in line and float(line.split()[0]) > since]
    return float(line.split()[0])


def test_keepalive_changed_through_a_user_attribute(federation, nodes):
    before, began = nodes[1].main_pid("flower-supernode"), time.time()
    took = change(nodes[1], "supernode", federation.node_context(), FL_GRPC_KEEPALIVE_TIMEOUT="10")
    assert Keepalive.parse(nodes[1].attributes["FL_KEEPALIVE"]).tcp_user_timeout_ms in (10000, None)
    nodes[1].wait(
        30, lambda held: held.get("FL_KEEPALIVE", "").endswith("timeout_ms=10000,permit=1,max_pings=0,tcp_user_timeout_ms=10000")
    )
    assert nodes[1].main_pid("flower-supernode") != before
    channels = json.loads(nodes[1].inside("cat", "/run/flower-supernode/grpc.json"))["channels"]
    connected = max(channel["answered"].get("ActivateNode", 0) for channel in channels)
    print(
        f"SuperNode: interrupted {connected - interrupted(nodes[1], 'flower-supernode', began):.1f} s, in force after {took:.1f} s"
    )


def test_keepalive_of_the_superlink_changed_through_a_user_attribute(superlink, nodes):
    """Its SuperNodes come back by themselves, as the nodes that they were."""
    ids = ids_agree(superlink, nodes)
    before, began = superlink.main_pid("flower-superlink"), time.time()
    values = {"FL_CERT_EXTRA_SAN": "IP:203.0.113.2"}
    took = change(superlink, "superlink", values, FL_GRPC_KEEPALIVE_TIMEOUT="10")
    assert superlink.attributes["FL_KEEPALIVE"].startswith("time_ms=60000,timeout_ms=10000,")
    assert superlink.main_pid("flower-superlink") != before
    stopped = interrupted(superlink, "flower-superlink", began)
    print(f"SuperLink: served again {time.time() - stopped:.1f} s after its stop at most, in force after {took:.1f} s")
    for node in nodes:
        node.wait(60, lambda held: held["FL_READY"] == "YES" and "FL_ERROR" not in held)
    assert ids_agree(superlink, nodes) == ids


def test_a_run_that_a_restart_ends_is_told_and_the_next_one_taken_up(superlink, nodes):
    superlink.attributes["FL_RUN_REQUEST"] = "long rounds=500"
    superlink.wait(60, lambda held: held.get("FL_RUN_ID") == "long" and held["FL_RUN_ROUND"] not in ("0", "1"))
    change(superlink, "superlink", {"FL_CERT_EXTRA_SAN": "IP:203.0.113.2"}, FL_GRPC_KEEPALIVE_TIMEOUT="11")
    took = superlink.wait(30, lambda held: held["FL_RUN_STATUS"] == "failed" and held["FL_RUNS_ACTIVE"] == "0")
    print(f"a run that a restart ended is told {took:.1f} s after it")
    assert superlink.attributes["FL_RUN_ERROR"] == "the SuperLink was restarted while the run was under way"
    superlink.attributes["FL_RUN_REQUEST"] = "next rounds=1"
    superlink.wait(90, lambda held: held["FL_RUN_ID"] == "next" and held["FL_RUN_STATUS"] != "running")
    assert (superlink.attributes["FL_RUN_STATUS"], superlink.attributes["FL_RUN_PARTITIONS"]) == ("finished", "0,1")


def test_routes_are_kept_without_a_restart(federation, superlink, nodes):
    def routes() -> set[tuple[str, str]]:
        return set(
            re.findall(r"^(\S+) via (\S+) ", nodes[0].inside("ip", "-4", "route", "show", "proto", "198"), flags=re.MULTILINE)
        )

    before = nodes[0].main_pid("flower-supernode")
    neighbour = superlink.address
    change(
        nodes[0], "supernode", federation.node_context(), FL_ROUTES=f"10.77.1.0/24 via {neighbour}, 10.77.2.0/24 via {neighbour}"
    )
    assert routes() == {("10.77.1.0/24", neighbour), ("10.77.2.0/24", neighbour)}
    nodes[0].inside("ip", "route", "del", "10.77.1.0/24")
    deadline = time.monotonic() + 10
    while len(routes()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    change(nodes[0], "supernode", federation.node_context(), FL_ROUTES="")
    assert routes() == set()
    assert nodes[0].main_pid("flower-supernode") == before


def test_a_supernode_that_is_stopped_takes_its_leave_and_one_that_dies_is_forgotten_when_asked(superlink, nodes):
    def ids() -> dict[str, bool]:
        return attributes.parse_nodes(superlink.attributes.get("FL_NODES", ""))

    def restarted(kill: str) -> tuple[str, str]:
        """Return the id of the node before and after."""
        before = nodes[0].attributes["FL_NODE_ID"]
        nodes[0].inside("systemctl", "kill", f"--signal={kill}", "--kill-whom=all", "flower-supernode")
        nodes[0].wait(60, lambda held: held.get("FL_NODE_ID", before) != before and held["FL_READY"] == "YES")
        superlink.wait(30, lambda _held: nodes[0].attributes["FL_NODE_ID"] in ids())
        return before, nodes[0].attributes["FL_NODE_ID"]

    before, after = restarted("SIGTERM")
    assert before not in ids()
    before, after = restarted("SIGKILL")
    assert before in ids(), "Flower has learnt to forget by itself"
    count = len(ids())
    asked = attributes.format_node_ids([before, "12345"])
    superlink.attributes["FL_NODES_FORGET"] = asked
    took = superlink.wait(60, lambda _held: before not in ids())
    print(f"forgotten after {took:.1f} s")
    assert after in ids() and len(ids()) == count - 1
    # What is asked for already does no harm to those that are there.
    time.sleep(4)
    told = superlink.inside("journalctl", "-u", "oneflower-agent", "--no-pager")
    assert f"node {before} forgotten" in told and "cannot be unregistered" not in told
    assert superlink.attributes["FL_NODES_FORGET"] == asked
    assert len(ids()) == count - 1 and "FL_ERROR" not in superlink.attributes


def test_wrong_ca(federation, nodes):
    other = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
    nodes[0].inside(
        "sh",
        "-c",
        f"mkdir -p /etc/ssl/certs; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=other "
        f"-addext basicConstraints=critical,CA:TRUE -keyout /dev/null -out {other} 2>/dev/null",
    )
    wrong = nodes[0].inside("base64", "-w0", other).strip()
    nodes[0].context(**federation.node_context(FL_SSL_CA_CERTFILE=wrong))
    nodes[0].wait(20, lambda held: "not signed by the CA" in held.get("FL_ERROR", "") and held["READY"] == "NO")
    nodes[0].context(**federation.node_context())
    nodes[0].ready()


def test_wrong_name_then_a_certificate_with_it(federation, superlink, nodes):
    nodes[0].inside("sh", "-c", f"echo '{superlink.address} fl.example.org' >> /etc/hosts")
    context = federation.node_context(FL_SUPERLINK_ADDRESS="fl.example.org:9092")
    nodes[0].context(**context)
    nodes[0].wait(20, lambda held: "not for this address" in held.get("FL_ERROR", "") and held["READY"] == "NO")
    ca, before = superlink.attributes["FL_CA_CERT"], superlink.attributes["FL_CERT_FINGERPRINT"]
    superlink.context(FL_ROLE="superlink", FL_CERT_EXTRA_SAN="IP:203.0.113.2,DNS:fl.example.org")
    superlink.wait(30, lambda held: held["FL_CERT_FINGERPRINT"] != before and held["READY"] == "YES")
    assert superlink.attributes["FL_CA_CERT"] == ca
    nodes[0].ready(60)
    assert nodes[0].attributes["FL_PEER_FINGERPRINT"] == superlink.attributes["FL_CERT_FINGERPRINT"]
    nodes[1].ready(60)
    nodes[0].context(**federation.node_context())
    nodes[0].ready()


def test_killed_superlink_comes_back_and_so_do_the_nodes(federation, superlink, nodes):
    before = superlink.main_pid("flower-superlink")
    superlink.inside("kill", "-9", str(before))
    superlink.wait(30, lambda held: held["READY"] == "YES" and superlink.main_pid("flower-superlink") not in (0, before))
    federation.online(2, 90)
    for node in nodes:
        node.ready(90)


def test_reboot_keeps_ca_and_partition(federation, superlink, nodes):
    ca, fingerprint = superlink.attributes["FL_CA_CERT"], superlink.attributes["FL_CERT_FINGERPRINT"]
    seen = len(federation.gate.updates)
    for host in (superlink, nodes[1]):
        federation.lab("reboot", host.name)
    superlink.wait(60, lambda _held: (superlink.vm, "READY=NO") in federation.gate.updates[seen:])
    superlink.ready(60)
    assert (superlink.attributes["FL_CA_CERT"], superlink.attributes["FL_CERT_FINGERPRINT"]) == (ca, fingerprint)
    for node in nodes:
        node.ready(90)
    assert nodes[1].attributes["FL_PARTITION_ID"] == "1"


def test_new_address_is_in_the_certificate_at_once(superlink, nodes):
    ca = superlink.attributes["FL_CA_CERT"]
    superlink.inside("ip", "addr", "add", "198.51.100.7/32", "dev", "mgmt0")
    took = superlink.wait(20, lambda held: "IP:198.51.100.7" in held["FL_CERT_SAN"].split(",") and held["READY"] == "YES")
    print(f"served with the new certificate after {took:.1f} s")
    assert superlink.attributes["FL_CA_CERT"] == ca
    for node in nodes:
        node.wait(60, lambda held: held["FL_PEER_FINGERPRINT"] == superlink.attributes["FL_CERT_FINGERPRINT"])
        node.ready(60)


def test_dead_connection_is_noticed_within_the_keepalive_timeout(federation, superlink, nodes):
    """A firewall that lost its state: the connection's packets vanish both ways, new connections pass."""
    node, namespace = nodes[0], f"{NAME}-{nodes[0].name}"

    def ports() -> set[str]:
        """Return the ports of Flower's own connections; the agent's handshakes come and go beside them."""
        flower = f"pid={node.main_pid('flower-supernode')},"
        lines = node.inside("ss", "-Htnp", "state", "established", "dport", "=", ":9092").splitlines()
        return {port[1] for line in lines if flower in line and (port := re.search(r":(\d+)\s+\S+:9092", line))}

    # A VM stays ready for a while without a connection, and the test before has just cost this one its own: wait until the
    # SuperLink has answered on the next.
    began = time.time()

    def answered(_held: dict[str, str]) -> bool:
        channels = json.loads(node.inside("cat", "/run/flower-supernode/grpc.json"))["channels"]
        return any(
            (channel["target"], channel["connectivity"]) == (f"{superlink.address}:9092", "READY")
            and channel.get("last_answer", 0) > began
            for channel in channels
        )

    node.wait(60, answered)
    before = ports()
    assert before
    node.wait(10, lambda held: Keepalive.parse(held.get("FL_KEEPALIVE", "")).tcp_user_timeout_ms)
    timeout_ms = Keepalive.parse(node.attributes["FL_KEEPALIVE"]).tcp_user_timeout_ms
    elements = ", ".join(before)
    rules = (
        "table inet lost {\n"
        f" chain outwards {{ type filter hook output priority 0; tcp dport 9092 tcp sport {{ {elements} }} drop; }}\n"
        f" chain inwards {{ type filter hook input priority 0; tcp sport 9092 tcp dport {{ {elements} }} drop; }}\n"
        "}\n"
    )
    subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", "nft", "-f", "-"], input=rules, text=True, check=True)
    started = time.monotonic()
    while not ports() - before:
        assert time.monotonic() - started < 3 * timeout_ms / 1000
        time.sleep(0.2)
    took = time.monotonic() - started
    subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", "nft", "delete", "table", "inet", "lost"], check=True)
    print(f"noticed after {took:.1f} s")
    assert took > timeout_ms / 2000, "something else ended the connection"
    node.ready(60)


def test_a_link_that_was_down_for_long_is_not_held_against_the_node(nodes):
    """The fault goes with its cause, no other comes in its place, and Flower comes back by itself."""
    node, namespace = nodes[0], f"{NAME}-{nodes[0].name}"
    before = node.main_pid("flower-supernode")
    digest = node.attributes["FL_SETTINGS"]
    rules = "table inet down {\n chain outwards { type filter hook output priority 0; tcp dport 9092 drop; }\n}\n"
    subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", "nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        node.wait(120, lambda held: "cannot be reached" in held.get("FL_ERROR", "") and held["FL_READY"] == "NO")
        assert node.attributes["FL_SETTINGS"] == digest
    finally:
        subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", "nft", "delete", "table", "inet", "down"], check=True)
    cured = node.wait(30, lambda held: "FL_ERROR" not in held)
    faults: set[str] = set()

    def back(held: dict[str, str]) -> bool:
        faults.update({held["FL_ERROR"]} if "FL_ERROR" in held else ())
        return held["FL_READY"] == "YES"

    took = cured + node.wait(90, back)
    print(f"no fault {cured:.1f} s after the link was back, connected after {took:.1f} s")
    assert not faults
    assert node.main_pid("flower-supernode") == before


def test_trains_again_after_all_that(federation, superlink, nodes):
    """The rebooted SuperNode came back as another node; the one it was before counts until its heartbeats have been missed."""
    federation.online(2, 90)
    superlink.attributes["FL_RUN_REQUEST"] = "second rounds=2"
    superlink.wait(120, lambda held: held["FL_RUN_ID"] == "second" and held["FL_RUN_STATUS"] != "running")
    assert (superlink.attributes["FL_RUN_STATUS"], superlink.attributes["FL_RUN_PARTITIONS"]) == ("finished", "0,1")
