"""The snapshot on disk: signed, so that a frontend can boot while the control plane is down."""

from __future__ import annotations

import os
from pathlib import Path

from tenancy.errors import SnapshotRejected
from tenancy.randomness import Now
from tenancy.snapshot import SNAPSHOT_AGE_SECONDS_MAX, Snapshot
from tenancy.snapshot_text import Signed, heard, told


class SnapshotFile:
    """One file, mode 0600: the signature in hex, a newline, JSON. Both calls block on the disk."""

    def __init__(self, path: Path, *, pepper: bytes, now: Now) -> None:
        self._path = path
        self._signed = Signed(pepper)
        self._now = now

    def save(self, snapshot: Snapshot) -> None:
        """Replaces the file in one step: a reader sees the old one or the new one."""
        draft = self._path.with_name(self._path.name + ".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._signed.write(told(snapshot)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    def load(self) -> Snapshot:
        """Raises SnapshotRejected if the file is missing, not ours, or too old."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            raise SnapshotRejected("missing") from None
        snapshot = heard(self._signed.read(text))
        if (self._now() - snapshot.refreshed_at).total_seconds() > SNAPSHOT_AGE_SECONDS_MAX:
            raise SnapshotRejected(f"older than {SNAPSHOT_AGE_SECONDS_MAX} seconds")
        return snapshot
