# SPDX-License-Identifier: GPL-3.0-or-later
"""ServerApp: runs the rounds and writes their progress to a file that the appliance's agent follows.

Each exchange carries the model to every SuperNode, which evaluates it before it trains on. So the loss after round n is
known with the replies of exchange n + 1, measured on all partitions, and one exchange more than rounds is made. It asks
for replies itself, more often than Flower's own strategies (3 s): the SuperNodes' own 3 s are then the longest wait.
"""

from __future__ import annotations

import json
import os
import re
import time
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid, ServerApp

from oneflower_smoke import model

POLL_S = 0.3
NODES_TIMEOUT_S = 90.0
EXCHANGE_TIMEOUT_S = 300.0
DIRECTORY = Path(os.environ.get("ONEFLOWER_RUNS", "/var/lib/flower/runs"))

app = ServerApp()


@dataclass(frozen=True)
class Reply:
    """What one SuperNode answered: its weights and the rows it holds per feature, and how good the model it was given is.

    `loss` is the mean squared error of that model on its `rows` rows.
    """

    node: int
    learned: np.ndarray
    held: np.ndarray
    loss: float
    rows: int
    partition: int


@dataclass
class _Asked:
    """Who takes part: `first` are the SuperNodes of the first exchange, `outside` those that joined later and cannot.

    A federation grows while it trains, and a partition that it did not have at the start is none of this run's.
    """

    first: frozenset[int] = frozenset()
    outside: set[int] = field(default_factory=set)

    def nodes(self, online: Iterable[int]) -> list[int]:
        """Return whom to ask next; the first time that settles who began."""
        nodes = [node for node in online if node not in self.outside]
        self.first = self.first or frozenset(nodes)
        return nodes

    def excuses(self, node: int) -> bool:
        """Tell whether a SuperNode that failed joined later; it is asked no more then."""
        if node in self.first:
            return False
        self.outside.add(node)
        return True


class Progress:
    """The progress file of one request; replaced as a whole at every change."""

    def __init__(self, request: str, rounds: int):
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", request):
            raise ValueError(f"request {request!r}")
        self._path = DIRECTORY / f"{request}.json"
        self._started = time.time()
        self.state: dict[str, t.Any] = {
            "status": "running",
            "round": 0,
            "rounds": rounds,
            "initial_loss": None,
            "losses": [],
            "partitions": [],
            "nodes": 0,
            "error": "",
        }

    def write(self, **changes: t.Any) -> None:
        """Change the state and write it, with the seconds since the start."""
        self.state.update(changes, seconds=round(time.time() - self._started, 2))
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self.state))
        temporary.replace(self._path)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds that the run's configuration asks for; the end, good or bad, is in the progress file."""
    rounds, wanted = int(context.run_config["rounds"]), int(context.run_config["nodes"])
    progress = Progress(str(context.run_config["request"]), rounds)
    progress.write()
    try:
        _run(grid, progress, rounds, wanted)
    except BaseException as error:
        progress.write(status="failed", error=f"{type(error).__name__}: {error}")
        raise


def _run(grid: Grid, progress: Progress, rounds: int, wanted: int) -> None:
    _wait_for_nodes(grid, wanted)
    weights = np.zeros(1)
    trained: dict[str, t.Any] = {}
    asked = _Asked()
    for exchange in range(1, rounds + 2):
        replies = _exchange(grid, asked, weights, exchange, train=exchange <= rounds)
        size = max(len(reply.learned) for reply in replies)
        weights = _padded(weights, size)
        loss = sum(reply.loss * reply.rows for reply in replies) / sum(reply.rows for reply in replies)
        if exchange == 1:
            progress.write(initial_loss=loss)
        else:
            progress.write(round=exchange - 1, losses=[*progress.state["losses"], loss], **trained)
        if exchange <= rounds:
            weights = model.aggregate(weights, [(_padded(reply.learned, size), _padded(reply.held, size)) for reply in replies])
            trained = {
                "partitions": sorted({reply.partition for reply in replies}),
                "nodes": len({reply.node for reply in replies}),
            }
    progress.write(status="finished")


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    return np.pad(array, (0, size - len(array)))


def _wait_for_nodes(grid: Grid, wanted: int) -> None:
    deadline = time.monotonic() + NODES_TIMEOUT_S
    while (online := len(list(grid.get_node_ids()))) < max(1, wanted):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{online} of {max(1, wanted)} SuperNodes online after {NODES_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def _exchange(grid: Grid, asked: _Asked, weights: np.ndarray, number: int, *, train: bool) -> list[Reply]:
    """Send the model to every SuperNode online that can take part, and collect all replies."""
    messages = [
        Message(
            content=RecordDict({"arrays": ArrayRecord([weights]), "config": ConfigRecord({"train": train})}),
            message_type="train",
            dst_node_id=node,
            group_id=str(number),
        )
        for node in asked.nodes(grid.get_node_ids())
    ]
    waiting = set(grid.push_messages(messages))
    if not waiting:
        raise RuntimeError("no SuperNode is online")
    replies: list[Reply] = []
    deadline = time.monotonic() + EXCHANGE_TIMEOUT_S
    while waiting:
        for message in grid.pull_messages(waiting):
            waiting.discard(message.metadata.reply_to_message_id)
            if message.has_error() and message.error.code == ErrorCode.NODE_UNAVAILABLE:
                continue  # went away; whether its partition was missed shows in the result
            if message.has_error() and asked.excuses(message.metadata.src_node_id):
                continue
            if message.has_error():
                raise RuntimeError(f"SuperNode {message.metadata.src_node_id} failed: {message.error.reason}")
            metrics = message.content["metrics"]
            learned, held = message.content["arrays"].to_numpy_ndarrays()
            replies.append(
                Reply(
                    node=message.metadata.src_node_id,
                    learned=learned,
                    held=held,
                    loss=float(metrics["loss"]),
                    rows=int(metrics["rows"]),
                    partition=int(metrics["partition"]),
                )
            )
        if waiting and time.monotonic() > deadline:
            raise TimeoutError(f"{len(waiting)} SuperNodes did not answer within {EXCHANGE_TIMEOUT_S:.0f} s")
        if waiting:
            time.sleep(POLL_S)
    if not replies:
        raise RuntimeError("no SuperNode answered")
    return replies
