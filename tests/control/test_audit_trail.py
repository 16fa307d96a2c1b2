from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from api import audit_trail
from api.audit_trail import AuditTrail
from api.installation import installation
from tenancy import (
    Act,
    AuditRecord,
    AuditResult,
    ControlPlane,
    Database,
    Passwords,
    Principal,
    migrate,
)
from tests.control.visitor import PASSWORD


class World:
    """A control plane with one account, and its trail."""

    def __init__(self, database: Database, control: ControlPlane, owner: Principal) -> None:
        self.database = database
        self.control = control
        self.owner = owner
        self.trail = AuditTrail(control, database, lambda: datetime.now(UTC))

    async def count(self) -> int:
        async with self.database.reading() as session:
            return await self.control.audit.verify_chain(session, self.owner.account_id)

    def tell(self, result: AuditResult = AuditResult.ACCEPTED) -> asyncio.Task[None]:
        """A caller that waits for the record of its act."""
        act = Act(self.owner, "TerminateWorkflowExecution", ("ns-1", "wf-1"), result)
        return asyncio.create_task(self.trail.record(act))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with installation(tmp_path) as held:
        await migrate(held.database_url)
        database = Database(held.database_url)
        passwords = Passwords(token_bytes=os.urandom, memory_kib=8, passes=1)
        control = ControlPlane(
            database,
            now=lambda: datetime.now(UTC),
            token_bytes=os.urandom,
            pepper=held.secrets.pepper,
            passwords=passwords,
            cell="cell-1",
        )
        person = {"email": "ada@example.com", "password": PASSWORD, "address": "192.0.2.1"}
        await control.users.sign_up(**person)
        opened = await control.sessions.log_in(
            email=person["email"], password=PASSWORD, address=person["address"]
        )
        yield World(database, control, opened.principal)
        passwords.close()
        await database.aclose()


async def test_acts_reach_the_log_in_their_order(world: World) -> None:
    before = await world.count()
    telling = [world.tell(), world.tell(AuditResult.DENIED)]
    await world.trail.noted.wait()
    assert not any(each.done() for each in telling)
    await world.trail.write()
    await asyncio.gather(*telling)
    assert await world.count() == before + 2
    async with world.database.reading() as session:
        query = sa.select(AuditRecord.result).order_by(AuditRecord.sequence.desc()).limit(2)
        results = (await session.scalars(query)).all()
    assert list(results) == [AuditResult.DENIED, AuditResult.ACCEPTED]


async def test_the_acts_of_all_who_wait_are_one_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await world.count()
    opened: list[None] = []
    transaction = world.database.transaction

    def watched() -> AbstractAsyncContextManager[AsyncSession]:
        opened.append(None)
        return transaction()

    monkeypatch.setattr(world.database, "transaction", watched)
    telling = [world.tell() for _ in range(50)]
    await world.trail.noted.wait()
    await world.trail.write()
    await asyncio.gather(*telling)
    assert len(opened) == 1
    assert await world.count() == before + 50


async def test_who_stops_waiting_leaves_the_act_to_be_written(world: World) -> None:
    before = await world.count()
    telling = world.tell()
    await world.trail.noted.wait()
    telling.cancel()
    await asyncio.wait([telling])
    await world.trail.write()
    assert await world.count() == before + 1


async def test_what_cannot_be_written_keeps_nobody_waiting_and_is_kept(world: World) -> None:
    before = await world.count()
    telling = world.tell()
    await world.trail.noted.wait()
    async with world.database.transaction() as session:
        await session.execute(sa.text("ALTER TABLE audit_record RENAME TO away"))
    with pytest.raises(sa.exc.OperationalError):
        await world.trail.write()
    await telling
    told_at = datetime.now(UTC)
    async with world.database.transaction() as session:
        await session.execute(sa.text("ALTER TABLE away RENAME TO audit_record"))
    await world.trail.write()
    assert await world.count() == before + 1
    async with world.database.reading() as session:
        query = sa.select(AuditRecord.at).order_by(AuditRecord.sequence.desc()).limit(1)
        assert (await session.scalars(query)).one() <= told_at


async def test_beyond_the_limit_acts_are_dropped_and_that_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, allow_log: Callable[..., None]
) -> None:
    allow_log("audit_records_dropped")
    monkeypatch.setattr(audit_trail, "ACTS_WAITING_MAX", 2)
    before = await world.count()
    telling = [world.tell() for _ in range(3)]
    # The third has no place in the queue, so nothing holds it.
    await telling[2]
    await world.trail.write()
    await asyncio.gather(*telling)
    assert await world.count() == before + 2
