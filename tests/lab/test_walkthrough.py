# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on real parts: build a three-zone federation, train across it, prove it, and survive."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import time

import pytest

from tests.lab.conftest import NAME, ROOT, changes
from tests.lab.traces import left_by, traces

BEFORE: dict[str, set[str]] = {}
STEPS = (
    "Plan the federation",
    "Take the federation for this run",
    "Read the federation",
    "Find the changes",
    "Instantiate the coordinator",
    "Build the tunnels",
    "Wait for the handshakes",
    "Wait for the SuperLink",
    "Read the CA certificate",
    "Instantiate the training sites",
    "Wait for the SuperNodes",
    "Read what was changed",
    "Report",
    "Train",
)


@pytest.fixture(scope="module")
def first_run(lab):
    BEFORE.update(traces(NAME))
    output = lab.run("make", "walkthrough", f"PLAYBOOK_ARGS=-e federation_report_path={lab.report_path}")
    return output, lab.report()


def test_every_check_holds(first_run):
    _output, report = first_run
    assert report["ok"] and report["checks"]
    assert [row for row in report["checks"] if not row["ok"]] == []
    assert {entry["role"] for entry in report["zones"].values()} == {"coordinator", "training_site"}
    assert {zone: len(entry["vms"]) for zone, entry in report["zones"].items()} == {"zone-a": 1, "zone-b": 2, "zone-c": 2}


def test_trained_across_all_partitions_with_falling_loss(first_run):
    _output, report = first_run
    training = report["training"]
    assert training["status"] == "finished"
    assert training["partitions"] == [0, 1, 2, 3] and training["nodes"] == 4
    assert len(training["losses"]) == 3
    assert training["losses"] == sorted(training["losses"], reverse=True)
    assert training["losses"][-1] < training["losses"][0] / 2


def test_shows_where_it_is(first_run):
    output, _report = first_run
    for step in STEPS:
        assert f"PLAY [{step}]" in output
    for number in (1, 2, 3):
        assert re.search(rf"round {number} of 3: loss \d", output)


def test_nothing_secret_on_the_terminal_in_the_report_or_readable(first_run, lab):
    output, _report = first_run
    told = output + lab.report_path.read_text()
    secrets = [(lab.state / "one_auth").read_text().strip().split(":", 1)[1]]
    for gateway in ("gw-a", "gw-b", "gw-c"):
        secrets.append(lab.inside(gateway, "cat", "/etc/wireguard/wg0.key").strip())
        keys = lab.inside(gateway, "grep", "-h", "PresharedKey", "/etc/wireguard/wg0.conf")
        secrets += [line.split(" = ")[1] for line in keys.splitlines()]
        modes = lab.inside(gateway, "stat", "-c", "%a %n", "/etc/wireguard/wg0.key", "/etc/wireguard/wg0.conf")
        assert all(line.startswith("600 ") for line in modes.splitlines()), modes
    assert len(secrets) == 1 + 3 + 4 and all(len(secret) > 16 for secret in secrets)
    assert [secret for secret in secrets if secret in told] == []
    assert stat.S_IMODE((lab.state / "one_auth").stat().st_mode) == 0o600
    assert stat.S_IMODE(lab.state.stat().st_mode) == 0o700


def test_second_run_changes_nothing_and_does_not_train(first_run, lab):
    _output, before = first_run
    output = lab.run("make", "walkthrough", f"PLAYBOOK_ARGS=-e federation_report_path={lab.report_path}")
    counts = changes(output)
    assert set(counts) == {"zone-a", "zone-b", "zone-c", "gw-a", "gw-b", "gw-c"}
    assert set(counts.values()) == {0}
    assert lab.report()["training"]["id"] == before["training"]["id"]


def test_trains_again_when_asked(first_run, lab):
    _output, before = first_run
    output = lab.run("make", "walkthrough", f"PLAYBOOK_ARGS=-e federation_train=true -e federation_report_path={lab.report_path}")
    assert {host for host, count in changes(output).items() if count} == {"zone-a"}
    after = lab.report()["training"]
    assert after["id"] != before["training"]["id"] and after["partitions"] == [0, 1, 2, 3]


def test_check_mode_changes_nothing(first_run, lab):
    assert set(changes(lab.playbook("walkthrough", "--check")).values()) == {0}


def vm(lab, site: str) -> str:
    return next(line.split()[0] for line in lab.lab("status").splitlines() if line.startswith(f"vm-{site}-"))


def test_a_site_reaches_the_fleet_port_and_nothing_else(first_run, lab):
    supernode = vm(lab, "b")
    reach = "exec 3<>/dev/tcp/{}/{}"
    lab.inside(supernode, "timeout", "3", "bash", "-c", reach.format("10.10.10.5", 9092))
    for address, port in (("10.10.10.5", 22), ("10.10.10.5", 8000), ("10.10.10.1", 22), ("10.10.12.2", 2474), ("10.10.12.1", 22)):
        code = lab.inside(supernode, "bash", "-c", f"timeout 2 bash -c '{reach.format(address, port)}' 2>/dev/null; echo code $?")
        assert "code 0" not in code, f"{address}:{port} can be reached from a training site"


def test_drifted_tunnel_is_mended_without_a_restart(first_run, lab):
    started = unit_started(lab, "gw-b")
    lab.inside("gw-b", "ip", "route", "del", "10.10.10.5/32", "dev", "wg0")
    lab.inside("gw-a", "bash", "-c", "wg set wg0 peer $(wg show wg0 peers | head -1) remove")
    counts = changes(lab.playbook("links"))
    assert (counts["gw-a"], counts["gw-b"], counts["gw-c"]) == (1, 1, 0)
    assert unit_started(lab, "gw-b") == started
    lab.verified_within(60)


def unit_started(lab, gateway: str) -> str:
    return lab.inside(gateway, "systemctl", "show", "-p", "ActiveEnterTimestampMonotonic", "wg-quick@wg0")


def test_flushed_rules_are_loaded_again_and_the_tunnel_stays(first_run, lab):
    started = {gateway: unit_started(lab, gateway) for gateway in ("gw-a", "gw-b")}
    lab.inside("gw-a", "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    lab.inside("gw-b", "nft", "flush", "table", "inet", "oneflower_wg0")
    lab.inside("gw-b", "sed", "-i", "s/^table/# changed by hand\\ntable/", "/etc/oneflower/wg0.nft")
    counts = changes(lab.playbook("links"))
    assert (counts["gw-a"], counts["gw-b"], counts["gw-c"]) == (1, 1, 0)
    assert lab.inside("gw-a", "sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"
    assert "drop" in lab.inside("gw-b", "nft", "list", "table", "inet", "oneflower_wg0")
    assert {gateway: unit_started(lab, gateway) for gateway in started} == started


@pytest.fixture
def leaked(lab):
    """Count packets with private source addresses as they come off the gateways' WAN links."""
    lab.lab(
        "exec",
        "inet",
        "nft",
        "add table ip seen; add chain ip seen came { type filter hook prerouting priority raw; };"
        " add rule ip seen came ip saddr 10.0.0.0/8 counter",
    )
    yield lambda: int(re.search(r"packets (\d+)", lab.lab("exec", "inet", "nft", "list", "table", "ip", "seen"))[1])
    lab.lab("exec", "inet", "nft", "delete", "table", "ip", "seen")


def test_nothing_leaves_in_the_clear_while_the_tunnel_is_down(first_run, lab, leaked):
    supernode = vm(lab, "b")
    dial = "timeout 2 bash -c 'exec 3<>/dev/tcp/10.10.10.5/9092' 2>/dev/null; true"
    lab.inside("gw-b", "systemctl", "stop", "wg-quick@wg0")
    lab.inside(supernode, "bash", "-c", dial)
    assert leaked() == 0
    lab.inside("gw-b", "nft", "delete", "table", "inet", "oneflower_wg0")
    lab.inside(supernode, "bash", "-c", dial)
    assert leaked() > 0, "the counter would not have seen a leak"
    assert changes(lab.playbook("links"))["gw-b"] == 1
    lab.verified_within(60)


def test_segments_fit_the_tunnel(first_run, lab):
    """The MTU is 1420: 40 bytes of headers and 12 of timestamps leave 1368, although both ends' links take 1500."""
    lines = lab.inside(vm(lab, "a"), "ss", "-tinH", "state", "established", "sport = :9092").splitlines()
    sizes = [
        re.search(r" mss:(\d+) pmtu:(\d+) ", details).groups()
        for peer, details in zip(lines[::2], lines[1::2], strict=True)
        if "10.10.11." in peer or "10.10.12." in peer
    ]
    assert len(sizes) >= 4 and set(sizes) == {("1368", "1500")}


def test_limit_drops_no_peer(first_run, lab):
    counts = changes(lab.playbook("links", "--limit", "gw-a"))
    assert counts["gw-a"] == 0
    assert len(lab.inside("gw-a", "wg", "show", "wg0", "peers").split()) == 2


def refused(lab, playbook: str, *arguments: str) -> tuple[str, dict]:
    """Return output and report of a playbook that has to end with an exit status other than 0."""
    lab.report_path.unlink(missing_ok=True)
    return lab.playbook(playbook, *arguments, check=False), lab.report()


def codes(report: dict) -> dict[str, set[str]]:
    """Return the codes of a report's findings, by host."""
    found: dict[str, set[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["host"], set()).add(finding["code"])
    return found


@pytest.mark.parametrize("playbook", ["verify", "train", "deploy"])
def test_a_dead_coordinator_is_reported_and_hides_nothing_else(first_run, lab, playbook):
    lab.lab("frontend", "stop", "a")
    try:
        output, report = refused(lab, playbook)
    finally:
        lab.lab("frontend", "start", "a")
    assert "CHECK " in output and "has no attribute" not in output
    assert report["zones"]["zone-a"]["state"] == "not read" and report["zones"]["zone-b"]["state"] == "RUNNING"
    rows = {(row["check"], row["where"]): row for row in report["checks"]}
    assert rows["OneFlow service", "zone-a"]["found"].startswith("not read: ")
    assert rows["OneFlow service", "zone-b"]["ok"] and rows["WireGuard tunnel", "gw-b"]["ok"]
    assert "zone.unreachable" in codes(report)["zone-a"]
    if playbook == "deploy":
        assert "Report" in {step["step"] for step in report["timeline"]["steps"]}


def test_gateways_that_cannot_be_reached_are_reported(first_run, lab):
    nowhere = ("-e", "ansible_port=1", "-e", "ansible_ssh_timeout=5")
    _output, report = refused(lab, "verify", *nowhere)
    everywhere = {"gw-a", "gw-b", "gw-c"}
    assert {row["where"] for row in report["checks"] if not row["ok"]} == everywhere
    assert codes(report) == dict.fromkeys(everywhere, {"gateway.unreachable"})
    _output, report = refused(lab, "deploy", *nowhere)
    assert {host for host, found in codes(report).items() if "gateway.unreachable" in found} == everywhere


def test_services_that_are_not_there_are_reported_by_every_playbook_that_ends_a_run(first_run, lab):
    for playbook in ("verify", "train"):
        _output, report = refused(lab, playbook, "-e", "federation_name=nobody")
        assert "service.absent" in codes(report)["zone-a"] and "gateway.taken" in codes(report)["gw-a"]
        assert report["zones"]["zone-a"]["state"] == "absent" and report["training"] is None


def test_groups_that_are_misspelt_or_sliced_away_end_with_the_plans_own_sentence(first_run, lab, tmp_path):
    text = (ROOT / "inventories/lab/hosts.yml").read_text()
    for name, changed in (
        ("misspelt", text.replace("    coordinator:", "    coordinators:").replace("    training_sites:", "    sites:")),
        ("sliced", re.sub(r"    coordinator:.*?    training_sites:", "    training_sites:", text, flags=re.DOTALL)),
    ):
        inventory = tmp_path / f"{name}.yml"
        inventory.write_text(changed)
        for playbook in ("deploy", "verify", "coordinator"):
            command = [str(inventory) if word == "inventories/lab" else word for word in lab.playbook_command(playbook)]
            output = lab.run(*command, check=False)
            assert "group coordinator: must hold exactly one zone, it holds none" in output
            assert re.search(r"failed=1", output[output.rindex("PLAY RECAP") :])


def test_a_fact_cache_brings_nothing_from_an_earlier_run(first_run, lab, tmp_path):
    cache = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path)}
    lab.environment.update(cache)
    try:
        for _run in range(2):
            lab.playbook("verify")
            steps = [step["step"] for step in lab.report()["timeline"]["steps"]]
            assert steps == ["Plan the federation", "Read the federation", "Find the changes", "Read the federation back", "Report"]
    finally:
        for name in cache:
            del lab.environment[name]


def test_a_healthy_run_warns_of_nothing(first_run, lab):
    """Its output is no terminal here."""
    output, _report = first_run
    assert "[WARNING]" not in output and "[DEPRECATION" not in output
    assert "[WARNING]" not in lab.playbook("deploy")


@pytest.mark.parametrize("gateway", ["gw-a", "gw-b", "gw-c"])
def test_survives_the_reboot_of_a_gateway(first_run, lab, gateway):
    lab.lab("reboot", gateway)
    lab.verified_within(120)


def test_survives_the_reboot_of_the_superlink(first_run, lab):
    lab.lab("reboot", vm(lab, "a"))
    time.sleep(5)
    lab.verified_within(180)


def test_survives_the_restart_of_a_front_end(first_run, lab):
    for site in ("a", "b"):
        lab.lab("frontend", "restart", site)
    lab.verified_within(60)


def test_survives_a_new_public_address_of_a_site(first_run, lab):
    lab.lab("renew", "c")
    lab.verified_within(120)


def kill_at(lab, step: str) -> None:
    """Start the walkthrough and kill it, workers and all, a little after a step began."""
    process = subprocess.Popen(
        lab.playbook_command("walkthrough"),
        cwd=ROOT,
        env=lab.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    reached = False
    for line in process.stdout:
        if f"PLAY [{step}]" in line:
            reached = True
            time.sleep(1.5)
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()
    assert reached, f"the run never came to step {step}"


def test_a_superlink_whose_vm_is_gone_is_reported_and_the_next_run_makes_another(first_run, lab):
    """Somebody terminated it: OneFlow takes it off the service's cardinality and goes on with none."""
    lab.verified_within(60)
    (before,) = lab.report()["zones"]["zone-a"]["vms"]
    lab.terminate("a", before["id"])
    for playbook in ("verify", "train"):
        output, report = refused(lab, playbook)
        assert "service.state" in codes(report)["zone-a"] and "has no element" not in output
    lab.playbook("coordinator")
    lab.verified_within(120)  # its CA lies on the state disk, so its sites come back by themselves
    (after,) = lab.report()["zones"]["zone-a"]["vms"]
    assert after["id"] != before["id"]
    rows = {(row["check"], row["where"]): row["ok"] for row in lab.report()["checks"]}
    assert rows["OneFlow service", "zone-a"] and rows["SuperLink serves", "zone-a"]


def test_a_vm_that_does_not_boot_is_named_and_its_site_alone_fails(first_run, lab):
    """Two runs are killed before; the rest of the federation is deployed all the same."""
    lab.lab("down")
    lab.lab("up")
    kill_at(lab, "Instantiate the coordinator")
    kill_at(lab, "Build the tunnels")
    lab.fault("b", "vm-faults", step="boot", times=1)
    output = lab.playbook("walkthrough", check=False)
    recap = output[output.rindex("PLAY RECAP") :]
    failed = set(re.findall(r"^(\S+) .*failed=1", recap, flags=re.MULTILINE))
    # The SuperLink of zone-a misses the SuperNodes of zone-b.
    assert failed == {"zone-a", "zone-b"}
    assert "service 'flower training site'" in output and "FAILED_DEPLOYING, role supernode" in output
    report = lab.report()
    broken = {(row["check"], row["where"]) for row in report["checks"] if not row["ok"]}
    assert not report["ok"] and ("OneFlow service", "zone-b") in broken
    assert {where.split()[0] for _check, where in broken} == {"zone-a", "zone-b"}
    assert ("SuperNodes online in the SuperLink", "zone-a") in broken


def test_the_next_run_finishes_what_failed_and_killed_runs_began(first_run, lab):
    kill_at(lab, "Instantiate the training sites")
    output = lab.playbook("walkthrough")
    assert "failed=1" not in output
    assert lab.report()["ok"] and lab.report()["training"]["partitions"] == [0, 1, 2, 3]
    assert set(changes(lab.playbook("walkthrough")).values()) == {0}


def test_down_leaves_nothing(lab):
    lab.run("make", "lab-down")
    assert left_by(NAME, BEFORE) == {}
