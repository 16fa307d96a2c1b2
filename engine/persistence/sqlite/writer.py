"""The one connection that writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import apsw

from engine.errors import StoreFull, StoreRejected
from engine.persistence.sqlite.connection import WRITER_CACHE_KIB, StoreFile, write_failure

COMMITS_REMEMBERED = 8

T = TypeVar("T")


class Writer:
    """Runs transactions one at a time, on its lane's thread or, if the disk is quick, the caller's.

    `gate` is held during each, so that the checkpointer can have the file to itself. `wrote` is
    told after each how many pages this process has appended to the write-ahead log. The disk is
    quick while commits have taken `quick_seconds_max` at most, on a moving average.
    """

    def __init__(
        self,
        file: StoreFile,
        gate: threading.Lock,
        wrote: Callable[[int], None],
        quick_seconds_max: float,
    ) -> None:
        self._file = file
        self._gate = gate
        self._wrote = wrote
        self._quick_seconds_max = quick_seconds_max
        self._commit_seconds = 0.0
        self._connection: apsw.Connection | None = None
        self._pages_before = 0

    def transact(self, work: Callable[[apsw.Connection], T]) -> T:
        """Commit what `work` does, durably. Raises StoreError; see `write_failure`."""
        with self._gate:
            return self._transact(work)

    def transact_at_once(self, work: Callable[[apsw.Connection], T]) -> T | None:
        """As `transact`; None, and nothing is done, if the caller might have to wait."""
        if (
            self._connection is None
            or self._commit_seconds > self._quick_seconds_max
            or not self._gate.acquire(blocking=False)
        ):
            return None
        try:
            return self._transact(work)
        finally:
            self._gate.release()

    def _transact(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            begun = time.monotonic()
            connection.execute("COMMIT")
            took_seconds = time.monotonic() - begun
        except Exception as error:
            failure = write_failure(error)
            self._roll_back(keep=isinstance(failure, StoreFull | StoreRejected))
            if failure is error:
                raise
            raise failure from error
        self._commit_seconds += (took_seconds - self._commit_seconds) / COMMITS_REMEMBERED
        pages, _ = connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)
        self._wrote(self._pages_before + pages)
        return result

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._file.connect(WRITER_CACHE_KIB)
        return self._connection

    def _roll_back(self, *, keep: bool) -> None:
        """End the transaction; unless it is safe to `keep`, the connection goes with it.

        After an I/O error a fresh connection reads what the file really holds, and the file is
        left as it is: this is no time for the checkpoint that SQLite makes when it closes.
        """
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            keep = False
        if not keep:
            self._connection = None
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            pages, _ = connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)
            self._pages_before += pages
            connection.close(True)
