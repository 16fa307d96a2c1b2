"""The command that ends a run and begins the next one of the same workflow id."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
)
from temporalio.api.enums.v1 import ContinueAsNewInitiator, WorkflowTaskFailedCause
from temporalio.api.history.v1 import (
    HistoryEvent,
    WorkflowExecutionContinuedAsNewEventAttributes,
    WorkflowExecutionSignaledEventAttributes,
    WorkflowExecutionStartedEventAttributes,
)

from engine.history import begin, closing, cron, durations, next_run, retry
from engine.history.commands.completion import refuse_unseen
from engine.history.commands.rejection import CommandRejected
from engine.history.payloads import copy_payloads
from engine.history.protobuf import duration_ns, to_duration, to_timestamp
from engine.history.state import RunState
from engine.history.transition import Transition
from engine.limits import ID_BYTES_MAX
from engine.metering.facts import FactKind

Attributes = ContinueAsNewWorkflowExecutionCommandAttributes
BAD = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES


def continue_as_new_workflow_execution(
    t: Transition, completed_event_id: int, command: Command, a: Attributes
) -> None:
    for name, value in (("workflow_type", a.workflow_type.name), ("task_queue", a.task_queue.name)):
        if len(value.encode()) > ID_BYTES_MAX:
            raise CommandRejected(BAD, f"{name} has more than {ID_BYTES_MAX} bytes")
    if a.cron_schedule and (problem := cron.problem(a.cron_schedule, t.now_ns)):
        raise CommandRejected(BAD, f"cron_schedule {problem}")
    if problem := retry.problem(a.retry_policy):
        raise CommandRejected(BAD, f"retry_policy: {problem}")
    for name in ("workflow_run_timeout", "workflow_task_timeout", "backoff_start_interval"):
        if problem := durations.problem(getattr(a, name)):
            raise CommandRejected(BAD, f"{name} {problem}")
    state = t.state
    signals = _unseen_signals(t)
    attributes = WorkflowExecutionContinuedAsNewEventAttributes(
        new_execution_run_id=t.next_run_id(),
        workflow_type=a.workflow_type,
        task_queue=a.task_queue,
        workflow_task_completed_event_id=completed_event_id,
        initiator=ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW,
    )
    _fill(attributes, a, state)
    started = _started(state, attributes)
    _keep_chain(started, a, next_run.started_of(state))
    next_run.ask(t, started, FactKind.WORKFLOW_CONTINUED_AS_NEW, signals=signals)
    closing.close(t, attributes)


def _started(
    closing_run: RunState, attributes: WorkflowExecutionContinuedAsNewEventAttributes
) -> WorkflowExecutionStartedEventAttributes:
    """How the next run begins: as the event says, for the same execution."""
    run, key = closing_run.run, closing_run.key
    started = WorkflowExecutionStartedEventAttributes(
        workflow_type=attributes.workflow_type,
        task_queue=attributes.task_queue,
        input=attributes.input if attributes.HasField("input") else None,
        header=attributes.header if attributes.HasField("header") else None,
        memo=attributes.memo if attributes.HasField("memo") else None,
        search_attributes=attributes.search_attributes
        if attributes.HasField("search_attributes")
        else None,
        workflow_run_timeout=attributes.workflow_run_timeout,
        workflow_task_timeout=attributes.workflow_task_timeout,
        workflow_execution_timeout=to_duration(run.execution_timeout_ns),
        first_workflow_task_backoff=attributes.backoff_start_interval,
        continued_execution_run_id=key.run_id,
        initiator=attributes.initiator,
        original_execution_run_id=attributes.new_execution_run_id,
        first_execution_run_id=run.first_run_id,
        attempt=1,
        workflow_id=key.workflow_id,
    )
    if run.priority:
        started.priority.ParseFromString(run.priority)
    if run.execution_expires_at_ns:
        expires = to_timestamp(run.execution_expires_at_ns)
        started.workflow_execution_expiration_time.CopyFrom(expires)
    return started


def _keep_chain(
    started: WorkflowExecutionStartedEventAttributes,
    a: Attributes,
    before: WorkflowExecutionStartedEventAttributes,
) -> None:
    """Retry policy, cron schedule and last result: the command's, else those of the run before."""
    policy = a.retry_policy if a.HasField("retry_policy") else before.retry_policy
    if a.HasField("retry_policy") or before.HasField("retry_policy"):
        started.retry_policy.CopyFrom(retry.with_defaults(policy))
    started.cron_schedule = a.cron_schedule or before.cron_schedule
    for source in (a, before):
        if source.HasField("last_completion_result"):
            started.last_completion_result.CopyFrom(source.last_completion_result)
            break
    if a.HasField("failure"):
        started.continued_failure.CopyFrom(a.failure)


def _unseen_signals(
    t: Transition,
) -> list[tuple[str, WorkflowExecutionSignaledEventAttributes]]:
    """The buffered signals, taken out to move to the next run; anything else is refused."""
    signals = []
    for row in t.state.buffered.values():
        fact, _, encoded = row.partition(b"\0")
        event = HistoryEvent.FromString(encoded)
        if not event.HasField("workflow_execution_signaled_event_attributes"):
            refuse_unseen(t)
        signals.append((fact.decode(), event.workflow_execution_signaled_event_attributes))
    for number in list(t.state.buffered):
        t.state.drop_buffered(number)
    # They become events of the next run and were counted when they came.
    t.state.run.signal_count -= len(signals)
    return signals


def _fill(
    attributes: WorkflowExecutionContinuedAsNewEventAttributes, a: Attributes, state: RunState
) -> None:
    """What the command leaves out stays as the closing run has it."""
    if not a.workflow_type.name:
        attributes.workflow_type.name = state.run.workflow_type
    if not a.task_queue.name:
        attributes.task_queue.name = state.run.task_queue
    run_ns = duration_ns(a.workflow_run_timeout) or state.run.run_timeout_ns
    task_ns = duration_ns(a.workflow_task_timeout) or state.run.workflow_task_timeout_ns
    attributes.workflow_run_timeout.CopyFrom(to_duration(run_ns))
    task_ns = begin.task_timeout_ns(task_ns, run_ns)
    attributes.workflow_task_timeout.CopyFrom(to_duration(task_ns))
    attributes.backoff_start_interval.CopyFrom(a.backoff_start_interval)
    if a.HasField("input"):
        attributes.input.CopyFrom(a.input)
    if a.HasField("header"):
        attributes.header.CopyFrom(a.header)
    if a.HasField("failure"):
        attributes.failure.CopyFrom(a.failure)
    if a.HasField("last_completion_result"):
        attributes.last_completion_result.CopyFrom(a.last_completion_result)
    copy_payloads(attributes.memo.fields, a.memo.fields)
    copy_payloads(attributes.search_attributes.indexed_fields, a.search_attributes.indexed_fields)
