"""An operation on a namespace is taken to its end once, wherever its process dies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.system.system import Work
from perdure import workflow
from tenancy import (
    AsyncOperation,
    AuditRecord,
    Database,
    NamespaceRef,
    NamespaceSettings,
    NamespaceState,
    OperationState,
    Principal,
    Provisioner,
    ProvisioningRefused,
)
from tenancy.changes import Change
from tenancy.operations import Operations
from tenancy.provisioning import Reconciler
from tenancy.workflows.provision_namespace import (
    ProvisioningActivities,
    ProvisionNamespace,
    workflow_id,
)
from tenancy.workflows.starter import ENGINE_HAS, WORKFLOW_HAS, ProvisioningStarter
from tests.system.mortal import DYING, Fate, Life, Machine, MortalCell, MortalDatabase
from tests.tenancy.cloud import Cloud

MOMENT_COUNT_MIN = 16
"""The start, three workflow tasks and two activities are commits, and so are their own steps. Fewer
moments would mean that the test has lost sight of some."""

KINDS = ["creation", "deletion"]


async def requested(cloud: Cloud, kind: str, name: str = "ada") -> tuple[Principal, AsyncOperation]:
    """An operation that nobody has worked on."""
    owner = await cloud.owner(f"{name}@example.com")
    if kind == "creation":
        async with cloud.control.acting(owner) as session:
            return owner, await cloud.control.namespaces.create(session, owner, "orders")
    ref = await cloud.namespace(owner)
    async with cloud.control.acting(owner) as session:
        return owner, await cloud.control.namespaces.delete(
            session, owner, ref.id, resource_version=2
        )


@workflow.defn
class Unrelated:
    @workflow.run
    async def run(self) -> None:
        """Nobody asks for it."""


class Control:
    """The part of a control plane's process that provisions."""

    def __init__(self, cloud: Cloud, database: Database, cell: Provisioner) -> None:
        self.reconciler = Reconciler(
            database=database,
            now=cloud.clock.now,
            operations=Operations(now=cloud.clock.now, token_bytes=cloud.random.randbytes),
            audit=cloud.control.audit,
        )
        self.work = Work((ProvisionNamespace,), ProvisioningActivities(self.reconciler, cell).all)
        self._now = cloud.clock.now
        self._cell = cell

    def starter(self, life: Life | None) -> ProvisioningStarter:
        client = (lambda: None) if life is None else life.system.client
        return ProvisioningStarter(self.reconciler, self._cell, client=client, now=self._now)


async def worked(cloud: Cloud, machine: Machine, fate: Fate) -> bool:
    """One process's life; True if it lived to see all operations ended."""
    database = MortalDatabase(cloud.url, fate)
    control = Control(cloud, database, MortalCell(cloud.cell, fate))
    async with machine.process(control.work, fate) as life:
        working = asyncio.create_task(until_ended(cloud, control, life))
        dying = asyncio.create_task(fate.died.wait())
        await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
        lived = working.done()
        if lived:
            await working
    await database.aclose()
    return lived


async def until_ended(cloud: Cloud, control: Control, life: Life) -> None:
    """Starts what is to be done, and waits until each workflow has ended."""
    client = await life.client()
    assert client is not None
    await control.starter(life).round()
    async for run in client.list_workflows():
        await client.get_workflow_handle(run.id).result()


async def ended_once(cloud: Cloud, owner: Principal, operation: AsyncOperation, kind: str) -> None:
    async with cloud.database.reading() as session:
        found = await cloud.control.operations.get(session, owner, operation.id)
        namespace = await cloud.control.namespaces.get(session, owner, operation.resource_id)
        records = sa.select(AuditRecord).where(
            AuditRecord.action == f"operation.{operation.kind}",
        )
        acts = [it for it in await session.scalars(records) if it.target_ids[1] == operation.id]
        change = await session.scalar(sa.select(Change).where(Change.id == namespace.id))
    assert (found.state, found.failure) == (OperationState.FULFILLED, None)
    is_creation = kind == "creation"
    expected = NamespaceState.ACTIVE if is_creation else NamespaceState.DELETED
    # One for the request, one for its end; a deleted one was created before.
    assert (namespace.state, namespace.resource_version) == (expected, 2 if is_creation else 4)
    assert (namespace.id in cloud.cell.namespaces) == is_creation
    assert (len(acts), change is not None) == (1, True)
    await cloud.audit_count(owner.account_id)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_process_that_lives_ends_an_operation_with_one_workflow(
    cloud: Cloud, machine: Machine, kind: str
) -> None:
    owner, operation = await requested(cloud, kind)
    calls = cloud.cell.calls
    assert await worked(cloud, machine, Fate())
    assert cloud.cell.calls == calls + 1
    await ended_once(cloud, owner, operation, kind)


@pytest.mark.ci
@pytest.mark.allow_log(*DYING)
@pytest.mark.parametrize("control_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_operation_ends_once_wherever_its_process_dies(
    cloud: Cloud, tmp_path: Path, kind: str
) -> None:
    """One account for each moment; the process of the last one lives to its end."""
    moment, has_lived = 0, False
    while not has_lived:
        moment += 1
        owner, operation = await requested(cloud, kind, f"ada-{moment}")
        machine = Machine(tmp_path)
        has_lived = await worked(cloud, machine, Fate(moment))
        if not has_lived:
            assert await worked(cloud, machine, Fate()), f"killed at moment {moment}"
        await ended_once(cloud, owner, operation, kind)
    assert moment > MOMENT_COUNT_MIN


async def test_requests_come_to_their_end_with_the_workflow_that_they_have(
    cloud: Cloud, machine: Machine
) -> None:
    owner, operation = await requested(cloud, "creation")
    control = Control(cloud, cloud.database, cloud.cell)
    async with machine.process(control.work) as life:
        client = await life.client()
        assert client is not None
        for _ in range(3):
            await control.starter(life).round()
        id = workflow_id(owner.account_id, operation.id)
        await client.get_workflow_handle(id).result()
        await control.starter(life).round()
        assert (await client.count_workflows()).count == 1
    await ended_once(cloud, owner, operation, "creation")


async def test_a_workflow_that_an_operator_ended_is_begun_again(
    cloud: Cloud, machine: Machine
) -> None:
    owner, operation = await requested(cloud, "creation")
    control = Control(cloud, cloud.database, cloud.cell)
    gate, entered = asyncio.Event(), asyncio.Event()
    create = cloud.cell.create

    async def waiting(ref: NamespaceRef, settings: NamespaceSettings) -> None:
        entered.set()
        await gate.wait()
        await create(ref, settings)

    cloud.cell.create = waiting  # type: ignore[method-assign]
    async with machine.process(control.work) as life:
        client = await life.client()
        assert client is not None
        await control.starter(life).round()
        await entered.wait()
        handle = client.get_workflow_handle(workflow_id(owner.account_id, operation.id))
        await handle.terminate(reason="looked stuck")
        assert await control.starter(life).round() == 1
        gate.set()
        await handle.result()
        assert (await client.count_workflows()).count == 2
    await ended_once(cloud, owner, operation, "creation")


@pytest.mark.allow_log("activity_failed")
async def test_a_cell_that_is_away_is_asked_again_until_it_is_back(
    cloud: Cloud, machine: Machine
) -> None:
    owner, operation = await requested(cloud, "creation")
    cloud.cell.failures = [ConnectionError("secret detail"), TimeoutError()]
    assert await worked(cloud, machine, Fate())
    assert cloud.cell.calls == 3
    await ended_once(cloud, owner, operation, "creation")


async def test_a_namespace_refused_for_good_is_cleaned_up_by_a_workflow_too(
    cloud: Cloud, machine: Machine
) -> None:
    owner, operation = await requested(cloud, "creation")
    cloud.cell.namespaces[operation.resource_id] = 1
    cloud.cell.failures = [ProvisioningRefused("the cell is full")]
    assert await worked(cloud, machine, Fate())
    async with cloud.database.reading() as session:
        operation = await cloud.control.operations.get(session, owner, operation.id)
    assert (operation.state, operation.failure) == (OperationState.FAILED, "the cell is full")
    assert await worked(cloud, machine, Fate())
    assert cloud.cell.namespaces == {}
    assert await cloud.control.reconciler.unfinished() == []


async def test_without_an_engine_operations_wait_a_little_and_then_end(cloud: Cloud) -> None:
    owner, operation = await requested(cloud, "creation")
    cloud.clock.move(hours=1)
    starter = Control(cloud, cloud.database, cloud.cell).starter(None)
    assert await starter.round() == 1
    cloud.clock.move(seconds=ENGINE_HAS.total_seconds() - 1)
    assert await starter.round() == 1
    assert cloud.cell.calls == 0
    cloud.clock.move(seconds=1)
    assert await starter.round() == 0
    await ended_once(cloud, owner, operation, "creation")


@pytest.mark.allow_log("workflow_task_failed")
async def test_an_operation_whose_workflow_hangs_ends_without_it(
    cloud: Cloud, machine: Machine
) -> None:
    owner, operation = await requested(cloud, "creation")
    control = Control(cloud, cloud.database, cloud.cell)
    # Its worker has other workflows than the one that is asked for.
    async with machine.process(Work((Unrelated,), ())) as life:
        await life.client()
        starter = control.starter(life)
        cloud.clock.move(seconds=WORKFLOW_HAS.total_seconds() - 1)
        assert await starter.round() == 1
        cloud.clock.move(seconds=1)
        assert await starter.round() == 0
    await ended_once(cloud, owner, operation, "creation")
