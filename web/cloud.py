"""The public API as the pages call it: in process, as the visitor, with nothing of their own."""

from __future__ import annotations

from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.types import ASGIApp

from web.errors import LoggedOut, Refused

Answer = dict[str, Any]
"""A JSON object of the API."""

FORWARDED_HEADERS = ("cookie", "host", "origin", "user-agent", "traceparent", "x-request-id")


def segment(text: str) -> str:
    """Text as one segment of a path, slashes included."""
    return quote(text, safe="")


def namespace_path(namespace: str, *rest: str) -> str:
    return "/".join(("/api/v1/namespaces", *map(segment, (namespace, *rest))))


class Cloud:
    """One visitor's calls during one page. `set_cookies` is what the API wants the browser to keep.

    The visitor's address goes along, so that limits by address count visitors and not the console.
    """

    def __init__(self, api: ASGIApp, request: Request, csrf_token: str = "") -> None:
        headers = {
            name: request.headers[name] for name in FORWARDED_HEADERS if name in request.headers
        }
        headers["accept"] = "application/json"
        if csrf_token:
            headers["x-csrf-token"] = csrf_token
        client = request.client or ("127.0.0.1", 0)
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=api, client=(client[0], client[1])),
            base_url=f"{request.url.scheme}://console",
            headers=headers,
            trust_env=False,
        )
        self.set_cookies: list[str] = []

    async def __aenter__(self) -> Cloud:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: str | int) -> Answer:
        """Payloads come whole, with their metadata, so that no value is mistaken for one."""
        return await self._call("GET", path, params={**query, "noPayloadShorthand": "true"})

    async def post(self, path: str, body: Answer) -> Answer:
        return await self._call("POST", path, json=body)

    async def put(self, path: str, body: Answer) -> Answer:
        return await self._call("PUT", path, json=body)

    async def delete(self, path: str, **query: str | int) -> Answer:
        return await self._call("DELETE", path, params=query)

    async def _call(self, verb: str, path: str, **options: Any) -> Answer:
        response = await self._client.request(verb, path, **options)
        self.set_cookies += response.headers.get_list("set-cookie")
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Refused(502, "The API did not answer in JSON; try again in a moment.")
        if response.is_success:
            return answer
        told = str(answer.get("message") or answer.get("detail") or "refused")
        message = _sentence(_for_people(told))
        if response.status_code == LoggedOut.status:
            raise LoggedOut(message)
        raise Refused(response.status_code, message)


def _for_people(message: str) -> str:
    """Without the name of the call that a role does not allow: who reads a page made none."""
    _, found, rest = message.partition(" is not permitted on ")
    remedy = rest.partition("; ")[2]
    return f"your role does not allow this; {remedy}" if found and remedy else message


def _sentence(message: str) -> str:
    text = message[:1].upper() + message[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
