"""A door with everything behind it replaced: two accounts, their keys, and a scripted cell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from temporalio.api.cloud.cloudservice.v1 import GetNamespacesResponse

from api.asgi import ASGIApp, HttpDoor
from api.authentication import Authenticator
from api.catalogue import METHODS
from api.dispatch import Dispatcher
from api.open_calls import OpenCalls
from engine.call import Call
from tenancy import (
    AccountRole,
    Act,
    NamespaceRef,
    NotFound,
    Permission,
    Principal,
    PrincipalKind,
    Unauthenticated,
    UnauthenticatedReason,
    Visit,
)

ORDERS = NamespaceRef("acme", "id-orders", "orders", "cell-1", 1)
BILLING = NamespaceRef("acme", "id-billing", "billing", "cell-1", 1)
FOREIGN = NamespaceRef("rival", "id-foreign", "orders", "cell-1", 1)
CSRF_TOKEN = "csrf-1"
PROTOBUF = {"content-type": "application/x-protobuf"}

Script = Callable[[bytes, Call], Awaitable[bytes]]


def key(id: str, **grants: Permission) -> Principal:
    """A scoped key of the account acme."""
    return Principal(PrincipalKind.API_KEY, id, "acme", grants=grants)


def owner(kind: PrincipalKind, id: str, account_id: str) -> Principal:
    return Principal(
        kind,
        id,
        account_id,
        account_role=AccountRole.OWNER,
        account_permission=Permission.ADMIN,
        user_id=id,
    )


KEYS = {
    "owner": owner(PrincipalKind.API_KEY, "owner", "acme"),
    "rival": owner(PrincipalKind.API_KEY, "rival", "rival"),
    "worker": key("worker", **{ORDERS.id: Permission.WORKER}),
    "reader": key("reader", **{ORDERS.id: Permission.READ}),
    "writer": key("writer", **{ORDERS.id: Permission.WRITE}),
    "finance": Principal(
        PrincipalKind.API_KEY, "finance", "acme", account_role=AccountRole.FINANCE_ADMIN
    ),
}


@dataclass
class World:
    """`answers` are what the cell does, by the method's short name; `calls` what it was asked."""

    answers: dict[str, Script] = field(default_factory=dict)
    calls: list[tuple[str, bytes, Call]] = field(default_factory=list)
    controlled: list[tuple[str, Message, Principal]] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    keys: dict[str, Principal] = field(default_factory=lambda: dict(KEYS))
    used: list[str] = field(default_factory=list)
    open_calls: OpenCalls = field(default_factory=OpenCalls)

    def door(self, fallback: ASGIApp | None = None, **more: Any) -> HttpDoor:
        return HttpDoor(
            dispatcher=Dispatcher(
                cells=lambda _: self.cell,
                control=self.control,
                namespaces=resolve,
                audit=self.audit,
            ),
            authenticator=Authenticator(
                keys=self.principal, sessions=resume, key_used=self.used.append
            ),
            open_calls=self.open_calls,
            fallback=fallback,
            **more,
        )

    def client(self, key: str | None = "owner", **more: Any) -> httpx.AsyncClient:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(self.door(**more), raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url="http://door", headers=headers)

    async def cell(self, method: str, request: bytes, call: Call) -> bytes:
        self.calls.append((method, request, call))
        answer = self.answers.get(method.rpartition(".")[2])
        return b"" if answer is None else await answer(request, call)

    async def control(self, method: str, request: Message, principal: Principal) -> Message:
        self.controlled.append((method, request, principal))
        if method.endswith(".GetNamespaces"):
            return GetNamespacesResponse(next_page_token="next")
        return GetMessageClass(METHODS[method].output_type)()

    @asynccontextmanager
    async def audit(self, act: Act) -> AsyncIterator[None]:
        yield
        self.acts.append(act)

    def principal(self, text: str) -> Principal:
        if text not in self.keys:
            raise Unauthenticated(UnauthenticatedReason.UNKNOWN_KEY)
        return self.keys[text]


def resolve(full_name: str) -> NamespaceRef:
    for namespace in (ORDERS, BILLING, FOREIGN):
        if namespace.full_name == full_name:
            return namespace
    raise NotFound("namespace", full_name)


async def resume(token: str) -> Visit:
    if token != "session-1":
        raise Unauthenticated(UnauthenticatedReason.NO_SESSION)
    return Visit("session-1", owner(PrincipalKind.USER, "ada", "acme"), CSRF_TOKEN)


def answering(response: Message) -> Script:
    """A cell that answers at once."""

    async def answer(_request: bytes, _call: Call) -> bytes:
        return response.SerializeToString()

    return answer


def refusing(error: Exception) -> Script:
    async def answer(_request: bytes, _call: Call) -> bytes:
        raise error

    return answer


@dataclass
class Parked:
    """A cell that waits until it is cancelled, and says when it began and how it ended."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _request: bytes, _call: Call) -> bytes:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return b""
