"""The ways of a call into a cell: straight to the node, or through the HTTP door in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from functools import cache
from typing import Any
from urllib.parse import quote

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from temporalio.api.errordetails.v1 import (
    NamespaceNotFoundFailure,
    PermissionDeniedFailure,
    QueryFailedFailure,
    WorkflowExecutionAlreadyStartedFailure,
    WorkflowNotReadyFailure,
)

from api.asgi import HttpDoor
from api.authentication import Authenticator
from api.catalogue import SERVICES
from api.complete_tasks import offering_complete_tasks
from api.dispatch import Dispatcher
from api.errors import Code
from api.open_calls import OpenCalls
from api.transports.http_rule import Route, derive_routes
from api.transports.json_codec import JsonCodec
from engine import errors
from engine.call import Call
from engine.node import Node
from tenancy import NamespaceRef, Principal, PrincipalKind
from tests.api.world import owner, resume

NODE, HTTP_JSON, HTTP_PROTOBUF = "node", "http-json", "http-protobuf"
WAYS = (NODE, HTTP_JSON, HTTP_PROTOBUF)

ACCOUNT_ID = "acme"
ERRORS_BY_CODE: dict[int, type[errors.EngineError]] = {
    Code.INVALID_ARGUMENT: errors.InvalidArgument,
    Code.NOT_FOUND: errors.NotFound,
    Code.ALREADY_EXISTS: errors.AlreadyExists,
    Code.FAILED_PRECONDITION: errors.FailedPrecondition,
    Code.PERMISSION_DENIED: errors.PermissionDenied,
    Code.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    Code.UNAVAILABLE: errors.Unavailable,
    Code.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    Code.UNIMPLEMENTED: errors.Unimplemented,
    Code.DATA_LOSS: errors.DataLoss,
    Code.INTERNAL: errors.Internal,
}


class Doorway:
    """One HTTP door for all tests of a process: whoever calls says which node is behind it."""

    def __init__(self) -> None:
        self._node: Node | None = None
        self._codec = JsonCodec()
        self._paths = _published_paths()
        cell = offering_complete_tasks(self._cell)
        self._dispatcher = Dispatcher(
            cells=lambda _: cell, control=self._control, namespaces=_namespace
        )
        self._door = HttpDoor(
            dispatcher=self._dispatcher,
            authenticator=Authenticator(keys=_principal, sessions=resume),
            open_calls=OpenCalls(),
        )

    async def call(
        self,
        node: Node,
        method: str,
        request: Any,
        call: Call,
        *,
        way: str,
        answer: type[Message],
    ) -> bytes:
        """The serialized answer. Raises the engine's own error for what the door refused."""
        self._node = node
        request.namespace = call.namespace
        if way == HTTP_JSON:
            path, body = self._path(method, request), self._codec.encode(request)
            content_type = b"application/json"
        else:
            path, body = _plain_path(method), request.SerializeToString()
            content_type = b"application/x-protobuf"
        headers = [
            (b"authorization", b"Bearer owner"),
            (b"content-type", content_type),
            (b"grpc-timeout", b"%dm" % (call.timeout_seconds * 1000)),
        ]
        status, body = await self._exchange(path, headers, body)
        if way == HTTP_JSON:
            kind = answer if status == 200 else Status
            body = self._codec.decode(body, kind).SerializeToString()
        if status != 200:
            raise engine_error(Status.FromString(body))
        return body

    async def _exchange(
        self, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, bytes]:
        """As a server does it: the call has its own task, and learns by `receive` who left."""
        left = asyncio.Event()
        sent: list[MutableMapping[str, Any]] = []
        unread = [{"type": "http.request", "body": body}]

        async def receive() -> MutableMapping[str, Any]:
            if unread:
                return unread.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
        }
        serving = asyncio.get_running_loop().create_task(self._door(scope, receive, send))
        try:
            await asyncio.shield(serving)
        finally:
            left.set()
        start, content = sent
        return start["status"], content["body"]

    async def _cell(self, method: str, request: bytes, call: Call) -> bytes:
        assert self._node is not None
        return await self._node.call(method, request, call)

    async def _control(self, method: str, request: Message, principal: Principal) -> Message:
        raise AssertionError(f"{method} is not for a cell")

    def _path(self, method: str, request: Any) -> str:
        """The published path, where the request has all that it needs."""
        route = self._paths.get(method)
        values = [] if route is None else [_value(request, name) for name in route.path_fields]
        if route is None or not all(values):
            return _plain_path(method)
        path = route.template
        for name, value in zip(route.path_fields, values, strict=True):
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return path


@cache
def doorway() -> Doorway:
    """Made when the first test needs it: routes and converters cost more than a test."""
    return Doorway()


def engine_error(status: Status) -> errors.EngineError:
    """What the node must have raised for the door to answer this."""
    message, detail = status.message, status.details[0] if status.details else None
    if detail is not None:
        if detail.Is(NamespaceNotFoundFailure.DESCRIPTOR):
            return errors.NamespaceNotFound(message)
        if detail.Is(WorkflowNotReadyFailure.DESCRIPTOR):
            return errors.WorkflowNotReady(message)
        if detail.Is(PermissionDeniedFailure.DESCRIPTOR):
            return errors.PermissionDenied(message)
        if detail.Is(QueryFailedFailure.DESCRIPTOR):
            failed = QueryFailedFailure.FromString(detail.value)
            return errors.QueryFailed(message, failed.failure.SerializeToString())
        if detail.Is(WorkflowExecutionAlreadyStartedFailure.DESCRIPTOR):
            taken = WorkflowExecutionAlreadyStartedFailure.FromString(detail.value)
            return errors.WorkflowAlreadyStarted(
                message, taken.start_request_id, taken.run_id, taken.first_execution_run_id
            )
    return ERRORS_BY_CODE[status.code](message)


def _published_paths() -> dict[str, Route]:
    """For each method its path below a namespace that takes the whole request as its body."""
    paths: dict[str, Route] = {}
    for route in derive_routes(SERVICES):
        if route.verb == "POST" and route.body == "*" and route.template.startswith("/api/v1/"):
            paths.setdefault(route.method_full_name, route)
    return paths


def _plain_path(method: str) -> str:
    service, _, name = method.rpartition(".")
    return f"/{service}/{name}"


def _value(request: Any, field: str) -> str:
    for name in field.split("."):
        request = getattr(request, name)
    return str(request)


def _namespace(full_name: str) -> NamespaceRef:
    namespace_id, _, account_id = full_name.rpartition(".")
    return NamespaceRef(account_id, namespace_id, namespace_id, "cell-1", 1)


def _principal(_key: str) -> Principal:
    return owner(PrincipalKind.API_KEY, "owner", ACCOUNT_ID)
