"""Calls over HTTP/JSON: one connection pool, typed errors, repetition of what may be repeated."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from perdure import __version__
from perdure.exceptions import RPCError, RPCStatusCode
from perdure.protojson import Message
from perdure.telemetry import Telemetry
from perdure.tls import TLSConfig, refusal

if TYPE_CHECKING:
    import ssl

    import httpx

    from perdure.converter import DataConverter

Sleep = Callable[[float], Awaitable[object]]

CONNECT_SECONDS_MAX = 5.0
CALL_SECONDS_MAX = 30.0
READ_MARGIN_SECONDS = 5.0
POLL_SECONDS_MAX = 70.0
RETRY_SECONDS_MAX = 30.0
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 5.0
BACKOFF_COEFFICIENT = 1.7
BACKOFF_JITTER = 0.2
KEPT_CONNECTIONS_MAX = 100

# Payloads travel in full form: the shorthand would lose which encoding a value had.
_CONTENT_TYPE = "application/json+no-payload-shorthand"
_REPEATABLE = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
    }
)
_CODES = frozenset(RPCStatusCode)
_logger = logging.getLogger("perdure.client")
_STATUS_OF_HTTP = {
    400: RPCStatusCode.INVALID_ARGUMENT,
    401: RPCStatusCode.UNAUTHENTICATED,
    403: RPCStatusCode.PERMISSION_DENIED,
    404: RPCStatusCode.NOT_FOUND,
    409: RPCStatusCode.ALREADY_EXISTS,
    429: RPCStatusCode.RESOURCE_EXHAUSTED,
    499: RPCStatusCode.CANCELLED,
    501: RPCStatusCode.UNIMPLEMENTED,
    502: RPCStatusCode.UNAVAILABLE,
    503: RPCStatusCode.UNAVAILABLE,
    504: RPCStatusCode.DEADLINE_EXCEEDED,
}


def backoff_seconds() -> Iterator[float]:
    """Ever longer waits, each a little off, so that clients do not come back all at once."""
    seconds = BACKOFF_SECONDS_MIN
    while True:
        yield seconds * random.uniform(1 - BACKOFF_JITTER, 1 + BACKOFF_JITTER)  # noqa: S311
        seconds = min(seconds * BACKOFF_COEFFICIENT, BACKOFF_SECONDS_MAX)


def base_url(address: str, *, is_secured: bool = False) -> str:
    """The URL of an address; ``host:port`` alone means https, except on this machine."""
    if "://" in address:
        return address.rstrip("/")
    host = urlsplit(f"//{address}").hostname or ""
    return f"{'http' if _is_loopback(host) and not is_secured else 'https'}://{address}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Request(NamedTuple):
    verb: str
    path: str
    body: Message | None
    query: Mapping[str, Any] | None
    headers: Mapping[str, str]
    timeout_seconds: float


class Transport:
    """One address and credential; belongs to the event loop that first calls it."""

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        tls: TLSConfig | ssl.SSLContext | bool = True,
        retry_seconds: float = RETRY_SECONDS_MAX,
        http_transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        import httpx

        self.api_key = api_key
        self.retry_seconds = retry_seconds
        self.sleep = sleep
        self._is_awaited = False
        domain = tls.domain if isinstance(tls, TLSConfig) else None
        # Servers close such connections without a word; a restart looks the same, so it is a hint.
        has_certificate = isinstance(tls, TLSConfig) and tls.client_cert is not None
        self._hint = "; it may not trust the client certificate" if has_certificate else ""
        self._extensions = {} if domain is None else {"sni_hostname": domain}
        self._http = httpx.AsyncClient(
            base_url=base_url(address, is_secured=not isinstance(tls, bool)),
            verify=tls.context() if isinstance(tls, TLSConfig) else tls,
            transport=http_transport,
            # Each long poll holds a connection, so a limit would make other calls wait for polls.
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS_MAX
            ),
            headers={
                "accept": _CONTENT_TYPE,
                "content-type": _CONTENT_TYPE,
                "client-name": "perdure-python",
                "client-version": __version__,
                **({} if domain is None else {"host": domain}),
            },
        )

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self._http.aclose()

    async def call(
        self,
        verb: str,
        path: str,
        *,
        body: Message | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = CALL_SECONDS_MAX,
        retry_seconds: float | None = None,
    ) -> Message:
        """The answer's message; raises RPCError.

        A lost connection and a busy or absent server are met by trying again, while the waits sum
        up to at most ``retry_seconds``, which may be ``math.inf``. A body that starts something
        carries its own request id, so that a repetition changes nothing.
        """
        retry_seconds = self.retry_seconds if retry_seconds is None else retry_seconds
        headers = {**(headers or {}), "grpc-timeout": f"{round(timeout_seconds * 1000)}m"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        request = _Request(verb, path, body, query, headers, timeout_seconds)
        waited_seconds = 0.0
        for delay in backoff_seconds():
            try:
                answer = await self._try(request)
            except RPCError as error:
                delay = max(delay, error.retry_after_seconds or 0)
                waited_seconds += delay
                if error.status is RPCStatusCode.DEADLINE_EXCEEDED:
                    waited_seconds += timeout_seconds
                if error.status not in _REPEATABLE or waited_seconds > retry_seconds:
                    raise
                if retry_seconds == math.inf and waited_seconds > self.retry_seconds:
                    self._awaited(error)
            else:
                self._answered()
                return answer
            await self.sleep(delay)
        raise AssertionError("backoff never ends")

    def _awaited(self, error: RPCError) -> None:
        """Where others would have given up; said once for all that wait, who may be many."""
        if not self._is_awaited:
            self._is_awaited = True
            extra = {"status": error.status.name, "reason": error.message}
            _logger.warning("waiting_for_server", extra=extra)

    def _answered(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            _logger.info("server_answers_again")

    async def _try(self, request: _Request) -> Message:
        import httpx

        body, timeout_seconds = request.body, request.timeout_seconds
        try:
            response = await self._http.request(
                request.verb,
                request.path,
                content=None if body is None else json.dumps(body, separators=(",", ":")),
                params={name: value for name, value in (request.query or {}).items() if value},
                headers=request.headers,
                # The server is told the limit and answers at it, so it comes first.
                timeout=httpx.Timeout(
                    timeout_seconds + READ_MARGIN_SECONDS, connect=CONNECT_SECONDS_MAX
                ),
                extensions=self._extensions,
            )
        except httpx.ReadTimeout as error:
            raise RPCError(
                f"{self._http.base_url} gave no answer within {timeout_seconds:g} s",
                RPCStatusCode.DEADLINE_EXCEEDED,
            ) from error
        except httpx.TransportError as error:
            if reason := refusal(error):
                raise RPCError(
                    f"{self._http.base_url}: {reason}", RPCStatusCode.UNAUTHENTICATED
                ) from error
            reason = str(error) or type(error).__name__
            raise RPCError(
                f"{self._http.base_url} cannot be reached: {reason}{self._hint}",
                RPCStatusCode.UNAVAILABLE,
            ) from error
        try:
            message = response.json() if response.content else {}
        except ValueError:
            message = None
        if response.is_success and isinstance(message, dict):
            return message
        raise _error(response, message)


def _error(response: httpx.Response, message: Any) -> RPCError:
    """The google.rpc.Status of an answer; what a proxy says in between has no such body."""
    guess = _STATUS_OF_HTTP.get(response.status_code, RPCStatusCode.UNKNOWN)
    fields = message if isinstance(message, dict) else {}
    code = fields.get("code")
    status = RPCStatusCode(code) if isinstance(code, int) and code in _CODES else guess
    error = RPCError(
        str(fields.get("message") or f"HTTP status {response.status_code}"),
        status,
        [item for item in fields.get("details", ()) if isinstance(item, dict)],
    )
    seconds = response.headers.get("retry-after", "")
    error.retry_after_seconds = float(seconds) if seconds.isdecimal() else None
    return error


class NamespaceCalls:
    """Calls below one namespace; payloads are encoded on their way out, answers as they came."""

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        converter: DataConverter,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.transport = transport
        self.namespace = namespace
        self.converter = converter
        self.telemetry = telemetry or Telemetry()

    async def get(self, *path: str, is_poll: bool = False, **query: Any) -> Message:
        """GET of a path given as segments; query names are those of the request's fields.

        A long poll goes on through an outage of any length: what it waits for may take years.
        """
        seconds = POLL_SECONDS_MAX if is_poll else CALL_SECONDS_MAX
        return await self.transport.call(
            "GET",
            self._path(path),
            query={name.replace("__", "."): value for name, value in query.items()},
            headers=self.telemetry.request_headers(),
            timeout_seconds=seconds,
            retry_seconds=math.inf if is_poll else None,
        )

    async def post(self, *path: str, body: Message, retry_seconds: float | None = None) -> Message:
        """POST of a message to a path given as segments."""
        encoded = await self.converter.encode(body)
        return await self.post_encoded(*path, body=encoded, retry_seconds=retry_seconds)

    async def post_encoded(self, *path: str, body: Message, retry_seconds: float | None) -> Message:
        """As post, for a message that the codec has been applied to."""
        return await self.transport.call(
            "POST",
            self._path(path),
            body=body,
            headers=self.telemetry.request_headers(),
            retry_seconds=retry_seconds,
        )

    async def poll(self, task_queue: str, verb: str, body: Message) -> Message:
        """One long poll of a task queue, tried once; empty if no task came."""
        return await self.transport.call(
            "POST",
            self._path(("task-queues", task_queue, verb)),
            body=body,
            timeout_seconds=POLL_SECONDS_MAX,
            retry_seconds=0,
        )

    def _path(self, segments: tuple[str, ...]) -> str:
        parts = ("api", "v1", "namespaces", self.namespace, *segments)
        return "/" + "/".join(quote(part, safe="") for part in parts)
