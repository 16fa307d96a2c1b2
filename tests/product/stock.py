"""A namespace with something of everything in it, so that any call can succeed or find a victim."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import temporalio.api.workflowservice.v1 as w

from tests.engine.cell import cancel_activity, complete_workflow, schedule_activity
from tests.product.client import Access, Program, open_account, program
from tests.product.kills import settled_recount
from tests.product.orders import payloads
from tests.product.server import Product
from tests.single_sign_on.identity_provider import IdentityProvider

LONG = timedelta(hours=1)
TASK_TIMEOUT = timedelta(seconds=120)
SCHEDULED_EVENT_ID = 5


@dataclass
class Stock:
    """Makes workflows and tasks. `secret` goes into all that only the account itself may see."""

    access: Access
    program: Program
    secret: str
    known: dict[str, str] = field(default_factory=dict)
    """A value for each name that requests use for something that exists here."""
    data: Path | None = None
    """Where the server keeps its data, for what is made beside it."""
    identity_provider: IdentityProvider | None = None
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def workflow(self) -> str:
        """A new workflow's id, which is its task queue's name too."""
        workflow_id = f"stock-{next(self._numbers)}"
        request = w.StartWorkflowExecutionRequest(
            workflow_id=workflow_id, input=payloads(self.secret), identity=self.secret
        )
        request.memo.fields["note"].CopyFrom(payloads(self.secret).payloads[0])
        request.workflow_type.name, request.task_queue.name = "Order", workflow_id
        request.workflow_task_timeout.FromTimedelta(TASK_TIMEOUT)
        await self.program.ask(request)
        return workflow_id

    async def poll_workflow(self, workflow_id: str) -> Any:
        request = w.PollWorkflowTaskQueueRequest(identity=self.secret)
        request.task_queue.name = workflow_id
        return await self.program.ask(request)

    async def workflow_task(self) -> str:
        """The token of a task that is under way."""
        return written((await self.poll_workflow(await self.workflow())).task_token)

    async def complete(self, workflow_id: str, *commands: Any) -> None:
        task = await self.poll_workflow(workflow_id)
        request = w.RespondWorkflowTaskCompletedRequest(task_token=task.task_token)
        request.commands.extend(commands)
        await self.program.ask(request)

    async def quiet_workflow(self) -> str:
        """A workflow that waits for nothing but signals."""
        workflow_id = await self.workflow()
        await self.complete(workflow_id)
        return workflow_id

    async def closed_workflow(self) -> str:
        workflow_id = await self.workflow()
        await self.complete(workflow_id, complete_workflow(self.secret))
        return workflow_id

    async def activity(self, *, is_cancelled: bool = False) -> tuple[str, str]:
        """The workflow's id and the token of its activity "1", which is running."""
        workflow_id = await self.workflow()
        command = schedule_activity("1", start_to_close=LONG)
        attributes = command.schedule_activity_task_command_attributes
        attributes.task_queue.name = workflow_id
        attributes.input.CopyFrom(payloads(self.secret))
        await self.complete(workflow_id, command)
        poll = w.PollActivityTaskQueueRequest(identity=self.secret)
        poll.task_queue.name = workflow_id
        token = (await self.program.ask(poll)).task_token
        if is_cancelled:
            signal = w.SignalWorkflowExecutionRequest(signal_name="stop")
            signal.workflow_execution.workflow_id = workflow_id
            await self.program.ask(signal)
            await self.complete(workflow_id, cancel_activity(SCHEDULED_EVENT_ID))
        return workflow_id, written(token)

    async def furnish(self) -> None:
        """Fill `known`."""
        owner = self.access.owner
        await self.renew()
        await self.closed_workflow()
        identity = await owner.get("/cloud/current-identity")
        key = await owner.post("/cloud/api-keys", {"spec": {"displayName": self.secret[:60]}})
        page = await self.program.ask(w.ListWorkflowExecutionsRequest(page_size=1))
        self.known |= {
            "namespace": self.access.namespace,
            "page_token": written(page.next_page_token),
            "user_id": identity["user"]["id"],
            "key_id": key["keyId"],
            "async_operation_id": key["asyncOperation"]["id"],
        }

    async def renew(self) -> None:
        """Other workflows and tasks, in place of those that may be over by now."""
        workflow_id, activity_token = await self.activity()
        describe = w.DescribeWorkflowExecutionRequest()
        describe.execution.workflow_id = workflow_id
        told = await self.program.ask(describe)
        self.known |= {
            "workflow_id": workflow_id,
            "run_id": told.workflow_execution_info.execution.run_id,
            "activity_id": "1",
            "task_queue": workflow_id,
            "task_token": activity_token,
            "workflow_task_token": await self.workflow_task(),
        }

    async def state(self) -> list[Any]:
        """All that a call of somebody else must leave as it is."""
        owner, namespace = self.access.owner, self.access.namespace
        # What was used is counted a moment later, and budgets tell of it.
        assert (await settled_recount(self.program)).differences == ()
        page = await self.program.ask(w.ListWorkflowExecutionsRequest())
        executions = [info.execution for info in page.executions]
        assert not page.next_page_token
        histories = [
            [
                event
                for event in await self.program.history(e.workflow_id, e.run_id)
                # A task that this tenant holds ends by itself when the test takes its time.
                if not event.HasField("workflow_task_timed_out_event_attributes")
            ]
            for e in executions
        ]
        return [
            page,
            histories,
            await self.program.ask(w.DescribeNamespaceRequest()),
            await owner.get(f"/cloud/namespaces/{namespace}"),
            await owner.get("/cloud/users"),
            [
                (key["id"], key["state"], key["resourceVersion"])
                for key in (await owner.get("/cloud/api-keys"))["apiKeys"]
            ],
            (await owner.get("/cloud/namespaces"))["namespaces"],
            await owner.get("/api/v1/billing"),
            await owner.get("/api/v1/budgets"),
            await owner.get("/api/v1/invoices"),
            await owner.get("/api/v1/single-sign-on"),
            # Their order tells which was used last.
            {each["id"] for each in (await owner.get("/api/v1/security"))["sessions"]},
            await owner.get(f"/api/v1/client-certificates?namespace={namespace}"),
            (await owner.get("/cloud/account"))["account"]["id"],
        ]


@asynccontextmanager
async def stocked(
    product: Product, identity_provider: IdentityProvider, secret: str
) -> AsyncIterator[Stock]:
    """A new account with something of everything."""
    access = await open_account(product)
    shop = program(product, access)
    async with shop.http, aclosing(access.owner.http):
        stock = Stock(access, shop, secret, data=product.data, identity_provider=identity_provider)
        await stock.furnish()
        yield stock


def written(token: bytes) -> str:
    """A token as JSON has it."""
    assert token
    return base64.b64encode(token).decode()


def forms(secret: str) -> list[bytes]:
    """How a secret would show: as it is, and inside base64 at each of three positions."""
    found = [secret.encode()]
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret.encode())
        # The first and the last characters depend on the neighbours.
        found.append(whole[4:-4])
    return found
