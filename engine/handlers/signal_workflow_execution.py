"""SignalWorkflowExecution."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
)

from engine.call import Call
from engine.cell.loaded_run import LoadedRun
from engine.cell.services import Services
from engine.cell.shard import Shard
from engine.errors import InvalidArgument, NotFound, ResourceExhausted
from engine.handlers import checks, routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import signals
from engine.history.protobuf import NANOSECONDS
from engine.limits import BUFFERED_EVENT_BYTES_MAX, BUFFERED_EVENT_COUNT_MAX, SIGNAL_COUNT_MAX
from engine.metering.facts import FactKind
from engine.persistence.protocols import RunKey

CHAIN_DEDUPE_SECONDS = 60
"""How long after a continue-as-new a repeated signal is looked for in the run before."""


async def handle(
    services: Services, request: SignalWorkflowExecutionRequest, call: Call
) -> SignalWorkflowExecutionResponse:
    checks.identifier("signal_name", request.signal_name)
    checks.identifier("identity", request.identity, required=False)
    checks.size("input", request.input)
    checks.size("header", request.header)
    execution = request.workflow_execution
    shard, run = await services.run(call.namespace_id, execution.workflow_id, execution.run_id)
    before = await run_before(services, shard, run)
    answer = SignalWorkflowExecutionResponse()
    if not is_repeated(run, before, request.request_id):
        check_accepts(run)
        t = shard.begin(run)
        signals.signal(t, signals.attributes_of(request), FactKind.WORKFLOW_SIGNALED)
        shard.record(run, t)
    await shard.durable(run)
    return answer


async def run_before(services: Services, shard: Shard, run: LoadedRun) -> LoadedRun | None:
    """The run that continued as this one a moment ago: a repeated signal may have reached it."""
    state = run.state.run
    age_ns = services.env.now_ns() - state.start_at_ns
    if not state.continued_run_id or age_ns > CHAIN_DEDUPE_SECONDS * NANOSECONDS:
        return None
    key = RunKey(run.key.namespace_id, run.key.workflow_id, state.continued_run_id)
    return await shard.find(key)


def is_repeated(run: LoadedRun, before: LoadedRun | None, request_id: str) -> bool:
    """Whether the signal of that request is recorded already."""
    if request_id in run.state.signal_requests:
        return True
    return before is not None and request_id in before.state.signal_requests


def check_accepts(run: LoadedRun) -> None:
    """Raises NotFound for a closed run, and where a limit of signals is reached."""
    state = run.state
    if not state.is_open:
        raise NotFound("workflow execution already completed", run_id=run.key.run_id)
    if state.run.signal_count >= SIGNAL_COUNT_MAX:
        raise InvalidArgument(
            f"the run has {SIGNAL_COUNT_MAX} signals, the most it can hold;"
            " let the workflow continue as new before"
        )
    if (
        len(state.buffered) >= BUFFERED_EVENT_COUNT_MAX
        or state.buffered_bytes >= BUFFERED_EVENT_BYTES_MAX
    ):
        raise ResourceExhausted(
            f"the run's workflow task is busy and {len(state.buffered)} events wait behind it;"
            " signal again later"
        )


HANDLER = Handler(
    WORKFLOW_SERVICE + "SignalWorkflowExecution",
    SignalWorkflowExecutionRequest,
    routing.by_execution("workflow_execution"),
    handle,
    complete=routing.fill_request_id,
)
