from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy import (
    AsyncOperation,
    Database,
    NamespaceState,
    OperationState,
    Principal,
    ProvisioningRefused,
)
from tenancy.operations import Operations
from tenancy.provisioning import Reconciler
from tests.tenancy.cloud import Cloud


class Killed(BaseException):
    """The process ends here; no code of ours may catch it."""


class DyingDatabase(Database):
    """Kills the process at one of its commits, before or after it is durable."""

    def __init__(self, url: str, *, commits_before: int, after_commit: bool) -> None:
        super().__init__(url)
        self._commits_left = commits_before
        self._after_commit = after_commit

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        is_last = self._commits_left == 0
        self._commits_left -= 1
        async with super().transaction() as session:
            yield session
            if is_last and not self._after_commit:
                raise Killed
        if is_last:
            raise Killed


def reconciler_on(cloud: Cloud, database: Database) -> Reconciler:
    return Reconciler(
        database=database,
        now=cloud.clock.now,
        operations=Operations(now=cloud.clock.now, token_bytes=cloud.random.randbytes),
        audit=cloud.control.audit,
    )


async def requested(cloud: Cloud, owner: Principal, *, deletion: bool) -> AsyncOperation:
    """An operation that nobody has worked on."""
    if not deletion:
        async with cloud.control.acting(owner) as session:
            return await cloud.control.namespaces.create(session, owner, "orders")
    ref = await cloud.namespace(owner)
    async with cloud.control.acting(owner) as session:
        return await cloud.control.namespaces.delete(session, owner, ref.id, resource_version=2)


async def ends_well(cloud: Cloud, owner: Principal, id: str, *, deletion: bool) -> None:
    assert await cloud.control.reconciler.reconcile(cloud.cell) == 0
    async with cloud.database.reading() as session:
        operation = await cloud.control.operations.get(session, owner, id)
        namespace = await cloud.control.namespaces.get(session, owner, operation.resource_id)
    assert operation.state is OperationState.FULFILLED
    assert operation.failure is None
    assert (namespace.id in cloud.cell.namespaces) == (not deletion)
    expected = NamespaceState.DELETED if deletion else NamespaceState.ACTIVE
    assert namespace.state is expected
    await cloud.audit_count(owner.account_id)


@pytest.mark.parametrize("deletion", [False, True])
@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("commits_before", [0, 1])
async def test_a_process_killed_at_a_commit_leaves_work_that_the_next_one_ends(
    cloud: Cloud, deletion: bool, after_commit: bool, commits_before: int
) -> None:
    owner = await cloud.owner()
    operation = await requested(cloud, owner, deletion=deletion)
    dying = DyingDatabase(cloud.url, commits_before=commits_before, after_commit=after_commit)
    with pytest.raises(Killed):
        await reconciler_on(cloud, dying).reconcile(cloud.cell)
    await dying.aclose()
    await ends_well(cloud, owner, operation.id, deletion=deletion)


@pytest.mark.parametrize("deletion", [False, True])
async def test_a_process_killed_in_the_cells_call_leaves_work_too(
    cloud: Cloud, deletion: bool
) -> None:
    owner = await cloud.owner()
    operation = await requested(cloud, owner, deletion=deletion)
    cloud.cell.failures = [Killed()]
    with pytest.raises(Killed):
        await cloud.control.reconciler.reconcile(cloud.cell)
    await ends_well(cloud, owner, operation.id, deletion=deletion)


@pytest.mark.allow_log("provisioning_retried")
@pytest.mark.parametrize("deletion", [False, True])
async def test_an_unreachable_cell_is_tried_again(cloud: Cloud, deletion: bool) -> None:
    owner = await cloud.owner()
    operation = await requested(cloud, owner, deletion=deletion)
    cloud.cell.failures = [ConnectionError("secret detail"), TimeoutError()]
    for failure in ("ConnectionError", "TimeoutError"):
        assert await cloud.control.reconciler.reconcile(cloud.cell) == 1
        async with cloud.database.reading() as session:
            operation = await cloud.control.operations.get(session, owner, operation.id)
        assert operation.state is OperationState.IN_PROGRESS
        assert operation.failure == failure
    await ends_well(cloud, owner, operation.id, deletion=deletion)


@pytest.mark.allow_log("provisioning_retried")
async def test_one_stuck_operation_holds_up_no_other(cloud: Cloud) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    await requested(cloud, ada, deletion=False)
    cloud.clock.move(seconds=1)
    later = await requested(cloud, bob, deletion=False)
    cloud.cell.failures = [ConnectionError()]
    assert await cloud.control.reconciler.reconcile(cloud.cell) == 1
    assert list(cloud.cell.namespaces) == [later.resource_id]


async def test_a_namespace_refused_for_good_is_cleaned_up(cloud: Cloud) -> None:
    owner = await cloud.owner()
    operation = await requested(cloud, owner, deletion=False)
    cloud.cell.namespaces[operation.resource_id] = 1
    cloud.cell.failures = [ProvisioningRefused("the cell is full")]
    reconcile = cloud.control.reconciler.reconcile
    await reconcile(cloud.cell)
    async with cloud.database.reading() as session:
        operation = await cloud.control.operations.get(session, owner, operation.id)
    assert (operation.state, operation.failure) == (OperationState.FAILED, "the cell is full")
    assert await reconcile(cloud.cell) == 0
    assert cloud.cell.namespaces == {}
    assert (await cloud.namespace(owner, "orders")).generation == 2


async def test_a_deletion_refused_for_good_can_be_asked_for_again(cloud: Cloud) -> None:
    owner = await cloud.owner()
    operation = await requested(cloud, owner, deletion=True)
    cloud.cell.failures = [ProvisioningRefused("held for a court")]
    await cloud.control.reconciler.reconcile(cloud.cell)
    async with cloud.control.acting(owner) as session:
        namespaces = cloud.control.namespaces
        found = await namespaces.get(session, owner, operation.resource_id)
        assert found.state is NamespaceState.DELETING
        again = await namespaces.delete(
            session, owner, found.id, resource_version=found.resource_version
        )
    await ends_well(cloud, owner, again.id, deletion=True)


async def test_nothing_to_do_calls_no_cell(cloud: Cloud) -> None:
    owner = await cloud.owner()
    await cloud.namespace(owner)
    calls = cloud.cell.calls
    assert await cloud.control.reconciler.reconcile(cloud.cell) == 0
    assert cloud.cell.calls == calls
