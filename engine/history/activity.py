"""The life of a pending activity: attempts, heartbeats, cancellation, its one close event.

Attempts leave no trace in history: the started event is written together with the close event
and says which attempt it was.
"""

from __future__ import annotations

from typing import Literal

from google.protobuf.message import Message
from msgspec.structs import replace
from temporalio.api.common.v1 import Payloads, RetryPolicy
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import (
    ActivityTaskCanceledEventAttributes,
    ActivityTaskCompletedEventAttributes,
    ActivityTaskFailedEventAttributes,
    ActivityTaskStartedEventAttributes,
    ActivityTaskTimedOutEventAttributes,
)

from engine.history import closing, retry, workflow_task
from engine.history.state import Activity, Attempt, RunState
from engine.history.transition import AttemptEnd, OfferActivityTask, Transition
from engine.metering.facts import FactKind

SCHEDULE_TO_START = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
SCHEDULE_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
START_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
HEARTBEAT = TimeoutType.TIMEOUT_TYPE_HEARTBEAT
TIMEOUT_NAMES = {
    START_TO_CLOSE: "StartToClose",
    SCHEDULE_TO_START: "ScheduleToStart",
    SCHEDULE_TO_CLOSE: "ScheduleToClose",
    HEARTBEAT: "Heartbeat",
}
OUT_OF_TIME = (
    "Not enough time to schedule next retry before activity ScheduleToClose timeout, "
    "giving up retrying"
)


def start(t: Transition, activity: Activity, identity: str, request_id: str) -> Activity:
    """A worker takes the current attempt."""
    attempt = replace(
        activity.attempt,
        started_at_ns=t.now_ns,
        heartbeat_at_ns=0,
        identity=identity,
        request_id=request_id,
    )
    if attempt.number > 1:
        t.count(FactKind.ACTIVITY_RETRIED)
    started = t.state.put_attempt(activity, attempt)
    arm(t.state, started)
    return started


def complete(t: Transition, activity: Activity, result: Payloads | None, identity: str) -> None:
    note_end(t, activity, "success")
    started_event_id = _write_started(t, activity)
    completed = ActivityTaskCompletedEventAttributes(
        scheduled_event_id=activity.scheduled_event_id,
        started_event_id=started_event_id,
        identity=identity,
    )
    if result is not None:
        completed.result.CopyFrom(result)
    _close(t, completed)


def cancel(t: Transition, activity: Activity, details: Payloads | None, identity: str) -> None:
    """The worker reports that it stopped because of the cancel request."""
    note_end(t, activity, "cancel")
    started_event_id = _write_started(t, activity)
    canceled = ActivityTaskCanceledEventAttributes(
        scheduled_event_id=activity.scheduled_event_id,
        started_event_id=started_event_id,
        latest_cancel_requested_event_id=activity.cancel_requested_event_id,
        identity=identity,
    )
    if details is not None:
        canceled.details.CopyFrom(details)
    _close(t, canceled)


def fail(t: Transition, activity: Activity, failure: Failure, identity: str) -> None:
    """The attempt failed: the next one is scheduled, or the activity closes."""
    state = retry.decide(activity, failure, t.now_ns)
    if state == RetryState.RETRY_STATE_IN_PROGRESS:
        note_end(t, activity, "fail", closes=False)
        _schedule_retry(t, activity, failure)
        return
    note_end(t, activity, "fail")
    started_event_id = _write_started(t, activity)
    _close(
        t,
        ActivityTaskFailedEventAttributes(
            scheduled_event_id=activity.scheduled_event_id,
            started_event_id=started_event_id,
            identity=identity,
            retry_state=state,
            failure=failure,
        ),
    )


def time_out(t: Transition, activity: Activity, kind: TimeoutType.ValueType) -> None:
    """A timeout of the activity passed: retry it, or close it with the timeout."""
    failure = _timeout_failure(activity, kind, f"activity {TIMEOUT_NAMES[kind]} timeout")
    state = retry.decide(activity, failure, t.now_ns)
    if state == RetryState.RETRY_STATE_IN_PROGRESS:
        note_end(t, activity, "timeout", timeout_type=TIMEOUT_NAMES[kind], closes=False)
        _schedule_retry(t, activity, failure)
        return
    of_attempt = kind in retry.TIMEOUTS_OF_AN_ATTEMPT
    if state == RetryState.RETRY_STATE_TIMEOUT and of_attempt:
        kind = SCHEDULE_TO_CLOSE
        failure = _timeout_failure(activity, kind, OUT_OF_TIME)
    note_end(t, activity, "timeout", timeout_type=TIMEOUT_NAMES[kind])
    started_event_id = _write_started(t, activity)
    _close(
        t,
        ActivityTaskTimedOutEventAttributes(
            scheduled_event_id=activity.scheduled_event_id,
            started_event_id=started_event_id,
            retry_state=state,
            failure=failure,
        ),
    )


def heartbeat(t: Transition, activity: Activity, details: Payloads | None) -> None:
    """The worker lives; a later attempt will see `details`."""
    attempt = replace(
        activity.attempt,
        heartbeat_at_ns=t.now_ns,
        heartbeat_details=b"" if details is None else details.SerializeToString(),
    )
    t.state.put_attempt(activity, attempt)


def note_end(
    t: Transition,
    activity: Activity,
    outcome: Literal["success", "fail", "timeout", "cancel"],
    *,
    timeout_type: str = "",
    closes: bool = True,
) -> None:
    """The current attempt is over, and the activity with it if that `closes` it."""
    started_at_ns = activity.attempt.started_at_ns
    t.attempt_ends.append(
        AttemptEnd(
            outcome,
            timeout_type,
            t.state.run.workflow_type,
            activity.activity_type,
            activity.task_queue,
            t.now_ns - started_at_ns if started_at_ns else None,
            t.now_ns - activity.scheduled_at_ns if closes else None,
        )
    )


def arm(state: RunState, activity: Activity) -> None:
    """Put the activity's earliest timeout on the run's heap."""
    deadlines = [at_ns for at_ns, _ in timeouts(activity)]
    if deadlines:
        state.add_deadline(min(deadlines), "activity", str(activity.scheduled_event_id))


def arm_dispatch(state: RunState, activity: Activity) -> None:
    """Have a waiting attempt offered when its backoff ends."""
    name = f"{activity.scheduled_event_id}.{activity.attempt.number}"
    state.add_deadline(activity.attempt.scheduled_at_ns, "retry", name)


def timeouts(activity: Activity) -> list[tuple[int, TimeoutType.ValueType]]:
    """The timeouts that run now, each with its deadline; an earlier name wins a tie."""
    attempt = activity.attempt
    running = []
    if activity.schedule_to_close_ns:
        at_ns = activity.scheduled_at_ns + activity.schedule_to_close_ns
        running.append((at_ns, SCHEDULE_TO_CLOSE))
    if attempt.started_at_ns:
        if activity.start_to_close_ns:
            at_ns = attempt.started_at_ns + activity.start_to_close_ns
            running.append((at_ns, START_TO_CLOSE))
        if activity.heartbeat_ns:
            beat_ns = attempt.heartbeat_at_ns or attempt.started_at_ns
            running.append((beat_ns + activity.heartbeat_ns, HEARTBEAT))
    elif activity.schedule_to_start_ns:
        at_ns = attempt.scheduled_at_ns + activity.schedule_to_start_ns
        running.append((at_ns, SCHEDULE_TO_START))
    return running


def policy_of(activity: Activity) -> RetryPolicy:
    return RetryPolicy.FromString(activity.retry_policy)


def _schedule_retry(t: Transition, activity: Activity, failure: Failure) -> None:
    attempt = activity.attempt
    due_at_ns = t.now_ns + retry.interval_ns(
        policy_of(activity), attempt.number, retry.requested_delay_ns(failure)
    )
    waiting = t.state.put_attempt(
        activity,
        Attempt(
            number=attempt.number + 1,
            scheduled_at_ns=due_at_ns,
            heartbeat_details=attempt.heartbeat_details,
            last_failure=failure.SerializeToString(),
            last_identity=attempt.identity,
            last_completed_at_ns=t.now_ns,
        ),
    )
    if due_at_ns <= t.now_ns:
        t.ask(OfferActivityTask(activity.scheduled_event_id, waiting.attempt.number))
    else:
        arm_dispatch(t.state, waiting)
    arm(t.state, waiting)


def _write_started(t: Transition, activity: Activity) -> int:
    """The started event of the last attempt, if it ever started; returns its id or 0."""
    attempt = activity.attempt
    if not attempt.started_at_ns:
        return 0
    started = ActivityTaskStartedEventAttributes(
        scheduled_event_id=activity.scheduled_event_id,
        identity=attempt.identity,
        request_id=attempt.request_id,
        attempt=attempt.number,
    )
    if attempt.last_failure:
        started.last_failure.ParseFromString(attempt.last_failure)
    return t.append(started, at_ns=attempt.started_at_ns).event_id


def _close(t: Transition, attributes: Message) -> None:
    t.append(attributes)
    closing.enforce_history_limits(t)
    workflow_task.schedule(t)


def _timeout_failure(activity: Activity, kind: TimeoutType.ValueType, message: str) -> Failure:
    failure = Failure(message=message, source="Server")
    failure.timeout_failure_info.timeout_type = kind
    if activity.attempt.heartbeat_details:
        details = failure.timeout_failure_info.last_heartbeat_details
        details.ParseFromString(activity.attempt.heartbeat_details)
    if activity.attempt.last_failure:
        failure.cause.ParseFromString(activity.attempt.last_failure)
        if failure.cause.HasField("timeout_failure_info"):
            # Timeout after timeout would otherwise nest one failure deeper each time.
            failure.cause.ClearField("cause")
    return failure
