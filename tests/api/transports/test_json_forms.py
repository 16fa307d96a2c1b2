"""What particular values look like in JSON, and how what does not fit is refused."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import ListValue, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from temporalio.api.common.v1 import Memo, Payload, Payloads, RetryPolicy, WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import PollerGroupInfo
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from api.transports.errors import InvalidJson, UnrepresentableJson
from api.transports.json_codec import JsonCodec
from api.transports.json_generate import NESTED_MESSAGES_MAX

CODEC = JsonCodec()


def payload(encoding: bytes, data: bytes = b"", **metadata: bytes) -> Payload:
    return Payload(metadata={"encoding": encoding, **metadata}, data=data)


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("null", payload(b"binary/null")),
        ('{"a":[1,2.5,null]}', payload(b"json/plain", b'{"a":[1,2.5,null]}')),
        ('"text"', payload(b"json/plain", b'"text"')),
        (
            '{"name":"x","_protoMessageType":"a.B"}',
            payload(b"json/protobuf", b'{"name":"x"}', messageType=b"a.B"),
        ),
        (
            '{"metadata":{"encoding":"YmluYXJ5L3BsYWlu"},"data":"AP8="}',
            payload(b"binary/plain", b"\x00\xff"),
        ),
    ],
)
def test_a_payload_is_written_as_its_content(written: str, held: Payload) -> None:
    assert CODEC.encode(held) == written.encode()
    assert CODEC.decode(written.encode(), Payload) == held
    assert CODEC.encode(Payloads(payloads=[held, held])) == f"[{written},{written}]".encode()
    assert CODEC.decode(f"[{written}]".encode(), Payloads) == Payloads(payloads=[held])
    memo = CODEC.decode(f'{{"fields":{{"k":{written}}}}}'.encode(), Memo)
    assert memo == Memo(fields={"k": held})
    assert CODEC.encode(memo) == f'{{"fields":{{"k":{written}}}}}'.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"no JSON",
        b"NaN",
        b"18446744073709551616",
        b'{"n":-9223372036854775809}',
        b'{"_protoMessageType":"a.B"}',
        b'{"metadata":{},"data":"YQ=="}',
    ],
)
def test_content_that_would_change_its_meaning_is_written_in_full(data: bytes) -> None:
    held = payload(b"json/plain", data)
    written = CODEC.to_dict(held)
    assert written["data"] == b64encode(data).decode()
    assert CODEC.from_dict(written, Payload()) == held


def test_spaced_content_comes_back_compact() -> None:
    start = CODEC.decode(b'{"input": [ {"a" : [1, 2]} ]}', StartWorkflowExecutionRequest)
    assert start.input.payloads[0].data == b'{"a":[1,2]}'


def test_a_payload_without_shorthand_is_taken_literally() -> None:
    with pytest.raises(InvalidJson):
        CODEC.decode(b'{"fields": {"k": "text"}}', Memo, shorthand=False)


@pytest.mark.parametrize(
    "spelling", ["WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW", "ContinuedAsNew", 6, "6"]
)
def test_an_enum_is_read_by_full_name_short_name_and_number(spelling: str | int) -> None:
    read = CODEC.from_dict({"status": spelling}, WorkflowExecutionInfo())
    assert read.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW


def test_nanoseconds_and_offsets_of_times_are_kept() -> None:
    text = "2026-11-20T01:30:00.000000007+05:30"
    assert CODEC.from_dict(text, Timestamp()).ToJsonString() == "2026-11-19T20:00:00.000000007Z"


@pytest.mark.parametrize("number", [3.4028234663852886e38, -1.401298464324817e-45, 0.1])
def test_a_float_comes_back(number: float) -> None:
    held = PollerGroupInfo(weight=number)
    assert CODEC.decode(CODEC.encode(held), PollerGroupInfo) == held
    assert CODEC.to_dict(held) == json_format.MessageToDict(held)


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_have_names(name: str) -> None:
    written = f'{{"backoffCoefficient":"{name}"}}'.encode()
    assert CODEC.encode(CODEC.decode(written, RetryPolicy)) == written


@pytest.mark.parametrize(
    ("document", "message_type", "error"),
    [
        ('{"input": {"payloads": [{"data": "%"}]}}', None, "input.payloads[0].data: not base64"),
        ('{"taskQueue": {"nme": "x"}}', None, "taskQueue.nme: no such field in temporal.api"),
        ('{"memo": {"fields": {"k": {"data": 1}}}}', None, "memo.fields['k'].data: expected a"),
        ('{"workflowId": 7}', None, "workflowId: expected a string, not a number"),
        ('{"workflowId": "a", "workflow_id": "b"}', None, "workflow_id: given twice"),
        ('{"retryPolicy": {"maximumAttempts": 2147483648}}', None, "maximumAttempts: not a whole"),
        ('{"retryPolicy": {"maximumAttempts": 1e300}}', None, "maximumAttempts: not a whole"),
        ('{"retryPolicy": {"maximumAttempts": "1e999999999"}}', None, "not a whole number"),
        ('{"workflowRunTimeout": "315576000001s"}', None, "workflowRunTimeout: a duration over"),
        ('{"workflowIdReusePolicy": "Nope"}', None, "'Nope' is no value of temporal.api.enums"),
        ('{"input": [18446744073709551616]}', None, "an integer beyond 64 bits"),
        ('{"input": [' + "9" * 300 + "]}", None, "an integer beyond 64 bits"),
        ('{"input": [' + "9" * 5_000 + "]}", None, "not JSON"),
        ("[" * 5_000, None, "not JSON"),
        ('"\\ud800"', None, "not JSON"),
        (b'{"workflowId": "\xff"}', None, "not JSON"),
        ("", None, "not JSON"),
        ("null", None, "expected an object, not null"),
        ('{"details": [{"@type": "type.googleapis.com/x"}]}', Status, "details[0].@type: missing"),
        (
            '{"timerStartedEventAttributes": {}, "timerFiredEventAttributes": {}}',
            HistoryEvent,
            "timerFiredEventAttributes: a second member of the oneof attributes",
        ),
    ],
)
def test_a_refusal_names_the_path(
    document: str | bytes, message_type: type[Message] | None, error: str
) -> None:
    literal = error.startswith(("input", "memo"))
    data = document if isinstance(document, bytes) else document.encode()
    with pytest.raises(InvalidJson) as refusal:
        CODEC.decode(data, message_type or StartWorkflowExecutionRequest, shorthand=not literal)
    assert error in str(refusal.value)


def test_an_object_that_only_looks_like_a_payload_is_content() -> None:
    document = b'{"input":[{"metadata":{"encoding":"%"},"data":""}]}'
    read = CODEC.decode(document, StartWorkflowExecutionRequest)
    assert read.input.payloads[0].metadata == {"encoding": b"json/plain"}
    assert CODEC.encode(read) == document


def nested_failure(levels: int) -> str:
    return '{"cause":' * (levels - 1) + "{}" + "}" * (levels - 1)


@pytest.mark.parametrize("beyond", [-1, 0])
def test_messages_may_nest_up_to_the_limit(beyond: int) -> None:
    text = nested_failure(NESTED_MESSAGES_MAX + beyond)
    assert CODEC.encode(CODEC.decode(text.encode(), Failure)) == text.encode()


@pytest.mark.parametrize("levels", [NESTED_MESSAGES_MAX + 1, 900])
def test_messages_nested_beyond_the_limit_are_refused(levels: int) -> None:
    with pytest.raises(InvalidJson, match="nested deeper"):
        CODEC.decode(nested_failure(levels).encode(), Failure)


@pytest.mark.parametrize("levels", [300, 3_000])
def test_a_message_too_deep_for_json_is_refused(levels: int) -> None:
    failure = innermost = Failure()
    for _ in range(levels):
        innermost = innermost.cause
    innermost.message = "deep"
    with pytest.raises(UnrepresentableJson):
        CODEC.encode(failure)


def test_content_nested_too_deep_is_refused() -> None:
    with pytest.raises(InvalidJson):
        CODEC.decode(b"[" + b"[" * 500 + b"]" * 500 + b"]", Payloads)


@pytest.mark.parametrize("value", ["\ud800", {1: 2}, object(), b"bytes"])
def test_a_hand_made_value_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidJson):
        CODEC.from_dict({"message": value}, Failure(), False)


@pytest.mark.parametrize(
    "message",
    [
        HistoryEvent(event_time=Timestamp(seconds=1 << 60)),
        RetryPolicy(initial_interval=Duration(seconds=1, nanos=-1)),
        Status(details=[AnyMessage(type_url="x/unknown", value=b"")]),
        Status(details=[AnyMessage(type_url="x/google.rpc.Status", value=b"\xff")]),
        ListValue(values=[Value(number_value=float("nan"))]),
    ],
)
def test_what_json_cannot_say_is_refused_when_written(message: Message) -> None:
    with pytest.raises((json_format.Error, ValueError, TypeError, DecodeError)):
        json_format.MessageToDict(message)
    with pytest.raises(UnrepresentableJson):
        CODEC.encode(message)


def test_reading_into_a_message_keeps_what_it_holds() -> None:
    held = WorkflowExecution(workflow_id="order-7")
    assert CODEC.from_dict({"runId": "r"}, held) is held
    assert held == WorkflowExecution(workflow_id="order-7", run_id="r")
