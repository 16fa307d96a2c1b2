"""The limits of sizes: just below and at each of them a request is taken, just beyond refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import temporalio.api.operatorservice.v1 as o
import temporalio.api.workflowservice.v1 as w
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Memo, Payload, Priority, SearchAttributes
from temporalio.api.enums.v1 import IndexedValueType

import engine
from engine import limits
from engine.errors import InvalidArgument
from engine.handlers.handler import CELL_SERVICE, OPERATOR_SERVICE
from engine.limits import (
    FAIRNESS_KEY_BYTES_MAX,
    FAIRNESS_WEIGHT_MAX,
    FAIRNESS_WEIGHT_MIN,
    ID_BYTES_MAX,
    MEMO_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    PRIORITY_KEY_MAX,
    SEARCH_ATTRIBUTE_BYTES_MAX,
    SEARCH_ATTRIBUTE_COUNT_MAX,
    SEARCH_ATTRIBUTES_BYTES_MAX,
)
from engine.protocol.cell_pb2 import PutNamespaceRequest, PutNamespaceResponse
from tests.engine import (
    test_backlog,
    test_cron,
    test_forwards,
    test_limits_of_counts,
    test_limits_of_time,
    test_memory,
    test_retention,
    test_retried_runs,
)
from tests.engine.bounds import ON_BOTH_SIDES, TESTED, limit, payloads_of, refused_if
from tests.engine.cell import (
    QUEUE,
    Cell,
    in_cell,
    record_marker,
    schedule_activity,
    start_timer,
    text,
    upsert_memo,
)

ELSEWHERE = (
    test_backlog,
    test_cron,
    test_forwards,
    test_limits_of_counts,
    test_limits_of_time,
    test_memory,
    test_retention,
    test_retried_runs,
)
"""Where the other tests of limits are; importing them makes them known."""

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
PREDEFINED = "BuildIds"


def test_every_limit_has_a_test() -> None:
    bounds = {name for name in vars(limits) if name.endswith(("_MAX", "_MIN"))}
    assert bounds == TESTED


def test_every_limit_is_kept_somewhere() -> None:
    folder = Path(next(iter(engine.__path__)))
    sources = [path for path in folder.rglob("*.py") if path.name != "limits.py"]
    words = set(re.findall(r"[A-Z_]+", " ".join(path.read_text() for path in sources)))
    assert {name for name in vars(limits) if name.isupper()} <= words


@limit("ID_BYTES_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize(
    "field", ["workflow_id", "request_id", "identity", "workflow_type", "task_queue"]
)
@in_cell
async def test_a_name_in_a_start_has_at_most_its_bytes(cell: Cell, field: str, beyond: int) -> None:
    await cell.start("law-abiding")
    request = w.StartWorkflowExecutionRequest(workflow_id="order-1")
    request.workflow_type.name, request.task_queue.name = "Order", QUEUE
    # Two bytes for each character but one: it is bytes that count.
    value = "é" * (ID_BYTES_MAX // 2 - 1) + "x" * (2 + beyond)
    if field in ("workflow_type", "task_queue"):
        getattr(request, field).name = value
    else:
        setattr(request, field, value)
    with refused_if(beyond > 0, rf"^{field}(\.name)? has more than {ID_BYTES_MAX} bytes"):
        await cell.ask(request)


@limit("ID_BYTES_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize(
    "command",
    [
        schedule_activity,
        lambda name: start_timer(name, timedelta(hours=1)),
        record_marker,
    ],
    ids=("activity", "timer", "marker"),
)
@in_cell
async def test_a_name_in_a_command_has_at_most_its_bytes(
    cell: Cell, command: Callable[[str], Command], beyond: int
) -> None:
    await cell.start()
    with refused_if(beyond > 0, rf"^Bad.*(_id|_name) must have 1 to {ID_BYTES_MAX} bytes"):
        await cell.step(command("x" * (ID_BYTES_MAX + beyond)))


@limit("ID_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_names_of_signals_and_sticky_queues_have_at_most_their_bytes(
    cell: Cell, beyond: int
) -> None:
    await cell.start()
    name = "x" * (ID_BYTES_MAX + beyond)
    with refused_if(beyond > 0, f"^signal_name has more than {ID_BYTES_MAX} bytes"):
        await cell.signal(name)
    task = await cell.poll()
    request = w.RespondWorkflowTaskCompletedRequest(task_token=task.task_token)
    request.sticky_attributes.worker_task_queue.name = name
    field = r"sticky_attributes\.worker_task_queue\.name"
    with refused_if(beyond > 0, f"^{field} has more than {ID_BYTES_MAX} bytes"):
        await cell.ask(request)


@limit("PAYLOAD_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_what_clients_and_workers_pass_has_at_most_its_bytes(cell: Cell, beyond: int) -> None:
    large = payloads_of(PAYLOAD_BYTES_MAX + beyond)
    too_large = rf"^{{}} has more than {PAYLOAD_BYTES_MAX} bytes; store large data elsewhere"
    await cell.start("law-abiding")
    await cell.step(schedule_activity())
    activity = await cell.poll_activity()
    with refused_if(beyond > 0, too_large.format("input")):
        await cell.start("large", input=large)
    with refused_if(beyond > 0, too_large.format("input")):
        await cell.signal("paid", "law-abiding", input=large)
    beat = w.RecordActivityTaskHeartbeatRequest(task_token=activity.task_token, details=large)
    with refused_if(beyond > 0, too_large.format("details")):
        await cell.ask(beat)
    done = w.RespondActivityTaskCompletedRequest(task_token=activity.task_token, result=large)
    with refused_if(beyond > 0, too_large.format("result")):
        await cell.ask(done)


@limit("PAYLOAD_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_command_has_at_most_its_bytes(cell: Cell, beyond: int) -> None:
    await cell.start()
    command = record_marker("large")
    details = command.record_marker_command_attributes.details["data"]
    details.CopyFrom(payloads_of(PAYLOAD_BYTES_MAX - 100))
    missing = PAYLOAD_BYTES_MAX + beyond - command.ByteSize()
    details.CopyFrom(payloads_of(PAYLOAD_BYTES_MAX - 100 + missing))
    with refused_if(beyond > 0, rf"^PayloadsTooLarge: commands\[0\].*{PAYLOAD_BYTES_MAX} bytes"):
        await cell.step(command)


@limit("PAYLOAD_BYTES_MAX")
@in_cell
async def test_a_failure_that_is_too_large_fails_its_attempt_all_the_same(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(maximum_attempts=1))
    task = await cell.poll_activity()
    request = w.RespondActivityTaskFailedRequest(task_token=task.task_token)
    request.failure.message = "x" * PAYLOAD_BYTES_MAX
    await cell.ask(request)
    failed = (await cell.history())[6].activity_task_failed_event_attributes
    assert failed.failure.message == "Failure exceeds size limit."


@limit("MEMO_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_the_memo_of_a_start_has_at_most_its_bytes(cell: Cell, beyond: int) -> None:
    await cell.start("law-abiding")
    memo = Memo(fields={"note": text("x" * (MEMO_BYTES_MAX - 100)).payloads[0]})
    missing = MEMO_BYTES_MAX + beyond - memo.ByteSize()
    memo.fields["note"].CopyFrom(text("x" * (MEMO_BYTES_MAX - 100 + missing)).payloads[0])
    with refused_if(beyond > 0, f"^memo has more than {MEMO_BYTES_MAX} bytes"):
        await cell.start(memo=memo)


@limit("MEMO_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_the_memo_does_not_grow_beyond_its_bytes(cell: Cell, beyond: int) -> None:
    half = "x" * (MEMO_BYTES_MAX // 2)
    await cell.start()
    await cell.step(upsert_memo(first=half), force_create_new_workflow_task=True)
    held_bytes = sum(
        len(key) + payload.ByteSize()
        for key, payload in (await cell.describe()).workflow_execution_info.memo.fields.items()
    )
    second = text("x" * 1_000_000).payloads[0]
    room = MEMO_BYTES_MAX - held_bytes - len("second") - (second.ByteSize() - 1_000_000)
    with refused_if(beyond > 0, f"^BadModify.*the memo would have more than {MEMO_BYTES_MAX} "):
        await cell.step(upsert_memo(second="x" * (room + beyond)))
    if beyond > 0:
        await cell.step(upsert_memo(first="", second="x" * (room + beyond)))


async def add_attributes(cell: Cell, count: int) -> list[str]:
    names = [f"Keyword{number}" for number in range(count)]
    request = o.AddSearchAttributesRequest(search_attributes=dict.fromkeys(names, KEYWORD))
    await cell.rpc(OPERATOR_SERVICE + "AddSearchAttributes", request, o.AddSearchAttributesResponse)
    return names


def attributes(sizes: dict[str, int]) -> SearchAttributes:
    """Keywords whose JSON has that many bytes."""
    return SearchAttributes(
        indexed_fields={
            name: Payload(
                metadata={"encoding": b"json/plain"}, data=f'"{"x" * (size - 2)}"'.encode()
            )
            for name, size in sizes.items()
        }
    )


@limit("SEARCH_ATTRIBUTE_COUNT_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_namespace_has_at_most_so_many_search_attributes(cell: Cell, beyond: int) -> None:
    await cell.start()
    with refused_if(beyond > 0, f"at most {SEARCH_ATTRIBUTE_COUNT_MAX} search attributes; remove"):
        await add_attributes(cell, SEARCH_ATTRIBUTE_COUNT_MAX + beyond)
    request = PutNamespaceRequest(id="other", name="other.acme")
    for number in range(SEARCH_ATTRIBUTE_COUNT_MAX + beyond):
        request.search_attributes[f"Keyword{number}"] = KEYWORD
    many = f"^search_attributes has more than {SEARCH_ATTRIBUTE_COUNT_MAX} keys"
    with refused_if(beyond > 0, many):
        await cell.rpc(CELL_SERVICE + "PutNamespace", request, PutNamespaceResponse)


@limit("SEARCH_ATTRIBUTE_COUNT_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_workflow_has_at_most_so_many_search_attributes(cell: Cell, beyond: int) -> None:
    await cell.start("law-abiding")
    names = [*await add_attributes(cell, SEARCH_ATTRIBUTE_COUNT_MAX), PREDEFINED]
    given = attributes(dict.fromkeys(names[: SEARCH_ATTRIBUTE_COUNT_MAX + beyond], 10))
    many = f"^search_attributes has more than {SEARCH_ATTRIBUTE_COUNT_MAX} keys"
    with refused_if(beyond > 0, many):
        await cell.start(search_attributes=given)


@limit("SEARCH_ATTRIBUTE_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_search_attribute_has_at_most_its_bytes(cell: Cell, beyond: int) -> None:
    await cell.start("law-abiding")
    given = attributes({PREDEFINED: SEARCH_ATTRIBUTE_BYTES_MAX + beyond})
    message = rf"^search_attributes\['{PREDEFINED}'\] has more than {SEARCH_ATTRIBUTE_BYTES_MAX} "
    with refused_if(beyond > 0, message):
        await cell.start(search_attributes=given)


@limit("SEARCH_ATTRIBUTES_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_search_attributes_have_at_most_their_bytes_in_all(cell: Cell, beyond: int) -> None:
    await cell.start("law-abiding")
    full = SEARCH_ATTRIBUTES_BYTES_MAX // SEARCH_ATTRIBUTE_BYTES_MAX - 1
    *names, first, second = await add_attributes(cell, full + 2)
    half = SEARCH_ATTRIBUTE_BYTES_MAX // 2
    sizes = {**dict.fromkeys(names, SEARCH_ATTRIBUTE_BYTES_MAX), first: half, second: half + beyond}
    assert sum(sizes.values()) == SEARCH_ATTRIBUTES_BYTES_MAX + beyond
    message = f"^search_attributes has more than {SEARCH_ATTRIBUTES_BYTES_MAX} bytes in all"
    with refused_if(beyond > 0, message):
        await cell.start(search_attributes=attributes(sizes))


PRIORITIES = {
    "priority_key": (PRIORITY_KEY_MAX - 1, PRIORITY_KEY_MAX, PRIORITY_KEY_MAX + 1),
    "fairness_key": tuple("x" * (FAIRNESS_KEY_BYTES_MAX + beyond) for beyond in (-1, 0, 1)),
    "fairness_weight": (FAIRNESS_WEIGHT_MAX - 1, FAIRNESS_WEIGHT_MAX, FAIRNESS_WEIGHT_MAX + 1),
}


@limit("PRIORITY_KEY_MAX", "FAIRNESS_KEY_BYTES_MAX", "FAIRNESS_WEIGHT_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize("field", PRIORITIES)
@in_cell
async def test_a_priority_stays_within_its_bounds(cell: Cell, field: str, beyond: int) -> None:
    await cell.start("law-abiding")
    value: Any = PRIORITIES[field][beyond + 1]
    priority = Priority(**{field: value})
    with refused_if(beyond > 0, f"^priority: {field} .*"):
        await cell.start(priority=priority)
    command = schedule_activity()
    command.schedule_activity_task_command_attributes.priority.CopyFrom(priority)
    with refused_if(beyond > 0, f"^BadScheduleActivityAttributes: priority: {field} "):
        await cell.step(command)


@limit("FAIRNESS_WEIGHT_MIN")
@pytest.mark.parametrize("weight", [FAIRNESS_WEIGHT_MIN / 2, -1.0, float("nan")])
@in_cell
async def test_a_fairness_weight_has_a_least_value(cell: Cell, weight: float) -> None:
    await cell.start(priority=Priority(fairness_weight=FAIRNESS_WEIGHT_MIN * 1.01))
    with pytest.raises(InvalidArgument, match=f"fairness_weight must be {FAIRNESS_WEIGHT_MIN} to"):
        await cell.start("order-2", priority=Priority(fairness_weight=weight))
