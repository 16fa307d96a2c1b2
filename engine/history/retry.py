"""Whether and when a failed attempt is tried again."""

from __future__ import annotations

from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure

from engine.history import durations
from engine.history.protobuf import NANOSECONDS, duration_ns, to_duration
from engine.history.state import Activity
from engine.limits import (
    DURATION_SECONDS_MAX,
    RETRY_COEFFICIENT,
    RETRY_INITIAL_SECONDS,
    RETRY_MAXIMUM_FACTOR,
)

TIMEOUTS_OF_AN_ATTEMPT = {
    TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE: "TemporalTimeout:StartToClose",
    TimeoutType.TIMEOUT_TYPE_HEARTBEAT: "TemporalTimeout:Heartbeat",
}
"""Timeouts that a next attempt may mend, with the name that a policy refuses them by."""


def with_defaults(policy: RetryPolicy) -> RetryPolicy:
    """The policy with every unset field filled in."""
    filled = RetryPolicy()
    filled.CopyFrom(policy)
    if not duration_ns(filled.initial_interval):
        initial_ns = RETRY_INITIAL_SECONDS * NANOSECONDS
        filled.initial_interval.CopyFrom(to_duration(initial_ns))
    if not filled.backoff_coefficient:
        filled.backoff_coefficient = RETRY_COEFFICIENT
    if not duration_ns(filled.maximum_interval):
        maximum_ns = duration_ns(filled.initial_interval) * RETRY_MAXIMUM_FACTOR
        maximum_ns = min(maximum_ns, DURATION_SECONDS_MAX * NANOSECONDS)
        filled.maximum_interval.CopyFrom(to_duration(maximum_ns))
    return filled


def problem(policy: RetryPolicy) -> str:
    """What is wrong with a policy as a client sent it; empty when nothing is."""
    # NaN is not at least 1 either.
    if policy.backoff_coefficient and not policy.backoff_coefficient >= 1:
        return "backoff_coefficient must be at least 1"
    for name in ("initial_interval", "maximum_interval"):
        if wrong := durations.problem(getattr(policy, name)):
            return f"{name} {wrong}"
    if 0 < duration_ns(policy.maximum_interval) < duration_ns(policy.initial_interval):
        return "maximum_interval must not be below initial_interval"
    if policy.maximum_attempts < 0:
        return "maximum_attempts must not be negative"
    return ""


def interval_ns(policy: RetryPolicy, attempt: int, requested_ns: int | None) -> int:
    """The wait after `attempt`; a delay that the failure asks for lifts the policy's cap."""
    if requested_ns is not None:
        return requested_ns
    initial_ns = duration_ns(policy.initial_interval)
    maximum_ns = duration_ns(policy.maximum_interval)
    try:
        grown = initial_ns * policy.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        return maximum_ns
    return int(min(grown, maximum_ns))


def requested_delay_ns(failure: Failure) -> int | None:
    """The delay that an application failure asks for itself, brought within its bounds.

    The attempt has failed whatever the delay says, so that it is no reason to refuse the failure.
    """
    info = failure.application_failure_info
    if failure.HasField("application_failure_info") and info.HasField("next_retry_delay"):
        longest_ns = DURATION_SECONDS_MAX * NANOSECONDS
        return max(0, min(duration_ns(info.next_retry_delay), longest_ns))
    return None


def is_retryable(failure: Failure, policy: RetryPolicy) -> bool:
    refused = policy.non_retryable_error_types
    kind = failure.WhichOneof("failure_info")
    if kind == "application_failure_info":
        info = failure.application_failure_info
        return not info.non_retryable and info.type not in refused
    if kind == "server_failure_info":
        return not failure.server_failure_info.non_retryable
    if kind == "timeout_failure_info":
        name = TIMEOUTS_OF_AN_ATTEMPT.get(failure.timeout_failure_info.timeout_type)
        return name is not None and name not in refused
    return kind not in ("terminated_failure_info", "canceled_failure_info")


def decide(activity: Activity, failure: Failure, now_ns: int) -> RetryState.ValueType:
    """What becomes of an activity whose current attempt ended with `failure`."""
    if activity.cancel_requested_event_id:
        return RetryState.RETRY_STATE_CANCEL_REQUESTED
    if (
        failure.HasField("timeout_failure_info")
        and failure.timeout_failure_info.timeout_type not in TIMEOUTS_OF_AN_ATTEMPT
    ):
        return RetryState.RETRY_STATE_TIMEOUT
    to_close_ns = activity.schedule_to_close_ns
    expires_at_ns = activity.scheduled_at_ns + to_close_ns if to_close_ns else 0
    policy = RetryPolicy.FromString(activity.retry_policy)
    return next_attempt(policy, activity.attempt.number, failure, now_ns, expires_at_ns)


def next_attempt(
    policy: RetryPolicy, attempt: int, failure: Failure, now_ns: int, expires_at_ns: int
) -> RetryState.ValueType:
    """IN_PROGRESS where an attempt follows `attempt`; it must begin by `expires_at_ns` unless 0."""
    if not is_retryable(failure, policy):
        return RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE
    if 0 < policy.maximum_attempts <= attempt:
        return RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
    if expires_at_ns:
        wait_ns = interval_ns(policy, attempt, requested_delay_ns(failure))
        if now_ns + wait_ns > expires_at_ns:
            return RetryState.RETRY_STATE_TIMEOUT
    return RetryState.RETRY_STATE_IN_PROGRESS
