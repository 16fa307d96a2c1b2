"""What the data plane's door needs, in memory: it answers with the database down.

`SnapshotReader` follows the change feed; `authenticate` and `resolve` touch memory only.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.api_keys import ApiKey, key_principal
from tenancy.certificates import NamespaceTrust
from tenancy.changes import Change, ChangeKind, last_seq
from tenancy.database import Database
from tenancy.denied_certificates import denied_in
from tenancy.errors import DatabaseUnavailable, NotFound, Unauthenticated, UnauthenticatedReason
from tenancy.key_text import KeyDigests
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.randomness import Now
from tenancy.roles import NamespaceRef, Principal
from tenancy.users import User, principals_of

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 1
"""How often changes made by other processes are looked for; revocation holds within 5 s."""

SAVE_SECONDS = 60

IDS_PER_READ = 500
"""Stays below the number of variables that a database takes in one statement."""

_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    digest: bytes
    principal: Principal
    expires_at: datetime


@dataclass(slots=True)
class Snapshot:
    """`version` is the last change it holds, `refreshed_at` when it was last known complete.

    `trusts` has the namespaces that accept client certificates.
    """

    version: int
    refreshed_at: datetime
    namespaces: dict[str, NamespaceRef] = field(default_factory=dict)
    api_keys: dict[str, KeyEntry] = field(default_factory=dict)
    trusts: dict[str, NamespaceTrust] = field(default_factory=dict)


class SnapshotStorage(Protocol):
    """Keeps one snapshot outside of the database. Both calls may block."""

    def save(self, snapshot: Snapshot) -> None:
        """Replaces what was kept."""

    def load(self) -> Snapshot:
        """Raises SnapshotRejected if nothing usable is kept."""


class SnapshotReader:
    """Holds the snapshot of one frontend. Before `start` it knows nothing and refuses all."""

    def __init__(
        self,
        *,
        database: Database,
        digests: KeyDigests,
        now: Now,
        storage: SnapshotStorage | None = None,
    ) -> None:
        self._database = database
        self._digests = digests
        self._now = now
        self._storage = storage
        self._saved_at: datetime | None = None
        self._on_revoked: list[Callable[[str], None]] = []
        self._on_trust_changed: list[Callable[[str], None]] = []
        self._refreshing = asyncio.Lock()
        self._is_adopted = False
        self.snapshot: Snapshot | None = None

    @property
    def staleness_seconds(self) -> float:
        """How long ago the snapshot was last known complete; infinite if there is none."""
        if self.snapshot is None:
            return float("inf")
        return (self._now() - self.snapshot.refreshed_at).total_seconds()

    def authenticate(self, text: str) -> Principal:
        """The caller behind an API key; raises Unauthenticated."""
        key_id, digest = self._digests.parse(text)
        entry = None if self.snapshot is None else self.snapshot.api_keys.get(key_id)
        is_right = hmac.compare_digest(digest, _NO_DIGEST if entry is None else entry.digest)
        if entry is None or not is_right:
            raise Unauthenticated(UnauthenticatedReason.UNKNOWN_KEY)
        if self._now() >= entry.expires_at:
            raise Unauthenticated(UnauthenticatedReason.EXPIRED_KEY)
        return entry.principal

    def resolve(self, full_name: str) -> NamespaceRef:
        """The active namespace of that `name.account`; raises NotFound."""
        found = None if self.snapshot is None else self.snapshot.namespaces.get(full_name)
        if found is None:
            raise NotFound("namespace", full_name)
        return found

    def trust(self, full_name: str) -> NamespaceTrust | None:
        """What that `name.account` trusts of client certificates; None if it accepts none."""
        return None if self.snapshot is None else self.snapshot.trusts.get(full_name)

    def on_revoked(self, callback: Callable[[str], None]) -> None:
        """Calls back with the id of each key that is gone or may do something else than before."""
        self._on_revoked.append(callback)

    def on_trust_changed(self, callback: Callable[[str], None]) -> None:
        """Calls back with the `name.account` of each namespace that trusted otherwise before."""
        self._on_trust_changed.append(callback)

    async def start(self) -> None:
        """Reads the database or, if it is unreachable, what was kept of it the last time."""
        try:
            await self.refresh()
        except (DatabaseUnavailable, SQLAlchemyError, OSError) as error:
            if self._storage is None:
                raise
            logger.warning("snapshot_from_storage", extra={"error": type(error).__name__})
            # It may come from before a restore of the database, so it is no start for changes.
            self.snapshot = await asyncio.to_thread(self._storage.load)
            self._is_adopted = True

    async def refresh(self) -> bool:
        """Reads what changed since the last time; True if anything did."""
        async with self._refreshing:
            now = self._now()
            async with self._database.reading() as session:
                # The version is read before the rows: they may be newer than it, never older.
                version = await last_seq(session)
                before = self.snapshot
                known = None if self._is_adopted else before
                is_changed = known is None or known.version != version
                if known is not None and not is_changed:
                    known.refreshed_at = now
                    after = known
                else:
                    after = await self._read(session, known, version, now)
            self.snapshot, self._is_adopted = after, False
            if before is not None and is_changed:
                self._tell(self._on_revoked, before.api_keys, after.api_keys)
                self._tell(self._on_trust_changed, before.trusts, after.trusts)
            await self._save(after, now, is_changed)
        return is_changed

    async def follow(self) -> None:
        """Refreshes after each commit of this process, and each second for the others'.

        A database that cannot be read leaves the snapshot as it is, and staleness grows.
        """
        is_failing = False
        while True:
            try:
                await self.refresh()
                is_failing = False
            except Exception as error:
                if not is_failing:
                    logger.warning("snapshot_refresh_failed", extra={"error": type(error).__name__})
                is_failing = True
            try:
                # Not `wait_for`, which before Python 3.12 can swallow a cancellation.
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._database.changed.wait()
            except TimeoutError:
                continue
            self._database.changed.clear()

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

    async def _read(
        self, session: AsyncSession, before: Snapshot | None, version: int, now: datetime
    ) -> Snapshot:
        after = Snapshot(version, now)
        if before is None:
            namespaces = (await session.scalars(sa.select(Namespace))).all()
            keys = await session.scalars(sa.select(ApiKey))
            after.namespaces = _by_name(namespaces)
            after.trusts = await _trusts(session, namespaces)
            after.api_keys = await _entries(session, list(keys))
            return after
        changed: dict[ChangeKind, set[str]] = {kind: set() for kind in ChangeKind}
        for change in await session.scalars(sa.select(Change).where(Change.seq > before.version)):
            changed[change.kind].add(change.id)
        after.namespaces = {
            name: ref
            for name, ref in before.namespaces.items()
            if ref.id not in changed[ChangeKind.NAMESPACE]
        }
        after.trusts = {
            name: told
            for name, told in before.trusts.items()
            if told.namespace.id not in changed[ChangeKind.NAMESPACE]
        }
        for ids in _chunks(changed[ChangeKind.NAMESPACE]):
            found = await session.scalars(sa.select(Namespace).where(Namespace.id.in_(ids)))
            namespaces = found.all()
            after.namespaces |= _by_name(namespaces)
            after.trusts |= await _trusts(session, namespaces)
        for ids in _chunks(changed[ChangeKind.USER]):
            changed[ChangeKind.API_KEY].update(
                await session.scalars(sa.select(ApiKey.id).where(ApiKey.user_id.in_(ids)))
            )
        key_ids = changed[ChangeKind.API_KEY]
        after.api_keys = {id: entry for id, entry in before.api_keys.items() if id not in key_ids}
        for ids in _chunks(key_ids):
            rows = await session.scalars(sa.select(ApiKey).where(ApiKey.id.in_(ids)))
            after.api_keys |= await _entries(session, list(rows))
        return after

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


def _by_name(namespaces: Iterable[Namespace]) -> dict[str, NamespaceRef]:
    return {
        namespace.ref.full_name: namespace.ref
        for namespace in namespaces
        if namespace.state is NamespaceState.ACTIVE
    }


async def _trusts(
    session: AsyncSession, namespaces: Iterable[Namespace]
) -> dict[str, NamespaceTrust]:
    trusting = {
        namespace.id: namespace
        for namespace in namespaces
        if namespace.state is NamespaceState.ACTIVE and namespace.settings.certificates.is_enabled
    }
    trusts = {}
    for ids in _chunks(trusting):
        denied = await denied_in(session, ids)
        for id in ids:
            ref, trust = trusting[id].ref, trusting[id].settings.certificates
            trusts[ref.full_name] = NamespaceTrust(ref, trust, denied.get(id, frozenset()))
    return trusts


async def _entries(session: AsyncSession, keys: list[ApiKey]) -> dict[str, KeyEntry]:
    usable = [key for key in keys if key.revoked_at is None and not key.is_disabled]
    owners: dict[str, Principal] = {}
    for ids in _chunks({key.user_id for key in usable}):
        users = await session.scalars(sa.select(User).where(User.id.in_(ids)))
        owners |= await principals_of(session, list(users))
    return {
        key.id: KeyEntry(key.digest, key_principal(key, owners[key.user_id]), key.expires_at)
        for key in usable
    }


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return (ordered[at : at + IDS_PER_READ] for at in range(0, len(ordered), IDS_PER_READ))
