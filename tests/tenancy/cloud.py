"""What the tests of tenancy share: a clock that they move, a cell, and a control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy import (
    AccountRole,
    ApiKey,
    ControlPlane,
    Database,
    KeyLabel,
    KeyScope,
    NamespaceRef,
    NamespaceSettings,
    NewApiKey,
    NewSession,
    Passwords,
    Permission,
    Principal,
    User,
)
from tenancy.members import MemberAccess
from tenancy.randomness import new_uuid
from tenancy.users import principals_of

PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.1"
PEPPER = b"pepper of this test installation"


@dataclass
class Clock:
    at: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def move(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Cell:
    """A cell that remembers; `failures` are raised by its next calls, in order."""

    namespaces: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    failures: list[BaseException] = field(default_factory=list)

    async def create(self, ref: NamespaceRef, settings: NamespaceSettings) -> None:
        self._called()
        self.namespaces[ref.id] = settings.retention_days

    async def delete(self, ref: NamespaceRef) -> None:
        self._called()
        self.namespaces.pop(ref.id, None)

    def _called(self) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class Cloud:
    """The control plane and the short cuts that tests share."""

    url: str
    database: Database
    clock: Clock
    random: Random
    control: ControlPlane
    cell: Cell = field(default_factory=Cell)

    async def owner(self, email: str = "ada@example.com") -> Principal:
        await self.control.users.sign_up(email=email, password=PASSWORD, address=ADDRESS)
        async with self.database.reading() as session:
            user = (await session.scalars(sa.select(User).where(User.email == email))).one()
            return (await principals_of(session, [user]))[user.id]

    async def log_in(self, email: str = "ada@example.com", password: str = PASSWORD) -> NewSession:
        """Of a user without a second factor."""
        opened = await self.control.sign_in.log_in(email=email, password=password, address=ADDRESS)
        assert isinstance(opened, NewSession)
        return opened

    async def set_role(
        self, session: AsyncSession, actor: Principal, user_id: str, role: AccountRole
    ) -> None:
        await self.control.members.update(
            session, actor, user_id, MemberAccess(role), resource_version=None
        )

    async def member(self, owner: Principal, role: AccountRole) -> Principal:
        """A second user of the owner's account, made without a letter."""
        user = User(
            id=new_uuid(self.random.randbytes),
            account_id=owner.account_id,
            email=f"{role}-{self.random.random()}@example.com",
            password_hash="none",
            role=role,
            created_at=self.clock.now(),
        )
        async with self.database.transaction() as session:
            session.add(user)
        return await self.principal(user.id)

    async def principal(self, user_id: str) -> Principal:
        async with self.database.reading() as session:
            user = await session.get_one(User, user_id)
            return (await principals_of(session, [user]))[user.id]

    async def namespace(self, actor: Principal, name: str = "orders") -> NamespaceRef:
        """An active one."""
        async with self.control.acting(actor) as session:
            operation = await self.control.namespaces.create(session, actor, name)
        await self.control.reconciler.reconcile(self.cell)
        async with self.database.reading() as session:
            found = await self.control.namespaces.get(session, actor, operation.resource_id)
            return found.ref

    async def key(
        self,
        actor: Principal,
        account_permission: Permission | None = None,
        **grants: Permission,
    ) -> NewApiKey:
        scope = KeyScope(account_permission, {} if account_permission else grants)
        async with self.control.acting(actor) as session:
            return await self.control.api_keys.create(session, actor, KeyLabel("ci"), scope=scope)

    async def key_in(self, actor: Principal, ref: NamespaceRef, granted: Permission) -> NewApiKey:
        async with self.control.acting(actor) as session:
            return await self.control.api_keys.create(
                session, actor, KeyLabel("ci"), scope=KeyScope(grants={ref.id: granted})
            )

    async def stored_key(self, key_id: str) -> ApiKey:
        async with self.database.reading() as session:
            return await session.get_one(ApiKey, key_id)

    async def audit_count(self, account_id: str) -> int:
        async with self.database.reading() as session:
            return await self.control.audit.verify_chain(session, account_id)


@asynccontextmanager
async def open_cloud(
    url: str, snapshot_path: Path, passwords: Passwords, *, seed: int = 7
) -> AsyncIterator[Cloud]:
    """A control plane on a migrated database; each process has a seed of its own."""
    database, clock, random = Database(url), Clock(), Random(seed)
    control = ControlPlane(
        database,
        now=clock.now,
        token_bytes=random.randbytes,
        pepper=PEPPER,
        passwords=passwords,
        snapshot_path=snapshot_path,
    )
    yield Cloud(url, database, clock, random, control)
    await database.aclose()
