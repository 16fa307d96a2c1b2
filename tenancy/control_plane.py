"""All services of tenancy on one database, put together once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.act_journals import ActJournals
from tenancy.api_keys import ApiKeys
from tenancy.audit import AuditLog, AuditResult
from tenancy.database import Database
from tenancy.denied_certificates import DeniedCertificates
from tenancy.email_proof import EmailProofs
from tenancy.entrance import Entrance
from tenancy.errors import PermissionDenied
from tenancy.expiry_letters import ExpiryLetters
from tenancy.invitations import Invitations
from tenancy.key_text import KeyDigests
from tenancy.key_use import KeyUse
from tenancy.login_limits import LoginLimits
from tenancy.mail import Outbox
from tenancy.members import Members
from tenancy.namespaces import Namespaces
from tenancy.one_time_links import OneTimeLinks
from tenancy.operations import Operations
from tenancy.outgoing import Outgoing
from tenancy.page_tokens import PageTokens
from tenancy.password_change import PasswordChanges
from tenancy.passwords import Passwords
from tenancy.placement import ONE_CELL, CellPlace, Placement
from tenancy.provisioning import Reconciler
from tenancy.randomness import Now, TokenBytes
from tenancy.restrictions import Restrictions
from tenancy.revocation_lists import RevocationLists
from tenancy.roles import Access, Principal, require
from tenancy.second_factor import SecondFactors
from tenancy.sessions import Sessions
from tenancy.sign_in import SignIn
from tenancy.single_sign_on import SingleSignOn
from tenancy.snapshot_file import SnapshotFile
from tenancy.snapshot_reader import SnapshotReader
from tenancy.users import Users

logger = logging.getLogger(__name__)


class ControlPlane:
    """`pepper` is the installation's secret of at least 32 bytes; without it no key is valid.

    `console_address` is what the links in letters begin with, without a slash at its end.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Now,
        token_bytes: TokenBytes,
        pepper: bytes,
        passwords: Passwords,
        cells: Sequence[CellPlace] = ONE_CELL,
        snapshot_path: Path | None = None,
        console_address: str = "http://localhost",
        outgoing: Outgoing | None = None,
    ) -> None:
        self._database = database
        self.audit = AuditLog(now=now, pepper=pepper)
        self.act_journals = ActJournals(audit=self.audit, now=now)
        self.outbox = Outbox(now=now, token_bytes=token_bytes, secret=pepper)
        self.page_tokens = PageTokens(secret=pepper, token_bytes=token_bytes)
        entrance = Entrance(
            database=database,
            now=now,
            token_bytes=token_bytes,
            passwords=passwords,
            limits=LoginLimits(now=now, token_bytes=token_bytes, pepper=pepper),
            audit=self.audit,
            outbox=self.outbox,
            console_address=console_address,
        )
        self.operations = Operations(now=now, token_bytes=token_bytes)
        self._open_entrance(entrance, pepper)
        self.single_sign_on = SingleSignOn(
            entrance,
            sessions=self.sessions,
            claim=self.invitations.claim,
            outgoing=outgoing or Outgoing(),
            pepper=pepper,
        )
        self.sign_in.rules.append(self.single_sign_on.password_rule)
        self.placement = Placement(cells)
        self.namespaces = Namespaces(
            now=now,
            token_bytes=token_bytes,
            operations=self.operations,
            audit=self.audit,
            placement=self.placement,
        )
        self.denied_certificates = DeniedCertificates(now=now, audit=self.audit)
        self.revocation_lists = RevocationLists(now=now, audit=self.audit)
        self.expiry_letters = ExpiryLetters(
            database=database, outbox=self.outbox, now=now, console_address=console_address
        )
        self.restrictions = Restrictions(audit=self.audit)
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
        self.snapshot = SnapshotReader(
            database=database, digests=digests, now=now, storage=storage, cells=cells
        )
        self.reconciler = Reconciler(
            database=database, now=now, operations=self.operations, audit=self.audit
        )

    def _open_entrance(self, entrance: Entrance, pepper: bytes) -> None:
        """What people enter by, and what members are."""
        links = OneTimeLinks(now=entrance.now, token_bytes=entrance.token_bytes)
        self.email_proofs = EmailProofs(entrance, links=links)
        self.users = Users(entrance, welcome=self.email_proofs.ask)
        self.sessions = Sessions(entrance, pepper=pepper)
        self.second_factors = SecondFactors(entrance, secret=pepper)
        self.sign_in = SignIn(
            entrance, sessions=self.sessions, links=links, second_factors=self.second_factors
        )
        self.password_changes = PasswordChanges(entrance, sessions=self.sessions, links=links)
        self.invitations = Invitations(entrance, sessions=self.sessions, rules=self.sign_in.rules)
        self.members = Members(entrance, operations=self.operations, invitations=self.invitations)

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
