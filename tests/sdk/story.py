"""A run played without a server: what happens becomes history, each turn is a workflow task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import json_format
from temporalio.api.command.v1 import Command

from perdure.converter import DataConverter
from perdure.definition import workflow_definition
from perdure.protojson import Message
from perdure.runtime.instance import WorkflowInstance
from perdure.runtime.run import WorkflowInfo

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVENT_OF_COMMAND = {
    "SCHEDULE_ACTIVITY_TASK": "ACTIVITY_TASK_SCHEDULED",
    "REQUEST_CANCEL_ACTIVITY_TASK": "ACTIVITY_TASK_CANCEL_REQUESTED",
    "START_TIMER": "TIMER_STARTED",
    "CANCEL_TIMER": "TIMER_CANCELED",
    "RECORD_MARKER": "MARKER_RECORDED",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
    "MODIFY_WORKFLOW_PROPERTIES": "WORKFLOW_PROPERTIES_MODIFIED",
    "COMPLETE_WORKFLOW_EXECUTION": "WORKFLOW_EXECUTION_COMPLETED",
    "FAIL_WORKFLOW_EXECUTION": "WORKFLOW_EXECUTION_FAILED",
    "CANCEL_WORKFLOW_EXECUTION": "WORKFLOW_EXECUTION_CANCELED",
    "CONTINUE_AS_NEW_WORKFLOW_EXECUTION": "WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
}


def field(name: str, suffix: str) -> str:
    head, *rest = name.lower().split("_")
    return head + "".join(part.capitalize() for part in rest) + suffix


def kind_of(command: Message) -> str:
    return str(command["commandType"]).removeprefix("COMMAND_TYPE_")


def attributes_of(command: Message) -> Message:
    return dict(command[field(kind_of(command), "CommandAttributes")])


class Story:
    """Plays one run on a live instance, and at each turn on a new one from the first event."""

    def __init__(
        self, cls: type, *arguments: Any, converter: DataConverter | None = None, **started: Any
    ) -> None:
        self.cls = cls
        self.converter = converter or DataConverter()
        self.events: list[Message] = []
        self.live = self.instance()
        self._instances = [self.live]
        values = self.converter.payload_converter.to_payloads(arguments)
        name = workflow_definition(cls).name
        self.happens(
            "WORKFLOW_EXECUTION_STARTED",
            workflowType={"name": name},
            taskQueue={"name": "queue"},
            originalExecutionRunId="run-1",
            **({"input": values} if values else {}),
            **started,
        )

    def instance(self, cls: type | None = None) -> WorkflowInstance:
        """Another instance of the same run, maybe with other code."""
        definition = workflow_definition(cls or self.cls)
        info = WorkflowInfo("default", "story", "run-1", definition.name, "queue")
        return WorkflowInstance(definition, info, self.converter)

    def happens(self, kind: str, **attributes: Any) -> int:
        """Record an event; the result is its id."""
        event_id = len(self.events) + 1
        at = BEGIN + timedelta(seconds=event_id)
        event = {
            "eventId": str(event_id),
            "eventTime": f"{at:%Y-%m-%dT%H:%M:%S}Z",
            "eventType": f"EVENT_TYPE_{kind}",
        }
        self.events.append({**event, field(kind, "EventAttributes"): attributes})
        return event_id

    def task_starts(self) -> int:
        self.happens("WORKFLOW_TASK_SCHEDULED")
        return self.happens("WORKFLOW_TASK_STARTED")

    def turn(self) -> list[Message]:
        """The commands of the next workflow task, recorded as their events."""
        started_id = self.task_starts()
        commands = self.live.feed(self.events, started_id)
        rebuilt = self.instance()
        assert rebuilt.feed(self.events, started_id) == commands
        rebuilt.evict()
        self.happens("WORKFLOW_TASK_COMPLETED", startedEventId=str(started_id))
        for command in commands:
            json_format.ParseDict(command, Command())
            self.happens(EVENT_OF_COMMAND[kind_of(command)], **attributes_of(command))
        return commands

    def signals(self, name: str, *values: Any) -> None:
        payloads = self.converter.payload_converter.to_payloads(values)
        fields = {"input": payloads} if payloads else {}
        self.happens("WORKFLOW_EXECUTION_SIGNALED", signalName=name, **fields)

    def fires(self, timer_id: str) -> None:
        self.happens("TIMER_FIRED", timerId=timer_id)

    def completes(self, activity_id: str, value: Any = None) -> None:
        payload = self.converter.payload_converter.to_payload(value)
        self._closes(activity_id, "COMPLETED", result={"payloads": [payload]})

    def fails(self, activity_id: str, kind: str = "FAILED", **attributes: Any) -> None:
        self._closes(activity_id, kind, **attributes)

    def is_cancelled(self) -> None:
        self.happens("WORKFLOW_EXECUTION_CANCEL_REQUESTED")

    def _closes(self, activity_id: str, kind: str, **attributes: Any) -> None:
        scheduled_id = next(
            event["eventId"]
            for event in self.events
            if event.get("activityTaskScheduledEventAttributes", {}).get("activityId")
            == activity_id
        )
        started_id = self.happens("ACTIVITY_TASK_STARTED", scheduledEventId=scheduled_id)
        self.happens(
            f"ACTIVITY_TASK_{kind}",
            scheduledEventId=scheduled_id,
            startedEventId=str(started_id),
            **attributes,
        )

    def result(self, commands: list[Message]) -> Any:
        """The value of a turn's one command, which completes the workflow."""
        (command,) = commands
        assert kind_of(command) == "COMPLETE_WORKFLOW_EXECUTION", command
        values = self.converter.payload_converter.from_payloads(attributes_of(command)["result"])
        return values[0]

    def close(self) -> None:
        self.live.evict()
