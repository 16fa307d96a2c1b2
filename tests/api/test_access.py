"""Who reaches what: credentials, roles, namespaces, and what strangers can find out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from temporalio.api.cloud.cloudservice.v1 import GetNamespacesRequest

from api.authentication import RECENT_KEY_SECONDS, SESSION_COOKIE, Authenticator
from api.catalogue import CATALOGUE, Plane
from api.transports.errors import AuditLogFull
from engine.call import Call
from engine.errors import NotFound
from tenancy import AccountRole, Act, AuditResult, Principal, PrincipalKind, Unauthenticated
from tests.api.world import CSRF_TOKEN, KEYS, ORDERS, World, owner, refusing, resume

ROOT = "/api/v1/namespaces/orders.acme"
START = f"{ROOT}/workflows/order-7"
POLL = f"{ROOT}/task-queues/q/poll-workflow-task"
DENIED = AuditResult.DENIED


async def status(world: World, key: str | None, verb: str, path: str) -> int:
    async with world.client(key) as client:
        return (await client.request(verb, path)).status_code


@pytest.mark.parametrize(
    ("key", "start", "poll", "history", "describe_namespace"),
    [
        ("owner", 200, 200, 200, 200),
        ("writer", 200, 200, 200, 200),
        ("worker", 403, 200, 200, 200),
        ("reader", 403, 403, 200, 200),
        ("finance", 403, 403, 403, 403),
        ("rival", 404, 404, 404, 404),
        ("forged", 401, 401, 401, 401),
        (None, 401, 401, 401, 401),
    ],
)
async def test_a_key_does_what_its_permission_allows(
    key: str | None, start: int, poll: int, history: int, describe_namespace: int
) -> None:
    world = World()
    assert await status(world, key, "POST", START) == start
    assert await status(world, key, "POST", POLL) == poll
    assert await status(world, key, "GET", f"{START}/history") == history
    assert await status(world, key, "GET", ROOT) == describe_namespace
    assert len(world.calls) == [start, poll, history, describe_namespace].count(200)


async def test_a_call_names_its_namespace_by_id_and_its_caller() -> None:
    world = World()
    assert await status(world, "worker", "POST", POLL) == 200
    method, _, call = world.calls[0]
    assert method == "temporal.api.workflowservice.v1.WorkflowService.PollWorkflowTaskQueue"
    assert (call.namespace_id, call.namespace) == (ORDERS.id, "orders.acme")
    assert (call.principal, call.timeout_seconds) == ("worker", 60)


def told(answer: httpx.Response) -> Any:
    """What an answer tells, apart from the name that was asked for."""
    headers = {k: v for k, v in answer.headers.items() if k not in ("x-request-id",)}
    asked = answer.request.url.path.split("/")[4]
    return answer.status_code, answer.text.replace(asked, "…"), headers.keys()


@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_a_foreign_namespace_looks_like_a_missing_one(verb: str) -> None:
    world = World()
    for key in ("rival", "worker", "finance"):
        own = "orders.rival" if key != "rival" else "orders.acme"
        async with world.client(key) as client:
            foreign = await client.request(verb, f"/api/v1/namespaces/{own}/workflows/w")
            missing = await client.request(verb, "/api/v1/namespaces/nothing.acme/workflows/w")
        assert told(foreign) == told(missing)
        assert foreign.status_code == 404
    assert not world.calls
    assert not world.acts


async def test_a_scoped_key_cannot_see_the_other_namespaces_of_its_account() -> None:
    path = "/api/v1/namespaces/billing.acme/workflows/w"
    assert await status(World(), "worker", "GET", path) == 404


async def test_a_namespace_in_the_body_has_to_be_the_one_of_the_path() -> None:
    world = World()
    async with world.client() as client:
        both = await client.post(START, json={"namespace": "billing.acme"})
        alone = await client.post(
            "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution",
            json={"namespace": "billing.acme"},
        )
        none = await client.post(
            "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution", json={}
        )
    assert (both.status_code, alone.status_code, none.status_code) == (400, 200, 400)
    assert none.json()["message"].startswith("namespace: is missing")
    assert [call.namespace for _, _, call in world.calls] == ["billing.acme"]


@pytest.mark.parametrize(("named", "expected"), [("orders.acme", 200), ("billing.acme", 400)])
async def test_a_namespace_in_a_header_has_to_agree(named: str, expected: int) -> None:
    async with World().client() as client:
        answer = await client.post(START, headers={"temporal-namespace": named})
    assert answer.status_code == expected


async def test_a_command_into_another_namespace_reaches_no_cell() -> None:
    world = World()
    command = {"startChildWorkflowExecutionCommandAttributes": {"namespace": "orders.rival"}}
    async with world.client() as client:
        answer = await client.post(f"{ROOT}/workflow-task-complete", json={"commands": [command]})
    assert answer.status_code == 400
    violation = answer.json()["details"][0]["fieldViolations"][0]
    assert violation["field"].startswith("commands[0].startChild")
    assert world.calls == []


async def test_what_is_not_offered_says_so_to_those_who_may_ask() -> None:
    world = World()
    path = "/cloud/connectivity-rules"
    assert await status(world, "reader", "GET", path) == 501
    assert await status(world, None, "GET", path) == 401
    assert not world.calls
    assert not world.controlled


async def test_every_served_call_is_closed_to_strangers() -> None:
    async with World().client(None) as client:
        for name, row in CATALOGUE.items():
            service, _, method = name.rpartition(".")
            answer = await client.post(f"/{service}/{method}", json={})
            is_public = row.plane is Plane.CELL and "public" in row.access
            assert answer.status_code == (200 if is_public else 401), name


async def test_the_control_plane_gets_the_message_and_the_caller() -> None:
    world = World()
    async with world.client("reader") as client:
        answer = await client.get("/cloud/namespaces", params={"pageSize": 3})
    assert answer.json() == {"nextPageToken": "next"}
    method, request, principal = world.controlled[0]
    assert method.endswith("CloudService.GetNamespaces")
    assert isinstance(request, GetNamespacesRequest)
    assert (request.page_size, principal.id) == (3, "reader")


async def test_an_account_call_needs_an_account_role() -> None:
    world = World()
    assert await status(world, "worker", "POST", "/cloud/namespaces") == 403
    assert await status(world, "worker", "GET", "/cloud/account") == 403
    assert await status(world, "finance", "GET", "/cloud/account") == 200
    assert await status(world, "owner", "POST", "/cloud/namespaces") == 200
    assert [(act.action, act.result) for act in world.acts] == [
        ("CreateNamespace", DENIED),
        ("GetAccount", DENIED),
    ]


@pytest.mark.parametrize(("key", "expected"), [("owner", 200), ("finance", 200), ("auditor", 403)])
async def test_usage_is_for_those_who_pay_and_a_denial_is_audited(key: str, expected: int) -> None:
    reader = Principal(PrincipalKind.USER, "auditor", "acme", account_role=AccountRole.READ)
    world = World(keys={**KEYS, "auditor": reader})
    assert await status(world, key, "GET", "/cloud/usage") == expected
    denials = [(act.actor.id, act.action, act.result) for act in world.acts]
    assert denials == ([] if expected == 200 else [(key, "GetUsage", DENIED)])
    assert len(world.controlled) == (expected == 200)


async def test_acts_and_denials_are_audited_and_failures_are_not() -> None:
    world = World()
    terminate = f"{ROOT}/workflows/w/terminate"
    assert await status(world, "writer", "POST", terminate) == 200
    assert await status(world, "worker", "POST", terminate) == 403
    world.answers["TerminateWorkflowExecution"] = refusing(NotFound())
    assert await status(world, "writer", "POST", terminate) == 404
    assert [(a.actor.id, a.action, a.target_ids, a.result) for a in world.acts] == [
        ("writer", "TerminateWorkflowExecution", (ORDERS.id, "w"), AuditResult.ACCEPTED),
        ("worker", "TerminateWorkflowExecution", (ORDERS.id,), DENIED),
    ]


async def test_a_persons_signals_are_audited_and_a_programs_are_not() -> None:
    ada = owner(PrincipalKind.USER, "ada", "acme")
    world = World(keys={**KEYS, "ada": ada})
    for key in ("ada", "writer"):
        for verb in ("signal", "signal-with-start"):
            assert await status(world, key, "POST", f"{ROOT}/workflows/w/{verb}/add") == 200
        assert await status(world, key, "POST", START) == 200
    assert [(act.actor.id, act.action, act.target_ids) for act in world.acts] == [
        ("ada", "SignalWorkflowExecution", (ORDERS.id, "w")),
        ("ada", "SignalWithStartWorkflowExecution", (ORDERS.id, "w")),
    ]


async def test_an_act_is_answered_once_its_record_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    asked, is_written = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def audit(_act: Act) -> AsyncIterator[None]:
        yield
        asked.set()
        await is_written.wait()

    monkeypatch.setattr(world, "audit", audit)
    terminating = asyncio.create_task(status(world, "writer", "POST", f"{START}/terminate"))
    await asked.wait()
    assert not terminating.done()
    is_written.set()
    assert await terminating == 200


@pytest.mark.parametrize("key", ["writer", "worker"])
async def test_what_cannot_be_recorded_is_neither_done_nor_denied(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    world = World()

    def audit(_act: Act) -> AbstractAsyncContextManager[None]:
        raise AuditLogFull

    monkeypatch.setattr(world, "audit", audit)
    async with world.client(key) as client:
        refused = await client.post(f"{START}/terminate")
        polled = await client.post(POLL)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "audit log" in refused.json()["message"]
    assert polled.status_code == 200
    assert [method.rpartition(".")[2] for method, _, _ in world.calls] == ["PollWorkflowTaskQueue"]


async def test_a_caller_who_leaves_at_once_leaves_a_record_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    asked, goes_on, is_written = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(_request: bytes, _call: Call) -> bytes:
        asked.set()
        await goes_on.wait()
        return b""

    @asynccontextmanager
    async def audit(_act: Act) -> AsyncIterator[None]:
        yield
        is_written.set()

    world.answers["TerminateWorkflowExecution"] = answer
    monkeypatch.setattr(world, "audit", audit)
    terminating = asyncio.create_task(status(world, "writer", "POST", f"{START}/terminate"))
    await asked.wait()
    terminating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await terminating
    goes_on.set()
    await is_written.wait()


async def session_status(verb: str, path: str, **headers: str) -> int:
    cookie = f"theme=dark; {SESSION_COOKIE}=session-1"
    async with World().client(None) as client:
        return (await client.request(verb, path, headers={"cookie": cookie, **headers})).status_code


async def test_a_session_reads_by_its_cookie_and_writes_with_its_token() -> None:
    assert await session_status("GET", f"{START}/history") == 200
    assert await session_status("POST", START) == 403
    assert await session_status("POST", START, **{"x-csrf-token": "guess"}) == 403
    assert await session_status("POST", START, **{"x-csrf-token": CSRF_TOKEN}) == 200
    ended = {"cookie": f"{SESSION_COOKIE}=other"}
    assert await session_status("GET", f"{START}/history", **ended) == 401


async def test_a_credential_of_another_kind_is_refused() -> None:
    async with World().client(None) as client:
        answer = await client.get(START, headers={"authorization": "Basic YTpi"})
    assert answer.status_code == 400
    assert "Bearer" in answer.json()["message"]


async def test_an_accepted_key_is_looked_up_again_soon_enough() -> None:
    at, world = [0.0], World()
    authenticator = Authenticator(
        keys=world.principal, sessions=resume, key_used=world.used.append, monotonic=lambda: at[0]
    )
    header = {b"authorization": b"Bearer worker"}
    assert await authenticator.authenticate(header, is_write=True) is KEYS["worker"]
    del world.keys["worker"]
    at[0] += RECENT_KEY_SECONDS - 0.01
    assert await authenticator.authenticate(header, is_write=True) is KEYS["worker"]
    assert world.used == ["worker"]
    at[0] += 0.01
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(header, is_write=True)
