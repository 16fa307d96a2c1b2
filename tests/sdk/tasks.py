"""Activity tasks as polls answer them, and payloads as the wire has them."""

from __future__ import annotations

from itertools import count
from typing import Any

from perdure.client import Client
from perdure.converter import JsonPayloadConverter
from perdure.protojson import Message
from perdure.worker import Worker
from tests.sdk.door import Door


def payloads(*values: Any) -> Message:
    return JsonPayloadConverter().to_payloads(values) or {}


def values(message: Message) -> list[Any]:
    return JsonPayloadConverter().from_payloads(message)


TOKENS = count(100)


def task(name: str, *arguments: Any, **fields: Any) -> Message:
    return {
        "taskToken": f"token{next(TOKENS)}",
        "activityId": "7",
        "activityType": {"name": name},
        "workflowExecution": {"workflowId": "w", "runId": "r"},
        "workflowType": {"name": "W"},
        "workflowNamespace": "default",
        "attempt": 2,
        "scheduledTime": "2026-01-31T01:02:03Z",
        "startToCloseTimeout": "60s",
        **({"input": payloads(*arguments)} if arguments else {}),
        **fields,
    }


def worker(client: Client, *activities: Any, **options: Any) -> Worker:
    return Worker(client, task_queue="queue", activities=activities, **options)


async def run_one(door: Door, given: Message, report: str) -> Message:
    door.activity_tasks.put_nowait(given)
    reported = await door.called(report)
    assert reported["taskToken"].rstrip("=") == given["taskToken"].rstrip("=")
    return reported
