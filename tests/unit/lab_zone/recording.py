# SPDX-License-Identifier: GPL-3.0-or-later
"""The recordings of a real OpenNebula 7.4.0 (tests/fixtures/recordings), in the order in which they were made."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "recordings"
APIS = {"oneflow": "oneflow", "xmlrpc": "xmlrpc", "onegate": "onegate"}
# Recordings of two directories made within the same second: what has to come first.
_AFTER = {
    "xmlrpc/001": "oneflow/094",
    "oneflow/095": "xmlrpc/003",
    "xmlrpc/004": "oneflow/121",
    "xmlrpc/007": "oneflow/121",
    "oneflow/122": "xmlrpc/007",
    "xmlrpc/008": "oneflow/123",
    "oneflow/124": "xmlrpc/008",
    "xmlrpc/009": "oneflow/126",
    "oneflow/127": "xmlrpc/010",
    "xmlrpc/011": "oneflow/128",
    "oneflow/129": "xmlrpc/011",
    "xmlrpc/012": "oneflow/155",
    "oneflow/156": "xmlrpc/012",
    "xmlrpc/013": "oneflow/164",
    "oneflow/165": "xmlrpc/013",
    "xmlrpc/014": "oneflow/165",
    "oneflow/166": "xmlrpc/014",
    "xmlrpc/015": "oneflow/166",
    "oneflow/167": "xmlrpc/015",
    "oneflow/195": "xmlrpc/117",
    "xmlrpc/118": "oneflow/195",
    "oneflow/196": "xmlrpc/123",
    "xmlrpc/124": "oneflow/196",
    "onegate/001": "oneflow/200",
    "oneflow/201": "onegate/017",
    "xmlrpc/127": "oneflow/249",
    "oneflow/250": "xmlrpc/127",
}


@dataclasses.dataclass
class Recording:
    kind: str
    number: int
    name: str
    zone: str
    verb: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer_headers: dict[str, str]
    answer: str

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.number:03}"

    @property
    def is_state(self) -> bool:
        """Taken when polling first saw a new state."""
        return "_state_" in self.name

    def states(self) -> tuple[int, ...]:
        body = json.loads(self.answer)["DOCUMENT"]["TEMPLATE"]["BODY"]
        return (body["state"], *(role["state"] for role in body["roles"]))


def _split(text: str) -> tuple[str, dict[str, str], str]:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    return first, dict(line.split(": ", 1) for line in lines if ": " in line), body


def read(path: Path) -> Recording:
    # Line ends were CRLF on the wire; the recorder's own are LF. The comparison does not look at them.
    text = path.read_bytes().decode().replace("\r\n", "\n")
    header, _, rest = text.partition("\n")
    request, _, response = rest.removeprefix(">>> REQUEST\n").partition("<<< RESPONSE\n")
    line, headers, body = _split(request)
    verb, target, _ = line.split(" ", 2)
    status_line, answer_headers, answer = _split(response)
    zone = re.search(r"zone (\w)", header)
    body = body.removesuffix("\n")
    return Recording(
        path.parent.name,
        int(path.name[:3]),
        path.stem[4:],
        zone.group(1) if zone else "a",
        verb,
        target,
        headers,
        body,
        int(status_line.split()[1]),
        answer_headers,
        answer,
    )


def time_of(path: Path) -> str:
    return re.search(r"\| (\d\d:\d\d:\d\d) \|", path.read_text().split("\n", 1)[0]).group(1)


def all_recordings() -> list[Recording]:
    """By time; within a second, a directory's own order and `_AFTER` decide."""
    queues = {kind: sorted((FOLDER / kind).glob("*.txt")) for kind in APIS}
    done: set[str] = set()
    ordered: list[Recording] = []
    while any(queues.values()):
        heads = [
            (time_of(queue[0]), kind)
            for kind, queue in queues.items()
            if queue and _AFTER.get(f"{kind}/{queue[0].name[:3]}", "") in ("", *done)
        ]
        kind = min(heads)[1]
        recording = read(queues[kind].pop(0))
        done.add(recording.key)
        ordered.append(recording)
    return ordered
