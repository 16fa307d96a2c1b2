"""Every error this package raises, in one tree under PerdureError."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import Any

from perdure.protojson import Message


class PerdureError(Exception):
    """Any error of this package."""


class RPCStatusCode(IntEnum):
    """The status codes of the open API."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(PerdureError):
    """The server refused a call or could not be reached."""

    def __init__(
        self, message: str, status: RPCStatusCode, details: Sequence[Message] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.details = list(details)
        self.retry_after_seconds: float | None = None


class RetryState(StrEnum):
    """Why an activity is not tried again."""

    UNSPECIFIED = "RETRY_STATE_UNSPECIFIED"
    IN_PROGRESS = "RETRY_STATE_IN_PROGRESS"
    NON_RETRYABLE_FAILURE = "RETRY_STATE_NON_RETRYABLE_FAILURE"
    TIMEOUT = "RETRY_STATE_TIMEOUT"
    MAXIMUM_ATTEMPTS_REACHED = "RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED"
    RETRY_POLICY_NOT_SET = "RETRY_STATE_RETRY_POLICY_NOT_SET"
    INTERNAL_SERVER_ERROR = "RETRY_STATE_INTERNAL_SERVER_ERROR"
    CANCEL_REQUESTED = "RETRY_STATE_CANCEL_REQUESTED"


class TimeoutType(StrEnum):
    """Which timeout of an activity or run expired."""

    UNSPECIFIED = "TIMEOUT_TYPE_UNSPECIFIED"
    START_TO_CLOSE = "TIMEOUT_TYPE_START_TO_CLOSE"
    SCHEDULE_TO_START = "TIMEOUT_TYPE_SCHEDULE_TO_START"
    SCHEDULE_TO_CLOSE = "TIMEOUT_TYPE_SCHEDULE_TO_CLOSE"
    HEARTBEAT = "TIMEOUT_TYPE_HEARTBEAT"


class FailureError(PerdureError):
    """An error that a history can hold; raised in a workflow, it fails the workflow."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.failure: Message | None = None
        """The wire failure this error was made from, if it came from the server."""

    @property
    def cause(self) -> BaseException | None:
        """The error that led to this one."""
        return self.__cause__

    @property
    def stack_trace(self) -> str:
        """The stack trace the failing process sent, empty if this error was raised here."""
        return str((self.failure or {}).get("stackTrace", ""))


class ApplicationError(FailureError):
    """An error of the application's own code."""

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message if not type else f"{type}: {message}")
        self.message = message
        self.details = details
        self.type = type
        self.non_retryable = non_retryable
        self.next_retry_delay = next_retry_delay


class CancelledError(FailureError):
    """A workflow or activity was cancelled."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:
        super().__init__(message)
        self.details = details


class TerminatedError(FailureError):
    """A workflow was terminated."""


class ServerError(FailureError):
    """A failure the server itself produced."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self.non_retryable = non_retryable


class TimeoutError(FailureError):
    """A run or an activity timed out."""

    def __init__(
        self, message: str, *, type: TimeoutType, last_heartbeat_details: Sequence[Any] = ()
    ) -> None:
        super().__init__(message)
        self.type = type
        self.last_heartbeat_details = last_heartbeat_details


class ActivityError(FailureError):
    """An activity did not complete; the reason is the cause."""

    def __init__(
        self,
        message: str,
        *,
        activity_type: str,
        activity_id: str,
        scheduled_event_id: int = 0,
        started_event_id: int = 0,
        identity: str = "",
        retry_state: RetryState = RetryState.UNSPECIFIED,
    ) -> None:
        super().__init__(message)
        self.activity_type = activity_type
        self.activity_id = activity_id
        self.scheduled_event_id = scheduled_event_id
        self.started_event_id = started_event_id
        self.identity = identity
        self.retry_state = retry_state


class WorkflowAlreadyStartedError(FailureError):
    """A workflow with this id runs already, or the reuse policy refuses another run."""

    def __init__(self, workflow_id: str, workflow_type: str, run_id: str | None = None) -> None:
        super().__init__(f"Workflow {workflow_id!r} is already started (run {run_id})")
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id


class WorkflowFailureError(PerdureError):
    """A workflow closed otherwise than completed; the reason is the cause."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"Workflow execution failed: {cause}")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """The failure, cancellation, termination or timeout that closed the workflow."""
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowContinuedAsNewError(PerdureError):
    """The run continued as a new one and the caller asked not to follow it."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__("Workflow continued as new")
        self.new_execution_run_id = new_execution_run_id


class WorkflowQueryFailedError(PerdureError):
    """The workflow has no such query or its handler raised."""


class WorkflowQueryRejectedError(PerdureError):
    """The query was refused because of the run's status."""

    def __init__(self, status: str) -> None:
        super().__init__(f"Query rejected, workflow status: {status}")
        self.status = status


class NondeterminismError(PerdureError):
    """A replay asked for something else than the history holds."""

    def __init__(self, message: str, event_id: int | None = None) -> None:
        super().__init__(message)
        self.event_id = event_id


class RestrictedAccessError(PerdureError):
    """Workflow code called something that has another result at each replay."""


class ReadOnlyContextError(PerdureError):
    """A query handler or wait condition tried to change the workflow."""


class NotInContextError(PerdureError, RuntimeError):
    """A workflow or activity function was called outside a workflow or activity."""


class WorkflowDeadlockError(PerdureError):
    """A workflow blocked its thread instead of awaiting."""


class DefinitionError(PerdureError, ValueError):
    """A workflow or activity class is written in a way that cannot run."""


class ConversionError(PerdureError, ValueError):
    """A value cannot be turned into a payload, or a payload into the hinted type."""


class DecryptionError(PerdureError):
    """A payload cannot be decrypted with the keys at hand."""


def is_cancelled_exception(error: BaseException) -> bool:
    """Whether the error says that something was cancelled."""
    if isinstance(error, asyncio.CancelledError | CancelledError):
        return True
    return isinstance(error, ActivityError) and isinstance(error.cause, CancelledError)
