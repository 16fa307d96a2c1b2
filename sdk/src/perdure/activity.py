"""What activity code uses: the decorator, the attempt's facts, heartbeats, cancellation."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload

from perdure.converter import DataConverter
from perdure.definition import Function, define_activity
from perdure.exceptions import CancelledError, NotInContextError
from perdure.policies import RetryPolicy
from perdure.protojson import Message, number, parse_duration, parse_time

__all__ = [
    "Info",
    "defn",
    "heartbeat",
    "in_activity",
    "info",
    "is_cancelled",
    "is_worker_shutdown",
    "logger",
    "wait_for_cancelled",
    "wait_for_cancelled_sync",
]

_F = TypeVar("_F", bound=Function)


@dataclass(frozen=True)
class Info:
    """One attempt of an activity."""

    activity_id: str
    activity_type: str
    attempt: int
    heartbeat_details: Sequence[Any]
    """What the last attempt that sent a heartbeat gave to it."""
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    schedule_to_close_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    scheduled_time: datetime | None
    current_attempt_scheduled_time: datetime | None
    started_time: datetime | None
    task_queue: str
    task_token: str
    workflow_id: str
    workflow_namespace: str
    workflow_run_id: str
    workflow_type: str
    headers: Mapping[str, Message]


class ActivityContext:
    """What the functions of this module answer from while an activity runs."""

    def __init__(self, info: Info, *, beat: Callable[[Sequence[Any]], None], is_async: bool):
        self.info = info
        self.beat = beat
        self.is_async = is_async
        self.cancelled = threading.Event()
        self.cancelled_async = asyncio.Event()
        self.worker_shutdown = False


CONTEXT: ContextVar[ActivityContext] = ContextVar("perdure_activity")


@overload
def defn(function: _F, /) -> _F: ...
@overload
def defn(*, name: str | None = None) -> Callable[[_F], _F]: ...
def defn(function: Any = None, *, name: str | None = None) -> Any:
    """Declare an activity: an ``async def`` runs on the worker's loop, a ``def`` in a thread."""

    def declare(target: _F) -> _F:
        define_activity(target, name)
        return target

    return declare if function is None else declare(function)


def in_activity() -> bool:
    """Whether this code runs as an activity."""
    return CONTEXT.get(None) is not None


def info() -> Info:
    """The current attempt."""
    return _current().info


def heartbeat(*details: Any) -> None:
    """Say that the activity lives, and how far it came; the next attempt gets the details.

    Sent at once or, if that is too often, later. A cancellation arrives with a heartbeat: an async
    activity is cancelled, and in a ``def`` the next heartbeat raises CancelledError.
    """
    context = _current()
    if context.cancelled.is_set() and not context.is_async:
        raise CancelledError("Cancelled")
    context.beat(details)


def is_cancelled() -> bool:
    """Whether this attempt was asked to stop."""
    return _current().cancelled.is_set()


def is_worker_shutdown() -> bool:
    """Whether the worker is stopping and will soon cancel what still runs."""
    return _current().worker_shutdown


async def wait_for_cancelled() -> None:
    """Wait until this attempt is asked to stop, in an async activity."""
    await _current().cancelled_async.wait()


def wait_for_cancelled_sync(timeout: timedelta | float | None = None) -> bool:
    """Wait until this attempt is asked to stop, in a ``def``; false if the time is up first."""
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    return _current().cancelled.wait(seconds)


def _current() -> ActivityContext:
    context = CONTEXT.get(None)
    if context is None:
        raise NotInContextError("not in activity code")
    return context


def info_of(task: Message, task_queue: str, converter: DataConverter) -> Info:
    """The facts of a polled task, its payloads decoded."""
    execution = task.get("workflowExecution", {})
    policy = task.get("retryPolicy")
    details = converter.payload_converter.from_payloads(task.get("heartbeatDetails"))
    return Info(
        activity_id=task.get("activityId", ""),
        activity_type=task.get("activityType", {}).get("name", ""),
        attempt=number(task, "attempt") or 1,
        heartbeat_details=details,
        heartbeat_timeout=parse_duration(task.get("heartbeatTimeout")) or None,
        retry_policy=RetryPolicy.from_message(policy) if policy else None,
        schedule_to_close_timeout=parse_duration(task.get("scheduleToCloseTimeout")) or None,
        start_to_close_timeout=parse_duration(task.get("startToCloseTimeout")) or None,
        scheduled_time=parse_time(task.get("scheduledTime")),
        current_attempt_scheduled_time=parse_time(task.get("currentAttemptScheduledTime")),
        started_time=parse_time(task.get("startedTime")),
        task_queue=task_queue,
        task_token=task.get("taskToken", ""),
        workflow_id=execution.get("workflowId", ""),
        workflow_namespace=task.get("workflowNamespace", ""),
        workflow_run_id=execution.get("runId", ""),
        workflow_type=task.get("workflowType", {}).get("name", ""),
        headers=task.get("header", {}).get("fields", {}),
    )


def identity_fields(info: Info) -> dict[str, Any]:
    """What every log record of an attempt carries."""
    return {
        "activity_id": info.activity_id,
        "activity_type": info.activity_type,
        "attempt": info.attempt,
        "workflow_id": info.workflow_id,
        "run_id": info.workflow_run_id,
    }


class ActivityLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs with the attempt's ids as fields."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        context = CONTEXT.get(None)
        if context is not None:
            kwargs["extra"] = {**identity_fields(context.info), **(kwargs.get("extra") or {})}
        return msg, kwargs


logger = ActivityLogger(logging.getLogger("perdure.activity"), {})
