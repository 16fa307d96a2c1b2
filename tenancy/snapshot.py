"""What the data plane's door needs, in memory: it answers with the control plane down.

`SnapshotReader` reads it from the database, `SnapshotFollower` is told it by who does.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tenancy.certificates import NamespaceTrust
from tenancy.errors import NotFound, Unauthenticated, UnauthenticatedReason
from tenancy.key_text import KeyDigests
from tenancy.placement import CellPlace
from tenancy.randomness import Now
from tenancy.restrictions import Restriction, RestrictionCause, restriction_key
from tenancy.roles import NamespaceRef, Principal

logger = logging.getLogger(__name__)

SAVE_SECONDS = 60
SNAPSHOT_AGE_SECONDS_MAX = 24 * 60 * 60
"""The most that a revocation can be missed by a frontend that hears nothing of it."""

_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    digest: bytes
    principal: Principal
    expires_at: datetime


@dataclass(slots=True)
class Snapshot:
    """`version` is the last change it holds, `refreshed_at` when it was last known complete.

    `trusts` has the namespaces that accept client certificates, `restrictions` who may start no
    new workflows. What is added here is added to `tenancy.snapshot_text` as well.
    """

    version: int
    refreshed_at: datetime
    namespaces: dict[str, NamespaceRef] = field(default_factory=dict)
    api_keys: dict[str, KeyEntry] = field(default_factory=dict)
    trusts: dict[str, NamespaceTrust] = field(default_factory=dict)
    restrictions: dict[str, Restriction] = field(default_factory=dict)
    cells: tuple[CellPlace, ...] = ()


class SnapshotStorage(Protocol):
    """Keeps one snapshot outside of the database. Both calls may block."""

    def save(self, snapshot: Snapshot) -> None:
        """Replaces what was kept."""

    def load(self) -> Snapshot:
        """Raises SnapshotRejected if nothing usable is kept."""


class SnapshotView:
    """Answers for the door from the snapshot; while there is none, it refuses all."""

    def __init__(
        self, *, digests: KeyDigests, now: Now, storage: SnapshotStorage | None = None
    ) -> None:
        self._digests = digests
        self._now = now
        self._storage = storage
        self._saved_at: datetime | None = None
        self._on_changed: list[Callable[[Snapshot, Snapshot], None]] = []
        self._on_revoked: list[Callable[[str], None]] = []
        self._on_trust_changed: list[Callable[[str], None]] = []
        self._moved = asyncio.Event()
        self.snapshot: Snapshot | None = None

    @property
    def staleness_seconds(self) -> float:
        """How long ago the snapshot was last known complete; infinite if there is none."""
        if self.snapshot is None:
            return float("inf")
        return (self._now() - self.snapshot.refreshed_at).total_seconds()

    @property
    def is_usable(self) -> bool:
        """Whether the door may answer from it."""
        return self.snapshot is not None

    @property
    def problem(self) -> str:
        """What an operator should know of where it comes from; empty if nothing."""
        return "" if self.snapshot is not None else "no snapshot yet"

    def current(self) -> Snapshot | None:
        """What may be answered from now."""
        return self.snapshot

    def authenticate(self, text: str) -> Principal:
        """The caller behind an API key; raises Unauthenticated."""
        key_id, digest = self._digests.parse(text)
        current = self.current()
        entry = None if current is None else current.api_keys.get(key_id)
        is_right = hmac.compare_digest(digest, _NO_DIGEST if entry is None else entry.digest)
        if entry is None or not is_right:
            raise Unauthenticated(UnauthenticatedReason.UNKNOWN_KEY)
        if self._now() >= entry.expires_at:
            raise Unauthenticated(UnauthenticatedReason.EXPIRED_KEY)
        return entry.principal

    def resolve(self, full_name: str) -> NamespaceRef:
        """The active namespace of that `name.account`; raises NotFound."""
        current = self.current()
        found = None if current is None else current.namespaces.get(full_name)
        if found is None:
            raise NotFound("namespace", full_name)
        return found

    def trust(self, full_name: str) -> NamespaceTrust | None:
        """What that `name.account` trusts of client certificates; None if it accepts none."""
        current = self.current()
        return None if current is None else current.trusts.get(full_name)

    def restriction(self, namespace: NamespaceRef) -> Restriction | None:
        """Why no new workflow may start in that namespace; None if they may."""
        current = self.current()
        if current is None or not current.restrictions:
            return None
        for target_id in (namespace.account_id, namespace.id):
            for cause in RestrictionCause:
                if found := current.restrictions.get(restriction_key(target_id, cause)):
                    return found
        return None

    def on_changed(self, callback: Callable[[Snapshot, Snapshot], None]) -> None:
        """Calls back with the snapshots before and after each change."""
        self._on_changed.append(callback)

    def on_revoked(self, callback: Callable[[str], None]) -> None:
        """Calls back with the id of each key that is gone or may do something else than before."""
        self._on_revoked.append(callback)

    def on_trust_changed(self, callback: Callable[[str], None]) -> None:
        """Calls back with the `name.account` of each namespace that trusted otherwise before."""
        self._on_trust_changed.append(callback)

    @property
    def next_change(self) -> asyncio.Event:
        """Is set with the next change."""
        return self._moved

    async def reached(self, version: int) -> None:
        """Wait until the snapshot holds the change of that number."""
        while self.snapshot is None or self.snapshot.version < version:
            await self._moved.wait()

    def _replace(self, after: Snapshot) -> None:
        """Answer from this one, and tell what became of the one before."""
        before, self.snapshot = self.snapshot, after
        if before is after:
            return
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        if before is not None:
            for callback in self._on_changed:
                callback(before, after)
            self._tell(self._on_revoked, before.api_keys, after.api_keys)
            self._tell(self._on_trust_changed, before.trusts, after.trusts)

    async def _save(self, snapshot: Snapshot, now: datetime, is_changed: bool) -> None:
        """Also without changes now and then: its age counts when it is loaded."""
        is_due = (
            is_changed
            or self._saved_at is None
            or (now - self._saved_at).total_seconds() >= SAVE_SECONDS
        )
        if self._storage is not None and is_due:
            await asyncio.to_thread(self._storage.save, snapshot)
            self._saved_at = now

    def _tell(
        self,
        callbacks: list[Callable[[str], None]],
        before: Mapping[str, KeyEntry | NamespaceTrust],
        after: Mapping[str, KeyEntry | NamespaceTrust],
    ) -> None:
        """Of what is gone or another than before. A callback that fails keeps no other back."""
        for id, entry in before.items():
            if entry is after.get(id) or entry == after.get(id):
                continue
            for callback in callbacks:
                try:
                    callback(id)
                except Exception:
                    logger.exception("revocation_callback_failed", extra={"revoked": id})
