"""A cloud that follows a script: the real route table and JSON codec, answers made by the test."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from google.protobuf import json_format
from google.protobuf.message import Message as Protobuf
from google.protobuf.message_factory import GetMessageClass
from temporalio.api.cloud.cloudservice.v1 import service_pb2 as cloud_service_pb2
from temporalio.api.workflowservice.v1 import service_pb2

from api.transports.http_binding import bind
from api.transports.http_rule import Router, derive_routes
from api.transports.json_codec import JsonCodec
from perdure.client import Client
from perdure.converter import DataConverter
from perdure.exceptions import RPCStatusCode
from perdure.protojson import Message
from perdure.transport import Transport

SERVICES = (
    service_pb2.DESCRIPTOR.services_by_name["WorkflowService"],
    cloud_service_pb2.DESCRIPTOR.services_by_name["CloudService"],
)
METHODS = {method.full_name: method for service in SERVICES for method in service.methods}
ROUTER = Router(derive_routes(SERVICES))
CODEC = JsonCodec()
HTTP_OF_STATUS = {
    RPCStatusCode.INVALID_ARGUMENT: 400,
    RPCStatusCode.UNAUTHENTICATED: 401,
    RPCStatusCode.NOT_FOUND: 404,
    RPCStatusCode.ALREADY_EXISTS: 409,
    RPCStatusCode.RESOURCE_EXHAUSTED: 429,
    RPCStatusCode.UNAVAILABLE: 503,
}

Answer = Callable[[Message], Message | Awaitable[Any]]


class Refusal(Exception):
    """What an answer raises to refuse a call."""

    def __init__(self, status: RPCStatusCode, message: str = "", *details: Message) -> None:
        super().__init__(message)
        self.status = status
        self.details = list(details)


def _nothing(_: Message) -> Message:
    return {}


class Door:
    """Answers by method name, and what was called. A method without an answer gives `{}`.

    Requests are read by the product's own JSON codec and route table, so a wrong path, field name
    or enum fails the call. Tasks put into `workflow_tasks` and `activity_tasks` are polled.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {
            "PollWorkflowTaskQueue": self._poll_workflow_task,
            "PollActivityTaskQueue": lambda _: self.activity_tasks.get(),
        }
        self.workflow_tasks: asyncio.Queue[Message] = asyncio.Queue()
        self.sticky_tasks: asyncio.Queue[Message] = asyncio.Queue()
        self.activity_tasks: asyncio.Queue[Message] = asyncio.Queue()
        self.calls: dict[str, asyncio.Queue[Message]] = defaultdict(asyncio.Queue)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.waits: list[float] = []

    def client(self, converter: DataConverter | None = None, **options: Any) -> Client:
        """A client of this cloud; what it would wait for passes at once."""
        transport = Transport(
            "door.test",
            http_transport=httpx.MockTransport(self._answer),
            sleep=self._sleep,
            **options,
        )
        return Client(transport, "default", data_converter=converter, identity="tester")

    async def called(self, method: str) -> Message:
        """The request of the next call of this method, waiting for it."""
        return await self.calls[method].get()

    async def _poll_workflow_task(self, request: Message) -> Message:
        is_sticky = request["taskQueue"]["kind"] == "TASK_QUEUE_KIND_STICKY"
        return await (self.sticky_tasks if is_sticky else self.workflow_tasks).get()

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(request.content)
        path, _, query = request.url.raw_path.partition(b"?")
        match = ROUTER.match(request.method, path)
        assert match is not None, (request.method, path)
        method = METHODS[match.route.method_full_name]
        name = method.name
        message = bind(
            match,
            request.content,
            query,
            GetMessageClass(method.input_type),
            codec=CODEC,
            content_type=request.headers["content-type"],
        )
        fields = json_format.MessageToDict(message)
        self.calls[name].put_nowait(fields)
        try:
            answer = self.answers.get(name, _nothing)(fields)
            if not isinstance(answer, dict):
                answer = await answer
        except Refusal as refusal:
            status = {
                "code": refusal.status,
                "message": str(refusal),
                "details": refusal.details,
            }
            return httpx.Response(HTTP_OF_STATUS[refusal.status], json=status)
        reply: Protobuf = GetMessageClass(method.output_type)()
        json_format.ParseDict(answer, reply)
        return httpx.Response(200, content=CODEC.encode(reply, shorthand=False))
