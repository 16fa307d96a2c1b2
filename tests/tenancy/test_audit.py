from __future__ import annotations

import pytest
import sqlalchemy as sa

from tenancy import AuditRecord, AuditResult, ChainBroken, NotFound, Permission
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
