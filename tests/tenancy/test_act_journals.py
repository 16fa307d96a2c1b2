"""Acts from the journals of doors: each is in the audit log once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tenancy import Act, Principal
from tenancy.act_journals import JOURNAL_DAYS_KEPT, ActJournal, JournaledAct
from tests.tenancy.cloud import Cloud

JOURNAL = "0c5aa5f4-0a1c-4f7a-8c55-1f0f8f0c8f11"


def acts(owner: Principal, cloud: Cloud, *sequences: int) -> list[JournaledAct]:
    at = cloud.clock.now() - timedelta(hours=1)
    return [
        JournaledAct(number, Act(owner, "TerminateWorkflowExecution", (f"wf-{number}",), at=at))
        for number in sequences
    ]


async def deliver(cloud: Cloud, *delivered: JournaledAct) -> int:
    async with cloud.database.transaction() as session:
        return await cloud.control.act_journals.take_over(session, JOURNAL, delivered)


async def test_what_is_delivered_again_is_recorded_once(cloud: Cloud) -> None:
    owner = await cloud.owner()
    before = await cloud.audit_count(owner.account_id)
    assert await deliver(cloud, *acts(owner, cloud, 1, 2)) == 2
    assert await deliver(cloud, *acts(owner, cloud, 1, 2)) == 2
    assert await deliver(cloud, *acts(owner, cloud, 2, 3)) == 3
    assert await cloud.audit_count(owner.account_id) == before + 3


async def test_a_delivery_that_fails_is_as_if_it_had_not_been(cloud: Cloud) -> None:
    owner = await cloud.owner()
    before = await cloud.audit_count(owner.account_id)

    async def deliver_and_fail() -> None:
        async with cloud.database.transaction() as session:
            await cloud.control.act_journals.take_over(session, JOURNAL, acts(owner, cloud, 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await deliver_and_fail()
    assert await cloud.audit_count(owner.account_id) == before
    assert await deliver(cloud, *acts(owner, cloud, 1)) == 1
    assert await cloud.audit_count(owner.account_id) == before + 1


async def test_an_act_of_an_account_that_is_gone_keeps_no_other_back(
    cloud: Cloud, allow_log: object
) -> None:
    owner = await cloud.owner()
    before = await cloud.audit_count(owner.account_id)
    stranger = Principal(owner.kind, owner.id, "gone00")
    lost, kept = acts(stranger, cloud, 1)[0], acts(owner, cloud, 2)[0]
    allow_log("acts_without_account")  # type: ignore[operator]
    assert await deliver(cloud, lost, kept) == 2
    assert await cloud.audit_count(owner.account_id) == before + 1


async def test_journals_of_which_nobody_hears_are_forgotten(cloud: Cloud) -> None:
    owner = await cloud.owner()
    await deliver(cloud, *acts(owner, cloud, 1))
    for days, is_known in ((JOURNAL_DAYS_KEPT - 1, True), (2, False)):
        cloud.clock.move(days=days)
        async with cloud.database.transaction() as session:
            await cloud.control.act_journals.forget_old(session)
        async with cloud.database.reading() as session:
            assert (await session.get(ActJournal, JOURNAL) is not None) == is_known
