"""A connection that reads: never for long, and never an old state."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import apsw

from engine.errors import DataLoss, DeadlineExceeded, EngineError, StoreUnavailable
from engine.persistence.sqlite.connection import READER_CACHE_KIB, StoreFile
from engine.visibility.predicate import has_words

READ_SECONDS_MAX = 10.0
"""Bounds a read and with it the age of its snapshot, which holds back checkpoints."""

STEPS_PER_LOOK = 50_000
"""Instructions of SQLite's machine, a few milliseconds, between two looks at the time."""

T = TypeVar("T")


class Reader:
    """Runs reads one at a time, on a thread of its lane, each in one snapshot."""

    def __init__(self, file: StoreFile, seconds_max: float = READ_SECONDS_MAX) -> None:
        self._file = file
        self._seconds_max = seconds_max
        self._connection: apsw.Connection | None = None
        self._deadline = 0.0

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """What `work` finds. Raises DeadlineExceeded, DataLoss or StoreUnavailable."""
        self._deadline = time.monotonic() + self._seconds_max
        try:
            connection = self._connected()
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except EngineError:
            raise
        except apsw.InterruptError as error:
            message = f"the store read for {self._seconds_max:g} s; ask for less at once"
            raise DeadlineExceeded(message) from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            self.close()
            raise DataLoss from error
        except apsw.Error as error:
            self.close()
            raise StoreUnavailable(f"SQLite failed to read: {error}") from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            connection = self._file.connect(READER_CACHE_KIB)
            connection.execute("PRAGMA query_only = on")
            connection.create_scalar_function("has_words", _has_words, 2, deterministic=True)
            connection.set_progress_handler(self._is_late, STEPS_PER_LOOK)
            self._connection = connection
        return self._connection

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def _has_words(*arguments: apsw.SQLiteValue) -> bool | None:
    text, words = arguments
    if not isinstance(text, str) or not isinstance(words, str):
        return None
    return has_words(text, words)
