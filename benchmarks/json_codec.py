"""The JSON codec beside the protobuf library's own, on the history of one hello workflow.

`python -m benchmarks.json_codec [--runs N]` prints medians of interleaved runs and their ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, RetryPolicy, WorkflowType
from temporalio.api.enums.v1 import EventType, TaskQueueKind
from temporalio.api.history.v1 import History
from temporalio.api.sdk.v1 import WorkflowTaskCompletedMetadata
from temporalio.api.taskqueue.v1 import TaskQueue

from api.transports.json_codec import JsonCodec

CALLS_PER_RUN = 100
WARM_UP_CALLS = 20
STARTED_AT_NS = 1_795_000_000_123_456_789
EVENT_STEP_NS = 1_234_567
RUN_ID = "0191f3a8-5a3f-7c62-9d53-6f8c1f5f0a11"
WORKER = "5678@worker-host"


def hello_history() -> History:
    """Eleven events: a workflow that runs one activity and returns its result."""
    content = Payload(
        metadata={"encoding": b"json/plain"},
        data=b'"hello world, some text of a realistic size"',
    )
    payloads = Payloads(payloads=[content])
    queue = TaskQueue(name="hello-queue", kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL)
    history = History()
    _append(
        history,
        "workflow_execution_started",
        workflow_type=WorkflowType(name="HelloWorkflow"),
        task_queue=queue,
        input=payloads,
        workflow_task_timeout=Duration(seconds=10),
        original_execution_run_id=RUN_ID,
        first_execution_run_id=RUN_ID,
        identity="1234@client-host",
        attempt=1,
        workflow_id=f"hello-{RUN_ID}",
    )
    _append_workflow_task(history, queue)
    _append(
        history,
        "activity_task_scheduled",
        activity_id="1",
        activity_type=ActivityType(name="say_hello"),
        task_queue=queue,
        input=payloads,
        start_to_close_timeout=Duration(seconds=10),
        schedule_to_close_timeout=Duration(seconds=60),
        workflow_task_completed_event_id=4,
        retry_policy=RetryPolicy(
            initial_interval=Duration(seconds=1),
            backoff_coefficient=2.0,
            maximum_interval=Duration(seconds=100),
        ),
    )
    started = {"scheduled_event_id": 5, "identity": WORKER, "request_id": RUN_ID}
    _append(history, "activity_task_started", attempt=1, **started)
    completed = {"scheduled_event_id": 5, "started_event_id": 6, "identity": WORKER}
    _append(history, "activity_task_completed", result=payloads, **completed)
    _append_workflow_task(history, queue)
    _append(
        history,
        "workflow_execution_completed",
        result=payloads,
        workflow_task_completed_event_id=10,
    )
    return history


def _append_workflow_task(history: History, queue: TaskQueue) -> None:
    scheduled = len(history.events) + 1
    _append(
        history,
        "workflow_task_scheduled",
        task_queue=queue,
        start_to_close_timeout=Duration(seconds=10),
        attempt=1,
    )
    _append(
        history,
        "workflow_task_started",
        scheduled_event_id=scheduled,
        identity=WORKER,
        request_id=RUN_ID,
        history_size_bytes=900,
    )
    _append(
        history,
        "workflow_task_completed",
        scheduled_event_id=scheduled,
        started_event_id=scheduled + 1,
        identity=WORKER,
        sdk_metadata=WorkflowTaskCompletedMetadata(
            lang_used_flags=[3], sdk_name="temporal-python", sdk_version="1.35.0"
        ),
    )


def _append(history: History, noun: str, **attributes: Any) -> None:
    event_id = len(history.events) + 1
    event_time = Timestamp()
    event_time.FromNanoseconds(STARTED_AT_NS + event_id * EVENT_STEP_NS)
    event: dict[str, Any] = {
        "event_id": event_id,
        "event_time": event_time,
        "event_type": EventType.Value(f"EVENT_TYPE_{noun.upper()}"),
        "task_id": 1_048_576 + event_id,
        f"{noun}_event_attributes": attributes,
    }
    history.events.add(**event)


def measure(calls: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median microseconds per call; the candidates take turns within every run."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(WARM_UP_CALLS):
            call()
    for _ in range(runs):
        for name, call in calls.items():
            began_ns = perf_counter_ns()
            for _ in range(CALLS_PER_RUN):
                call()
            samples[name].append((perf_counter_ns() - began_ns) / CALLS_PER_RUN / 1_000)
    return {name: statistics.median(values) for name, values in samples.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="runs per candidate")
    runs = parser.parse_args().runs
    codec, history = JsonCodec(), hello_history()
    theirs = json_format.MessageToJson(history)
    full, short = codec.encode(history, shorthand=False), codec.encode(history)
    # A codec that writes or reads anything else may not be compared.
    assert json.loads(full) == json.loads(theirs)
    assert codec.decode(theirs.encode(), History, shorthand=False) == history
    assert codec.decode(short, History) == history
    out = measure(
        {
            "json_format": lambda: json_format.MessageToJson(history),
            "codec": lambda: codec.encode(history, shorthand=False),
            "codec, shorthand": lambda: codec.encode(history),
        },
        runs,
    )
    back = measure(
        {
            "json_format": lambda: json_format.Parse(theirs, History()),
            "codec": lambda: codec.decode(full, History, shorthand=False),
            "codec, shorthand": lambda: codec.decode(short, History),
        },
        runs,
    )
    sizes = {"json_format": len(theirs), "codec": len(full), "codec, shorthand": len(short)}
    print(f"{len(history.events)} events, median of {runs} interleaved runs")
    print(f"{'':<18}{'out us':>9}{'ratio':>7}{'in us':>9}{'ratio':>7}{'bytes':>8}")
    for name, size in sizes.items():
        out_ratio, in_ratio = out["json_format"] / out[name], back["json_format"] / back[name]
        print(
            f"{name:<18}{out[name]:>9.1f}{out_ratio:>7.1f}"
            f"{back[name]:>9.1f}{in_ratio:>7.1f}{size:>8}"
        )


if __name__ == "__main__":
    main()
