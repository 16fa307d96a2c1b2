"""What a workflow may know about its own run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure.converter import JsonPayloadConverter
from perdure.exceptions import ConversionError
from perdure.policies import RetryPolicy
from perdure.protojson import Message, parse_duration, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ParentRun:
    """The run that started this one as its child."""

    namespace: str
    workflow_id: str
    run_id: str


@dataclass
class WorkflowInfo:
    """The run's identity and options; the three methods change with every workflow task."""

    namespace: str
    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    attempt: int = 1
    first_execution_run_id: str = ""
    continued_run_id: str | None = None
    cron_schedule: str | None = None
    execution_timeout: timedelta | None = None
    run_timeout: timedelta | None = None
    task_timeout: timedelta = timedelta(seconds=10)
    start_time: datetime = EPOCH
    retry_policy: RetryPolicy | None = None
    parent: ParentRun | None = None
    headers: Mapping[str, Message] = field(default_factory=dict)
    search_attributes: dict[str, Any] = field(default_factory=dict)
    _history_length: int = 0
    _history_bytes: int = 0
    _continue_as_new_suggested: bool = False

    def get_current_history_length(self) -> int:
        """Events in history when the current workflow task began."""
        return self._history_length

    def get_current_history_size(self) -> int:
        """Bytes of history when the current workflow task began."""
        return self._history_bytes

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the server suggests to continue as new because history is long."""
        return self._continue_as_new_suggested

    def on_task_started(self, event_id: int, attributes: Message) -> None:
        """Take the figures of a workflow task's started event."""
        self._history_length = event_id
        self._history_bytes = int(attributes.get("historySizeBytes", 0))
        self._continue_as_new_suggested = bool(attributes.get("suggestContinueAsNew"))

    def on_started(self, attributes: Message, start_time: datetime | None) -> None:
        """Take the options of the run's first event."""
        self.workflow_type = attributes.get("workflowType", {}).get("name", self.workflow_type)
        self.attempt = int(attributes.get("attempt", 1))
        self.first_execution_run_id = attributes.get("firstExecutionRunId", self.run_id)
        self.continued_run_id = attributes.get("continuedExecutionRunId") or None
        self.cron_schedule = attributes.get("cronSchedule") or None
        self.execution_timeout = parse_duration(attributes.get("workflowExecutionTimeout")) or None
        self.run_timeout = parse_duration(attributes.get("workflowRunTimeout")) or None
        self.task_timeout = (
            parse_duration(attributes.get("workflowTaskTimeout")) or self.task_timeout
        )
        self.start_time = start_time or self.start_time
        if attributes.get("retryPolicy"):
            self.retry_policy = RetryPolicy.from_message(attributes["retryPolicy"])
        if attributes.get("parentWorkflowExecution"):
            execution = attributes["parentWorkflowExecution"]
            self.parent = ParentRun(
                attributes.get("parentWorkflowNamespace", self.namespace),
                execution.get("workflowId", ""),
                execution.get("runId", ""),
            )
        self.headers = attributes.get("header", {}).get("fields", {})
        fields = attributes.get("searchAttributes", {}).get("indexedFields", {})
        self.search_attributes = read_search_attributes(fields)


def read_search_attributes(fields: Mapping[str, Message]) -> dict[str, Any]:
    """Indexed fields as values; a date-time attribute comes back as a datetime."""
    converter = JsonPayloadConverter()
    values: dict[str, Any] = {}
    for name, payload in fields.items():
        try:
            value = converter.from_payload(payload)
        except ConversionError:
            continue
        if payload.get("metadata", {}).get("type") == "RGF0ZXRpbWU=" and isinstance(value, str):
            value = parse_time(value) if value.endswith("Z") else datetime.fromisoformat(value)
        values[name] = value
    return values
