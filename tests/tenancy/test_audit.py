from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from tenancy import (
    Access,
    AccountRole,
    Act,
    AuditRecord,
    AuditResult,
    ChainBroken,
    NotFound,
    Permission,
    PermissionDenied,
)
from tests.tenancy.cloud import Cloud

TAMPERINGS = [
    "UPDATE audit_record SET action = 'nothing' WHERE sequence = 2",
    "UPDATE audit_record SET result = 'denied' WHERE sequence = 2",
    "UPDATE audit_record SET actor_id = 'somebody' WHERE sequence = 1",
    "UPDATE audit_record SET target_ids = '[]' WHERE sequence = 2",
    "UPDATE audit_record SET at = '2020-01-01 00:00:00.000000' WHERE sequence = 2",
    "DELETE FROM audit_record WHERE sequence = 1",
    "DELETE FROM audit_record WHERE sequence = 2",
    "DELETE FROM audit_record WHERE sequence = (SELECT max(sequence) FROM audit_record)",
    "DELETE FROM audit_record",
    "INSERT INTO audit_record SELECT account_id, 99, at, actor_kind, actor_id, action, target_ids,"
    " result, hash FROM audit_record WHERE sequence = 1",
    "UPDATE account SET audit_sequence = 0",
]


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_tampering_with_the_log_is_found(cloud: Cloud, tampering: str) -> None:
    owner = await cloud.owner()
    await cloud.namespace(owner)
    assert await cloud.audit_count(owner.account_id) >= 3
    async with cloud.database.transaction() as session:
        await session.execute(sa.text(tampering))
    with pytest.raises(ChainBroken):
        await cloud.audit_count(owner.account_id)


async def test_a_record_says_who_what_and_when(cloud: Cloud) -> None:
    owner = await cloud.owner()
    cloud.clock.move(hours=1)
    key = (await cloud.key(owner, Permission.READ)).key
    async with cloud.database.reading() as session:
        found = await session.scalars(
            sa.select(AuditRecord).where(AuditRecord.action == "api_key.create")
        )
        record = found.one()
    assert (record.actor_id, record.target_ids) == (owner.id, [key.id])
    assert (record.at, record.result) == (cloud.clock.now(), AuditResult.ACCEPTED)


async def test_each_account_has_its_own_chain(cloud: Cloud) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    before = await cloud.audit_count(bob.account_id)
    await cloud.namespace(ada)
    assert await cloud.audit_count(bob.account_id) == before
    with pytest.raises(NotFound):
        await cloud.audit_count("nobody")


async def test_a_denial_by_account_is_audited(cloud: Cloud) -> None:
    owner = await cloud.owner()
    reader = await cloud.member(owner, AccountRole.READ)
    before = await cloud.audit_count(owner.account_id)
    await cloud.control.require(owner, Access.USAGE, "usage.cost")
    with pytest.raises(PermissionDenied):
        await cloud.control.require(reader, Access.USAGE, "usage.cost")
    assert await cloud.audit_count(owner.account_id) == before + 1


async def test_acts_of_several_accounts_are_recorded_together_each_in_its_chain(
    cloud: Cloud,
) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    before = [await cloud.audit_count(each.account_id) for each in (ada, bob)]
    earlier = cloud.clock.now()
    cloud.clock.move(minutes=1)
    acts = [Act(actor, "signal", (f"wf-{n}",)) for n in range(3) for actor in (bob, ada)]
    async with cloud.database.transaction() as session:
        await cloud.control.audit.record_all(session, [replace(acts[0], at=earlier), *acts[1:]])
    after = [await cloud.audit_count(each.account_id) for each in (ada, bob)]
    assert after == [count + 3 for count in before]
    async with cloud.database.reading() as session:
        query = sa.select(AuditRecord).where(AuditRecord.action == "signal")
        found = list(await session.scalars(query.order_by(AuditRecord.sequence)))
    of_bob = [(each.target_ids, each.at) for each in found if each.account_id == bob.account_id]
    now = cloud.clock.now()
    assert of_bob == [(["wf-0"], earlier), (["wf-1"], now), (["wf-2"], now)]


@pytest.mark.parametrize(("length", "kept"), [(999, 999), (1_000, 1_000), (1_001, 1_000)])
async def test_a_target_is_told_as_far_as_ids_go(cloud: Cloud, length: int, kept: int) -> None:
    owner = await cloud.owner()
    await cloud.control.record_denial(owner, "TerminateWorkflowExecution", "x" * length)
    async with cloud.database.reading() as session:
        query = sa.select(AuditRecord.target_ids).order_by(AuditRecord.sequence.desc()).limit(1)
        assert (await session.scalars(query)).one() == ["x" * kept]


async def test_what_is_rolled_back_is_not_told(cloud: Cloud) -> None:
    owner = await cloud.owner()
    before = await cloud.audit_count(owner.account_id)

    async def create_and_fail() -> None:
        async with cloud.control.acting(owner) as session:
            await cloud.control.namespaces.create(session, owner, "orders")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await create_and_fail()
    assert await cloud.audit_count(owner.account_id) == before


async def test_the_door_can_tell_its_denials(cloud: Cloud) -> None:
    owner = await cloud.owner()
    before = await cloud.audit_count(owner.account_id)
    await cloud.control.record_denial(owner, "TerminateWorkflowExecution", "x" * 1_000)
    assert await cloud.audit_count(owner.account_id) == before + 1
