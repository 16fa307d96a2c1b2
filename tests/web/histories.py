"""Histories and executions as the cloud really answers them, built as protobuf messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, WorkflowExecution
from temporalio.api.common.v1 import WorkflowType as Type
from temporalio.api.enums.v1 import EventType, PendingActivityState, WorkflowExecutionStatus
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo

STARTED_AT = datetime(2026, 11, 20, 14, 3, 22, 125000, tzinfo=UTC)
RUN_ID = "019a8f52-6c1e-7d57-9f0e-3b1f4a6d2c10"


def json_payload(value: object) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def encrypted_payload(key_id: str = "2026-11") -> Payload:
    metadata = {"encoding": b"binary/encrypted", "encryption-key-id": key_id.encode()}
    return Payload(metadata=metadata, data=b"\x01" * 64)


def payloads(*values: Payload) -> Payloads:
    return Payloads(payloads=values)


def timestamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def at(seconds: float) -> datetime:
    return STARTED_AT + timedelta(seconds=seconds)


def event(number: int, kind: str, seconds: float, **attributes: Any) -> HistoryEvent:
    """`event(3, "TIMER_STARTED", 1.5, timer_id="5")`: the attributes' field follows the kind."""
    made = HistoryEvent(
        event_id=number,
        event_type=EventType.Value(f"EVENT_TYPE_{kind}"),
        event_time=timestamp(at(seconds)),
    )
    target = getattr(made, f"{kind.lower()}_event_attributes")
    target.SetInParent()
    target.MergeFrom(type(target)(**attributes))
    return made


def execution(
    workflow_id: str,
    status: str = "RUNNING",
    *,
    run_id: str = RUN_ID,
    events: int = 11,
    started_at: datetime = STARTED_AT,
    seconds: float = 4.2,
) -> WorkflowExecutionInfo:
    info = WorkflowExecutionInfo(
        execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        type=Type(name="Greeting"),
        status=WorkflowExecutionStatus.Value(f"WORKFLOW_EXECUTION_STATUS_{status}"),
        start_time=timestamp(started_at),
        history_length=events,
        history_size_bytes=events * 310,
        task_queue="hello",
    )
    if status != "RUNNING":
        info.close_time.CopyFrom(timestamp(started_at + timedelta(seconds=seconds)))
    return info


def activity_events(first: int, name: str, at_seconds: float, length: float) -> list[HistoryEvent]:
    seen = {"scheduled_event_id": first}
    return [
        event(
            first,
            "ACTIVITY_TASK_SCHEDULED",
            at_seconds,
            activity_id=str(first),
            activity_type=ActivityType(name=name),
            input=payloads(json_payload({"order": 1001, "amount": "49.90"})),
        ),
        event(first + 1, "ACTIVITY_TASK_STARTED", at_seconds + 0.1, attempt=1, **seen),
        event(
            first + 2,
            "ACTIVITY_TASK_COMPLETED",
            at_seconds + length,
            started_event_id=first + 1,
            result=payloads(json_payload("Hello, world!")),
            **seen,
        ),
    ]


def greeting_history(*, is_closed: bool = True) -> list[HistoryEvent]:
    """A started workflow, one activity and one timer; closed, its result besides."""
    events = [
        event(
            1,
            "WORKFLOW_EXECUTION_STARTED",
            0,
            workflow_type=Type(name="Greeting"),
            input=payloads(json_payload("world"), encrypted_payload()),
        ),
        event(2, "WORKFLOW_TASK_SCHEDULED", 0.01),
        event(3, "WORKFLOW_TASK_STARTED", 0.02, scheduled_event_id=2),
        event(4, "WORKFLOW_TASK_COMPLETED", 0.05, scheduled_event_id=2, started_event_id=3),
        *activity_events(5, "greet", 0.1, 1.2),
        event(8, "TIMER_STARTED", 1.4, timer_id="t1", start_to_fire_timeout=timedelta(seconds=2)),
        event(9, "WORKFLOW_EXECUTION_SIGNALED", 2.1, signal_name="add-points"),
    ]
    if is_closed:
        events += [
            event(10, "TIMER_FIRED", 3.4, timer_id="t1", started_event_id=8),
            event(
                11,
                "WORKFLOW_EXECUTION_COMPLETED",
                4.2,
                result=payloads(json_payload({"greeting": "Hello, world!"})),
            ),
        ]
    return events


def failure() -> Failure:
    return Failure(
        message="the card was declined",
        stack_trace='  File "worker.py", line 12, in charge\n    raise CardDeclined(order)',
        application_failure_info=ApplicationFailureInfo(type="CardDeclined"),
        cause=Failure(
            message="HTTP 402", application_failure_info=ApplicationFailureInfo(type="HTTPError")
        ),
    )


def pending_activity() -> PendingActivityInfo:
    return PendingActivityInfo(
        activity_id="12",
        activity_type=ActivityType(name="charge_card"),
        state=PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
        attempt=4,
        maximum_attempts=10,
        scheduled_time=timestamp(at(1.5)),
        next_attempt_schedule_time=timestamp(at(12)),
        last_failure=failure(),
        last_worker_identity="4711@orders-1",
    )


def as_json(message: Message) -> Any:
    return MessageToDict(message)


def history_json(events: Sequence[HistoryEvent]) -> dict[str, Any]:
    return {"history": {"events": [as_json(each) for each in events]}}
