"""The run that begins in the commit of another one's end, as the next of its chain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import ContinueAsNewInitiator, RetryState
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import (
    WorkflowExecutionSignaledEventAttributes,
    WorkflowExecutionStartedEventAttributes,
)
from temporalio.api.sdk.v1 import UserMetadata

from engine.history import begin, cron, retry
from engine.history.protobuf import NANOSECONDS, to_duration
from engine.history.state import RunState
from engine.history.transition import StartRun, Transition
from engine.limits import CHAIN_INTERVAL_SECONDS_MIN
from engine.metering.facts import FactKind

RETRY = ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_RETRY
CRON = ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
POLICY_NOT_SET = RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET
OF_THE_RUN_BEFORE = ("identity", "continued_failure", "eager_execution_accepted")


class NextRun(NamedTuple):
    """What follows a run that ends; an empty `run_id` says that nothing does."""

    retry_state: RetryState.ValueType
    run_id: str = ""
    initiator: ContinueAsNewInitiator.ValueType = RETRY
    backoff_ns: int = 0


def after_failure(t: Transition, failure: Failure) -> NextRun:
    """Another attempt where the retry policy gives one, else the run of the next cron time."""
    started, run = started_of(t.state), t.state.run
    retry_state = POLICY_NOT_SET
    if started.HasField("retry_policy"):
        policy = started.retry_policy
        expires_at_ns = run.execution_expires_at_ns
        retry_state = retry.next_attempt(policy, run.attempt, failure, t.now_ns, expires_at_ns)
        if retry_state == RetryState.RETRY_STATE_IN_PROGRESS:
            requested_ns = retry.requested_delay_ns(failure)
            backoff_ns = retry.interval_ns(policy, run.attempt, requested_ns)
            # A chain must not turn as fast as its worker fails: it would leave a run each time.
            soonest_ns = run.execution_at_ns + CHAIN_INTERVAL_SECONDS_MIN * NANOSECONDS
            backoff_ns = max(backoff_ns, soonest_ns - t.now_ns)
            return NextRun(retry_state, t.next_run_id(), RETRY, backoff_ns)
    return _at_cron_time(t, started, retry_state)


def after_completion(t: Transition) -> NextRun:
    return _at_cron_time(t, started_of(t.state), POLICY_NOT_SET)


def follow(
    t: Transition, following: NextRun, *, result: Payloads | None, failure: Failure | None
) -> None:
    """Have it begin as the ending run began; `result` or `failure` is what that one came to.

    Called before the run is closed, which forgets how it began.
    """
    if not following.run_id:
        return
    state = t.state
    started = started_of(state)
    for name in OF_THE_RUN_BEFORE:
        started.ClearField(name)  # type: ignore[arg-type]
    started.continued_execution_run_id = state.key.run_id
    started.original_execution_run_id = following.run_id
    started.initiator = following.initiator
    started.attempt = state.run.attempt + 1 if following.initiator == RETRY else 1
    started.first_workflow_task_backoff.CopyFrom(to_duration(following.backoff_ns))
    if failure is not None:
        # The result of the last run that had one stays at hand.
        started.continued_failure.CopyFrom(failure)
    elif result is not None:
        started.last_completion_result.CopyFrom(result)
    else:
        started.ClearField("last_completion_result")
    metadata = UserMetadata.FromString(state.run.user_metadata) if state.run.user_metadata else None
    fact = FactKind.WORKFLOW_STARTED if following.initiator == CRON else None
    ask(t, started, fact, metadata=metadata)


def ask(
    t: Transition,
    started: WorkflowExecutionStartedEventAttributes,
    fact: FactKind | None,
    *,
    metadata: UserMetadata | None = None,
    signals: Iterable[tuple[str, WorkflowExecutionSignaledEventAttributes]] = (),
) -> None:
    """Have the next run begin with `started`, and the signals that the ending one passes on."""
    before = t.state.volatile
    retention_ns, start_request_id = before.retention_ns, before.start_request_id

    def begin_next(following: Transition) -> None:
        # It begins when the other ends, so that its backoff leads to the time that was meant.
        following.now_ns = t.now_ns
        following.state.volatile.retention_ns = retention_ns
        # A repeated start finds its chain, not only its first run.
        following.state.volatile.start_request_id = start_request_id
        begin.write_started(following, started, metadata, fact)
        for name, signaled in signals:
            following.append(signaled, fact=FactKind(name))
            if signaled.request_id:
                following.state.remember_signal_request(signaled.request_id)
        begin.first_task(following)

    t.ask(StartRun(started.original_execution_run_id, begin_next))


def started_of(state: RunState) -> WorkflowExecutionStartedEventAttributes:
    """How the run began; empty for one that has neither a retry policy nor a cron schedule."""
    return WorkflowExecutionStartedEventAttributes.FromString(state.started)


def _at_cron_time(
    t: Transition,
    started: WorkflowExecutionStartedEventAttributes,
    retry_state: RetryState.ValueType,
) -> NextRun:
    if not started.cron_schedule:
        return NextRun(retry_state)
    try:
        at_ns = cron.parse(started.cron_schedule).next_ns(t.state.run.execution_at_ns, t.now_ns)
    except cron.CronError:
        # It was checked when it came. Only its time zone may be unknown since, and a run that
        # cannot end for that would be worse than a chain that does.
        return NextRun(retry_state)
    return NextRun(retry_state, t.next_run_id(), CRON, at_ns - t.now_ns)
