"""The snapshot as it is read from the database, by whoever has one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.api_keys import ApiKey, key_principal
from tenancy.certificates import NamespaceTrust
from tenancy.changes import Change, ChangeKind, last_seq, outrun
from tenancy.database import Database
from tenancy.denied_certificates import denied_in
from tenancy.errors import DatabaseUnavailable
from tenancy.key_text import KeyDigests
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.placement import ONE_CELL, CellPlace
from tenancy.randomness import Now
from tenancy.restrictions import restrictions_of
from tenancy.revocation_lists import revoked_in
from tenancy.roles import NamespaceRef, Principal
from tenancy.snapshot import KeyEntry, Snapshot, SnapshotStorage, SnapshotView
from tenancy.users import User, principals_of

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 1
"""How often changes made by other processes are looked for; revocation holds within 5 s."""

IDS_PER_READ = 500
"""Stays below the number of variables that a database takes in one statement."""


class SnapshotReader(SnapshotView):
    """Holds the snapshot of a process with a database. Before `start` it knows nothing."""

    def __init__(
        self,
        *,
        database: Database,
        digests: KeyDigests,
        now: Now,
        storage: SnapshotStorage | None = None,
        cells: Sequence[CellPlace] = ONE_CELL,
    ) -> None:
        super().__init__(digests=digests, now=now, storage=storage)
        self._database = database
        self._cells = tuple(cells)
        self._refreshing = asyncio.Lock()
        self._is_adopted = False

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
                if known is not None and known.version > version:
                    # The database was restored, so what changed since cannot be told.
                    known = None
                is_changed = known is None or known.version != version
                if known is not None and not is_changed:
                    known.refreshed_at = now
                    after = known
                else:
                    after = await self._read(session, known, version, now)
            self._is_adopted = False
            self._replace(after)
            await self._save(after, now, is_changed)
        return is_changed

    async def outrun(self, version: int) -> None:
        """Makes the next change's number higher than this one, which a door has seen.

        So it is where the database is older than the door's snapshot: it was restored.
        """
        async with self._database.transaction() as session:
            await outrun(session, version)
        await self.refresh()

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

    async def _read(
        self, session: AsyncSession, before: Snapshot | None, version: int, now: datetime
    ) -> Snapshot:
        after = Snapshot(version, now, cells=self._cells)
        if before is None:
            namespaces = (await session.scalars(sa.select(Namespace))).all()
            keys = await session.scalars(sa.select(ApiKey))
            after.namespaces = _by_name(namespaces)
            after.trusts = await _trusts(session, namespaces)
            after.api_keys = await _entries(session, list(keys))
            after.restrictions = {it.key: it for it in await restrictions_of(session)}
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
        after.restrictions = {
            key: restriction
            for key, restriction in before.restrictions.items()
            if restriction.account_id not in changed[ChangeKind.RESTRICTION]
        }
        for ids in _chunks(changed[ChangeKind.RESTRICTION]):
            after.restrictions |= {it.key: it for it in await restrictions_of(session, ids)}
        return after


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
        denied, revoked = await denied_in(session, ids), await revoked_in(session, ids)
        for id in ids:
            ref, trust = trusting[id].ref, trusting[id].settings.certificates
            trusts[ref.full_name] = NamespaceTrust(
                ref, trust, denied.get(id, frozenset()), revoked.get(id, {})
            )
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
