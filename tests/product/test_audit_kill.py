"""What was answered is in the audit log, whenever the server is killed."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
import temporalio.api.workflowservice.v1 as w

from api.installation import installation
from tenancy import AuditRecord, AuditResult, Database
from tenancy.audit import AuditLog
from tests.product.client import Access, Lost, Program, Refused, open_account, program
from tests.product.server import Product

KILLS = 4
WORKFLOWS = 24
ACTION = "TerminateWorkflowExecution"


class Terminator:
    """Ends workflows all at once, and knows which of its calls were answered."""

    def __init__(self, ours: Program, worker: Program) -> None:
        self.done: list[str] = []
        self.denied = 0
        self._ours = ours
        self._worker = worker
        self._answered = asyncio.Condition()

    async def start(self, workflow_id: str) -> None:
        request = w.StartWorkflowExecutionRequest(workflow_id=workflow_id)
        request.workflow_type.name = request.task_queue.name = "Order"
        await self._ours.ask(request)

    async def terminate(self, workflow_id: str) -> None:
        """By a program that may, and by one that may not."""
        request = w.TerminateWorkflowExecutionRequest()
        request.workflow_execution.workflow_id = workflow_id
        try:
            await self._worker.ask(request)
        except Refused as refusal:
            self.denied += refusal.status == 403
        except Lost:
            return
        try:
            await self._ours.ask(request)
        except Lost:
            return
        async with self._answered:
            self.done.append(workflow_id)
            self._answered.notify_all()

    async def answered(self, count: int) -> None:
        async with self._answered:
            await self._answered.wait_for(lambda: len(self.done) >= count)


async def test_no_act_that_was_answered_is_missing_in_the_audit_log(product: Product) -> None:
    rng = random.Random(7)
    access = await open_account(product)
    worker_key = await access.owner.key(namespaces={access.namespace: "worker"})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(aclosing(access.owner.http))
        ours = program(product, access)
        worker = program(product, Access(access.namespace, worker_key, access.owner))
        for each in (ours, worker):
            await stack.enter_async_context(each.http)
        terminator = Terminator(ours, worker)
        for kill in range(KILLS):
            ids = [f"order-{kill}-{number}" for number in range(WORKFLOWS)]
            await asyncio.gather(*map(terminator.start, ids))
            before = len(terminator.done)
            async with asyncio.TaskGroup() as group:
                for workflow_id in ids:
                    group.create_task(terminator.terminate(workflow_id))
                await terminator.answered(before + rng.randint(1, WORKFLOWS))
                product.kill()
            await product.start()
    product.stop()
    done, denied = await recorded(product.data, access.owner.account_id)
    assert len(terminator.done) >= KILLS
    assert set(terminator.done) <= set(done)
    assert len(done) == len(set(done))
    assert denied >= terminator.denied >= len(terminator.done)


async def recorded(data: Path, account_id: str) -> tuple[list[str], int]:
    """The workflows that were terminated, and how many denials there are, by a whole chain."""
    with installation(data) as held:
        database = Database(held.database_url)
        log = AuditLog(now=lambda: datetime.now(UTC), pepper=held.secrets.pepper)
        async with database.reading() as session:
            assert await log.verify_chain(session, account_id)
            query = sa.select(AuditRecord).where(AuditRecord.action == ACTION)
            found = list(await session.scalars(query))
        await database.aclose()
    done = [each.target_ids[1] for each in found if each.result is AuditResult.ACCEPTED]
    return done, sum(each.result is AuditResult.DENIED for each in found)
