"""Runs that follow one another: continued, retried, begun at a time of their schedule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from temporalio.api.enums.v1 import ContinueAsNewInitiator, RetryState
from temporalio.api.history.v1 import HistoryEvent

from engine.persistence.protocols import RunKey
from tests.simulation.checkers.evidence import (
    STARTS,
    Evidence,
    attributes_of,
    begins_chain,
    name_of,
)
from tests.simulation.env import NANOSECONDS

WORKFLOW = ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW
RETRY = ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_RETRY
CRON = ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
CONTINUED = "workflow_execution_continued_as_new"
FAILED = frozenset({"workflow_execution_failed", "workflow_execution_timed_out"})
ENDED = frozenset({"workflow_execution_completed", *FAILED})
ENDS_OF = {WORKFLOW: frozenset({CONTINUED}), RETRY: FAILED, CRON: ENDED}
"""How the run before ends, by what brings the next one."""

KEPT_BY_CHAIN = (
    "first_execution_run_id", "workflow_execution_expiration_time", "workflow_id",
)  # fmt: skip
KEPT_BY_ATTEMPT = (
    "cron_schedule", "input", "retry_policy", "task_queue", "workflow_execution_timeout",
    "workflow_run_timeout", "workflow_task_timeout", "workflow_type",
)  # fmt: skip
INTERVAL_SECONDS_MIN = 1
"""A chain of retries begins no more than one run in that time."""


def restricted_calls_begin_nothing(evidence: Evidence) -> Iterator[str]:
    """A run begins by a try that was allowed to begin one, whatever was told of the others."""
    for key, events in evidence.histories.items():
        if not begins_chain(events):
            continue
        identity = attributes_of(events[0]).identity
        calls = evidence.calls.get((key.namespace_id, identity), ())
        tries = [operation for operation in calls if operation.method in STARTS]
        if tries and not any(operation.may_start for operation in tries):
            yield f"{identity} began {key}, and may begin none"
    for operation in evidence.record.operations:
        if operation.may_start and operation.error.startswith("StartRefused"):
            yield f"{operation.identity} was refused, and may begin a run"


def runs_form_chains(evidence: Evidence) -> Iterator[str]:
    """A run that ends with a next one has it, of its kind; one that owes a next one has one."""
    for key, events in evidence.histories.items():
        if not events or name_of(events[-1]) not in {CONTINUED, *ENDED}:
            continue
        next_run_id = attributes_of(events[-1]).new_execution_run_id
        if not next_run_id:
            yield from (f"{key} {text}" for text in _missing(events))
            continue
        following = evidence.histories.get(key._replace(run_id=next_run_id))
        if not following:
            yield f"{key} names {next_run_id} as the next run, which does not exist"
            continue
        yield from (f"{next_run_id} behind {key} {text}" for text in _link(key, events, following))


def _missing(events: list[HistoryEvent]) -> Iterator[str]:
    """Why another run should have followed."""
    started, name = attributes_of(events[0]), name_of(events[-1])
    policy = started.retry_policy
    is_out_of_time = name == "workflow_execution_timed_out" and _expires_ns(started)
    if started.cron_schedule and not is_out_of_time:
        yield f"has a schedule, {name} and no next run"
    elif name in FAILED and started.HasField("retry_policy") and not _expires_ns(started):
        if not 0 < policy.maximum_attempts <= started.attempt:
            yield f"{name} in attempt {started.attempt} of {policy.maximum_attempts}, the last one"


def _link(key: RunKey, events: list[HistoryEvent], following: list[HistoryEvent]) -> Iterator[str]:
    before, after = attributes_of(events[0]), attributes_of(following[0])
    closed = events[-1]
    if after.continued_execution_run_id != key.run_id:
        yield f"continues {after.continued_execution_run_id}"
    if name_of(closed) not in ENDS_OF[after.initiator]:
        yield f"of initiator {after.initiator} follows {name_of(closed)}"
    kept = KEPT_BY_CHAIN if after.initiator == WORKFLOW else KEPT_BY_CHAIN + KEPT_BY_ATTEMPT
    for field in kept:
        if getattr(before, field) != getattr(after, field):
            yield f"has another {field}"
    if _at_ns(following[0]) < _at_ns(closed):
        yield "began before the other ended"
    if after.initiator == RETRY:
        yield from _retried(before, events, following)
    elif after.attempt != 1:
        yield f"begins with attempt {after.attempt}"
    if after.initiator == CRON:
        yield from _scheduled(events, following)


def _retried(
    before: Any, events: list[HistoryEvent], following: list[HistoryEvent]
) -> Iterator[str]:
    after, policy = attributes_of(following[0]), before.retry_policy
    if after.attempt != before.attempt + 1:
        yield f"is attempt {after.attempt} after {before.attempt}"
    if 0 < policy.maximum_attempts <= before.attempt:
        yield f"is one more than the {policy.maximum_attempts} attempts allowed"
    if attributes_of(events[-1]).retry_state != RetryState.RETRY_STATE_IN_PROGRESS:
        yield "follows a run that says nothing of a retry"
    grown = policy.initial_interval.ToNanoseconds() * policy.backoff_coefficient ** (
        before.attempt - 1
    )
    wait_ns = int(min(grown, policy.maximum_interval.ToNanoseconds()))
    if after.first_workflow_task_backoff.ToNanoseconds() < wait_ns:
        yield f"waits less than {wait_ns} ns"
    if _execution_ns(following[0]) < _execution_ns(events[0]) + INTERVAL_SECONDS_MIN * NANOSECONDS:
        yield "begins too soon behind the one before"


def _scheduled(events: list[HistoryEvent], following: list[HistoryEvent]) -> Iterator[str]:
    """The first time of the schedule after the one before that is not over."""
    schedule = attributes_of(following[0]).cron_schedule
    at_ns, closed_ns = _execution_ns(following[0]), _at_ns(events[-1])
    anchor_ns, interval_ns = 0, 60 * NANOSECONDS
    if schedule.startswith("@every "):
        before_ns = _execution_ns(events[0])
        anchor_ns = before_ns - before_ns % NANOSECONDS
        interval_ns = int(schedule.removeprefix("@every ").removesuffix("s")) * NANOSECONDS
    if (at_ns - anchor_ns) % interval_ns:
        yield f"begins at {at_ns}, which is no time of {schedule}"
    if not 0 <= at_ns - closed_ns <= interval_ns:
        yield f"begins {at_ns - closed_ns} ns after the end, by {schedule}"
    if at_ns <= _execution_ns(events[0]):
        yield f"begins no later than the one before, by {schedule}"


def _at_ns(event: HistoryEvent) -> int:
    return event.event_time.ToNanoseconds()


def _execution_ns(started: HistoryEvent) -> int:
    """When the first task of the run may come."""
    backoff = started.workflow_execution_started_event_attributes.first_workflow_task_backoff
    return _at_ns(started) + backoff.ToNanoseconds()


def _expires_ns(started: Any) -> int:
    return int(started.workflow_execution_expiration_time.ToNanoseconds())
