"""SignalWithStartWorkflowExecution."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowIdConflictPolicy
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers import checks, conflict, routing, starting
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.handlers.signal_workflow_execution import check_accepts, is_repeated, run_before
from engine.history import begin, signals
from engine.metering.facts import FactKind
from engine.persistence.protocols import RunKey

CONFLICT = WorkflowIdConflictPolicy


async def handle(
    services: Services, request: SignalWithStartWorkflowExecutionRequest, call: Call
) -> SignalWithStartWorkflowExecutionResponse:
    namespace = await services.namespaces.get(call.namespace_id)
    starting.check(request, namespace, services.env.now_ns())
    checks.identifier("signal_name", request.signal_name)
    checks.size("signal_input", request.signal_input)
    policies = conflict.policies_of(request, CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
    if policies.conflict == CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_FAIL:
        raise InvalidArgument(
            "workflow_id_conflict_policy FAIL makes no sense for signal-with-start;"
            " leave it out or use TERMINATE_EXISTING",
            "workflow_id_conflict_policy",
        )
    shard = services.shard(call.namespace_id, request.workflow_id)
    current = await shard.find(RunKey(call.namespace_id, request.workflow_id, ""))
    before = None if current is None else await run_before(services, shard, current)
    # Another call may have started the next run while the one before was read.
    current = await shard.find(RunKey(call.namespace_id, request.workflow_id, ""))
    if current is not None and (
        is_repeated(current, before, request.request_id)
        # It began the chain of runs; its signal is in the first one.
        or current.state.volatile.start_request_id == request.request_id
    ):
        await shard.durable(current)
        return SignalWithStartWorkflowExecutionResponse(run_id=current.key.run_id, started=False)
    attributes = signals.attributes_of(request)
    decision = conflict.decide(current, policies, request.request_id)
    if current is not None and decision.use:
        check_accepts(current)
        t = shard.begin(current)
        signals.signal(t, attributes, FactKind.SIGNAL_WITH_START)
        shard.record(current, t)
        await shard.durable(current)
        return SignalWithStartWorkflowExecutionResponse(run_id=current.key.run_id, started=False)
    starting.check_may_start(call)
    if current is not None and decision.terminate:
        starting.terminate_for_next(shard, current)
    run = starting.new_run(services, shard, namespace, request.workflow_id)
    t = shard.begin(run)
    begin.from_request(t, request, None)
    signals.signal(t, attributes, FactKind.SIGNAL_WITH_START)
    shard.record(run, t)
    await shard.durable(run)
    return SignalWithStartWorkflowExecutionResponse(run_id=run.key.run_id, started=True)


HANDLER = Handler(
    WORKFLOW_SERVICE + "SignalWithStartWorkflowExecution",
    SignalWithStartWorkflowExecutionRequest,
    routing.by_workflow_id,
    handle,
    complete=routing.fill_request_id,
)
