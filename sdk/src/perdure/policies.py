"""Options that callers hand over: retry policies, id policies, cancellation types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from perdure.protojson import Message, duration_text, parse_duration


class WorkflowIDReusePolicy(StrEnum):
    """What a start does when a closed run with the same workflow id exists."""

    ALLOW_DUPLICATE = "WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE"
    ALLOW_DUPLICATE_FAILED_ONLY = "WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY"
    REJECT_DUPLICATE = "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"
    TERMINATE_IF_RUNNING = "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING"


class WorkflowIDConflictPolicy(StrEnum):
    """What a start does when an open run with the same workflow id exists."""

    FAIL = "WORKFLOW_ID_CONFLICT_POLICY_FAIL"
    USE_EXISTING = "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"
    TERMINATE_EXISTING = "WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"


class QueryRejectCondition(StrEnum):
    """When a query is refused because of the run's state."""

    NONE = "QUERY_REJECT_CONDITION_NONE"
    NOT_OPEN = "QUERY_REJECT_CONDITION_NOT_OPEN"
    NOT_COMPLETED_CLEANLY = "QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY"


class ActivityCancellationType(StrEnum):
    """What cancelling a started activity does from the workflow's point of view."""

    TRY_CANCEL = "TRY_CANCEL"
    """Ask for cancellation and raise at once."""
    WAIT_CANCELLATION_COMPLETED = "WAIT_CANCELLATION_COMPLETED"
    """Ask for cancellation and wait for how the activity ends."""
    ABANDON = "ABANDON"
    """Raise at once and leave the activity alone."""


@dataclass(frozen=True)
class RetryPolicy:
    """How failed attempts are repeated; fields left out take the server's defaults."""

    initial_interval: timedelta = timedelta(seconds=1)
    backoff_coefficient: float = 2.0
    maximum_interval: timedelta | None = None
    maximum_attempts: int = 0
    non_retryable_error_types: Sequence[str] | None = None

    def to_message(self) -> Message:
        """The policy as its wire message."""
        message: Message = {
            "initialInterval": duration_text(self.initial_interval),
            "backoffCoefficient": self.backoff_coefficient,
            "maximumAttempts": self.maximum_attempts,
        }
        if self.maximum_interval is not None:
            message["maximumInterval"] = duration_text(self.maximum_interval)
        if self.non_retryable_error_types:
            message["nonRetryableErrorTypes"] = list(self.non_retryable_error_types)
        return message

    @staticmethod
    def from_message(message: Message) -> RetryPolicy:
        """The policy of a wire message."""
        return RetryPolicy(
            initial_interval=parse_duration(message.get("initialInterval")) or timedelta(seconds=1),
            backoff_coefficient=float(message.get("backoffCoefficient", 2.0)),
            maximum_interval=parse_duration(message.get("maximumInterval")),
            maximum_attempts=int(message.get("maximumAttempts", 0)),
            non_retryable_error_types=message.get("nonRetryableErrorTypes"),
        )
