"""Group commit: what is handed in while one transaction runs shares the next one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import apsw

CHECKPOINT_PAGES = 4000

SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = full;
create table history (
    run integer, first_event integer, events blob, primary key (run, first_event)
) without rowid;
create table run (run integer primary key, workflow_id text, closed integer, next_event integer);
"""

INSERT_HISTORY = "insert into history values (?, ?, ?)"
UPSERT_RUN = """
insert into run values (?, ?, ?, ?)
on conflict (run) do update set closed = excluded.closed, next_event = excluded.next_event
"""


@dataclass(slots=True)
class Batch:
    """The rows of one transaction; of a run row only the last version is written."""

    committed: asyncio.Future[None]
    history: list[tuple[int, int, bytes]] = field(default_factory=list)
    runs: dict[int, tuple[int, str, bool, int]] = field(default_factory=dict)


class Store:
    """One SQLite file with one writer thread; the next commit starts when the last one ends."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        # A cursor stops at the first row a pragma returns; reading them all runs every statement.
        list(self._connection.execute(SCHEMA))
        self._connection.wal_autocheckpoint(CHECKPOINT_PAGES)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="floor-writer")
        self._loop = asyncio.get_running_loop()
        self._batch = Batch(self._loop.create_future())
        self._waiting = asyncio.Event()
        self._commits = asyncio.create_task(self._commit_forever())

    async def append(
        self, run: tuple[int, str, bool, int], first_event: int, events: bytes
    ) -> None:
        """Write one transition; returns when it is on disk."""
        batch = self._batch
        batch.history.append((run[0], first_event, events))
        batch.runs[run[0]] = run
        self._waiting.set()
        await batch.committed

    async def _commit_forever(self) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            batch, self._batch = self._batch, Batch(self._loop.create_future())
            try:
                await self._loop.run_in_executor(self._writer, self._write, batch)
            except apsw.Error as error:
                batch.committed.set_exception(error)
            else:
                batch.committed.set_result(None)

    def _write(self, batch: Batch) -> None:
        with self._connection:
            self._connection.executemany(INSERT_HISTORY, batch.history)
            self._connection.executemany(UPSERT_RUN, batch.runs.values())
