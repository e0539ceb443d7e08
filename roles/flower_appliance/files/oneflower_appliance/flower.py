# SPDX-License-Identifier: GPL-3.0-or-later
"""What Flower is started with, from validated settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .appliance import settings
from .appliance.flower_releases import FlowerRelease

# The units; each is named as the program of Flower that it runs.
SUPERLINK_UNIT, SUPERNODE_UNIT = "flower-superlink", "flower-supernode"
SUPERNODE_PORT = 9094
# SuperExec asks for work this often, on loopback (Flower's default is 1 s); it is the part of a round's latency that
# Flower lets us choose.
TASK_POLL_S = "0.25"
# Flower's own variables for: no telemetry, no look for updates.
NO_CALLS_HOME = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}


@dataclass(frozen=True)
class Command:
    """Arguments and environment of one Flower program."""

    unit: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    def env_file(self) -> bytes:
        """Return the systemd EnvironmentFile; the values are validated words without quotes."""
        return "".join(f"{name}={value}\n" for name, value in self.environment).encode()

    def args_file(self) -> bytes:
        """Return one argument per line, as `launch` reads them."""
        return "".join(f"{argument}\n" for argument in self.arguments).encode()


def _environment(values: Mapping[str, str], release: FlowerRelease) -> tuple[tuple[str, str], ...]:
    environment = {
        "FLWR_LOG_LEVEL": values[settings.LOG_LEVEL],
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": TASK_POLL_S,
        **NO_CALLS_HOME,
    }
    if release.keepalive:
        # For `launch`, under the names of the settings.
        environment.update({name: values[name] for name in (settings.KEEPALIVE_TIME, settings.KEEPALIVE_TIMEOUT)})
    return tuple(sorted(environment.items()))


def superlink(values: Mapping[str, str], release: FlowerRelease, tls: Path, home: Path) -> Command:
    """Return the command of the SuperLink: Fleet API for the federation, Control and Runtime API on loopback."""
    arguments = [
        "--fleet-api-type",
        release.fleet_api_type,
        "--fleet-api-address",
        fleet_address(values, release),
        "--host",
        "127.0.0.1",
        "--port",
        str(release.control_port),
        "--database",
        str(home / values[settings.DATABASE]),
        "--isolation",
        "subprocess",
        "--disable-runtime-dependency-installation",
    ]
    if values[settings.TLS_ENABLED] == settings.YES:
        arguments += ["--ssl-ca-certfile", str(tls / "ca.crt"), "--ssl-certfile", str(tls / "server.crt")]
        arguments += ["--ssl-keyfile", str(tls / "server.key")]
    else:
        arguments += ["--insecure"]
    return Command(SUPERLINK_UNIT, tuple(arguments), _environment(values, release))


def supernode(values: Mapping[str, str], release: FlowerRelease, tls: Path, data: Path, partition: int) -> Command:
    """Return the command of a SuperNode that holds `partition`; its Runtime API is on loopback."""
    # The VM may have come to a federation that has grown since its CONTEXT was written.
    total = max(int(values[settings.NUM_PARTITIONS]), partition + 1)
    node_config = f'partition-id={partition} num-partitions={total} data-path="{data}"'
    for pair in values[settings.NODE_CONFIG].split():
        key, _equals, value = pair.partition("=")
        node_config += f" {key}={value}" if value.replace(".", "", 1).isdigit() else f' {key}="{value}"'
    arguments = [
        "--superlink",
        values[settings.SUPERLINK_ADDRESS],
        "--node-config",
        node_config,
        "--host",
        "127.0.0.1",
        "--port",
        str(SUPERNODE_PORT),
        "--isolation",
        "subprocess",
    ]
    if values[settings.TLS_ENABLED] == settings.YES:
        arguments += ["--root-certificates", str(tls / "superlink-ca.crt")]
    else:
        arguments += ["--insecure"]
    # Flower takes 0 for "do not retry" and the absence of the flag for "for ever".
    for flag, name in (("--max-retries", settings.MAX_RETRIES), ("--max-wait-time", settings.MAX_WAIT_TIME)):
        if int(values[name] or 0) > 0:
            arguments += [flag, values[name]]
    return Command(SUPERNODE_UNIT, tuple(arguments), _environment(values, release))


def fleet_address(values: Mapping[str, str], release: FlowerRelease) -> str:
    """Return address and port on which the Fleet API listens: every address and the release's port unless a setting says so."""
    return values[settings.FLEET_API_ADDRESS] or f"0.0.0.0:{release.fleet_port}"


def split_address(address: str) -> tuple[str, int]:
    """Return host (without brackets) and port of a validated host:port."""
    host, _colon, port = address.rpartition(":")
    return host.strip("[]"), int(port)
