"""What HTTP says and what the door answers: forms of bodies, limits, verbs, refusals."""

from __future__ import annotations

import gzip
import re
from typing import Any

import httpx
import orjson
import pytest
from google.rpc.status_pb2 import Status
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes as Started
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from api.asgi import BODY_BYTES_MAX, OWN_PREFIXES, Scope, Send
from api.open_calls import Receive
from api.request_id import REQUEST_ID
from engine.errors import WorkflowAlreadyStarted
from tests.api.world import PROTOBUF, World, answering, refusing

ROOT = "/api/v1/namespaces/orders.acme"
START = f"{ROOT}/workflows/order-7"
HISTORY = f"{START}/history"

# Without its time stamp, so that every process collects the same tests.
GZIPPED = gzip.compress(b"{}", mtime=0)


def started(run_id: str = "run-1") -> World:
    return World(
        {"StartWorkflowExecution": answering(StartWorkflowExecutionResponse(run_id=run_id))}
    )


def with_history(data: bytes = b"7") -> World:
    payload = Payload(metadata={"encoding": b"json/plain"}, data=data)
    attributes = Started(input=Payloads(payloads=[payload]))
    event = HistoryEvent(event_id=1, workflow_execution_started_event_attributes=attributes)
    response = GetWorkflowExecutionHistoryResponse(history=History(events=[event]))
    return World({"GetWorkflowExecutionHistory": answering(response)})


async def test_json_in_and_json_out() -> None:
    world = started()
    async with world.client() as client:
        answer = await client.post(START, json={"input": [7], "identity": "me"})
    assert (answer.status_code, answer.json()) == (200, {"runId": "run-1"})
    assert answer.headers["content-type"] == "application/json"
    request = StartWorkflowExecutionRequest.FromString(world.calls[0][1])
    assert (request.namespace, request.workflow_id) == ("orders.acme", "order-7")
    assert request.input.payloads[0].data == b"7"


async def test_protobuf_in_is_protobuf_out_byte_for_byte() -> None:
    response = b"\x0a\x05run-1\x9a\x06\x01x"  # With a field that this version does not know.

    async def answer(_request: bytes, _call: object) -> bytes:
        return response

    world = World({"StartWorkflowExecution": answer})
    body = StartWorkflowExecutionRequest(identity="me").SerializeToString()
    async with world.client() as client:
        got = await client.post(START, content=body, headers=PROTOBUF)
        as_json = {**PROTOBUF, "accept": "application/json"}
        other = await client.post(START, content=body, headers=as_json)
    assert (got.content, got.headers["content-type"]) == (response, "application/x-protobuf")
    assert other.json() == {"runId": "run-1"}


async def test_a_call_without_a_body_is_answered_in_the_type_that_it_names() -> None:
    async with with_history().client() as client:
        answer = await client.get(HISTORY, headers=PROTOBUF)
    assert GetWorkflowExecutionHistoryResponse.FromString(answer.content).history.events


@pytest.mark.parametrize(
    ("query", "accept", "text"),
    [
        ("", "*/*", b'{"input":[7]}'),
        ("?pretty", "*/*", b'{\n          "input": [\n            7\n          ]\n        }'),
        ("?noPayloadShorthand", "*/*", b'"payloads":[{"metadata":{"encoding":"anNv'),
        ("?pretty&noPayloadShorthand=false", "application/x-protobuf", b'"payloads": ['),
        ("", "application/json+no-payload-shorthand", b'"payloads":[{'),
    ],
)
async def test_the_caller_chooses_how_json_is_written(query: str, accept: str, text: bytes) -> None:
    async with with_history().client() as client:
        answer = await client.get(HISTORY + query, headers={"accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert text in answer.content


async def test_a_query_fills_the_request() -> None:
    world = World()
    query = "execution.runId=r%2F1&waitNewEvent=true&historyEventFilterType=2&timeout=5"
    async with world.client() as client:
        assert (await client.get(f"{HISTORY}?{query}")).status_code == 200
    close = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
    assert GetWorkflowExecutionHistoryRequest.FromString(
        world.calls[0][1]
    ) == GetWorkflowExecutionHistoryRequest(
        namespace="orders.acme",
        execution=WorkflowExecution(workflow_id="order-7", run_id="r/1"),
        wait_new_event=True,
        history_event_filter_type=close,
    )


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b"{", {}, 400, "not JSON"),
        (b'{"nope": 1}', {}, 400, "nope: no such field in temporal.api.workflowservice"),
        (b'{"input": [{"a": ' + b"[" * 2_000, {}, 400, "not JSON"),
        (b'{"workflowType": {"name": "\xff"}}', {}, 400, "not JSON"),
        (b'{"workflowType": {"name": 7}}', {}, 400, "workflowType.name: expected a string"),
        (b"\xff\xff", PROTOBUF, 400, "is no temporal.api.workflowservice.v1.Start"),
        (b'{"a": 1}', {"content-type": "text/plain"}, 415, "send application/json"),
        (
            gzip.compress(b"{}", mtime=0),
            {"content-encoding": "gzip"},
            415,
            "'gzip' is not supported",
        ),
        (b"{}", {"grpc-timeout": "20"}, 400, "grpc-timeout: must be"),
        (b" " * BODY_BYTES_MAX + b"{}", {}, 413, f"larger than {BODY_BYTES_MAX} bytes"),
    ],
)
async def test_a_bad_body_is_refused_with_a_remedy(
    content: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    world = World()
    async with world.client() as client:
        answer = await client.post(START, content=content, headers=headers)
    assert answer.status_code == status
    told = told_by(answer)
    assert message in told["message"]
    assert told["code"] == 3
    assert world.calls == []


def told_by(answer: httpx.Response) -> Any:
    if answer.headers["content-type"] == "application/json":
        return answer.json()
    status = Status.FromString(answer.content)
    return {"code": status.code, "message": status.message}


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_may_be_as_large_as_the_limit(beyond: int, is_chunked: bool) -> None:
    body = b"{" + b" " * (BODY_BYTES_MAX - 2 + beyond) + b"}"

    async def chunks() -> Any:
        for at in range(0, len(body), 1024 * 1024):
            yield body[at : at + 1024 * 1024]

    async with started().client() as client:
        answer = await client.post(START, content=chunks() if is_chunked else body)
    assert answer.status_code == (413 if beyond else 200)


@pytest.mark.parametrize(
    ("verb", "path", "status", "code"),
    [
        ("GET", f"{ROOT}/nothing", 404, 5),
        ("POST", "/cloud/nothing", 404, 5),
        ("POST", "/temporal.api.workflowservice.v1.WorkflowService/Nothing", 404, 5),
        ("POST", "/perdure.api.v1.CellService/PutNamespace", 404, 5),
        ("GET", "/nothing", 404, 5),
        ("PUT", START, 405, 12),
        ("GET", f"{ROOT}/workflow-task-complete", 405, 12),
        ("HEAD", f"{ROOT}/workflow-task-complete", 405, 12),
        ("GET", f"{ROOT}/workflows/%ff", 400, 3),
        ("GET", f"{START}?nope=1", 400, 3),
        ("GET", f"{START}?namespace=orders.rival", 400, 3),
        ("GET", f"{HISTORY}?timeout=0", 400, 3),
        ("GET", f"{HISTORY}?timeout=soon", 400, 3),
    ],
)
async def test_a_path_that_leads_nowhere_is_answered_by_a_status(
    verb: str, path: str, status: int, code: int
) -> None:
    async with World().client() as client:
        answer = await client.request(verb, path)
    assert answer.status_code == status
    if verb != "HEAD":
        assert answer.json()["code"] == code
    if status == 405:
        assert "POST" in answer.headers["allow"]


async def test_a_path_tells_its_verbs() -> None:
    async with World().client(None) as client:
        answer = await client.options(START)
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


async def test_a_head_is_a_get_without_its_body() -> None:
    async with with_history().client() as client:
        get, head = await client.get(HISTORY), await client.head(HISTORY)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"] != "0"


async def test_a_get_takes_no_body() -> None:
    async with World().client() as client:
        answer = await client.request("GET", HISTORY, json={})
    assert answer.status_code == 400


async def test_a_refusal_has_typed_details_in_both_forms() -> None:
    error = WorkflowAlreadyStarted("it runs", "r-1", "run-1")
    world = World({"StartWorkflowExecution": refusing(error)})
    async with world.client() as client:
        as_json = await client.post(START, json={})
        as_protobuf = await client.post(START, content=b"", headers=PROTOBUF)
    assert as_json.status_code == as_protobuf.status_code == 409
    detail = as_json.json()["details"][0]
    assert detail["@type"].endswith("errordetails.v1.WorkflowExecutionAlreadyStartedFailure")
    status = Status.FromString(as_protobuf.content)
    assert (status.code, status.message) == (6, "it runs")
    assert status.details[0].type_url == detail["@type"]


@pytest.mark.allow_log("call_failed")
async def test_a_defect_is_logged_by_id_and_tells_nothing() -> None:
    world = World({"StartWorkflowExecution": refusing(KeyError("secret"))})
    async with world.client() as client:
        answer = await client.post(START, json={}, headers={"x-request-id": "mine-1"})
    assert (answer.status_code, answer.json()["code"]) == (500, 13)
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "mine-1"


async def test_an_answer_that_json_cannot_say_can_be_had_as_protobuf() -> None:
    event = HistoryEvent(event_id=1)
    event.event_time.seconds = 1 << 60
    response = GetWorkflowExecutionHistoryResponse(history=History(events=[event]))
    world = World({"GetWorkflowExecutionHistory": answering(response)})
    async with world.client() as client:
        as_json = await client.get(HISTORY)
        as_protobuf = await client.get(HISTORY, headers={"accept": "application/x-protobuf"})
    assert as_json.status_code == 400
    assert "application/x-protobuf" in as_json.json()["message"]
    assert as_protobuf.content == response.SerializeToString()


async def test_every_answer_has_an_id_and_safe_headers() -> None:
    async with started().client() as client:
        first = await client.post(START, json={})
        second = await client.post(START, json={}, headers={"x-request-id": "a b"})
        refused = await client.get("/nothing")
    ids = [each.headers["x-request-id"] for each in (first, second, refused)]
    assert len(set(ids)) == 3
    for answer in (first, second, refused):
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", answer.headers["x-request-id"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def elsewhere(scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def echo(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers with the ids that the request came with, and the one that log lines have."""
    came_with = [value for name, value in scope["headers"] if name == b"x-request-id"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = b" ".join([*came_with, REQUEST_ID.get().encode()])
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("path", ["/api/v1/session", "/namespaces/orders.acme"])
@pytest.mark.parametrize(("given", "is_taken"), [("mine-1", True), ("a b", False), ("", False)])
async def test_a_request_that_is_passed_on_keeps_its_one_id(
    path: str, given: str, is_taken: bool
) -> None:
    headers = {"accept": "text/html", "x-request-id": given}
    async with World().client(fallback=echo) as client:
        answer = await client.get(path, headers=headers)
    (name,) = answer.headers.get_list("x-request-id")
    assert answer.text == f"{name} {name}"
    assert (name == given) is is_taken
    assert REQUEST_ID.get() == ""


@pytest.mark.parametrize(
    ("verb", "path", "headers", "status"),
    [
        ("GET", "/login", {}, 299),
        ("POST", "/api/v1/sign-up", {}, 299),
        ("GET", "/namespaces/orders.acme/workflows", {"accept": "text/html,*/*"}, 299),
        ("POST", "/namespaces/orders.acme/workflows/w", {"hx-request": "true"}, 299),
        ("GET", "/namespaces/orders.acme/workflows", {}, 200),
        ("GET", f"{ROOT}/workflows", {"accept": "text/html,*/*"}, 200),
        *[("GET", prefix.decode() + "nothing", {}, 404) for prefix in OWN_PREFIXES],
    ],
)
async def test_pages_and_foreign_paths_go_to_the_fallback(
    verb: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with World().client(fallback=elsewhere) as client:
        assert (await client.request(verb, path, headers=headers)).status_code == status


async def test_what_is_not_http_goes_to_the_fallback() -> None:
    seen: list[Scope] = []

    async def fallback(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any:
        return None

    await World().door(fallback)({"type": "lifespan"}, nothing, nothing)
    assert [scope["type"] for scope in seen] == ["lifespan"]


async def test_the_documents_are_served_without_a_credential() -> None:
    async with World().client(None) as client:
        page = await client.get("/docs")
        document = orjson.loads((await client.get("/api/v1/openapi.json")).content)
        assets = re.findall(r'(?:href|src)="(/docs/[^"]+)"', page.text)
        assert len(assets) == 2
        for asset in assets:
            assert (await client.get(asset)).status_code == 200
    assert document["openapi"] == "3.1.0"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    # Whatever the page loads comes from here: no other origin, nothing inline.
    assert not re.search(r"https?://|<style|<script(?! src=)|\son\w+=|style=", page.text)
