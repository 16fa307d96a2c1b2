"""How a run ends: completed, failed, cancelled, continued as new, or not yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perdure.exceptions import FailureError, is_cancelled_exception
from perdure.failure import to_failure
from perdure.policies import RetryPolicy
from perdure.protojson import Message, set_duration
from perdure.runtime.commands import (
    CANCEL_WORKFLOW,
    CHANGE_VERSION,
    COMPLETE_WORKFLOW,
    CONTINUE_AS_NEW,
    FAIL_WORKFLOW,
    Command,
)

if TYPE_CHECKING:
    from perdure.runtime.instance import WorkflowInstance


@dataclass(frozen=True)
class Continuation:
    """What the next run is given; fields left out are those of the current run."""

    arguments: Sequence[Any] = ()
    workflow_type: str | None = None
    task_queue: str | None = None
    run_timeout: timedelta | None = None
    task_timeout: timedelta | None = None
    retry_policy: RetryPolicy | None = None
    memo: Mapping[str, Any] | None = None
    search_attributes: Mapping[str, Message] | None = None


class ContinueAsNewError(BaseException):
    """Ends the run and starts the next one; raised by workflow.continue_as_new."""

    def __init__(self, continuation: Continuation) -> None:
        super().__init__("continue as new")
        self.continuation = continuation


def complete(instance: WorkflowInstance, result: Any) -> None:
    """Close the run with a result."""
    payload = instance.converter.payload_converter.to_payload(result)
    instance.add_command(Command(COMPLETE_WORKFLOW, {"result": {"payloads": [payload]}}))


def settle_error(instance: WorkflowInstance, error: BaseException) -> None:
    """Close the run with an error that is meant to, else fail the workflow task.

    A bug must not close a run: the task fails, is tried again, and goes on once the code is mended.
    """
    if instance.closed or instance.evicting:
        return
    if isinstance(error, ContinueAsNewError):
        attributes = _continuation(instance, error.continuation)
        instance.add_command(Command(CONTINUE_AS_NEW, attributes))
    elif instance.cancel_requested and is_cancelled_exception(error):
        instance.add_command(Command(CANCEL_WORKFLOW, {}))
    elif isinstance(
        error,
        (
            FailureError,
            asyncio.CancelledError,
            asyncio.TimeoutError,
            *instance.definition.failure_exception_types,
        ),
    ):
        failure = to_failure(error, instance.converter)
        instance.add_command(Command(FAIL_WORKFLOW, {"failure": failure}))
    else:
        instance.fail_task(error)


def _continuation(instance: WorkflowInstance, wanted: Continuation) -> Message:
    started, converter = instance.started_attributes, instance.converter.payload_converter
    attributes: Message = {
        "workflowType": {"name": wanted.workflow_type or instance.definition.name},
        "taskQueue": {"name": wanted.task_queue or instance.run.task_queue},
        "initiator": "CONTINUE_AS_NEW_INITIATOR_WORKFLOW",
    }
    if wanted.arguments:
        attributes["input"] = converter.to_payloads(wanted.arguments)
    set_duration(attributes, "workflowRunTimeout", wanted.run_timeout or instance.run.run_timeout)
    set_duration(
        attributes, "workflowTaskTimeout", wanted.task_timeout or instance.run.task_timeout
    )
    if wanted.retry_policy is not None:
        attributes["retryPolicy"] = wanted.retry_policy.to_message()
    elif started.get("retryPolicy"):
        attributes["retryPolicy"] = started["retryPolicy"]
    memo = instance.memo if wanted.memo is None else converter.to_payload_map(wanted.memo)
    if memo:
        attributes["memo"] = {"fields": memo}
    fields = wanted.search_attributes
    if fields is None:
        fields = instance.search_attribute_fields
    # Patch markers do not pass to the next run, so their trace in the attributes must not either.
    fields = {name: value for name, value in fields.items() if name != CHANGE_VERSION}
    if fields:
        attributes["searchAttributes"] = {"indexedFields": fields}
    return attributes
