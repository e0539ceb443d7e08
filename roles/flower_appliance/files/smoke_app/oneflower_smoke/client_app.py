# SPDX-License-Identifier: GPL-3.0-or-later
"""ClientApp: evaluates the model it is given on the local partition, then trains it there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from oneflower_smoke import model

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Evaluate the model on the local rows, and train it there where the message says so."""
    partition = int(context.node_config["partition-id"])
    # Of the run, not of the node: a federation grows while its SuperNodes run on.
    total = int(context.run_config["num-partitions"])
    if 0 < total <= partition:
        raise ValueError(f"holds partition {partition} of a federation that has {total}")
    rows = model.load(Path(str(context.node_config["data-path"])) / f"partition-{partition}.csv")
    given = message.content["arrays"].to_numpy_ndarrays()[0]
    weights = np.zeros(max(len(given), int(rows[0].max()) + 1))
    weights[: len(given)] = given
    config = message.content["config"]
    assert isinstance(config, ConfigRecord)
    learned = model.train(weights, *rows) if config["train"] else weights
    held = np.bincount(rows[0], minlength=len(weights)).astype(float)
    content = RecordDict(
        {
            "arrays": ArrayRecord([learned, held]),
            "metrics": MetricRecord({"loss": model.loss(weights, *rows), "rows": len(rows[0]), "partition": partition}),
        }
    )
    return Message(content=content, reply_to=message)
