"""All services of tenancy on one database, put together once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.api_keys import ApiKeys
from tenancy.audit import AuditLog, AuditResult
from tenancy.database import Database
from tenancy.denied_certificates import DeniedCertificates
from tenancy.entrance import Entrance
from tenancy.errors import PermissionDenied
from tenancy.key_text import KeyDigests
from tenancy.key_use import KeyUse
from tenancy.login_limits import LoginLimits
from tenancy.namespaces import Namespaces
from tenancy.operations import Operations
from tenancy.passwords import Passwords
from tenancy.provisioning import Reconciler
from tenancy.randomness import Now, TokenBytes
from tenancy.roles import Access, Principal, require
from tenancy.sessions import Sessions
from tenancy.snapshot import SnapshotReader
from tenancy.snapshot_file import SnapshotFile
from tenancy.users import Users

logger = logging.getLogger(__name__)


class ControlPlane:
    """`pepper` is the installation's secret of at least 32 bytes; without it no key is valid."""

    def __init__(
        self,
        database: Database,
        *,
        now: Now,
        token_bytes: TokenBytes,
        pepper: bytes,
        passwords: Passwords,
        cell: str,
        snapshot_path: Path | None = None,
    ) -> None:
        self._database = database
        self.audit = AuditLog(now=now, pepper=pepper)
        entrance = Entrance(
            database=database,
            now=now,
            token_bytes=token_bytes,
            passwords=passwords,
            limits=LoginLimits(now=now, token_bytes=token_bytes, pepper=pepper),
            audit=self.audit,
        )
        self.users = Users(entrance)
        self.sessions = Sessions(entrance, pepper=pepper)
        self.operations = Operations(now=now, token_bytes=token_bytes)
        self.namespaces = Namespaces(
            now=now,
            token_bytes=token_bytes,
            operations=self.operations,
            audit=self.audit,
            cell=cell,
        )
        self.denied_certificates = DeniedCertificates(now=now, audit=self.audit)
        digests = KeyDigests(pepper)
        self.api_keys = ApiKeys(
            now=now,
            token_bytes=token_bytes,
            digests=digests,
            operations=self.operations,
            audit=self.audit,
        )
        self.key_use = KeyUse(database)
        storage = None
        if snapshot_path is not None:
            storage = SnapshotFile(snapshot_path, pepper=pepper, now=now)
        self.snapshot = SnapshotReader(database=database, digests=digests, now=now, storage=storage)
        self.reconciler = Reconciler(
            database=database, now=now, operations=self.operations, audit=self.audit
        )

    @asynccontextmanager
    async def acting(self, actor: Principal) -> AsyncIterator[AsyncSession]:
        """A unit of work in an actor's name; a denial inside it rolls back and is audited."""
        try:
            async with self._database.transaction() as session:
                yield session
        except PermissionDenied as denial:
            await self.record_denial(actor, denial.action, denial.target)
            raise

    async def require(self, actor: Principal, access: Access, action: str) -> None:
        """Raises PermissionDenied unless the actor has this access to its account; audited."""
        try:
            require(actor, access, action, target=actor.account_id)
        except PermissionDenied:
            await self.record_denial(actor, action, actor.account_id)
            raise

    async def settle(self) -> None:
        """Lets this process's door know of all that is committed, so that a caller who was just
        answered can use what it was given. What fails here, the follower of changes does later.
        """
        try:
            await self.snapshot.refresh()
        except Exception as error:
            logger.warning("snapshot_refresh_failed", extra={"error": type(error).__name__})

    async def record_denial(self, actor: Principal, action: str, *target_ids: str) -> None:
        """For what the door itself refuses."""
        async with self._database.transaction() as session:
            await self.audit.record(session, actor, action, *target_ids, result=AuditResult.DENIED)
