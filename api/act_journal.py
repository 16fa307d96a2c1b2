"""The audit trail of a door without a database: acts are noted on its own disk, then delivered.

A caller is answered when its act is on this disk. The control plane takes each over exactly once,
by the journal's id and the act's number in it, however late and however often it is delivered.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from api.audit_trail import IDLE_SECONDS, Trail
from api.transports.errors import AuditLogFull
from tenancy import Act, AuditResult, Principal, PrincipalKind
from tenancy.act_journals import JournaledAct
from tenancy.randomness import Now

ACTS_KEPT_MAX = 200_000
ACTS_KEPT_PER_ACCOUNT_MAX = 20_000
"""So that no account takes the room of the others while the control plane is away."""

ACTS_PER_WRITE_MAX = 500
ACTS_PER_DELIVERY_MAX = 200

T = TypeVar("T")

TABLES = """
CREATE TABLE IF NOT EXISTS journal (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS act (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, account_id TEXT NOT NULL, body BLOB NOT NULL
);
"""
"""A number is never given twice, also when the acts before it are gone."""


class WrittenAct(msgspec.Struct, array_like=True, frozen=True):
    """An act as bytes: of its actor, what the audit log tells."""

    actor_kind: PrincipalKind
    actor_id: str
    account_id: str
    action: str
    target_ids: tuple[str, ...]
    result: AuditResult
    at: datetime

    @property
    def act(self) -> Act:
        actor = Principal(self.actor_kind, self.actor_id, self.account_id)
        return Act(actor, self.action, self.target_ids, self.result, self.at)


Kept = tuple[int, bytes]
"""An act's number in its journal, and its bytes."""

Deliver = Callable[[str, Sequence[Kept]], Awaitable[int]]
"""Takes acts of a journal; answers up to which of its numbers they are in the audit log."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WrittenAct)


def read_acts(kept: Sequence[Kept]) -> list[JournaledAct]:
    return [JournaledAct(sequence, _decoder.decode(body).act) for sequence, body in kept]


class ActFile:
    """The journal on disk: an SQLite file, so that a crash leaves whole acts. All calls block."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(TABLES)
        self.id = self._named()

    def append(self, acts: Sequence[Act]) -> None:
        """On the disk when it returns. Raises sqlite3.Error."""
        rows = [(act.actor.account_id, _written(act)) for act in acts]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT INTO act (account_id, body) VALUES (?, ?)", rows)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def first(self, count: int) -> list[Kept]:
        asked = "SELECT sequence, body FROM act ORDER BY sequence LIMIT ?"
        return list(self._connection.execute(asked, (count,)))

    def forget(self, up_to: int) -> Counter[str]:
        """What is delivered; how many acts of each account that were."""
        gone = "DELETE FROM act WHERE sequence <= ? RETURNING account_id"
        return Counter(account_id for (account_id,) in self._connection.execute(gone, (up_to,)))

    def counts(self) -> Counter[str]:
        asked = "SELECT account_id, count(*) FROM act GROUP BY account_id"
        return Counter(dict(self._connection.execute(asked)))

    def close(self) -> None:
        self._connection.close()

    def _named(self) -> str:
        found = self._connection.execute("SELECT id FROM journal").fetchone()
        if found is None:
            found = (str(uuid.uuid4()),)
            self._connection.execute("INSERT INTO journal (id) VALUES (?)", found)
        return str(found[0])


class JournaledTrail(Trail):
    """Records are in the journal when callers go on, however long the disk fails until then.

    While it fails, further acts are refused before they are done.
    """

    def __init__(self, file: ActFile, deliver: Deliver, now: Now) -> None:
        super().__init__(now, file.counts())
        self._file = file
        self._deliver = deliver
        # One thread, so that what was begun ends before the next begins, whoever gave up on it.
        self._disk = ThreadPoolExecutor(1, "journal")
        self._writing: asyncio.Task[None] | None = None
        self._is_failing = False
        self.written = asyncio.Event()
        """Set when there is something to deliver."""

    async def write(self) -> float:
        """Notes all that waits. Raises sqlite3.Error; what waits is kept for the next time."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(self._append, ACTS_PER_WRITE_MAX))
        # Cancelled halfway, a batch would be noted twice.
        await asyncio.shield(self._writing)
        return IDLE_SECONDS

    async def deliver(self) -> float:
        """Hands all acts over, in their order. What the control plane raises, it raises."""
        while True:
            acts = await self._on_disk(partial(self._file.first, ACTS_PER_DELIVERY_MAX))
            if not acts:
                return IDLE_SECONDS
            reached = await self._deliver(self._file.id, acts)
            gone = await self._on_disk(partial(self._file.forget, reached))
            for account_id, count in gone.items():
                self._places.leave(account_id, count)

    async def close(self) -> None:
        """Note what still waits and let go of the file."""
        try:
            await self.write()
        finally:
            await self._on_disk(self._file.close)
            self._disk.shutdown()

    def _take_place(self, account_id: str) -> None:
        if self._is_failing:
            raise AuditLogFull
        self._places.take(account_id, ACTS_KEPT_MAX, ACTS_KEPT_PER_ACCOUNT_MAX)

    async def _append(self, acts: Sequence[Act]) -> None:
        try:
            await self._on_disk(partial(self._file.append, acts))
        except sqlite3.Error:
            self._is_failing = True
            raise
        self._is_failing = False
        self.written.set()

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)


def _written(act: Act) -> bytes:
    assert act.at is not None, "an act is journaled with its time"
    actor = act.actor
    return _encoder.encode(
        WrittenAct(
            actor.kind, actor.id, actor.account_id, act.action, act.target_ids, act.result, act.at
        )
    )
