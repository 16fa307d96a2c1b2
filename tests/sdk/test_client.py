"""The client's calls, as the cloud's own route table reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import workflow
from perdure.client import Client, WorkflowExecutionStatus
from perdure.converter import DataConverter, JsonPayloadConverter
from perdure.encryption import AesGcmCodec
from perdure.exceptions import (
    ApplicationError,
    CancelledError,
    RPCStatusCode,
    TerminatedError,
    TimeoutError,
    WorkflowAlreadyStartedError,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from perdure.failure import to_failure
from perdure.policies import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.protojson import Message
from tests.sdk.door import Door, Refusal

CANARY = "canary-of-clear-text"
ALREADY_STARTED = "temporal.api.errordetails.v1.WorkflowExecutionAlreadyStartedFailure"
QUERY_FAILED = "temporal.api.errordetails.v1.QueryFailedFailure"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> dict[str, int]:
        return {name: 1}

    @workflow.signal
    def rename(self, name: str) -> None:
        pass

    @workflow.query
    def name(self) -> str:
        return ""


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with door.client(api_key="key-1") as client:
        yield client


def payloads(*values: Any) -> Message:
    return JsonPayloadConverter().to_payloads(values) or {}


def values(message: Message) -> list[Any]:
    return JsonPayloadConverter().from_payloads(message)


def closes(door: Door, *events: Message) -> None:
    """Each history call finds the next of these close events."""
    remaining = list(events)
    door.answers["GetWorkflowExecutionHistory"] = lambda _: {
        "history": {"events": [remaining.pop(0)]}
    }


def close_event(kind: str, **attributes: Any) -> Message:
    name = "".join(part.capitalize() for part in kind.split("_"))
    return {
        "eventId": "9",
        "eventType": f"EVENT_TYPE_WORKFLOW_EXECUTION_{kind}",
        f"workflowExecution{name}EventAttributes": attributes,
    }


async def test_a_start_carries_every_option(door: Door, client: Client) -> None:
    door.answers["StartWorkflowExecution"] = lambda _: {"runId": "run-1", "started": True}
    handle = await client.start_workflow(
        Greeting.run,
        "Ada",
        id="a/b ä",
        task_queue="queue",
        execution_timeout=timedelta(days=1),
        run_timeout=timedelta(hours=1),
        task_timeout=timedelta(seconds=5),
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        retry_policy=RetryPolicy(maximum_attempts=2),
        cron_schedule="@daily",
        memo={"note": "n"},
        search_attributes={"CustomerId": "c-1"},
        static_summary="what it is",
        start_delay=timedelta(seconds=9),
    )
    request = await door.called("StartWorkflowExecution")
    assert handle.id == request["workflowId"] == "a/b ä"
    assert handle.result_run_id == "run-1"
    assert request["namespace"] == "default"
    assert request["workflowType"] == {"name": "Greeting"}
    assert request["taskQueue"] == {"name": "queue"}
    assert values(request["input"]) == ["Ada"]
    assert request["workflowExecutionTimeout"] == "86400s"
    assert request["workflowRunTimeout"] == "3600s"
    assert request["workflowTaskTimeout"] == "5s"
    assert request["workflowIdReusePolicy"] == "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"
    assert request["workflowIdConflictPolicy"] == "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"
    assert request["retryPolicy"]["maximumAttempts"] == 2
    assert request["cronSchedule"] == "@daily"
    assert list(request["memo"]["fields"]) == ["note"]
    assert list(request["searchAttributes"]["indexedFields"]) == ["CustomerId"]
    assert request["workflowStartDelay"] == "9s"
    assert request["identity"] == "tester"
    assert request["requestId"]
    assert door.requests[0].headers["authorization"] == "Bearer key-1"


async def test_a_start_signal_makes_it_a_signal_with_start(door: Door, client: Client) -> None:
    await client.start_workflow(
        "Greeting", id="w", task_queue="q", start_signal="rename", start_signal_args=["Bo"]
    )
    request = await door.called("SignalWithStartWorkflowExecution")
    assert request["signalName"] == "rename"
    assert values(request["signalInput"]) == ["Bo"]


async def test_an_id_in_use_is_told_with_its_run(door: Door, client: Client) -> None:
    def refuse(_: Message) -> Message:
        detail = {"@type": f"type.googleapis.com/{ALREADY_STARTED}", "runId": "run-0"}
        raise Refusal(RPCStatusCode.ALREADY_EXISTS, "running", detail)

    door.answers["StartWorkflowExecution"] = refuse
    with pytest.raises(WorkflowAlreadyStartedError) as refused:
        await client.start_workflow("Greeting", id="w", task_queue="q")
    assert (refused.value.workflow_id, refused.value.run_id) == ("w", "run-0")


async def test_a_result_is_waited_for_over_empty_polls_and_following_runs(
    door: Door, client: Client
) -> None:
    answers: list[Message] = [
        {"nextPageToken": "AQID"},
        {"history": {"events": [close_event("CONTINUED_AS_NEW", newExecutionRunId="run-2")]}},
        {"history": {"events": [close_event("COMPLETED", result=payloads({"Ada": 1}))]}},
    ]
    door.answers["GetWorkflowExecutionHistory"] = lambda _: answers.pop(0)
    handle = client.get_workflow_handle_for(Greeting.run, "w", run_id="run-1")
    assert await handle.result() == {"Ada": 1}
    first, second, third = [await door.called("GetWorkflowExecutionHistory") for _ in range(3)]
    assert first["waitNewEvent"] is True
    assert first["historyEventFilterType"] == "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"
    assert second["nextPageToken"] == "AQID"
    assert third["execution"] == {"workflowId": "w", "runId": "run-2"}


@pytest.mark.parametrize(
    ("event", "cause", "text"),
    [
        (
            close_event(
                "FAILED", failure={"message": "no", "applicationFailureInfo": {"type": "T"}}
            ),
            ApplicationError,
            "no",
        ),
        (close_event("CANCELED"), CancelledError, "cancelled"),
        (close_event("TERMINATED", reason="by hand"), TerminatedError, "by hand"),
        (close_event("TIMED_OUT"), TimeoutError, "timed out"),
    ],
)
async def test_a_workflow_that_did_not_complete_says_why(
    door: Door, client: Client, event: Message, cause: type[Exception], text: str
) -> None:
    closes(door, event)
    with pytest.raises(WorkflowFailureError, match=text) as failed:
        await client.get_workflow_handle("w").result()
    assert type(failed.value.cause) is cause


async def test_a_continued_run_need_not_be_followed(door: Door, client: Client) -> None:
    closes(door, close_event("CONTINUED_AS_NEW", newExecutionRunId="run-2"))
    with pytest.raises(WorkflowContinuedAsNewError) as continued:
        await client.get_workflow_handle("w").result(follow_runs=False)
    assert continued.value.new_execution_run_id == "run-2"


async def test_signal_cancel_and_terminate_name_the_run_they_mean(
    door: Door, client: Client
) -> None:
    handle = client.get_workflow_handle("w", run_id="r", first_execution_run_id="f")
    await handle.signal(Greeting.rename, "Bo")
    await handle.cancel(reason="enough")
    await handle.terminate("detail", reason="now")
    signal = await door.called("SignalWorkflowExecution")
    assert signal["signalName"] == "rename"
    assert values(signal["input"]) == ["Bo"]
    cancel = await door.called("RequestCancelWorkflowExecution")
    terminate = await door.called("TerminateWorkflowExecution")
    for request in (cancel, terminate):
        assert request["workflowExecution"] == {"workflowId": "w", "runId": "r"}
        assert request["firstExecutionRunId"] == "f"
    assert (cancel["reason"], terminate["reason"]) == ("enough", "now")
    assert values(terminate["details"]) == ["detail"]


async def test_a_query_answers_fails_or_is_rejected(door: Door, client: Client) -> None:
    handle = client.get_workflow_handle("w")
    door.answers["QueryWorkflow"] = lambda _: {"queryResult": payloads("Ada")}
    assert await handle.query(Greeting.name) == "Ada"
    assert (await door.called("QueryWorkflow"))["query"] == {"queryType": "name"}

    def refuse(_: Message) -> Message:
        failure = to_failure(KeyError("oops"), DataConverter())
        detail = {"@type": f"type.googleapis.com/{QUERY_FAILED}", "failure": failure}
        raise Refusal(RPCStatusCode.INVALID_ARGUMENT, "failed", detail)

    door.answers["QueryWorkflow"] = refuse
    with pytest.raises(WorkflowQueryFailedError, match="oops"):
        await handle.query("name", 1)
    status = "WORKFLOW_EXECUTION_STATUS_COMPLETED"
    door.answers["QueryWorkflow"] = lambda _: {"queryRejected": {"status": status}}
    with pytest.raises(WorkflowQueryRejectedError) as rejected:
        await handle.query("name")
    assert rejected.value.status == "COMPLETED"


async def test_lists_go_on_over_pages_up_to_their_limit(door: Door, client: Client) -> None:
    def page(request: Message) -> Message:
        first = 0 if "nextPageToken" not in request else 2
        infos = [
            {
                "execution": {"workflowId": f"w{number}", "runId": "r"},
                "type": {"name": "Greeting"},
                "status": "WORKFLOW_EXECUTION_STATUS_RUNNING",
                "startTime": "2026-01-31T01:02:03Z",
                "memo": {"fields": {"note": payloads("n")["payloads"][0]}},
            }
            for number in (first, first + 1)
        ]
        return {"executions": infos, "nextPageToken": "AQID"}

    door.answers["ListWorkflowExecutions"] = page
    runs = [run async for run in client.list_workflows("WorkflowType = 'Greeting'", limit=3)]
    assert [run.id for run in runs] == ["w0", "w1", "w2"]
    assert runs[0].status is WorkflowExecutionStatus.RUNNING
    assert runs[0].start_time == datetime(2026, 1, 31, 1, 2, 3, tzinfo=UTC)
    assert await runs[0].memo() == {"note": "n"}
    request = await door.called("ListWorkflowExecutions")
    assert request["query"] == "WorkflowType = 'Greeting'"


async def test_a_count_has_its_groups(door: Door, client: Client) -> None:
    group = {"groupValues": payloads("Running")["payloads"], "count": "2"}
    door.answers["CountWorkflowExecutions"] = lambda _: {"count": "3", "groups": [group]}
    counted = await client.count_workflows("")
    assert (counted.count, list(counted.groups)) == (3, [(["Running"], 2)])


async def test_a_description_has_the_run_and_its_wire_form(door: Door, client: Client) -> None:
    info = {
        "execution": {"workflowId": "w", "runId": "r"},
        "status": "WORKFLOW_EXECUTION_STATUS_FAILED",
        "historyLength": "12",
    }
    door.answers["DescribeWorkflowExecution"] = lambda _: {"workflowExecutionInfo": info}
    described = await client.get_workflow_handle("w", run_id="r").describe()
    assert described.status is WorkflowExecutionStatus.FAILED
    assert described.history_length == 12
    assert described.raw_description["workflowExecutionInfo"]["execution"]["runId"] == "r"
    assert (await door.called("DescribeWorkflowExecution"))["execution"]["runId"] == "r"


async def test_nothing_a_client_sends_or_reads_shows_clear_text(door: Door) -> None:
    converter = DataConverter(codec=AesGcmCodec({"k": bytes(32)}, "k"))
    async with door.client(converter) as client:
        sealed = await converter.encode({"result": payloads(CANARY)})
        closes(door, close_event("COMPLETED", **sealed))
        door.answers["QueryWorkflow"] = lambda _: {"queryResult": sealed["result"]}
        handle = await client.start_workflow(
            "Greeting", CANARY, id="w", task_queue="q", memo={"m": CANARY}, static_summary=CANARY
        )
        await handle.signal("rename", CANARY)
        await handle.terminate(CANARY)
        assert await handle.query("name", CANARY) == CANARY
        assert await handle.result() == CANARY
    assert all(CANARY.encode() not in body for body in door.bodies)
    assert not any(CANARY in str(request.url) for request in door.requests)
