"""QueryWorkflow."""

from __future__ import annotations

import asyncio

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import QueryRejectCondition, WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import QueryWorkflowRequest, QueryWorkflowResponse

from engine.call import Call
from engine.cell.loaded_run import LoadedRun
from engine.cell.queries import PendingQuery
from engine.cell.services import Services
from engine.cell.shard import Shard
from engine.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    ResourceExhausted,
    WorkflowNotReady,
)
from engine.handlers import checks, polling, routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.limits import BUFFERED_QUERY_COUNT_MAX, QUERY_SECONDS_MAX
from engine.matching.task import QueueKey
from engine.metering.facts import FactKind

COMPLETED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
REJECT = QueryRejectCondition
FAILING_ATTEMPTS = 3
NO_POLLER = "no poller seen for task queue recently, worker may be down"


async def handle(
    services: Services, request: QueryWorkflowRequest, call: Call
) -> QueryWorkflowResponse:
    checks.identifier("query.query_type", request.query.query_type)
    checks.size("query", request.query)
    execution = request.execution
    shard, run = await services.run(call.namespace_id, execution.workflow_id, execution.run_id)
    answer = QueryWorkflowResponse()
    if _is_rejected(run, request.query_reject_condition):
        await shard.durable(run)
        answer.query_rejected.status = run.state.run.status  # type: ignore[assignment]
        return answer
    deadline = services.env.monotonic() + polling.seconds(services, call, QUERY_SECONDS_MAX)
    await _until_ready(services, shard, run, deadline)
    # A query that fails raises here, and is not counted.
    result = await _ask(services, shard, run, request, deadline)
    await _count(shard, run)
    answer.query_result.CopyFrom(result)
    return answer


async def _until_ready(services: Services, shard: Shard, run: LoadedRun, deadline: float) -> None:
    """Wait for the run's first completed workflow task. Raises WorkflowNotReady."""
    while not run.state.run.completed_started_event_id:
        left = deadline - services.env.monotonic()
        state = run.state
        starts_in_ns = state.volatile.backoff_until_ns - services.env.now_ns()
        if not state.is_open or left <= 0 or starts_in_ns > left * 1e9:
            raise WorkflowNotReady(run_id=run.key.run_id)
        await shard.changed(run, left)
        shard.check_owned()
    if run.state.task.attempt >= FAILING_ATTEMPTS:
        raise WorkflowNotReady("Unable to query workflow due to Workflow Task in failed state.")


async def _ask(
    services: Services,
    shard: Shard,
    run: LoadedRun,
    request: QueryWorkflowRequest,
    deadline: float,
) -> Payloads:
    if len(run.queries.pending) >= BUFFERED_QUERY_COUNT_MAX:
        raise ResourceExhausted(
            f"{BUFFERED_QUERY_COUNT_MAX} queries of this run wait for an answer; try again later"
        )
    future: asyncio.Future[Payloads] = asyncio.get_running_loop().create_future()
    query = PendingQuery(polling.request_id(services), request.query, future)
    run.queries.add(query)
    services.dispatcher.offer_queries(shard, run)
    try:
        async with asyncio.timeout(max(0.0, deadline - services.env.monotonic())):
            return await future
    except TimeoutError:
        queue = QueueKey(run.key.namespace_id, run.state.run.task_queue, "workflow")
        if services.dispatcher.nobody_polls(queue):
            raise FailedPrecondition(NO_POLLER, task_queue=queue.name) from None
        raise DeadlineExceeded("the workflow did not answer the query in time") from None
    finally:
        run.queries.take(query.query_id)


async def _count(shard: Shard, run: LoadedRun) -> None:
    """A query leaves no event; it is counted durably before its answer."""
    shard.check_owned()
    t = shard.begin(run)
    t.count(FactKind.WORKFLOW_QUERIED)
    shard.record(run, t)
    await shard.durable(run)


def _is_rejected(run: LoadedRun, condition: QueryRejectCondition.ValueType) -> bool:
    status = run.state.run.status
    if condition == REJECT.QUERY_REJECT_CONDITION_NOT_OPEN:
        return not run.state.is_open
    if condition == REJECT.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY:
        return not run.state.is_open and status != COMPLETED
    return False


HANDLER = Handler(
    WORKFLOW_SERVICE + "QueryWorkflow",
    QueryWorkflowRequest,
    routing.by_execution("execution"),
    handle,
)
