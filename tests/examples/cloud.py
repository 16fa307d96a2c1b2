"""A cloud in this process for the examples: a cell in memory behind the HTTP door on a real port.

Its time can be skipped: the node stops, the clock moves, and a new node finds what is due.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NoReturn

import uvicorn
from google.protobuf.message import Message

from api.asgi import HttpDoor
from api.authentication import Authenticator
from api.dispatch import Dispatcher
from api.open_calls import OpenCalls
from engine.call import Call
from engine.env.system import SystemEnv
from engine.errors import Unavailable
from engine.node import Node, NodeConfig
from engine.persistence.memory import MemoryStore
from engine.protocol.cell_pb2 import PutNamespaceRequest
from perdure import Client
from perdure.client import WorkflowHandle
from tenancy import NamespaceRef, Permission, Principal, PrincipalKind, Visit

NAMESPACE = NamespaceRef("acme", "ns-1", "examples", "cell-1", 1)
API_KEY = "a-key"
CALLER = Principal(PrincipalKind.API_KEY, "key-1", "acme", grants={NAMESPACE.id: Permission.WRITE})
CONFIG = NodeConfig(shard_count=4, sealing_keys={1: bytes(32)}, sealing_key_active=1)
PUT_NAMESPACE = "perdure.api.v1.CellService.PutNamespace"


class SkippingEnv(SystemEnv):
    """The real world, some days ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns


class NoPeer:
    """The cell has one node."""

    async def call(self, node: str, method: str, payload: bytes) -> NoReturn:
        raise Unavailable


class Cloud:
    """One namespace, one key, one node at a time."""

    def __init__(self) -> None:
        self.env = SkippingEnv()
        self.port = 0
        self._store = MemoryStore()
        self._node: Node | None = None
        self._is_up = asyncio.Event()
        self._answers: set[asyncio.Future[bytes]] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> Client:
        """A client, as a program of a customer's has it."""
        return await Client.connect(self.address, namespace=NAMESPACE.full_name, api_key=API_KEY)

    async def skip(self, time: timedelta) -> None:
        """Let this much time pass while the cell is down."""
        await self.stop_node()
        self.env.ahead_ns += int(time.total_seconds()) * 1_000_000_000
        await self.start_node()

    async def start_node(self) -> None:
        node = Node("node", self.env, self._store, NoPeer(), CONFIG)
        await node.start()
        while not node.is_ready:
            await self.env.sleep(0.01)
        request = PutNamespaceRequest(id=NAMESPACE.id, name=NAMESPACE.full_name)
        request.workflow_execution_retention.FromTimedelta(timedelta(days=400))
        call = Call(NAMESPACE.id, NAMESPACE.full_name)
        await node.call(PUT_NAMESPACE, request.SerializeToString(), call)
        self._node = node
        self._is_up.set()

    async def stop_node(self) -> None:
        self._is_up.clear()
        if self._node is not None:
            for answer in self._answers:
                answer.cancel()
            await self._node.stop()

    async def cell(self, method: str, request: bytes, call: Call) -> bytes:
        """Callers do not notice that a node stops: what it leaves unanswered asks the next one."""
        while True:
            await self._is_up.wait()
            assert self._node is not None
            answer = asyncio.ensure_future(self._node.call(method, request, call))
            self._answers.add(answer)
            try:
                await asyncio.wait({answer})
            finally:
                answer.cancel()
                self._answers.discard(answer)
            if not answer.cancelled():
                return answer.result()

    def door(self) -> HttpDoor:
        return HttpDoor(
            dispatcher=Dispatcher(
                cells=lambda _: self.cell, control=_nobody, namespaces=lambda _: NAMESPACE
            ),
            authenticator=Authenticator(
                keys=lambda _: CALLER, sessions=_no_session, key_used=_ignore
            ),
            open_calls=OpenCalls(),
        )


async def _nobody(method: str, request: Message, principal: Principal) -> NoReturn:
    raise AssertionError(f"no example asks the control plane for {method}")


async def _no_session(token: str) -> Visit:
    raise AssertionError("no example has a session")


def _ignore(*_: object) -> None:
    """Audit and last use are not what the examples are about."""


@asynccontextmanager
async def running_cloud() -> AsyncIterator[Cloud]:
    """A cloud on a free port of this machine."""
    cloud = Cloud()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        cloud.port = listening.getsockname()[1]
        config = uvicorn.Config(
            cloud.door(), lifespan="off", log_level="critical", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        await cloud.start_node()
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield cloud
        finally:
            await cloud.stop_node()
            server.should_exit = True
            await serving


async def until(handle: WorkflowHandle, event_type: str, count: int = 1) -> None:
    """Wait until a workflow's history has so many events of a type."""
    seen = 0
    async for event in handle.fetch_history_events(wait_new_event=True):
        seen += event["eventType"] == f"EVENT_TYPE_{event_type}"
        if seen == count:
            return
    raise AssertionError(f"{handle.id} closed with {seen} of {count} {event_type}")
