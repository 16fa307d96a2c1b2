"""The product's SQLite store under the simulated cell, on files whose power may be cut."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from engine.persistence.protocols import ShardWrite
from engine.persistence.sqlite import commit
from engine.persistence.sqlite.connection import READER_CACHE_KIB
from engine.persistence.sqlite.reader import Reader
from engine.persistence.sqlite.schema import prepare
from engine.persistence.sqlite.store import SqliteStore
from engine.persistence.sqlite.writer import Writer
from tests.engine.persistence.file_system import Operation, Recorder, cut

T = TypeVar("T")

PAGES_PER_CHECKPOINT = 200
"""So few that a seed checkpoints several times."""

MEMORY_FOLDER = Path("/dev/shm")
QUICK_SECONDS_MAX = 0.0


class SqliteRows(SqliteStore):
    """The store without its threads: each call does its work at once and never waits."""

    def __init__(self) -> None:
        memory = str(MEMORY_FOLDER) if MEMORY_FOLDER.is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="perdure-simulation-", dir=memory))
        self._life = 0
        self._begin({})

    def _begin(self, files: dict[str, bytes]) -> None:
        """A new life of the machine, on the files that the one before left."""
        self._life += 1
        folder = self._folder / str(self._life)
        folder.mkdir()
        self._recorder = Recorder()
        for name, content in files.items():
            (folder / name).write_bytes(content)
            self._recorder.log += [Operation("write", name, 0, content), Operation("sync", name)]
        super().__init__(folder / "cell.db", vfs=self._recorder.name)
        self._file.create()
        self._pages_checkpointed = 0
        self._writer = Writer(self._file, threading.Lock(), self._wrote, QUICK_SECONDS_MAX)
        self._reader = Reader(self._file)

    async def open(self, shard_count: int) -> None:
        await self._write(lambda connection: prepare(connection, shard_count))

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        return await self._write(lambda connection: commit.commit(connection, writes))

    async def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        return self._writer.transact(work)

    async def _look_up(self, work: Callable[[apsw.Connection], T]) -> T:
        return self._reader.read(work)

    _search = _look_up

    def _wrote(self, pages: int) -> None:
        if pages - self._pages_checkpointed < PAGES_PER_CHECKPOINT:
            return
        self._pages_checkpointed = pages
        connection = self._file.connect(READER_CACHE_KIB)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        connection.close(True)

    def cut_power(self, rng: random.Random) -> None:
        """What was not synced is lost, in part; the machine starts again on the rest."""
        left = cut(self._recorder.log, len(self._recorder.log), rng)
        self._end()
        self._begin(left.files)

    def remove(self) -> None:
        """Ends it, and its files with it."""
        self._end()
        shutil.rmtree(self._folder)

    def _end(self) -> None:
        self._reader.close()
        self._writer.close()
        self._recorder.remove()
