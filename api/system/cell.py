"""The system cell, and the client that speaks to it as customers speak to theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from google.protobuf.message import Message

from api.asgi import HttpDoor
from api.authentication import Authenticator
from api.cells import NODE, LocalCell, LonePeer
from api.dispatch import CellRpc, Dispatcher
from api.installation import Installation
from api.open_calls import OpenCalls
from api.system.direct import Direct
from api.transports.errors import NotServed
from engine.call import Call
from engine.env import Env
from engine.handlers.handler import CELL_SERVICE
from engine.node import Node, NodeConfig
from engine.persistence.protocols import Store
from engine.protocol.cell_pb2 import PutNamespaceRequest
from perdure import Client
from perdure.transport import Transport
from tenancy import NamespaceRef, NotFound, Principal, Visit, system_principal

SYSTEM_ACCOUNT = "perdure"
"""Longer than any account id."""

NAMESPACE = "perdure-system"
"""Has no account in its name, as each of a tenant's has."""

SHARD_COUNT = 1
RETENTION_DAYS = 90
CALL_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.02
READY_SECONDS_MAX = 30.0


@asynccontextmanager
async def open_system_cell(
    installation: Installation, store: Store, env: Env
) -> AsyncIterator[LocalCell]:
    """A cell that answers, with the one namespace that it has. Raises StoreError, TimeoutError."""
    secrets = installation.secrets
    config = NodeConfig(SHARD_COUNT, secrets.sealing_keys, secrets.sealing_key_active)
    peer = LonePeer()
    peer.node = node = Node(NODE, env, store, peer, config)
    try:
        await node.start()
        async with asyncio.timeout(READY_SECONDS_MAX):
            while not node.is_ready:  # noqa: ASYNC110 - only while it starts
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
            await _put_namespace(node.call)
        yield LocalCell(node, None)
    finally:
        await node.stop()


async def _put_namespace(call: CellRpc) -> None:
    request = PutNamespaceRequest(id=NAMESPACE, name=NAMESPACE)
    request.workflow_execution_retention.FromTimedelta(timedelta(days=RETENTION_DAYS))
    about = Call("", "", "control-plane", CALL_SECONDS)
    await call(CELL_SERVICE + "PutNamespace", request.SerializeToString(), about)


def system_client(call: CellRpc) -> Client:
    """Its door listens nowhere and knows one namespace and one caller: this process."""
    principal = system_principal(SYSTEM_ACCOUNT, "control-plane")
    door = HttpDoor(
        dispatcher=Dispatcher(cells=lambda _: call, control=_no_control_plane, namespaces=_resolve),
        authenticator=Authenticator(keys=lambda _key: principal, sessions=_no_session),
        open_calls=OpenCalls(),
    )
    transport = Transport("http://system", api_key="in-process", http_transport=Direct(door))
    return Client(transport, NAMESPACE, identity=principal.id)


def _resolve(name: str) -> NamespaceRef:
    if name != NAMESPACE:
        raise NotFound("namespace", name)
    return NamespaceRef(SYSTEM_ACCOUNT, NAMESPACE, NAMESPACE, "system", generation=1)


async def _no_control_plane(method: str, _request: Message, _caller: Principal) -> Message:
    raise NotServed(method)


async def _no_session(token: str) -> Visit:
    raise NotFound("session", token)
