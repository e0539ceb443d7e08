# Copyright (c) 2026, oneflower.federation contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One task's session with its zone: parameters, clients, clock, and the connection options in one place."""

from __future__ import annotations

import os
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback

from .answers import as_dict, to_int
from .errors import AuthenticationFailed, InvalidRequest, NotFound, OpenNebulaError, Unreachable
from .oned import Oned
from .oneflow import OneFlow
from .secrets import secret_values, survey
from .vms import Vm

CONNECTION_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "endpoint": {"type": "str", "required": True, "fallback": (env_fallback, ["ONE_XMLRPC"])},
    "oneflow_endpoint": {"type": "str", "fallback": (env_fallback, ["ONEFLOW_URL"])},
    "username": {"type": "str", "fallback": (env_fallback, ["ONE_USERNAME"])},
    "password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["ONE_PASSWORD"])},
    "auth_file": {"type": "path", "default": "~/.one/one_auth", "fallback": (env_fallback, ["ONE_AUTH"])},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "timeout": {"type": "float", "default": 30.0},
}

ONEFLOW_PORT = 2474


def credentials(params: Mapping[str, t.Any]) -> tuple[str, str]:
    """Return (user, password) from the options, else from auth_file. Raises InvalidRequest."""
    username, password = params.get("username"), params.get("password")
    if username and password:
        return username, password
    if username or password:
        missing = "password" if username else "username"
        raise InvalidRequest(f"{missing} is missing", hint="Give username and password, or neither and auth_file.")
    path = os.path.expanduser(params["auth_file"])
    try:
        with open(path, encoding="utf-8") as handle:
            line = handle.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"no credentials: auth_file {path} cannot be read ({getattr(error, 'strerror', None) or error})",
            hint="Give username and password, or auth_file.",
        ) from None
    user, colon, secret = line.partition(":")  # a password may contain colons
    if not (user and colon and secret):
        raise InvalidRequest(f"auth_file {path} does not hold user:password")
    return user, secret


class Deadline:
    """A point in time that one whole wait shares."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 when it has passed."""
        return max(0.0, self._end - self._clock())


class Session:
    """One task's session. changed becomes true with the first write of its clients, so that a failure reports it too."""

    def __init__(
        self,
        params: Mapping[str, t.Any],
        *,
        check_mode: bool = False,
        progress: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.params = params
        self.check_mode = check_mode
        self.progress = progress or (lambda message: None)
        self.sleep = sleep
        self.clock = clock
        self.changed = False
        self.warnings: list[str] = []
        self.secrets: set[str] = set()
        self.hidden_inputs: set[str] = set()
        self.harmless_inputs: set[str] = set()
        if not params["timeout"] > 0:
            raise InvalidRequest("timeout must be more than 0 seconds")

    @cached_property
    def _credentials(self) -> tuple[str, str]:
        user, secret = credentials(self.params)
        self.secrets.add(secret)
        return user, secret

    @property
    def username(self) -> str:
        """The user the task acts as."""
        return self._credentials[0]

    def _wrote(self) -> None:
        self.changed = True

    def _http(self) -> dict[str, t.Any]:
        return {
            "validate_certs": self.params["validate_certs"],
            "ca_path": self.params.get("ca_path"),
            "timeout": self.params["timeout"],
        }

    def oned_at(self, endpoint: str) -> Oned:
        """Return a client of another zone's oned, with the same credentials."""
        if urlsplit(self.params["endpoint"]).scheme == "https" and urlsplit(endpoint).scheme == "http":
            raise InvalidRequest(
                f"the zone pool names {endpoint}, without TLS, while this zone is reached with TLS",
                hint="Correct the zone's ENDPOINT, or give that endpoint in the task.",
            )
        return Oned(endpoint, *self._credentials, on_write=self._wrote, **self._http())

    @cached_property
    def oned(self) -> Oned:
        """The oned behind the option endpoint."""
        return Oned(self.params["endpoint"], *self._credentials, on_write=self._wrote, **self._http())

    @cached_property
    def flow(self) -> OneFlow:
        """The OneFlow that belongs to it."""
        endpoint = self.params.get("oneflow_endpoint") or self._find_oneflow()
        return OneFlow(endpoint, *self._credentials, diagnose=self._diagnose, on_write=self._wrote, **self._http())

    @cached_property
    def version(self) -> str:
        """The server's version, e.g. "7.4.0"."""
        return self.oned.version()

    def _find_oneflow(self) -> str:
        zones = [(as_dict(zone.get("TEMPLATE")), zone) for zone in self.oned.zones()]
        own = [pair for pair in zones if str(pair[0].get("ENDPOINT", "")).rstrip("/") == self.oned.endpoint]
        if not own and len(zones) == 1:
            own = zones
        found = str(own[0][0].get("ONEFLOW_ENDPOINT", "")) if len(own) == 1 else ""
        parts = urlsplit(self.oned.endpoint)
        if found.startswith(("http://", "https://")):
            if parts.scheme == "https" and found.startswith("http://"):
                raise InvalidRequest(
                    f"the zone's ONEFLOW_ENDPOINT is {found}, without TLS, while oned is reached with TLS",
                    hint="Correct ONEFLOW_ENDPOINT with onezone, or set oneflow_endpoint.",
                )
            return found
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{ONEFLOW_PORT}"

    def _diagnose(self) -> str | None:
        """Say what is behind OneFlow's 401: oned knows."""
        try:
            self.oned.version()
        except AuthenticationFailed:
            return f"oned at {self.oned.endpoint} refuses them too: check username and password, or auth_file."
        except Unreachable:
            return f"But oned at {self.oned.endpoint} does not answer: OneFlow says this when its oned is down."
        except OpenNebulaError:
            return None
        return f"But oned at {self.oned.endpoint} accepts them: does this OneFlow belong to another oned, or is its oned down?"

    def deadline(self, seconds: float) -> Deadline:
        """Return a deadline that many seconds from now."""
        return Deadline(seconds, self.clock)

    def ticks(self, deadline: Deadline, first: float, longest: float) -> Iterator[float]:
        """Yield the seconds that are left: at once, then after pauses that grow from first to longest, until the deadline.

        The loop over it ends with the deadline; what comes after the loop is what to do when it was reached.
        """
        pause = min(first, longest)
        while True:
            yield deadline.left()
            left = deadline.left()
            if left <= 0:
                return
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, longest)

    def limit_calls(self, deadline: Deadline) -> None:
        """Let no single call outlast the deadline (but give it a second)."""
        seconds = min(self.params["timeout"], max(1.0, deadline.left()))
        for client in (self.oned, self.flow):
            client._http.timeout = seconds

    def release_calls(self) -> None:
        """Take the limit of limit_calls off again."""
        for client in (self.oned, self.flow):
            client._http.timeout = self.params["timeout"]

    def learn(self, body: Mapping[str, t.Any]) -> None:
        """Remember which inputs of a service template or service may be shown, and the values of those that may not."""
        declared, hidden = survey(body)
        self.hidden_inputs |= hidden
        self.harmless_inputs |= declared - hidden
        self.secrets |= secret_values(body, hidden)

    def vms(self, ids: Iterable[int]) -> dict[int, Vm]:
        """Return VMs by id, see vms_by_id."""
        return {number: Vm.from_document(document) for number, document in self.vms_by_id(list(ids)).items()}

    def vms_by_id(self, ids: list[int]) -> dict[int, dict]:
        """Return VM documents by id, terminated ones included, in as few calls as is sensible; unknown ids are left out."""
        wanted_ids = sorted(set(ids))
        if not wanted_ids:
            return {}
        if len(wanted_ids) == 1:
            try:
                return {wanted_ids[0]: self.oned.vm(wanted_ids[0])}
            except NotFound:
                return {}
        result: dict[int, dict] = {}
        for first, last in _ranges(wanted_ids):
            for vm in self.oned.vms(first, last, with_done=True):
                if to_int(vm.get("ID")) in wanted_ids:
                    result[to_int(vm.get("ID"))] = vm
        return result


def _ranges(ids: list[int], gap: int = 50) -> list[tuple[int, int]]:
    """Return sorted ids as ranges; ids closer than gap share one."""
    ranges: list[tuple[int, int]] = []
    for number in ids:
        if ranges and number - ranges[-1][1] <= gap:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
