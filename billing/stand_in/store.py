"""What the stand-in keeps: objects, answers by idempotency key, and events on their way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    sequence INTEGER PRIMARY KEY, id TEXT UNIQUE, kind TEXT, body TEXT);
CREATE INDEX IF NOT EXISTS object_kind ON object (kind);
CREATE TABLE IF NOT EXISTS answer (
    key TEXT PRIMARY KEY, asked TEXT, status INTEGER, body TEXT, at REAL);
CREATE TABLE IF NOT EXISTS event (
    sequence INTEGER PRIMARY KEY, body TEXT, due_at REAL, attempts INTEGER);
"""
BUSY_SECONDS = 5.0

Object = dict[str, Any]


class Answer(NamedTuple):
    """`asked` is the request that was answered so."""

    asked: str
    status: int
    body: Object
    at: float


class Waiting(NamedTuple):
    """An event that nobody has taken yet."""

    sequence: int
    body: str
    attempts: int


class Store:
    """A file, so that a restart forgets no customer; without a path it is in memory."""

    def __init__(self, path: Path | None) -> None:
        self._connection = sqlite3.connect(
            path or ":memory:", isolation_level=None, timeout=BUSY_SECONDS
        )
        # What a power cut takes here, no customer of ours has lost.
        self._connection.executescript(
            "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;" + SCHEMA
        )

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def find(self, id: str) -> Object | None:
        rows = self._connection.execute("SELECT body FROM object WHERE id = ?", (id,))
        row = rows.fetchone()
        return None if row is None else json.loads(row[0])

    def keep(self, made: Object) -> None:
        self._connection.execute(
            "INSERT INTO object (id, kind, body) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (made["id"], made["object"], json.dumps(made)),
        )

    def all(self, kind: str) -> list[Object]:
        """The newest first."""
        rows = self._connection.execute(
            "SELECT body FROM object WHERE kind = ? ORDER BY sequence DESC", (kind,)
        )
        return [json.loads(body) for (body,) in rows]

    def answer(self, key: str) -> Answer | None:
        row = self._connection.execute(
            "SELECT asked, status, body, at FROM answer WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else Answer(row[0], row[1], json.loads(row[2]), row[3])

    def remember(self, key: str, answer: Answer) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?)",
            (key, answer.asked, answer.status, json.dumps(answer.body), answer.at),
        )

    def tell(self, event: Object, at: datetime) -> None:
        self._connection.execute(
            "INSERT INTO event (body, due_at, attempts) VALUES (?, ?, 0)",
            (json.dumps(event), at.timestamp()),
        )

    def waiting(self, at: datetime) -> list[Waiting]:
        """Events that are due, in their order."""
        rows = self._connection.execute(
            "SELECT sequence, body, attempts FROM event WHERE due_at <= ? ORDER BY sequence",
            (at.timestamp(),),
        )
        return [Waiting(*row) for row in rows]

    def taken(self, event: Waiting) -> None:
        self._connection.execute("DELETE FROM event WHERE sequence = ?", (event.sequence,))

    def put_off(self, event: Waiting, until: datetime) -> None:
        self._connection.execute(
            "UPDATE event SET due_at = ?, attempts = attempts + 1 WHERE sequence = ?",
            (until.timestamp(), event.sequence),
        )
