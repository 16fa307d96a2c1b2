"""A run whose workflow tasks a real worker does, through a scripted door."""

from __future__ import annotations

from typing import Any

from perdure.converter import DataConverter
from perdure.definition import workflow_definition
from perdure.protojson import Message
from perdure.runtime.commands import event_kind
from tests.sdk.door import Door
from tests.sdk.story import EVENT_OF_COMMAND, Story, attributes_of, kind_of

STICKY = "TASK_QUEUE_KIND_STICKY"


class WorkedRun:
    """History on the server's side; `works` hands out the next task and takes its completion."""

    def __init__(
        self, door: Door, cls: type, *arguments: Any, converter: DataConverter | None = None
    ) -> None:
        self.door = door
        self.story = Story(cls, *arguments, converter=converter)
        self.name = workflow_definition(cls).name
        self._seen = 0

    def task(self, *, partial: bool = False, **fields: Any) -> Message:
        """A poll's answer for a new workflow task, with all events or those not yet seen."""
        started = self.story.task_starts()
        events = self.story.events[self._seen if partial else 0 :]
        self._seen = len(self.story.events)
        return {
            **self.header(f"token-{started}"),
            "startedEventId": str(started),
            "attempt": 1,
            "history": {"events": events},
            **fields,
        }

    def header(self, token: str) -> Message:
        """What every poll's answer for this run has; the token's text stands for its bytes."""
        return {
            "taskToken": token.replace("-", "0").ljust(12, "0"),
            "workflowExecution": {"workflowId": "story", "runId": "run-1"},
            "workflowType": {"name": self.name},
            "workflowExecutionTaskQueue": {"name": "queue"},
            "previousStartedEventId": str(self._last_completed_start()),
        }

    def _last_completed_start(self) -> int:
        """Where the last task began that was completed; 0 before there is one."""
        started = completed = 0
        for event in self.story.events:
            kind = event_kind(event)
            if kind == "WORKFLOW_TASK_STARTED":
                started = int(event["eventId"])
            elif kind == "WORKFLOW_TASK_COMPLETED":
                completed = started
        return completed

    async def completed(self) -> Message:
        """The completion of the task given last; its commands become history."""
        request = await self.door.called("RespondWorkflowTaskCompleted")
        self.story.happens("WORKFLOW_TASK_COMPLETED")
        for command in request.get("commands", []):
            self.story.happens(EVENT_OF_COMMAND[kind_of(command)], **attributes_of(command))
        return request

    async def works(self, *, sticky: bool = False, **fields: Any) -> Message:
        """One workflow task, from its queue to its completion."""
        queue = self.door.sticky_tasks if sticky else self.door.workflow_tasks
        queue.put_nowait(self.task(partial=sticky, **fields))
        return await self.completed()
