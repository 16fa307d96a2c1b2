from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from api import audit_trail
from api.audit_trail import AuditTrail
from api.transports.errors import AuditLogFull
from tenancy import (
    Act,
    AuditRecord,
    AuditResult,
    ControlPlane,
    Database,
    NewSession,
    NotFound,
    Passwords,
    Principal,
)
from tests.control.visitor import PASSWORD


class World:
    """A control plane with one account, and its trail."""

    def __init__(self, database: Database, control: ControlPlane, owner: Principal) -> None:
        self.database = database
        self.control = control
        self.owner = owner
        self.trail = AuditTrail(control, database, lambda: datetime.now(UTC))
        self.done: list[Act] = []

    async def count(self) -> int:
        async with self.database.reading() as session:
            return await self.control.audit.verify_chain(session, self.owner.account_id)

    def tell(self, result: AuditResult = AuditResult.ACCEPTED) -> asyncio.Task[None]:
        """A caller that waits for the record of its act."""
        act = Act(self.owner, "TerminateWorkflowExecution", ("ns-1", "wf-1"), result)
        return asyncio.create_task(self.do(act))

    async def do(self, act: Act, failure: Exception | None = None) -> None:
        async with self.trail.recording(act):
            self.done.append(act)
            if failure is not None:
                raise failure


@pytest.fixture
async def world(control_url: str) -> AsyncIterator[World]:
    database = Database(control_url)
    passwords = Passwords(token_bytes=os.urandom, memory_kib=8, passes=1)
    control = ControlPlane(
        database,
        now=lambda: datetime.now(UTC),
        token_bytes=os.urandom,
        pepper=bytes(32),
        passwords=passwords,
    )
    person = {"email": "ada@example.com", "password": PASSWORD, "address": "192.0.2.1"}
    await control.users.sign_up(**person)
    opened = await control.sign_in.log_in(
        email=person["email"], password=PASSWORD, address=person["address"]
    )
    assert isinstance(opened, NewSession)
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
    with pytest.raises(sa.exc.DBAPIError):
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


async def test_an_act_that_fails_leaves_no_record_and_takes_no_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_trail, "ACTS_WAITING_MAX", 1)
    before = await world.count()
    act = Act(world.owner, "TerminateWorkflowExecution", ("ns-1", "wf-1"))
    with pytest.raises(NotFound):
        await world.do(act, NotFound("workflow", "wf-1"))
    telling = world.tell()
    await world.trail.noted.wait()
    await world.trail.write()
    await telling
    assert await world.count() == before + 1


@pytest.mark.parametrize("limit", ["ACTS_WAITING_MAX", "ACTS_WAITING_PER_ACCOUNT_MAX"])
async def test_beyond_the_limit_acts_are_refused_undone_and_none_is_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(audit_trail, limit, 3)
    before = await world.count()
    telling = [world.tell() for _ in range(4)]
    with pytest.raises(AuditLogFull):
        await telling[3]
    assert len(world.done) == 3
    await world.trail.write()
    await asyncio.gather(*telling[:3])
    assert await world.count() == before + 3
    # There is room again.
    telling = [world.tell() for _ in range(3)]
    world.trail.noted.clear()
    await world.trail.noted.wait()
    await world.trail.write()
    await asyncio.gather(*telling)
    assert await world.count() == before + 6


async def test_an_account_that_is_full_leaves_the_others_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_trail, "ACTS_WAITING_PER_ACCOUNT_MAX", 1)
    telling = world.tell()
    await world.trail.noted.wait()
    other = replace(world.owner, account_id="another")
    with pytest.raises(RuntimeError, match="was done"):
        await world.do(Act(other, "TerminateWorkflowExecution", ()), RuntimeError("was done"))
    await world.trail.write()
    await telling
