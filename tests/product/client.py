"""A customer's programs: every call is a published message, in protobuf or in JSON."""

from __future__ import annotations

import asyncio
import base64
import itertools
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import temporalio.api.workflowservice.v1 as w
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.history.v1 import HistoryEvent

from tests.control.visitor import PASSWORD, Visitor
from tests.product.server import LOOK_AGAIN_SECONDS, READY_SECONDS_MAX, Product

PROTOBUF = "application/x-protobuf"
JSON = "application/json+no-payload-shorthand"
SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
UNKNOWN_OUTCOMES = frozenset((503, 504))
CLOSE_EVENT = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT

_numbers = itertools.count(1)


class Refused(Exception):
    """The service answered with an error: nothing took place."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


class Lost(Exception):
    """No answer, or "try again": whether the call took place is not known."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a program needs besides the address. `owner` is logged in, as a browser is."""

    namespace: str
    key: str
    owner: Visitor


@dataclass(frozen=True, slots=True)
class Program:
    """Calls in one namespace. `form` is the content type of both ways."""

    http: httpx.AsyncClient
    namespace: str
    form: str = PROTOBUF

    async def ask(self, request: Any, timeout_seconds: float | None = None) -> Any:
        """The answer of the workflow service's method that takes this message."""
        name = type(request).__name__.removesuffix("Request")
        request.namespace = self.namespace
        timeout = "" if timeout_seconds is None else f"?timeout={timeout_seconds}"
        return await self.post(f"/{SERVICE}/{name}{timeout}", request)

    async def post(self, path: str, request: Message) -> Any:
        """POST a message to a path; the answer is the method's response."""
        if self.form == JSON:
            body = json_format.MessageToJson(request, indent=None).encode()
        else:
            body = request.SerializeToString()
        return await self._call("POST", path, type(request).__name__, body)

    async def get(self, path: str, request: type[Message], **query: str) -> Any:
        """GET a path below the namespace."""
        return await self._call("GET", self.below(path), request.__name__, b"", query)

    async def post_below(self, path: str, request: Message) -> Any:
        return await self.post(self.below(path), request)

    def below(self, path: str) -> str:
        return f"/api/v1/namespaces/{quote(self.namespace, safe='')}{path}"

    async def history(self, workflow_id: str, run_id: str = "") -> list[HistoryEvent]:
        request = w.GetWorkflowExecutionHistoryRequest()
        request.execution.workflow_id, request.execution.run_id = workflow_id, run_id
        events: list[HistoryEvent] = []
        while True:
            answer = await self.ask(request)
            events += answer.history.events
            request.next_page_token = answer.next_page_token
            if not answer.next_page_token:
                return events

    async def close_event(self, workflow_id: str, run_id: str = "") -> HistoryEvent:
        """Wait for the event that closes the run."""
        path = f"/workflows/{quote(workflow_id, safe='')}/history"
        query = {"execution.runId": run_id, "waitNewEvent": "true"}
        query["historyEventFilterType"] = str(CLOSE_EVENT)
        while True:
            answer = await self.get(path, w.GetWorkflowExecutionHistoryRequest, **query)
            if answer.history.events:
                event: HistoryEvent = answer.history.events[-1]
                return event
            query["nextPageToken"] = base64.b64encode(answer.next_page_token).decode()

    async def _call(
        self,
        verb: str,
        path: str,
        request_name: str,
        body: bytes,
        query: dict[str, str] | None = None,
    ) -> Any:
        headers = {"accept": self.form}
        if body:
            headers["content-type"] = self.form
        try:
            told = await self.http.request(verb, path, content=body, headers=headers, params=query)
        except httpx.TransportError as error:
            raise Lost(type(error).__name__) from None
        if not told.is_success:
            problem = self._read(told.content, Status).message
            if told.status_code in UNKNOWN_OUTCOMES:
                raise Lost(problem)
            raise Refused(told.status_code, problem)
        return self._read(
            told.content, getattr(w, request_name.removesuffix("Request") + "Response")
        )

    def _read(self, body: bytes, answer: type[Message]) -> Any:
        if self.form == JSON:
            return json_format.Parse(body, answer())
        return answer.FromString(body)


class Opened(Protocol):
    """A cloud that answers somewhere."""

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A client of its API."""


async def open_account(product: Opened, name: str = "orders") -> Access:
    """Sign up, make a namespace and a key, as any customer would."""
    owner = Visitor(product.client(), email=f"ada-{next(_numbers)}@example.com")
    told = await owner.post("/api/v1/sign-up", {"email": owner.email, "password": PASSWORD})
    owner.http.headers["X-CSRF-Token"] = told["csrf_token"]
    owner.account_id = told["account_id"]
    return Access(await owner.namespace(name), await owner.key(), owner)


async def control_plane_answers(owner: Visitor) -> None:
    """Wait until it does: a frontend is ready, and serves workflows, without it."""
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            told = await owner.call("GET", "/cloud/current-identity")
            if told.status_code not in UNKNOWN_OUTCOMES:
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


def program(product: Product, access: Access, form: str = PROTOBUF) -> Program:
    http = product.client(authorization=f"Bearer {access.key}")
    return Program(http, access.namespace, form)
