"""Who may start nothing: set, told to every door, and lifted again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tenancy import NotFound, RestrictionCause, SnapshotFile
from tests.tenancy.cloud import PEPPER, Cloud

BUDGET, PAYMENT = RestrictionCause.BUDGET, RestrictionCause.PAYMENT


async def restrict(
    cloud: Cloud,
    account_id: str,
    namespace_id: str | None = None,
    cause: RestrictionCause = BUDGET,
    why: str = "pay",
) -> None:
    async with cloud.database.transaction() as session:
        await cloud.control.restrictions.restrict_starts(
            session,
            account_id=account_id,
            namespace_id=namespace_id,
            cause=cause,
            at=cloud.clock.now(),
            why=why,
        )
    await cloud.control.snapshot.refresh()


async def lift(
    cloud: Cloud,
    account_id: str,
    namespace_id: str | None = None,
    cause: RestrictionCause = BUDGET,
) -> None:
    async with cloud.database.transaction() as session:
        await cloud.control.restrictions.lift_restriction(
            session, account_id=account_id, namespace_id=namespace_id, cause=cause
        )
    await cloud.control.snapshot.refresh()


async def test_a_restricted_account_starts_nothing_in_any_namespace(cloud: Cloud) -> None:
    owner, stranger = await cloud.owner(), await cloud.owner("bob@example.com")
    ours, theirs = await cloud.namespace(owner), await cloud.namespace(stranger)
    reader = cloud.control.snapshot
    await restrict(cloud, owner.account_id)
    found = reader.restriction(ours)
    assert found is not None
    assert (found.cause, found.why) == (BUDGET, "pay")
    assert reader.restriction(theirs) is None
    await lift(cloud, owner.account_id)
    assert reader.restriction(ours) is None


async def test_a_restricted_namespace_leaves_the_others_alone(cloud: Cloud) -> None:
    owner = await cloud.owner()
    orders, ships = await cloud.namespace(owner), await cloud.namespace(owner, "ships")
    await restrict(cloud, owner.account_id, orders.id)
    assert cloud.control.snapshot.restriction(orders) is not None
    assert cloud.control.snapshot.restriction(ships) is None


async def test_one_cause_lifted_leaves_the_other(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    await restrict(cloud, owner.account_id, cause=BUDGET)
    await restrict(cloud, owner.account_id, cause=PAYMENT, why="invoice")
    await lift(cloud, owner.account_id, cause=BUDGET)
    found = cloud.control.snapshot.restriction(ref)
    assert found is not None
    assert found.cause is PAYMENT


Again = Callable[[Cloud, str], Awaitable[None]]


@pytest.mark.parametrize("again", [restrict, lift])
async def test_what_is_so_already_changes_nothing_and_is_not_audited(
    cloud: Cloud, again: Again
) -> None:
    owner = await cloud.owner()
    await restrict(cloud, owner.account_id)
    if again is lift:
        await lift(cloud, owner.account_id)
    before = await cloud.audit_count(owner.account_id)
    snapshot = cloud.control.snapshot.snapshot
    assert snapshot is not None
    version = snapshot.version
    await again(cloud, owner.account_id)
    assert await cloud.audit_count(owner.account_id) == before
    assert cloud.control.snapshot.snapshot is not None
    assert cloud.control.snapshot.snapshot.version == version


async def test_another_reason_is_told(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    await restrict(cloud, owner.account_id)
    await restrict(cloud, owner.account_id, why="pay more")
    found = cloud.control.snapshot.restriction(ref)
    assert found is not None
    assert found.why == "pay more"


async def test_a_foreign_namespace_is_missing(cloud: Cloud) -> None:
    owner, stranger = await cloud.owner(), await cloud.owner("bob@example.com")
    ref = await cloud.namespace(owner)
    with pytest.raises(NotFound):
        await restrict(cloud, stranger.account_id, ref.id)


async def test_a_door_that_boots_without_the_database_knows_of_it(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    await cloud.control.snapshot.refresh()
    await restrict(cloud, owner.account_id, ref.id, why="raise it")
    path = cloud.control.snapshot._storage._path  # type: ignore[union-attr]
    loaded = SnapshotFile(path, pepper=PEPPER, now=cloud.clock.now).load()
    (found,) = loaded.restrictions.values()
    assert (found.target_id, found.cause, found.why) == (ref.id, BUDGET, "raise it")
