"""A worker and a client in bare Python: http.client and json, no SDK. Any language can do this.

The workflow `greet` schedules one activity and completes with its result. A worker's code is a
function from a history to commands; the cloud repeats what goes wrong.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import uuid
from typing import Any

HOST = os.environ.get("PERDURE_ADDRESS", "http://127.0.0.1:8233").removeprefix("http://")
ROOT = f"/api/v1/namespaces/{os.environ.get('PERDURE_NAMESPACE', '')}"
API_KEY = os.environ.get("PERDURE_API_KEY", "")
QUEUE = "bare-python"
IDENTITY = f"bare-python-{os.getpid()}"
WORKFLOW = "/workflows/bare-python-1"
POLL_SECONDS_MAX = 90


class Cloud(http.client.HTTPConnection):
    """One kept-alive connection, so one for each thread."""

    def call(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON, waiting for a cloud that is away; a refusal is an exception."""
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        while True:
            try:
                self.request(verb, ROOT + path, text, headers)
                response = self.getresponse()
                content = response.read().decode()
            except (OSError, http.client.HTTPException):
                self.close()  # The next request connects again.
            else:
                if response.status == 200:
                    return dict(json.loads(content))
                if response.status != 429 and response.status < 500:
                    raise RuntimeError(f"{path}: {response.status} {content}")
            time.sleep(1)


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
    body = {"taskToken": task["taskToken"], "commands": decide(task["history"]["events"])}
    cloud.call("POST", "/workflow-task-complete", body)


def answer_activity_task(cloud: Cloud, task: dict[str, Any]) -> None:
    [name] = task["input"]
    body = {"taskToken": task["taskToken"], "result": [f"Hello, {name}!"]}
    cloud.call("POST", "/activity-complete", body)


def poll_forever(kind: str, answer: Any) -> None:
    cloud = Cloud(HOST, timeout=POLL_SECONDS_MAX)
    while True:
        task = cloud.call("POST", f"/task-queues/{QUEUE}/poll-{kind}", {"identity": IDENTITY})
        if task.get("taskToken"):
            try:
                answer(cloud, task)
            except RuntimeError as refusal:
                print(f"{refusal}; the task comes again if need be")


def main() -> None:
    for poll in (("workflow-task", answer_workflow_task), ("activity-task", answer_activity_task)):
        threading.Thread(target=poll_forever, args=poll, daemon=True).start()
    cloud, request_id = Cloud(HOST, timeout=POLL_SECONDS_MAX), str(uuid.uuid4())
    start = {"workflowType": {"name": "greet"}, "taskQueue": {"name": QUEUE}, "input": ["world"]}
    # Started again, the program goes on with the workflow that it left behind.
    policy = {"workflowIdConflictPolicy": "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"}
    cloud.call("POST", WORKFLOW, {**start, **policy, "requestId": request_id})
    wait = "/history?waitNewEvent=true&historyEventFilterType=HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"
    events: list[dict[str, Any]] = []
    while not events:  # A long poll may end without news.
        events = cloud.call("GET", WORKFLOW + wait).get("history", {}).get("events", [])
    print(events[-1]["workflowExecutionCompletedEventAttributes"]["result"][0])


if __name__ == "__main__":
    main()
