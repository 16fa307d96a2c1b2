"""Bad input at the real door: the right status, a message that helps, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest
import temporalio.api.workflowservice.v1 as w
from temporalio.api.common.v1 import Payload, Payloads

from api.catalogue import CATALOGUE, Plane
from tests.engine.cell import schedule_activity, text
from tests.product.client import (
    JSON,
    PROTOBUF,
    SERVICE,
    Access,
    Program,
    Refused,
    open_account,
    program,
)
from tests.product.server import Product

ID_BYTES_MAX = 1_000
PAYLOAD_BYTES_MAX = 2 * 1024 * 1024
BODY_BYTES_MAX = 4 * 1024 * 1024
NESTED_LEVELS = 5_000
EXPIRY_SECONDS_MAX = 30
START = "/workflows/refused"
MISSING = "missing.aaaaaa"
AS_JSON = {"content-type": "application/json"}
AS_PROTOBUF = {"content-type": PROTOBUF}
VALID = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "orders"}}


@pytest.fixture(params=[PROTOBUF, JSON], ids=["protobuf", "json"])
async def shop(
    request: pytest.FixtureRequest, shared: Product, access: Access
) -> AsyncIterator[Program]:
    shop = program(shared, access, request.param)
    async with shop.http:
        yield shop


class Bad(NamedTuple):
    """A call and how it is refused. `path` is below the namespace unless it is absolute."""

    name: str
    status: int
    says: tuple[str, ...]
    body: bytes = b""
    path: str = START
    verb: str = "POST"
    headers: dict[str, str] = AS_JSON


def told(**fields: Any) -> bytes:
    return json.dumps({**VALID, **fields}).encode()


def protobuf(**fields: Any) -> bytes:
    return w.StartWorkflowExecutionRequest(**fields).SerializeToString()


NESTED = b'{"input":' * NESTED_LEVELS + b"1" + b"}" * NESTED_LEVELS
BAD = [
    Bad("broken JSON", 400, ("JSON",), b'{"workflowType": {'),
    Bad("JSON that is no object", 400, ("object",), b"[1]"),
    Bad("an unknown field", 400, ("wrokflowType",), told(wrokflowType={})),
    Bad("an unknown inner field", 400, ("workflowType.nmae",), told(workflowType={"nmae": "x"})),
    Bad("text for a number", 400, ("priority.priorityKey",), told(priority={"priorityKey": "a"})),
    Bad("a number out of range", 400, ("priorityKey",), told(priority={"priorityKey": 1 << 40})),
    Bad("an unknown enum value", 400, ("workflowIdReusePolicy",), told(workflowIdReusePolicy="X")),
    Bad("a bad duration", 400, ("workflowRunTimeout",), told(workflowRunTimeout="1 hour")),
    Bad("a negative duration", 400, ("workflow_run_timeout",), told(workflowRunTimeout="-1s")),
    Bad("JSON nested too deep", 400, ("JSON",), NESTED),
    Bad("a number of 5,000 digits", 400, ("JSON",), b'{"requestId": ' + b"1" * 5_000 + b"}"),
    Bad("JSON that is not UTF-8", 400, ("UTF-8",), b'{"requestId": "\xff"}'),
    Bad("half a surrogate pair", 400, (), b'{"requestId": "\\ud800"}'),
    Bad("broken protobuf", 400, ("protobuf",), b"\xff\xff\xff", headers=AS_PROTOBUF),
    Bad("protobuf that is not UTF-8", 400, ("protobuf",), b"\x12\x01\xff", headers=AS_PROTOBUF),
    Bad("a path that is not UTF-8", 400, ("workflow_id", "UTF-8"), told(), "/workflows/%FF"),
    Bad("a broken escape", 400, ("workflow_id", "percent"), told(), "/workflows/%4"),
    Bad("a query that is not UTF-8", 400, ("UTF-8",), path="/workflows?query=%FF", verb="GET"),
    Bad("an unknown parameter", 400, ("colour",), path="/workflows?colour=red", verb="GET"),
    Bad("a broken list query", 400, (), path="/workflows?query=WorkflowId%20%3D", verb="GET"),
    Bad("an unknown attribute", 400, ("Colour",), path="/workflows?query=Colour%3D1", verb="GET"),
    Bad("a foreign page token", 400, ("token",), path="/workflows?nextPageToken=aaaa", verb="GET"),
    Bad("a wait of no time", 400, ("timeout",), told(), START + "?timeout=0"),
    Bad("a wait that is no number", 400, ("timeout",), told(), START + "?timeout=long"),
    Bad("a broken deadline", 400, ("grpc-timeout",), told(), headers={"grpc-timeout": "5x"}),
    Bad("a body too large", 413, ("4194304",), b" " * (BODY_BYTES_MAX + 1)),
    Bad("another media type", 415, ("text/csv",), b"a,b", headers={"content-type": "text/csv"}),
    Bad("a packed body", 415, ("gzip",), told(), headers={"content-encoding": "gzip"}),
    Bad("another verb", 405, ("PUT",), told(), verb="PUT"),
    Bad("an unknown path", 404, ("/colours",), told(), "/colours"),
    Bad("no type", 400, ("workflow_type",), b'{"taskQueue": {"name": "orders"}}'),
    Bad("no queue", 400, ("task_queue",), b'{"workflowType": {"name": "Order"}}'),
    Bad("another namespace in the body", 400, ("namespace",), told(namespace=MISSING)),
    Bad("a missing namespace", 404, (MISSING,), told(), f"/api/v1/namespaces/{MISSING}{START}"),
    Bad("no namespace", 400, ("namespace",), told(), f"/{SERVICE}/StartWorkflowExecution"),
    Bad("a broken run id", 400, ("run_id",), b"", START + "?execution.runId=x", "GET"),
    Bad("a token of nobody", 400, ("task_token",), b'{"taskToken": "aaaa"}', "/activity-complete"),
    Bad("an RPC that is not served", 501, ("Update",), b"{}", START + "/update/x"),
]


async def send(shop: Program, bad: Bad, **headers: str) -> httpx.Response:
    is_absolute = bad.path.startswith(("/api/", "/temporal."))
    path = bad.path if is_absolute else shop.below(bad.path)
    merged = {**AS_JSON, **bad.headers, **headers}
    return await shop.http.request(bad.verb, path, content=bad.body, headers=merged)


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
async def test_bad_input_is_refused_with_words_that_help(
    shared: Product, access: Access, bad: Bad
) -> None:
    shop = program(shared, access)
    async with shop.http:
        answer = await send(shop, bad, accept="application/json")
        assert answer.status_code == bad.status, answer.text
        message = answer.json()["message"]
        for word in bad.says:
            assert word in message
        assert "Traceback" not in answer.text
        with pytest.raises(Refused, match="404"):
            await shop.history("refused")


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (
            Bad("a long id", 400, (), told(), "/workflows/" + "w" * (ID_BYTES_MAX + 1)),
            "workflow_id",
        ),
        (Bad("a large page", 400, (), path="/workflows?pageSize=1001", verb="GET"), "page_size"),
        (Bad("no queue", 400, (), b'{"workflowType": {"name": "Order"}}'), "task_queue.name"),
        (Bad("large input", 400, (), told(input=["x" * PAYLOAD_BYTES_MAX])), "input"),
    ],
)
async def test_what_a_cell_refuses_names_its_field_for_programs(
    shared: Product, access: Access, bad: Bad, field: str
) -> None:
    shop = program(shared, access)
    async with shop.http:
        answer = await send(shop, bad, accept="application/json")
    assert answer.status_code == bad.status
    (detail,) = answer.json()["details"]
    (violation,) = detail["fieldViolations"]
    assert violation == {"field": field, "description": answer.json()["message"]}


BROKEN = [
    (AS_JSON, NESTED),
    (AS_JSON, b"null"),
    (AS_JSON, b'{"namespace": {}}'),
    (AS_JSON, b'{"": 1}'),
    (AS_JSON, b"\0"),
    (AS_PROTOBUF, b"\xff\xff\xff"),
    (AS_PROTOBUF, b"\x0a\xff\xff\xff\xff\x0f"),
    (AS_PROTOBUF, random.Random(0).randbytes(64)),
]


async def test_no_method_breaks_on_a_broken_body(shared: Product, access: Access) -> None:
    shop = program(shared, access)
    served = [name for name, row in CATALOGUE.items() if row.plane is not Plane.NONE]
    assert served
    async with shop.http:
        for name in served:
            service, _, method = name.rpartition(".")
            for headers, body in BROKEN:
                path = f"/{service}/{method}?timeout=0.01"
                answer = await shop.http.post(path, content=body, headers=headers)
                is_fine = answer.is_success and body == b"null"
                assert is_fine or answer.status_code in (400, 404), (name, body, answer.text)


def payload_of(bytes_count: int) -> Payloads:
    """Payloads whose encoding has exactly this size."""
    payloads = Payloads(payloads=[Payload(data=b"x" * (bytes_count - 16))])
    payloads.payloads[0].data += b"x" * (bytes_count - payloads.ByteSize())
    assert payloads.ByteSize() == bytes_count
    return payloads


def id_of(bytes_count: int) -> str:
    """An id of so many bytes, most of its characters two bytes long."""
    return "ä" * (bytes_count // 2) + "a" * (bytes_count % 2)


def start_request(workflow_id: str, **fields: Any) -> w.StartWorkflowExecutionRequest:
    request = w.StartWorkflowExecutionRequest(workflow_id=workflow_id, **fields)
    request.workflow_type.name = request.workflow_type.name or "Order"
    request.task_queue.name = request.task_queue.name or workflow_id
    return request


async def running_activity(shop: Program, name: str) -> bytes:
    """The token of an activity of a new workflow, whose queue has its name."""
    await shop.ask(start_request(name))
    poll: Any = w.PollWorkflowTaskQueueRequest()
    poll.task_queue.name = name
    task = await shop.ask(poll)
    command = schedule_activity(start_to_close=timedelta(minutes=5))
    command.schedule_activity_task_command_attributes.task_queue.name = name
    await shop.ask(
        w.RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=[command])
    )
    poll = w.PollActivityTaskQueueRequest()
    poll.task_queue.name = name
    token: bytes = (await shop.ask(poll)).task_token
    return token


async def test_payloads_have_two_mebibytes_and_no_byte_more(
    shop: Program, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    token = await running_activity(shop, name)
    signal = w.SignalWorkflowExecutionRequest(signal_name="add")
    signal.workflow_execution.workflow_id = name
    completion = w.RespondActivityTaskCompletedRequest(task_token=token)
    for request_of, field in (
        (start_request(f"{name}-2"), "input"),
        (signal, "input"),
        (completion, "result"),
    ):
        getattr(request_of, field).CopyFrom(payload_of(PAYLOAD_BYTES_MAX + 1))
        with pytest.raises(Refused, match=f"400 .*{field}.* {PAYLOAD_BYTES_MAX} bytes"):
            await shop.ask(request_of)
    for size in (PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX):
        await shop.ask(start_request(f"{name}-{size}", input=payload_of(size)))
        signal.input.CopyFrom(payload_of(size))
        await shop.ask(signal)
    completion.result.CopyFrom(payload_of(PAYLOAD_BYTES_MAX))
    await shop.ask(completion)
    with pytest.raises(Refused, match="404"):
        await shop.history(f"{name}-2")
    events = await shop.history(name)
    signals = [e for e in events if e.HasField("workflow_execution_signaled_event_attributes")]
    sizes = [e.workflow_execution_signaled_event_attributes.input.ByteSize() for e in signals]
    assert sizes == [PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX]


@pytest.mark.parametrize(
    "field", ["workflow_id", "request_id", "workflow_type.name", "task_queue.name"]
)
async def test_ids_of_a_start_have_a_thousand_bytes_and_no_more(shop: Program, field: str) -> None:
    for bytes_count in (ID_BYTES_MAX - 1, ID_BYTES_MAX, ID_BYTES_MAX + 1):
        request = start_request(f"{field}-{bytes_count}-{len(shop.form)}")
        owner: Any = request
        *parents, name = field.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        tail = f"{len(shop.form)}"
        setattr(owner, name, id_of(bytes_count - len(tail)) + tail)
        if bytes_count <= ID_BYTES_MAX:
            assert (await shop.ask(request)).started
        else:
            with pytest.raises(Refused, match=f"400 .*{field}.* {ID_BYTES_MAX} bytes"):
                await shop.ask(request)


async def test_a_signal_name_has_a_thousand_bytes_and_no_more(
    shop: Program, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    await shop.ask(start_request(name))
    signal = w.SignalWorkflowExecutionRequest()
    signal.workflow_execution.workflow_id = name
    for bytes_count in (ID_BYTES_MAX - 1, ID_BYTES_MAX):
        signal.signal_name = id_of(bytes_count)
        await shop.ask(signal)
    signal.signal_name = id_of(ID_BYTES_MAX + 1)
    with pytest.raises(Refused, match=f"400 signal_name.* {ID_BYTES_MAX} bytes"):
        await shop.ask(signal)


async def test_a_foreign_token_is_as_good_as_an_invented_one(
    shop: Program, shared: Product, rival: Access, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    theirs = program(shared, rival)
    async with theirs.http:
        token = await running_activity(theirs, name)
        refusals = []
        for tried in (token, b"invented" * 8):
            with pytest.raises(Refused, match="400") as refused:
                await shop.ask(w.RespondActivityTaskCompletedRequest(task_token=tried))
            refusals.append(refused.value.message)
        assert refusals[0] == refusals[1]
        done = w.RespondActivityTaskCompletedRequest(task_token=token, result=text("ours"))
        await theirs.ask(done)


async def test_a_foreign_namespace_is_as_good_as_a_missing_one(
    shared: Product, access: Access, rival: Access
) -> None:
    shop = program(shared, access)
    async with shop.http:
        refusals = []
        for name in (rival.namespace, f"orders.{rival.namespace[::-1][:6]}"):
            path = f"/api/v1/namespaces/{name}/workflows"
            answer = await shop.http.get(path)
            assert answer.status_code == 404
            refusals.append(answer.text.replace(name, "…"))
            start = await shop.http.post(f"{path}/x", json=VALID)
            assert start.status_code == 404
        assert refusals[0] == refusals[1]


async def test_a_key_that_is_no_longer_valid_opens_nothing(shared: Product) -> None:
    access = await open_account(shared)
    path = f"/api/v1/namespaces/{access.namespace}/workflows"
    soon = datetime.now(UTC) + timedelta(seconds=1)
    expiring = await access.owner.post(
        "/api/v1/api-keys",
        {"name": "short", "account_permission": "read", "expires_at": soon.isoformat()},
    )
    async with shared.client(authorization=f"Bearer {expiring['token']}") as client:
        answer = await client.get(path)
        async with asyncio.timeout(EXPIRY_SECONDS_MAX):
            while answer.is_success:
                answer = await client.get(path)
        assert answer.status_code == 401
        assert "expired" in answer.json()["message"]
    revoked = await access.owner.post("/cloud/api-keys", {"spec": {"displayName": "ci"}})
    await access.owner.call("DELETE", f"/cloud/api-keys/{revoked['keyId']}")
    for token in (revoked["token"], "invented"):
        async with shared.client(authorization=f"Bearer {token}") as client:
            answer = await client.get(path)
            assert answer.status_code == 401
            assert answer.json()["message"]
    await access.owner.http.aclose()
