"""Errors as wire failures and back."""

from __future__ import annotations

import asyncio
import json
import traceback
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

from perdure.converter import DataConverter
from perdure.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ConversionError,
    FailureError,
    RetryState,
    ServerError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
)
from perdure.protojson import Message, duration_text, number, parse_duration, pruned

SOURCE = "PerdureSDK"
ENCODED_MESSAGE = "Encoded failure"
_CAUSES_MAX = 100


def to_failure(error: BaseException, converter: DataConverter) -> Message:
    """The wire failure of an error with its chain of causes.

    With a codec, message and stack trace move into ``encodedAttributes``, which the codec covers.
    """
    return _to_failure(error, converter, _CAUSES_MAX)


def _to_failure(error: BaseException, converter: DataConverter, depth: int) -> Message:
    if isinstance(error, FailureError) and error.failure is not None:
        # It came from the server and goes back as it came, with its own stack trace.
        failure = dict(error.failure)
    else:
        failure = {
            "message": error.message if isinstance(error, FailureError) else str(error),
            "source": SOURCE,
            "stackTrace": "".join(traceback.format_tb(error.__traceback__)),
            **_kind(error, converter),
        }
    cause = error.__cause__
    if cause is None and not error.__suppress_context__ and not isinstance(error, FailureError):
        cause = error.__context__
    if cause is not None and depth > 0:
        failure["cause"] = _to_failure(cause, converter, depth - 1)
    if converter.codec is not None:
        _hide(failure)
    return failure


def _kind(error: BaseException, converter: DataConverter) -> Message:
    def payloads(values: Sequence[Any]) -> Message | None:
        try:
            return converter.payload_converter.to_payloads(values)
        except ConversionError:
            # The error itself must arrive even if its details cannot.
            return None

    if isinstance(error, ApplicationError):
        delay = error.next_retry_delay
        fields = pruned(
            type=error.type or type(error).__name__,
            nonRetryable=error.non_retryable,
            details=payloads(error.details),
            nextRetryDelay=None if delay is None else duration_text(delay),
        )
        return {"applicationFailureInfo": fields}
    if isinstance(error, CancelledError):
        return {"canceledFailureInfo": pruned(details=payloads(error.details))}
    if isinstance(error, asyncio.CancelledError):
        return {"canceledFailureInfo": {}}
    if isinstance(error, TerminatedError):
        return {"terminatedFailureInfo": {}}
    if isinstance(error, ServerError):
        return {"serverFailureInfo": {"nonRetryable": error.non_retryable}}
    if isinstance(error, TimeoutError):
        details = payloads(error.last_heartbeat_details)
        fields = pruned(timeoutType=error.type.value, lastHeartbeatDetails=details)
        return {"timeoutFailureInfo": fields}
    if isinstance(error, ActivityError):
        return {
            "activityFailureInfo": {
                "scheduledEventId": str(error.scheduled_event_id),
                "startedEventId": str(error.started_event_id),
                "identity": error.identity,
                "activityType": {"name": error.activity_type},
                "activityId": error.activity_id,
                "retryState": error.retry_state.value,
            }
        }
    return {"applicationFailureInfo": {"type": type(error).__name__}}


def _hide(failure: Message) -> None:
    if "encodedAttributes" in failure:
        # A failure that came from the server was decoded but keeps its decoded attributes.
        del failure["encodedAttributes"]
    hidden = {
        "message": failure.get("message", ""),
        "stack_trace": failure.pop("stackTrace", ""),
    }
    failure["message"] = ENCODED_MESSAGE
    failure["encodedAttributes"] = {
        "metadata": {"encoding": b64encode(b"json/plain").decode()},
        "data": b64encode(json.dumps(hidden).encode()).decode(),
    }


def _reveal(failure: Message) -> Message:
    encoded = failure.get("encodedAttributes")
    if not encoded:
        return failure
    try:
        hidden = json.loads(b64decode(encoded.get("data", "")))
        message, stack = hidden["message"], hidden["stack_trace"]
    except (ValueError, KeyError, TypeError):
        # Without the key the placeholder message is all there is to show.
        return failure
    return {**failure, "message": message, "stackTrace": stack}


def from_failure(failure: Message, converter: DataConverter) -> FailureError:
    """The error of a wire failure (already decoded by the codec), causes chained."""
    failure = _reveal(failure)
    error = _error(failure, str(failure.get("message", "")), converter)
    error.failure = failure
    if failure.get("cause"):
        error.__cause__ = from_failure(failure["cause"], converter)
    return error


def _error(failure: Message, message: str, converter: DataConverter) -> FailureError:
    values = converter.payload_converter.from_payloads
    if "activityFailureInfo" in failure:
        return _activity_error(failure["activityFailureInfo"], message)
    if "canceledFailureInfo" in failure:
        details = values(failure["canceledFailureInfo"].get("details"))
        return CancelledError(message or "Cancelled", *details)
    if "timeoutFailureInfo" in failure:
        fields = failure["timeoutFailureInfo"]
        return TimeoutError(
            message or "Timeout",
            type=TimeoutType(fields.get("timeoutType", TimeoutType.UNSPECIFIED)),
            last_heartbeat_details=values(fields.get("lastHeartbeatDetails")),
        )
    if "terminatedFailureInfo" in failure:
        return TerminatedError(message or "Terminated")
    if "serverFailureInfo" in failure:
        permanent = bool(failure["serverFailureInfo"].get("nonRetryable"))
        return ServerError(message, non_retryable=permanent)
    if "applicationFailureInfo" in failure:
        return _application_error(failure["applicationFailureInfo"], message, values)
    return FailureError(message)


def _application_error(fields: Message, message: str, values: Any) -> ApplicationError:
    return ApplicationError(
        message,
        *values(fields.get("details")),
        type=fields.get("type") or None,
        non_retryable=bool(fields.get("nonRetryable")),
        next_retry_delay=parse_duration(fields.get("nextRetryDelay")),
    )


def _activity_error(fields: Message, message: str) -> ActivityError:
    return ActivityError(
        message or "Activity task failed",
        activity_type=fields.get("activityType", {}).get("name", ""),
        activity_id=fields.get("activityId", ""),
        scheduled_event_id=number(fields, "scheduledEventId"),
        started_event_id=number(fields, "startedEventId"),
        identity=fields.get("identity", ""),
        retry_state=RetryState(fields.get("retryState", RetryState.UNSPECIFIED)),
    )
