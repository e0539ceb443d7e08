# SPDX-License-Identifier: GPL-3.0-or-later
"""State of a lab zone: objects in memory, written through to SQLite, so that a kill -9 loses nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import typing as t
from collections.abc import Iterator

from .template_text import Template


@dataclasses.dataclass
class Entity:
    """Anything with an id, an owner and permissions. `data` holds what is particular to its kind, JSON-serialisable."""

    kind: str
    id: int
    name: str
    uid: int = 0
    gid: int = 0
    mode: str = "600"
    template: Template = dataclasses.field(default_factory=Template)
    user_template: Template = dataclasses.field(default_factory=Template)
    data: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def dump(self) -> str:
        raw = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps({**raw, "template": self.template.pairs, "user_template": self.user_template.pairs}, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> Entity:
        raw = json.loads(text)
        return cls(**{**raw, "template": Template(raw["template"]), "user_template": Template(raw["user_template"])})


class Store:
    """Kinds of entities by id, id counters, and a few named values. One writer: the event loop of the zone."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)  # it holds password hashes and OneGate's secret
        os.close(descriptor)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # The process may be killed at any time, the machine is not expected to lose power: no fsync per write.
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS entity (kind TEXT, id INTEGER, body TEXT, PRIMARY KEY (kind, id))")
        self._db.execute("CREATE TABLE IF NOT EXISTS value (name TEXT PRIMARY KEY, body TEXT)")
        self._entities: dict[str, dict[int, Entity]] = {}
        for kind, number, body in self._db.execute("SELECT kind, id, body FROM entity ORDER BY kind, id"):
            self._entities.setdefault(kind, {})[number] = Entity.parse(body)
        self._values: dict[str, t.Any] = {n: json.loads(b) for n, b in self._db.execute("SELECT name, body FROM value")}

    def close(self) -> None:
        self._db.close()

    def get(self, kind: str, number: int) -> Entity | None:
        return self._entities.get(kind, {}).get(number)

    def all(self, kind: str) -> Iterator[Entity]:
        """Return all of a kind, by ascending id."""
        entities = self._entities.get(kind, {})
        return iter([entities[number] for number in sorted(entities)])

    def put(self, entity: Entity) -> Entity:
        self._entities.setdefault(entity.kind, {})[entity.id] = entity
        self._db.execute("INSERT OR REPLACE INTO entity VALUES (?, ?, ?)", (entity.kind, entity.id, entity.dump()))
        return entity

    def delete(self, kind: str, number: int) -> None:
        self._entities.get(kind, {}).pop(number, None)
        self._db.execute("DELETE FROM entity WHERE kind = ? AND id = ?", (kind, number))

    def value(self, name: str, default: t.Any = None) -> t.Any:
        return self._values.get(name, default)

    def set_value(self, name: str, body: t.Any) -> None:
        self._values[name] = body
        self._db.execute("INSERT OR REPLACE INTO value VALUES (?, ?)", (name, json.dumps(body)))

    def next_id(self, kind: str) -> int:
        """Return the next id of that kind; ids are never used twice."""
        number = self.value(f"next:{kind}", 0)
        self.set_value(f"next:{kind}", number + 1)
        return number

    def dump_kind(self, kind: str) -> list[str]:
        return [entity.dump() for entity in self.all(kind)]

    def replace_kind(self, kind: str, dumps: list[str]) -> None:
        """All entities of a kind at once: what a slave does with the master's state."""
        parsed = [(Entity.parse(dump), dump) for dump in dumps]
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM entity WHERE kind = ?", (kind,))
        self._db.executemany("INSERT INTO entity VALUES (?, ?, ?)", [(kind, entity.id, dump) for entity, dump in parsed])
        self._db.execute("COMMIT")
        self._entities[kind] = {entity.id: entity for entity, _ in parsed}
