# SPDX-License-Identifier: GPL-3.0-or-later
"""What Flower is started with, from validated CONTEXT. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .appliance.flower_releases import FlowerRelease

SUPERNODE_PORT = 9094
# SuperExec asks for work this often, on loopback (Flower's default is 1 s); it is the part of a round's latency that
# Flower lets us choose.
TASK_POLL_S = "0.25"


@dataclass(frozen=True)
class Command:
    """Arguments and environment of one Flower program."""

    unit: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    def env_file(self) -> bytes:
        """systemd EnvironmentFile; the values are validated words without quotes."""
        return "".join(f"{name}={value}\n" for name, value in self.environment).encode()

    def args_file(self) -> bytes:
        """One argument per line; read by `launch`."""
        return "".join(f"{argument}\n" for argument in self.arguments).encode()


def _environment(values: Mapping[str, str], version: FlowerRelease) -> tuple[tuple[str, str], ...]:
    environment = {
        "FLWR_LOG_LEVEL": values["FL_LOG_LEVEL"],
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": TASK_POLL_S,
    }
    if version.keepalive:
        environment["FL_GRPC_KEEPALIVE_TIME"] = values["FL_GRPC_KEEPALIVE_TIME"]
        environment["FL_GRPC_KEEPALIVE_TIMEOUT"] = values["FL_GRPC_KEEPALIVE_TIMEOUT"]
    return tuple(sorted(environment.items()))


def superlink(values: Mapping[str, str], version: FlowerRelease, tls: Path, home: Path) -> Command:
    """The SuperLink: Fleet API for the federation, Control and Runtime API on loopback."""
    arguments = [
        "--fleet-api-type",
        version.fleet_api_type,
        "--fleet-api-address",
        fleet_address(values, version),
        "--host",
        "127.0.0.1",
        "--port",
        str(version.control_port),
        "--database",
        str(home / values["FL_DATABASE"]),
        "--isolation",
        "subprocess",
        "--disable-runtime-dependency-installation",
    ]
    if values["FL_TLS_ENABLED"] == "YES":
        arguments += ["--ssl-ca-certfile", str(tls / "ca.crt"), "--ssl-certfile", str(tls / "server.crt")]
        arguments += ["--ssl-keyfile", str(tls / "server.key")]
    else:
        arguments += ["--insecure"]
    return Command("flower-superlink", tuple(arguments), _environment(values, version))


def supernode(values: Mapping[str, str], version: FlowerRelease, tls: Path, data: Path, partition: int) -> Command:
    """A SuperNode that holds `partition`; its Runtime API is on loopback."""
    node_config = f'partition-id={partition} num-partitions={values["FL_NUM_PARTITIONS"]} data-path="{data}"'
    for pair in values["FL_NODE_CONFIG"].split():
        key, _equals, value = pair.partition("=")
        node_config += f" {key}={value}" if value.replace(".", "", 1).isdigit() else f' {key}="{value}"'
    arguments = [
        "--superlink",
        values["FL_SUPERLINK_ADDRESS"],
        "--node-config",
        node_config,
        "--host",
        "127.0.0.1",
        "--port",
        str(SUPERNODE_PORT),
        "--isolation",
        "subprocess",
    ]
    if values["FL_TLS_ENABLED"] == "YES":
        arguments += ["--root-certificates", str(tls / "superlink-ca.crt")]
    else:
        arguments += ["--insecure"]
    # Flower takes 0 for "do not retry" and the absence of the flag for "for ever".
    for flag, name in (("--max-retries", "FL_MAX_RETRIES"), ("--max-wait-time", "FL_MAX_WAIT_TIME")):
        if int(values[name] or 0) > 0:
            arguments += [flag, values[name]]
    return Command("flower-supernode", tuple(arguments), _environment(values, version))


def fleet_address(values: Mapping[str, str], version: FlowerRelease) -> str:
    """Return address and port on which the Fleet API listens."""
    return values["FL_FLEET_API_ADDRESS"] or f"0.0.0.0:{version.fleet_port}"


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets) and port of a validated host:port."""
    host, _colon, port = address.rpartition(":")
    return host.strip("[]"), int(port)
