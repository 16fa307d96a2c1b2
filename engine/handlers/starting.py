"""What StartWorkflowExecution and SignalWithStartWorkflowExecution share: a checked first batch."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from engine.call import Call
from engine.cell.loaded_run import LoadedRun
from engine.cell.namespaces import Namespace
from engine.cell.services import Services
from engine.cell.shard import Shard
from engine.env import run_id
from engine.errors import InvalidArgument, StartRefused
from engine.handlers import checks
from engine.history import closing, cron, priority, retry
from engine.history.begin import StartRequest
from engine.history.protobuf import NANOSECONDS, duration_ns
from engine.history.workflow_task import ENGINE_IDENTITY
from engine.persistence.protocols import RunKey
from engine.visibility import search_attributes

TERMINATE_REASON = "TerminateIfRunning WorkflowIdReusePolicy"


def check(request: StartRequest, namespace: Namespace, now_ns: int) -> None:
    """Raises InvalidArgument."""
    checks.identifier("workflow_type.name", request.workflow_type.name)
    checks.identifier("task_queue.name", request.task_queue.name)
    checks.identifier("identity", request.identity, required=False)
    checks.duration("workflow_execution_timeout", request.workflow_execution_timeout)
    checks.duration("workflow_run_timeout", request.workflow_run_timeout)
    checks.duration("workflow_task_timeout", request.workflow_task_timeout)
    checks.duration("workflow_start_delay", request.workflow_start_delay)
    checks.size("input", request.input)
    checks.size("header", request.header)
    checks.size("user_metadata", request.user_metadata)
    checks.memo(request.memo)
    if problem := priority.problem(request.priority):
        raise InvalidArgument(f"priority: {problem}", "priority")
    checks.size("retry_policy", request.retry_policy)
    if problem := retry.problem(request.retry_policy):
        raise InvalidArgument(f"retry_policy: {problem}", "retry_policy")
    if request.cron_schedule:
        _check_cron(request, now_ns)
    checks.none_of(
        (
            ("completion_callbacks", bool(getattr(request, "completion_callbacks", ()))),
            ("versioning_override", request.HasField("versioning_override")),
            ("time_skipping_config", request.HasField("time_skipping_config")),
            ("on_conflict_options", _attaches(request)),
        )
    )
    fields = request.search_attributes.indexed_fields
    search_attributes.check(fields, namespace.settings.search_attributes, namespace.name)


def _attaches(request: StartRequest) -> bool:
    """Whether a start that finds the run it wants is to leave something with it."""
    if isinstance(request, StartWorkflowExecutionRequest):
        return bool(request.on_conflict_options.ListFields())
    return False


def check_may_start(call: Call) -> None:
    """Raises StartRefused. Asked when it is decided that a run begins, before anything has ended
    for it: a call that finds the run it wants is not refused.
    """
    if not call.may_start:
        raise StartRefused(namespace=call.namespace)


def _check_cron(request: StartRequest, now_ns: int) -> None:
    if problem := cron.problem(request.cron_schedule, now_ns):
        raise InvalidArgument(f"cron_schedule {problem}", "cron_schedule")
    if duration_ns(request.workflow_start_delay):
        raise InvalidArgument(
            "workflow_start_delay cannot be combined with cron_schedule, which says when the"
            " first run begins; leave one out",
            "workflow_start_delay",
        )


def terminate_for_next(shard: Shard, run: LoadedRun) -> None:
    """End the open run so that another can take its id in the same commit."""
    t = shard.begin(run)
    closing.terminate(t, TERMINATE_REASON, identity=ENGINE_IDENTITY)
    shard.record(run, t)


def new_run(services: Services, shard: Shard, namespace: Namespace, workflow_id: str) -> LoadedRun:
    """An empty run of the namespace; its first transition makes it the current one."""
    run = shard.create(RunKey(namespace.namespace_id, workflow_id, run_id(services.env)))
    run.state.volatile.retention_ns = namespace.settings.retention_seconds * NANOSECONDS
    return run
