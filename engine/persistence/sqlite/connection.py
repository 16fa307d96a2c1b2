"""Connections to the store file: how they are opened, and what their failures mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import apsw

from engine.errors import StoreError, StoreFull, StoreMismatch, StoreRejected, StoreUnavailable

BUSY_MS_MAX = 5_000
WRITER_CACHE_KIB = 64 * 1024
READER_CACHE_KIB = 8 * 1024
WAL_BYTES_MAX = 64 * 1024 * 1024
STATEMENT_COUNT_MAX = 256

REJECTING = (
    apsw.ConstraintError,
    apsw.TooBigError,
    apsw.MismatchError,
    UnicodeError,
    OverflowError,
)
"""Failures that lie in the rows themselves: the same transaction would fail again."""


@dataclass(frozen=True, slots=True)
class StoreFile:
    """Where the store is, and SQLite's name for the file system under it."""

    path: Path
    vfs: str | None = None

    def create(self) -> None:
        """Make the file, for its owner only; SQLite gives its companions the same mode."""
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.path.chmod(0o600)
            os.fsync(directory)
        finally:
            os.close(directory)

    def connect(self, cache_kib: int) -> apsw.Connection:
        """A connection whose commits are durable and which never checkpoints by itself."""
        connection = apsw.Connection(
            str(self.path),
            flags=apsw.SQLITE_OPEN_READWRITE,
            vfs=self.vfs,
            statementcachesize=STATEMENT_COUNT_MAX,
        )
        try:
            connection.set_busy_timeout(BUSY_MS_MAX)
            for pragma in (
                "journal_mode = wal",
                "synchronous = full",
                "wal_autocheckpoint = 0",
                f"journal_size_limit = {WAL_BYTES_MAX}",
                f"cache_size = -{cache_kib}",
                "cell_size_check = on",
                "trusted_schema = off",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close(True)
            raise
        return connection


def write_failure(error: Exception) -> Exception:
    """What a failed write transaction means to the one who asked for it.

    A full disk is met while frames are appended, before the one that commits, so nothing was
    written. Any other trouble with the file leaves it open: the last frame may be on the disk.
    """
    if isinstance(error, StoreError):
        return error
    if isinstance(error, apsw.FullError):
        return StoreFull()
    if isinstance(error, REJECTING):
        return StoreRejected(f"SQLite refused a row: {type(error).__name__}: {error}")
    if isinstance(error, apsw.NotADBError):
        return StoreMismatch("the file is not an SQLite database")
    if isinstance(error, apsw.Error):
        return StoreUnavailable(f"SQLite failed: {error}")
    return error
