"""StartWorkflowExecution."""

from __future__ import annotations

from temporalio.api.enums.v1 import EventType, WorkflowIdConflictPolicy
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from engine.call import Call
from engine.cell.inline import Inline
from engine.cell.loaded_run import LoadedRun
from engine.cell.services import Services
from engine.handlers import conflict, routing, starting
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import begin
from engine.matching.task import PollerInfo
from engine.metering.facts import FactKind
from engine.persistence.protocols import RunKey


async def handle(
    services: Services, request: StartWorkflowExecutionRequest, call: Call
) -> StartWorkflowExecutionResponse:
    namespace = await services.namespaces.get(call.namespace_id)
    starting.check(request, namespace, services.env.now_ns())
    fail = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL
    policies = conflict.policies_of(request, fail)
    shard = services.shard(call.namespace_id, request.workflow_id)
    current = await shard.find(RunKey(call.namespace_id, request.workflow_id, ""))
    decision = conflict.decide(current, policies, request.request_id)
    if current is not None and decision.use:
        await shard.durable(current)
        return _answer(current, started=decision.deduplicated)
    starting.check_may_start(call)
    if current is not None and decision.terminate:
        starting.terminate_for_next(shard, current)
    run = starting.new_run(services, shard, namespace, request.workflow_id)
    t = shard.begin(run)
    begin.from_request(t, request, FactKind.WORKFLOW_STARTED)
    begin.first_task(t)
    inline = Inline(
        services.dispatcher,
        PollerInfo(request.identity, request.request_id),
        workflow_task=request.request_eager_execution,
    )
    shard.record(run, t, inline)
    await shard.durable(run)
    answer = _answer(run, started=True)
    for task in await inline.workflow_tasks():
        answer.eager_workflow_task.CopyFrom(PollWorkflowTaskQueueResponse.FromString(task))
    return answer


def _answer(run: LoadedRun, *, started: bool) -> StartWorkflowExecutionResponse:
    answer = StartWorkflowExecutionResponse(
        run_id=run.key.run_id,
        started=started,
        status=run.state.run.status,  # type: ignore[arg-type]
        first_execution_run_id=run.state.run.first_run_id,
    )
    event = answer.link.workflow_event
    event.workflow_id, event.run_id = run.key.workflow_id, run.key.run_id
    event.event_ref.event_id = 1
    event.event_ref.event_type = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    return answer


HANDLER = Handler(
    WORKFLOW_SERVICE + "StartWorkflowExecution",
    StartWorkflowExecutionRequest,
    routing.by_workflow_id,
    handle,
    complete=routing.fill_request_id,
)
