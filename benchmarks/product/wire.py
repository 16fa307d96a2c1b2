"""The product's public HTTP wire: Temporal API messages as protobuf."""

from __future__ import annotations

import base64
from typing import TypeVar
from urllib.parse import quote

from google.protobuf.message import Message
from temporalio.api.common.v1.message_pb2 import Payload, Payloads
from temporalio.api.history.v1.message_pb2 import HistoryEvent
from temporalio.api.workflowservice.v1.request_response_pb2 import (
    GetWorkflowExecutionHistoryResponse,
)

from benchmarks.http_client import HttpClient

CLOSE_EVENT_ONLY = "&waitNewEvent=true&historyEventFilterType=2"

AnswerType = TypeVar("AnswerType", bound=Message)


class Refused(Exception):
    """The server answered with an error status."""

    def __init__(self, path: str, status: int, body: bytes) -> None:
        super().__init__(f"{path}: {status} {body[:300]!r}")
        self.status = status
        # A closing command lost the race against a new event: the task comes again, with it.
        self.unhandled_command = status == 400 and b"UnhandledCommand" in body


class Wire:
    """Calls within one namespace; the client sends the key and the content type."""

    def __init__(self, client: HttpClient, namespace: str) -> None:
        self._client = client
        self._root = f"/api/v1/namespaces/{quote(namespace, safe='')}"

    async def post(self, path: str, request: bytes, answer: type[AnswerType]) -> AnswerType:
        """POST an encoded message; `path` is below the namespace and already quoted."""
        return await self._call("POST", path, request, answer)

    async def history(self, workflow_id: str, run_id: str, page: bytes = b"") -> list[HistoryEvent]:
        """All events of a run, from a page token on."""
        events: list[HistoryEvent] = []
        path = _history_path(workflow_id, run_id)
        while True:
            part = await self._history_part(path, page)
            events += part.history.events
            page = part.next_page_token
            if not page:
                return events

    async def close_event(self, workflow_id: str, run_id: str) -> HistoryEvent:
        """Wait for the event that closed a run."""
        path = _history_path(workflow_id, run_id) + CLOSE_EVENT_ONLY
        page = b""
        while True:
            part = await self._history_part(path, page)
            if part.history.events:
                return part.history.events[-1]
            page = part.next_page_token

    async def _history_part(self, path: str, page: bytes) -> GetWorkflowExecutionHistoryResponse:
        if page:
            path += "&nextPageToken=" + quote(base64.b64encode(page), safe="")
        return await self._call("GET", path, b"", GetWorkflowExecutionHistoryResponse)

    async def _call(
        self, verb: str, path: str, body: bytes, answer: type[AnswerType]
    ) -> AnswerType:
        response = await self._client.request(verb, self._root + path, body)
        if response.status != 200:
            raise Refused(path, response.status, response.body)
        return answer.FromString(response.body)


def _history_path(workflow_id: str, run_id: str) -> str:
    return f"/workflows/{quote(workflow_id, safe='')}/history?execution.runId={quote(run_id)}"


def json_payloads(text: bytes) -> Payloads:
    """One JSON value as the payloads of an input or a result."""
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=text)])
