"""A worker and a client in bare Python: http.client and json, no SDK. Any language can do this.

The workflow `greet` schedules one activity and completes with its result. A worker's code is a
function from a history to commands; the cloud repeats what goes wrong.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import uuid
from typing import Any

HOST = os.environ.get("PERDURE_ADDRESS", "http://127.0.0.1:8233").removeprefix("http://")
NAMESPACE = os.environ.get("PERDURE_NAMESPACE", "")
API_KEY = os.environ.get("PERDURE_API_KEY", "")
QUEUE = f"bare-python-{uuid.uuid4().hex[:8]}"
IDENTITY = f"bare-python-{os.getpid()}"
POLL_SECONDS_MAX = 90


class Cloud:
    """One kept-alive connection, so one for each thread."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection(HOST, timeout=POLL_SECONDS_MAX)

    def call(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON; an error status is an exception."""
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        self._connection.request(verb, f"/api/v1/namespaces/{NAMESPACE}{path}", text, headers)
        response = self._connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read() or "{}")
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {answer.get('message')}")
        return answer


def command(kind: str, attributes: dict[str, Any]) -> dict[str, Any]:
    first, *words = kind.lower().split("_")
    field = first + "".join(map(str.capitalize, words)) + "CommandAttributes"
    return {"commandType": f"COMMAND_TYPE_{kind}", field: attributes}


def decide(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The workflow's code: from all that happened so far to what comes next."""
    for event in reversed(events):
        if "activityTaskCompletedEventAttributes" in event:
            result = event["activityTaskCompletedEventAttributes"]["result"]
            return [command("COMPLETE_WORKFLOW_EXECUTION", {"result": result})]
        if "activityTaskScheduledEventAttributes" in event:
            return []
    activity = {
        "activityId": "1",
        "activityType": {"name": "say_hello"},
        "taskQueue": {"name": QUEUE},
        "input": events[0]["workflowExecutionStartedEventAttributes"]["input"],
        "startToCloseTimeout": "10s",
    }
    return [command("SCHEDULE_ACTIVITY_TASK", activity)]


def answer_workflow_task(cloud: Cloud, task: dict[str, Any]) -> None:
    commands = decide(task["history"]["events"])
    body = {"taskToken": task["taskToken"], "commands": commands, "identity": IDENTITY}
    cloud.call("POST", "/workflow-task-complete", body)


def answer_activity_task(cloud: Cloud, task: dict[str, Any]) -> None:
    [name] = task["input"]
    result = [f"Hello, {name}!"]
    body = {"taskToken": task["taskToken"], "result": result, "identity": IDENTITY}
    cloud.call("POST", "/activity-complete", body)


def poll_forever(kind: str, answer: Any) -> None:
    cloud = Cloud()
    while True:
        task = cloud.call("POST", f"/task-queues/{QUEUE}/poll-{kind}", {"identity": IDENTITY})
        if task.get("taskToken"):
            answer(cloud, task)


def main() -> None:
    for kind, answer in (
        ("workflow-task", answer_workflow_task),
        ("activity-task", answer_activity_task),
    ):
        threading.Thread(target=poll_forever, args=(kind, answer), daemon=True).start()
    cloud, workflow = Cloud(), f"/workflows/greet-{uuid.uuid4()}"
    start = {"workflowType": {"name": "greet"}, "taskQueue": {"name": QUEUE}, "input": ["world"]}
    cloud.call("POST", workflow, {**start, "requestId": str(uuid.uuid4())})
    wait = "/history?waitNewEvent=true&historyEventFilterType=HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"
    events: list[dict[str, Any]] = []
    while not events:
        events = cloud.call("GET", workflow + wait).get("history", {}).get("events", [])
    print(events[-1]["workflowExecutionCompletedEventAttributes"]["result"][0])


if __name__ == "__main__":
    main()
