# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the smoke-test app: starts one when the VM's user attributes ask for it, and tells how it goes."""

from __future__ import annotations

import json
import time
import typing as t
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from ..appliance.attributes import FAILED, FINISHED, RUNNING, Run, RunRequest
from ..host import Lasting
from ..paths import Paths, write_atomic

# With no news for this long, Flower is asked whether the run is still alive (the question costs 1 s of CPU).
SILENCE_S = 20.0
SUBMIT_TIMEOUT_S = 60.0
# When Flower has no run under way any more, what the app wrote last is there after this long.
GONE_S = 3.0
# Flower itself notices only when heartbeats have been missed for the better part of a minute.
ENDED = "the SuperLink was restarted while the run was under way"
# A run that makes no progress for this long has failed.
STALLED_S = 900.0


class Submission(t.Protocol):
    """A submission under way; see `subprocess.Popen`."""

    def poll(self) -> int | None: ...
    def communicate(self) -> tuple[str, str]: ...
    def kill(self) -> None: ...


class Submitter(t.Protocol):
    """What is needed of the flwr command; see `flwr.Flwr`."""

    def submit(self, app: Path, run_config: str) -> Submission: ...
    def status(self, run_id: str) -> tuple[str, str]: ...


class Runs:
    """At most one run at a time; a new request id starts one, and none is started twice."""

    def __init__(self, paths: Paths, flwr: Submitter, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._paths, self._flwr, self._log, self._clock = paths, flwr, log, clock
        self._file = paths.state / "run.json"
        self._submission: Submission | None = None
        self._since = self._news = self._questioned = clock()
        self._gone = Lasting(clock)
        self._run, self._flower_id = _read(self._file)
        if self.busy and not self._flower_id:
            self._change(status=FAILED, error="the appliance's agent was restarted while the run was being submitted")

    @property
    def busy(self) -> bool:
        """Tell whether a run is under way."""
        return self._run.status == RUNNING

    @property
    def submitting(self) -> bool:
        """Tell whether a run is being handed to Flower, which may not know it yet."""
        return self._submission is not None

    def attributes(self) -> dict[str, str]:
        """Return the last run as attributes; none before the first."""
        return self._run.format() if self._run.id else {}

    def tick(self, request: str, *, serving: bool, active: int | None = None) -> None:
        """Take up a new request while the SuperLink is `serving`, and follow the run under way.

        `active` is how many runs Flower has under way, None while that is not known.
        """
        if self.busy:
            self._follow(active)
        elif serving and request.strip():
            self._take(request)

    def _take(self, request: str) -> None:
        try:
            asked = RunRequest.parse(request)
        except ValueError as error:
            identifier = request.split()[0][:64]
            if self._run.id != identifier:
                self._run, self._flower_id = Run(identifier), ""
                self._change(status=FAILED, error=str(error))
            return
        if self._run.id == asked.id:
            return
        self._progress(asked.id).unlink(missing_ok=True)
        self._run, self._flower_id = Run(asked.id, rounds=asked.rounds), ""
        self._since = self._news = self._clock()
        self._gone.seconds(False)
        self._change(status=RUNNING)
        self._log(f"run {asked.id}: {asked.rounds} rounds")
        run_config = f'rounds={asked.rounds} nodes={asked.nodes} num-partitions={asked.partitions} request="{asked.id}"'
        self._submission = self._flwr.submit(self._paths.smoke_app, run_config)

    def _follow(self, active: int | None) -> None:
        if self._submission is not None and not self._submitted(self._submission):
            return
        if not self.busy:
            return
        found = _progress_of(self._progress(self._run.id), self._run)
        if found != self._run:
            if found.round > self._run.round:
                self._log(f"run {found.id}: round {found.round} done, loss {found.losses[-1]:.6f}")
            self._news = self._clock()
            self._change(**asdict(found))
        elif self._gone.seconds(active == 0) > GONE_S:
            status, details = self._flwr.status(self._flower_id)
            said = f"Flower says {status}: {details}; its journal has more" if status.startswith("finished") else ENDED
            self._change(status=FAILED, error=said)
        elif self._clock() - self._news > STALLED_S:
            self._change(status=FAILED, error=f"no progress for {STALLED_S:.0f} s")
        elif self._clock() - max(self._news, self._questioned) > SILENCE_S:
            self._questioned = self._clock()
            status, details = self._flwr.status(self._flower_id)
            if status.startswith("finished"):
                self._change(status=FAILED, error=f"Flower says {status}: {details}; its journal has more")

    def _submitted(self, submission: Submission) -> bool:
        if submission.poll() is None:
            if self._clock() - self._since > SUBMIT_TIMEOUT_S:
                submission.kill()
                submission.communicate()
                self._submission = None
                self._change(status=FAILED, error=f"flwr run gave no answer within {SUBMIT_TIMEOUT_S:.0f} s")
            return False
        out, err = submission.communicate()
        self._submission = None
        try:
            self._flower_id = str(json.loads(out)["run-id"])
            self._change()
        except (ValueError, KeyError, TypeError):
            self._change(status=FAILED, error=f"flwr run failed: {' '.join((out + err).split())[-400:]}")
        return True

    def _progress(self, identifier: str) -> Path:
        return self._paths.runs / f"{identifier}.json"

    def _change(self, **changes: t.Any) -> None:
        self._run = replace(self._run, **changes)
        if changes.get("status") in (FINISHED, FAILED):
            self._log(f"run {self._run.id}: {self._run.status} {self._run.error}".rstrip())
        content = json.dumps({**asdict(self._run), "flower_id": self._flower_id})
        write_atomic(self._file, content.encode(), 0o600)


def _read(file: Path) -> tuple[Run, str]:
    """Return the last run and Flower's id for it, as they were before the agent was restarted."""
    try:
        kept = json.loads(file.read_text())
        flower_id = str(kept.pop("flower_id", ""))
        return Run(**kept), flower_id
    except (OSError, ValueError, TypeError, AttributeError):
        return Run(), ""


def _progress_of(file: Path, run: Run) -> Run:
    """Return the run with what the app wrote of its progress; unchanged while it wrote nothing that makes sense."""
    try:
        progress = json.loads(file.read_text())
        number, losses = int(progress["round"]), [float(loss) for loss in progress["losses"]]
        if len(losses) != number:
            raise ValueError(f"{len(losses)} losses after {number} rounds")
        return replace(
            run,
            round=number,
            losses=losses,
            partitions=sorted({int(number) for number in progress["partitions"]}),
            nodes=int(progress["nodes"]),
            seconds=float(progress["seconds"]),
            error=str(progress["error"])[:500],
            status=progress["status"] if progress["status"] in (RUNNING, FINISHED, FAILED) else FAILED,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return run
