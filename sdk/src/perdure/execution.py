"""Workflow executions as lists, descriptions and histories show them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from perdure.converter import DataConverter
from perdure.protojson import Message, number, parse_time
from perdure.runtime.run import read_search_attributes
from perdure.transport import NamespaceCalls


class WorkflowExecutionStatus(StrEnum):
    """Whether and how a run has closed."""

    UNSPECIFIED = "WORKFLOW_EXECUTION_STATUS_UNSPECIFIED"
    RUNNING = "WORKFLOW_EXECUTION_STATUS_RUNNING"
    COMPLETED = "WORKFLOW_EXECUTION_STATUS_COMPLETED"
    FAILED = "WORKFLOW_EXECUTION_STATUS_FAILED"
    CANCELED = "WORKFLOW_EXECUTION_STATUS_CANCELED"
    TERMINATED = "WORKFLOW_EXECUTION_STATUS_TERMINATED"
    CONTINUED_AS_NEW = "WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW"
    TIMED_OUT = "WORKFLOW_EXECUTION_STATUS_TIMED_OUT"
    PAUSED = "WORKFLOW_EXECUTION_STATUS_PAUSED"


@dataclass(frozen=True)
class WorkflowExecution:
    """One run. ``raw_info`` is the wire message with what has no field here."""

    id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: WorkflowExecutionStatus
    start_time: datetime | None
    execution_time: datetime | None
    close_time: datetime | None
    history_length: int
    parent_id: str | None
    search_attributes: Mapping[str, Any]
    raw_info: Message
    converter: DataConverter

    async def memo(self) -> Mapping[str, Any]:
        """The memo's fields; raises DecryptionError if a key is missing."""
        memo = await self.converter.decode(deepcopy(self.raw_info.get("memo", {})))
        return self.converter.payload_converter.from_payload_map(memo.get("fields", {}))


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """One run in detail. ``raw_description`` is the whole wire message."""

    raw_description: Message


@dataclass(frozen=True)
class WorkflowExecutionCount:
    """How many executions a query matches; with GROUP BY, also by the values of each group."""

    count: int
    groups: Sequence[tuple[Sequence[Any], int]] = ()


@dataclass(frozen=True)
class WorkflowHistory:
    """The events of one run, as wire messages."""

    workflow_id: str
    events: Sequence[Message]

    @property
    def run_id(self) -> str:
        """The run's id as its first event has it."""
        started: Message = self.events[0].get("workflowExecutionStartedEventAttributes", {})
        return str(started.get("originalExecutionRunId", ""))

    def to_json(self) -> str:
        """The history as the JSON document that every tool of the field reads."""
        return json.dumps({"events": list(self.events)}, indent=2)

    @staticmethod
    def from_json(workflow_id: str, document: str) -> WorkflowHistory:
        """The history of such a document."""
        return WorkflowHistory(workflow_id, json.loads(document)["events"])


def execution_of(info: Message, converter: DataConverter) -> WorkflowExecution:
    """The run of a WorkflowExecutionInfo message."""
    return WorkflowExecution(**_fields(info, converter))


def description_of(answer: Message, converter: DataConverter) -> WorkflowExecutionDescription:
    """The run of a DescribeWorkflowExecution answer."""
    info = answer.get("workflowExecutionInfo", {})
    return WorkflowExecutionDescription(**_fields(info, converter), raw_description=answer)


def count_of(answer: Message, converter: DataConverter) -> WorkflowExecutionCount:
    """The count of a CountWorkflowExecutions answer."""
    value = converter.payload_converter.from_payload
    groups = [
        ([value(payload) for payload in group.get("groupValues", ())], number(group, "count"))
        for group in answer.get("groups", ())
    ]
    return WorkflowExecutionCount(number(answer, "count"), groups)


async def history_pages(
    calls: NamespaceCalls, workflow_id: str, run_id: str, **query: Any
) -> AsyncIterator[tuple[list[Message], str]]:
    """Pages of a run's history, not decoded, each with the token of the next."""
    token = ""
    while True:
        answer = await calls.get(
            "workflows",
            workflow_id,
            "history",
            is_poll="waitNewEvent" in query,
            execution__runId=run_id,
            nextPageToken=token,
            **query,
        )
        token = answer.get("nextPageToken", "")
        yield answer.get("history", {}).get("events", []), token
        if not token:
            return


def _fields(info: Message, converter: DataConverter) -> dict[str, Any]:
    execution = info.get("execution", {})
    indexed = info.get("searchAttributes", {}).get("indexedFields", {})
    return {
        "id": execution.get("workflowId", ""),
        "run_id": execution.get("runId", ""),
        "workflow_type": info.get("type", {}).get("name", ""),
        "task_queue": info.get("taskQueue", ""),
        "status": WorkflowExecutionStatus(info.get("status", WorkflowExecutionStatus.UNSPECIFIED)),
        "start_time": parse_time(info.get("startTime")),
        "execution_time": parse_time(info.get("executionTime")),
        "close_time": parse_time(info.get("closeTime")),
        "history_length": number(info, "historyLength"),
        "parent_id": info.get("parentExecution", {}).get("workflowId") or None,
        "search_attributes": read_search_attributes(indexed),
        "raw_info": info,
        "converter": converter,
    }
