"""What workflow code uses: decorators, activities, timers, time, randomness, patches."""

from __future__ import annotations

import random as _random
import uuid as _uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar, overload

from perdure.converter import PayloadConverter, search_attribute_fields
from perdure.definition import (
    QUERY_MARK,
    RUN_MARK,
    SIGNAL_MARK,
    Function,
    define_workflow,
    name_and_result,
)
from perdure.failure import from_failure
from perdure.policies import ActivityCancellationType, RetryPolicy
from perdure.runtime.activities import ActivityHandle, ActivityOptions, schedule_activity
from perdure.runtime.commands import (
    CHANGE_VERSION,
    MODIFY_PROPERTIES,
    PATCH_MARKER,
    RECORD_MARKER,
    UPSERT_SEARCH_ATTRIBUTES,
    Command,
    patch_details,
)
from perdure.runtime.context import current, current_or_none
from perdure.runtime.guards import workflow_uuid4
from perdure.runtime.logs import logger
from perdure.runtime.outcome import Continuation, ContinueAsNewError
from perdure.runtime.run import WorkflowInfo
from perdure.runtime.waiting import as_completed, sleep, wait, wait_condition

__all__ = [
    "ActivityCancellationType",
    "ActivityHandle",
    "ContinueAsNewError",
    "Info",
    "all_handlers_finished",
    "as_completed",
    "continue_as_new",
    "defn",
    "deprecate_patch",
    "execute_activity",
    "execute_activity_method",
    "get_last_completion_result",
    "get_last_failure",
    "has_last_completion_result",
    "in_workflow",
    "info",
    "logger",
    "memo",
    "memo_value",
    "now",
    "patched",
    "payload_converter",
    "query",
    "random",
    "run",
    "set_query_handler",
    "set_signal_handler",
    "signal",
    "sleep",
    "start_activity",
    "start_activity_method",
    "time",
    "time_ns",
    "unsafe",
    "upsert_memo",
    "upsert_search_attributes",
    "uuid4",
    "wait",
    "wait_condition",
]

Info = WorkflowInfo
_C = TypeVar("_C", bound=type)
_F = TypeVar("_F", bound=Function)
_T = TypeVar("_T")


@overload
def defn(cls: _C, /) -> _C: ...
@overload
def defn(
    *,
    name: str | None = None,
    sandboxed: bool = True,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Callable[[_C], _C]: ...
def defn(
    cls: Any = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Any:
    """Declare a workflow class. ``sandboxed`` is accepted and has no effect: there is no sandbox.

    Exceptions of ``failure_exception_types`` fail the workflow instead of the workflow task.
    """

    def declare(target: _C) -> _C:
        define_workflow(target, name, failure_exception_types)
        return target

    return declare if cls is None else declare(cls)


def run(function: _F) -> _F:
    """Mark the one ``async def`` method that is the workflow."""
    setattr(function, RUN_MARK, True)
    return function


@overload
def signal(function: _F, /) -> _F: ...
@overload
def signal(*, name: str | None = None, dynamic: bool = False) -> Callable[[_F], _F]: ...
def signal(function: Any = None, *, name: str | None = None, dynamic: bool = False) -> Any:
    """Mark a signal handler, sync or async; a dynamic one gets (name, [RawValue]) of any signal."""

    def declare(target: _F) -> _F:
        setattr(target, SIGNAL_MARK, {"name": None if dynamic else name or target.__name__})
        return target

    return declare if function is None else declare(function)


@overload
def query(function: _F, /) -> _F: ...
@overload
def query(*, name: str | None = None, dynamic: bool = False) -> Callable[[_F], _F]: ...
def query(function: Any = None, *, name: str | None = None, dynamic: bool = False) -> Any:
    """Mark a query handler: sync, and without any change to the workflow."""

    def declare(target: _F) -> _F:
        setattr(target, QUERY_MARK, {"name": None if dynamic else name or target.__name__})
        return target

    return declare if function is None else declare(function)


def set_signal_handler(name: str | None, handler: Function | None) -> None:
    """Set (or with None remove) a signal handler; name None takes every other signal."""
    current().handlers.set_signal(name, handler)


def set_query_handler(name: str | None, handler: Function | None) -> None:
    """Set (or with None remove) a query handler; name None takes every other query."""
    current().handlers.set_query(name, handler)


def all_handlers_finished() -> bool:
    """Whether no async signal handler is still running; worth waiting for before the run ends."""
    return not current().handlers.running


def start_activity(
    activity: Function | str,
    *values: Any,
    args: Sequence[Any] = (),
    result_type: Any = None,
    task_queue: str | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
) -> ActivityHandle:
    """Schedule an activity; await the handle for its result, cancel it to cancel the activity."""
    name, hint = name_and_result(activity, "activity")
    options = ActivityOptions(
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
    )
    return schedule_activity(current(), name, [*values, *args], result_type or hint, options)


@overload
async def execute_activity(
    activity: Callable[..., Awaitable[_T]], *values: Any, **options: Any
) -> _T: ...
@overload
async def execute_activity(activity: Callable[..., _T], *values: Any, **options: Any) -> _T: ...
@overload
async def execute_activity(activity: str, *values: Any, **options: Any) -> Any: ...
async def execute_activity(activity: Function | str, *values: Any, **options: Any) -> Any:
    """Schedule an activity and wait for its result; options as in start_activity."""
    return await start_activity(activity, *values, **options)


start_activity_method = start_activity
execute_activity_method = execute_activity


def continue_as_new(
    *values: Any,
    args: Sequence[Any] = (),
    workflow: Function | str | None = None,
    task_queue: str | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: Mapping[str, Any] | None = None,
) -> NoReturn:
    """End this run and start the next one, with fresh history and the given arguments."""
    current().check_writable()
    raise ContinueAsNewError(
        Continuation(
            [*values, *args],
            None if workflow is None else name_and_result(workflow, "workflow")[0],
            task_queue,
            run_timeout,
            task_timeout,
            retry_policy,
            memo,
            None if search_attributes is None else search_attribute_fields(search_attributes),
        )
    )


def in_workflow() -> bool:
    """Whether this code runs as workflow code."""
    return current_or_none() is not None


def info() -> WorkflowInfo:
    """The current run."""
    return current().run


def has_last_completion_result() -> bool:
    """Whether an earlier run of the cron schedule completed with a result."""
    return bool(current().started_attributes.get("lastCompletionResult", {}).get("payloads"))


def get_last_completion_result(type_hint: Any = None) -> Any:
    """The result of the last run of the cron schedule that completed, as the hinted type."""
    result = current().started_attributes.get("lastCompletionResult")
    values = payload_converter().from_payloads(result, [type_hint])
    return values[0] if values else None


def get_last_failure() -> BaseException | None:
    """Why the run before this one failed or timed out, if it did."""
    failure = current().started_attributes.get("continuedFailure")
    return from_failure(failure, current().converter) if failure else None


def time() -> float:
    """The workflow's time in seconds since 1970: when the current workflow task started."""
    return current().loop.time()


def time_ns() -> int:
    """The workflow's time in nanoseconds, at microsecond precision."""
    return round(time() * 1_000_000) * 1000


def now() -> datetime:
    """The workflow's time as an aware UTC datetime."""
    return datetime.fromtimestamp(time(), UTC)


def random() -> _random.Random:
    """Random numbers that are the same at every replay."""
    return current().random


def uuid4() -> _uuid.UUID:
    """A random UUID that is the same at every replay."""
    return workflow_uuid4(current())


def patched(id: str) -> bool:
    """Whether to take the new path of a change: true unless this run passed here before it."""
    return _patch(id, deprecated=False)


def deprecate_patch(id: str) -> None:
    """Say that no run from before the change is left; the old path can go."""
    _patch(id, deprecated=True)


def _patch(patch_id: str, *, deprecated: bool) -> bool:
    instance = current()
    known = instance.patches.get(patch_id)
    if known is not None:
        return known
    instance.check_writable()
    active = instance.patches[patch_id] = instance.patched_in_history(patch_id)
    if active:
        details = patch_details(patch_id, deprecated)
        instance.add_command(
            Command(RECORD_MARKER, {"markerName": PATCH_MARKER, "details": details})
        )
        names = sorted(name for name, applied in instance.patches.items() if applied)
        _upsert({CHANGE_VERSION: names})
    return active


def upsert_search_attributes(attributes: Mapping[str, Any]) -> None:
    """Set search attributes; None removes one. They are never encrypted: the server reads them."""
    run = current().run
    _upsert(attributes)
    for name, value in attributes.items():
        if value is None:
            run.search_attributes.pop(name, None)
        else:
            run.search_attributes[name] = value


def _upsert(attributes: Mapping[str, Any]) -> None:
    instance = current()
    fields = search_attribute_fields(attributes)
    message = {"searchAttributes": {"indexedFields": fields}}
    instance.add_command(Command(UPSERT_SEARCH_ATTRIBUTES, message))
    for name, value in attributes.items():
        instance.search_attribute_fields.pop(name, None)
        if value is not None:
            instance.search_attribute_fields[name] = fields[name]


def upsert_memo(updates: Mapping[str, Any]) -> None:
    """Set memo fields; None removes one."""
    instance = current()
    fields = instance.converter.payload_converter.to_payload_map(updates)
    instance.add_command(Command(MODIFY_PROPERTIES, {"upsertedMemo": {"fields": fields}}))
    for name, value in updates.items():
        instance.memo.pop(name, None)
        if value is not None:
            instance.memo[name] = dict(fields[name])


def memo() -> Mapping[str, Any]:
    """The run's memo."""
    instance = current()
    return instance.converter.payload_converter.from_payload_map(instance.memo)


def memo_value(key: str, default: Any = None, *, type_hint: Any = None) -> Any:
    """One memo field as the hinted type."""
    instance = current()
    payload = instance.memo.get(key)
    if payload is None:
        return default
    return instance.converter.payload_converter.from_payload(payload, type_hint)


def payload_converter() -> PayloadConverter:
    """The converter that RawValue payloads can be read with."""
    return current().converter.payload_converter


class unsafe:
    """Ways around the rules; what they lead to is the caller's to answer for."""

    @staticmethod
    def is_replaying() -> bool:
        """Whether the code runs to rebuild state."""
        return current().replaying

    @staticmethod
    @contextmanager
    def imports_passed_through() -> Iterator[None]:
        """Kept for code written for a sandbox: modules are never imported twice here."""
        yield

    @staticmethod
    @contextmanager
    def sandbox_unrestricted() -> Iterator[None]:
        """Lift the guards on clocks and randomness for a block without await."""
        instance = current()
        instance.unguarded = True
        try:
            yield
        finally:
            instance.unguarded = False
