"""Activities as a workflow sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perdure.exceptions import ActivityError, CancelledError, DefinitionError, RetryState
from perdure.failure import from_failure
from perdure.policies import ActivityCancellationType, RetryPolicy
from perdure.protojson import Message, number, set_duration
from perdure.runtime.commands import CANCEL_ACTIVITY, SCHEDULE_ACTIVITY, Command
from perdure.runtime.loop import WorkflowFuture

if TYPE_CHECKING:
    from perdure.runtime.instance import WorkflowInstance


@dataclass(frozen=True)
class ActivityOptions:
    """How an activity is scheduled; one of the two close timeouts is needed."""

    task_queue: str | None = None
    schedule_to_close_timeout: timedelta | None = None
    schedule_to_start_timeout: timedelta | None = None
    start_to_close_timeout: timedelta | None = None
    heartbeat_timeout: timedelta | None = None
    retry_policy: RetryPolicy | None = None
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL
    activity_id: str | None = None
    summary: str | None = None


class ActivityHandle(WorkflowFuture[Any]):
    """The future result of a started activity; cancelling it cancels the activity."""

    def __init__(self, instance: WorkflowInstance, command: Command, hint: Any) -> None:
        super().__init__(instance.loop)
        self._instance = instance
        self._command = command
        self._hint = hint
        self._cancellation = ActivityCancellationType.TRY_CANCEL
        self._cancel_asked = False

    @property
    def activity_id(self) -> str:
        """The activity's id in its workflow."""
        return str(self._command.attributes["activityId"])

    def cancel(self, msg: Any = None) -> bool:
        """Cancel by the activity's cancellation type; a waiter goes on waiting for the result."""
        if self.done() or self._instance.evicting:
            return super().cancel(msg)
        if self._cancel_asked:
            return True
        self._cancel_asked = True
        abandons = self._cancellation is ActivityCancellationType.ABANDON
        waits = self._cancellation is ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        if not abandons and self._instance.withdraw(self._command):
            waits = False
        elif not abandons:
            event_id = str(self._command.event_id)
            cancellation = Command(CANCEL_ACTIVITY, {"scheduledEventId": event_id})
            self._instance.add_command(cancellation)
        if not waits:
            self._raise("Activity cancelled", CancelledError(), RetryState.CANCEL_REQUESTED, {})
            # Who cancels need not wait, so an error that nobody reads is no mishap to report.
            self.exception()
        return True

    def resolve(self, kind: str, attributes: Message) -> None:
        """Take the activity's close event."""
        if self.done():
            return
        converter = self._instance.converter
        if kind == "ACTIVITY_TASK_COMPLETED":
            try:
                values = converter.payload_converter.from_payloads(
                    attributes.get("result"), [self._hint]
                )
            except Exception as error:
                self.set_exception(error)
            else:
                self.set_result(values[0] if values else None)
            return
        state = RetryState(attributes.get("retryState", RetryState.UNSPECIFIED))
        if kind == "ACTIVITY_TASK_CANCELED":
            details = converter.payload_converter.from_payloads(attributes.get("details"))
            self._raise(
                "Activity cancelled", CancelledError("Cancelled", *details), state, attributes
            )
            return
        cause = from_failure(attributes.get("failure", {}), converter)
        text = "Activity task timed out" if kind.endswith("TIMED_OUT") else "Activity task failed"
        self._raise(text, cause, state, attributes)

    def _raise(
        self, message: str, cause: BaseException, state: RetryState, attributes: Message
    ) -> None:
        error = ActivityError(
            message,
            activity_type=self._command.attributes["activityType"]["name"],
            activity_id=self.activity_id,
            scheduled_event_id=self._command.event_id or 0,
            started_event_id=number(attributes, "startedEventId"),
            identity=attributes.get("identity", ""),
            retry_state=state,
        )
        error.__cause__ = cause
        self.set_exception(error)


def schedule_activity(
    instance: WorkflowInstance,
    name: str,
    arguments: Sequence[Any],
    hint: Any,
    options: ActivityOptions,
) -> ActivityHandle:
    """Give the schedule command and return the handle of its result."""
    if options.start_to_close_timeout is None and options.schedule_to_close_timeout is None:
        raise DefinitionError(
            f"activity {name!r} needs start_to_close_timeout or schedule_to_close_timeout"
        )
    to_payload = instance.converter.payload_converter.to_payload
    attributes: Message = {
        "activityId": options.activity_id or instance.next_id("activity"),
        "activityType": {"name": name},
        "taskQueue": {"name": options.task_queue or instance.run.task_queue},
    }
    if arguments:
        attributes["input"] = {"payloads": [to_payload(value) for value in arguments]}
    set_duration(attributes, "scheduleToCloseTimeout", options.schedule_to_close_timeout)
    set_duration(attributes, "scheduleToStartTimeout", options.schedule_to_start_timeout)
    set_duration(attributes, "startToCloseTimeout", options.start_to_close_timeout)
    set_duration(attributes, "heartbeatTimeout", options.heartbeat_timeout)
    if options.retry_policy is not None:
        attributes["retryPolicy"] = options.retry_policy.to_message()
    summary = None if options.summary is None else to_payload(options.summary)
    command = Command(SCHEDULE_ACTIVITY, attributes, summary)
    handle = ActivityHandle(instance, command, hint)
    handle._cancellation = options.cancellation_type
    instance.add_command(command)
    instance.activities[command] = handle
    return handle
