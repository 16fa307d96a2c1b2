"""Moves what was committed from the write-ahead log into the file, beside the commits."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue

import apsw

from engine.persistence.sqlite.connection import READER_CACHE_KIB, StoreFile

log = logging.getLogger(__name__)

CHECKPOINT_PAGES = 4_096


class Checkpointer:
    """A thread that sleeps until enough pages were appended.

    The bulk is copied while commits go on. What they appended meanwhile is copied behind the
    gate; then the log is wholly in the file, and the next commit begins it again from the
    start. Only a reader in an old snapshot lets it grow, and readers have a time limit.
    """

    def __init__(self, file: StoreFile, gate: threading.Lock) -> None:
        self._file = file
        self._gate = gate
        self._connection: apsw.Connection | None = None
        self._begun_pages = 0
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="checkpoint", daemon=True)
        self._thread.start()

    def wrote(self, pages: int) -> None:
        """Note how many pages this process has ever appended; never waits."""
        if pages - self._begun_pages >= CHECKPOINT_PAGES:
            self._begun_pages = pages
            self._wanted.put(True)

    def stop(self) -> None:
        """Finish the checkpoint under way and end the thread."""
        self._wanted.put(False)
        self._thread.join()

    def _serve(self) -> None:
        while self._wanted.get():
            try:
                self._checkpoint()
            except apsw.Error as error:
                # The log still holds everything; the next round tries again.
                log.warning("checkpoint_failed", extra={"why": type(error).__name__})
                self._disconnect()
        self._disconnect()

    def _checkpoint(self) -> None:
        if self._connection is None:
            self._connection = self._file.connect(READER_CACHE_KIB)
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        with self._gate:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)
