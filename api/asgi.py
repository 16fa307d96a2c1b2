"""The HTTP door: raw ASGI from the descriptors' routes to the dispatcher and back.

What it does not own, pages and the control plane's own routes, goes to the fallback application.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

from api.authentication import Authenticator
from api.catalogue import CATALOGUE, METHODS, POLL_SECONDS, SERVICES
from api.dispatch import Dispatcher, Method, methods
from api.docs import PAGE_HEADERS, Pages
from api.errors import ErrorAnswer, status_of
from api.open_calls import OpenCalls, Receive
from api.openapi import openapi
from api.request_id import REQUEST_ID, REQUEST_ID_HEADER, RequestIds
from api.tls.certificates import ClientCertificates
from api.tls.forwarded import TOLD_BY_PROXIES
from api.tls.hop import Hop
from api.tls.peer import PEER_EXTENSION, Peer
from api.transports.errors import (
    AccessChanged,
    BodyTooLarge,
    ClientGone,
    InvalidHeader,
    UnknownPath,
    UnsupportedEncoding,
    WrongVerb,
)
from api.transports.http_binding import MediaType, answer_type, bind
from api.transports.http_fields import door_parameters
from api.transports.http_rule import Match, Route, Router, derive_routes
from api.transports.json_codec import JsonCodec

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Elsewhere = Callable[[Method, Mapping[bytes, bytes], Peer | None], bool]
"""Whether a call, by its method, its headers and its client's end, is the fallback's to answer."""

BODY_BYTES_MAX = 4 * 1024 * 1024

OWN_PREFIXES = (
    b"/api/v1/namespaces/",
    b"/cloud/",
    b"/cluster/",
    b"/temporal.api.",
    b"/perdure.api.",
)
"""Paths that are nobody else's: what has no route here does not exist."""

SHARED_PREFIX = b"/namespaces/"
"""The console has its pages where the published API has its short paths."""

_GRPC_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600, b"M": 60, b"S": 1, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_NOT_PASSED_ON = TOLD_BY_PROXIES | {REQUEST_ID_HEADER}
_READS = frozenset({"GET", "HEAD"})
_JSON_HEADER = (b"content-type", b"application/json")
_PROTOBUF_HEADER = (b"content-type", b"application/x-protobuf")
_ANSWER_HEADERS: Headers = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class _Exchange(NamedTuple):
    """One call's ends, and how its caller wants to be answered."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[bytes, bytes]
    request_id: bytes

    @property
    def is_head(self) -> bool:
        return bool(self.scope["method"] == "HEAD")


class HttpDoor:
    """An ASGI application. It refuses to be built while a route has no row in the catalogue.

    `extra_openapi` gives the OpenAPI document of what the fallback serves, to be listed as well;
    without it the documents are the fallback's too. So is what `is_elsewhere` says of.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        authenticator: Authenticator,
        open_calls: OpenCalls,
        fallback: ASGIApp | None = None,
        extra_openapi: Callable[[], Mapping[str, Any]] | None = None,
        certificates: ClientCertificates | None = None,
        hop: Hop | None = None,
        is_elsewhere: Elsewhere | None = None,
    ) -> None:
        self._certificates = certificates
        self._hop = hop
        self._is_elsewhere = is_elsewhere
        self._has_documents = fallback is None or extra_openapi is not None
        self._dispatcher = dispatcher
        self._authenticator = authenticator
        self._open_calls = open_calls
        self._fallback = fallback
        routes = derive_routes(SERVICES)
        self._router = Router(routes)
        self._methods = _of_routes(routes)
        self._codec = JsonCodec()
        self._pages = Pages(lambda: openapi(routes, extra_openapi))
        self._request_ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if self._fallback is not None:
                await self._fallback(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = self._request_ids.of(headers)
        token = REQUEST_ID.set(request_id.decode())
        try:
            await self._serve(_Exchange(scope, receive, send, headers, request_id))
        finally:
            REQUEST_ID.reset(token)

    async def _serve(self, exchange: _Exchange) -> None:
        raw_path: bytes = exchange.scope["raw_path"]
        verb = "GET" if exchange.is_head else exchange.scope["method"]
        try:
            address = None if self._hop is None else self._hop.client(exchange.headers)
            if address is not None:
                # Limits by address are for clients, not for the proxy that all of them share.
                exchange.scope["client"] = (address, 0)
            peer = None
            if self._certificates is not None:
                peer = self._certificates.peer(exchange.scope, exchange.headers)
            if self._fallback and _is_for_page(raw_path, exchange.headers):
                await _pass_on(self._fallback, exchange, peer)
                return
            match = self._router.match(verb, raw_path)
            if match is None:
                await self._unrouted(exchange, verb, raw_path, peer)
                return
            method = self._methods[match.route.method_full_name]
            exchange.scope["rpc_method"] = method.name
            if self._is_elsewhere is not None and self._is_elsewhere(
                method, exchange.headers, peer
            ):
                assert self._fallback is not None, "somebody answers what is not answered here"
                await _pass_on(self._fallback, exchange, peer)
                return
            await self._answer(exchange, match, peer)
        except ClientGone:
            return
        except Exception as error:
            await self._refuse(exchange, error)

    async def _answer(self, exchange: _Exchange, match: Match, peer: Peer | None) -> None:
        scope, headers = exchange.scope, exchange.headers
        method = self._methods[match.route.method_full_name]
        query: bytes = scope["query_string"]
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        body = await _read_body(exchange)
        media, timeout_seconds = _wishes(method, headers, query, content_type)
        principal = await self._authenticator.authenticate(
            headers, is_write=scope["method"] not in _READS, peer=peer
        )
        request = bind(
            match,
            body,
            query,
            method.request_type,
            codec=self._codec,
            content_type=content_type,
        )
        if peer is not None and self._certificates is not None:
            self._certificates.check_namespace(peer, getattr(request, "namespace", ""))
        hint = headers.get(b"temporal-namespace")
        if hint is not None and hint.decode("latin-1") != getattr(request, "namespace", ""):
            raise InvalidHeader("temporal-namespace", "names another namespace than the call")
        try:
            response = await self._open_calls.run(
                self._dispatcher.dispatch(method, request, principal, timeout_seconds),
                caller_id="" if principal is None else principal.id,
                receive=exchange.receive,
                timeout_seconds=timeout_seconds,
            )
        except AccessChanged:
            # A credential that is gone says so by itself; any other may simply call again.
            self._authenticator.forget(headers)
            await self._authenticator.authenticate(headers, is_write=False, peer=peer)
            raise
        if media.is_protobuf:
            await _send(exchange, 200, [_PROTOBUF_HEADER], response)
            return
        message = method.response_type.FromString(response)
        text = self._codec.encode(message, shorthand=media.shorthand, pretty=media.pretty)
        await _send(exchange, 200, [_JSON_HEADER], text)

    async def _unrouted(
        self, exchange: _Exchange, verb: str, raw_path: bytes, peer: Peer | None
    ) -> None:
        """Documents, paths with other verbs, and what is left to the fallback."""
        verbs = self._router.verbs(raw_path)
        if not verbs:
            page = self._pages.get(raw_path) if verb == "GET" and self._has_documents else None
            if page is not None:
                await _send(exchange, 200, page.headers, page.content, fixed=PAGE_HEADERS)
            elif self._fallback is not None and not raw_path.startswith(OWN_PREFIXES):
                await _pass_on(self._fallback, exchange, peer)
            else:
                raise UnknownPath(verb, raw_path.decode("latin-1"))
            return
        allowed = {*verbs, "OPTIONS"} | ({"HEAD"} if "GET" in verbs else set())
        if verb != "OPTIONS":
            raise WrongVerb(verb, allowed)
        await _send(exchange, 200, [(b"allow", ", ".join(sorted(allowed)).encode())], b"")

    async def _refuse(self, exchange: _Exchange, error: Exception) -> None:
        answer = status_of(error)
        if answer.is_our_fault:
            extra = {"method": exchange.scope.get("rpc_method", "")}
            logger.error("call_failed", exc_info=error, extra=extra)
        accept = exchange.headers.get(b"accept", b"").decode("latin-1")
        content_type = exchange.headers.get(b"content-type", b"").decode("latin-1")
        media = answer_type(accept, content_type)
        await _send(exchange, answer.http_status, *_written(answer, media))


def _of_routes(routes: Iterable[Route]) -> dict[str, Method]:
    known = methods(CATALOGUE, METHODS)
    return {route.method_full_name: known[route.method_full_name] for route in routes}


def _is_for_page(raw_path: bytes, headers: Mapping[bytes, bytes]) -> bool:
    return raw_path.startswith(SHARED_PREFIX) and (
        b"text/html" in headers.get(b"accept", b"") or b"hx-request" in headers
    )


async def _pass_on(app: ASGIApp, exchange: _Exchange, peer: Peer | None) -> None:
    """With the id on the answer, and on the request for what it asks in its turn."""
    extensions = exchange.scope.get("extensions", {})
    if peer is not None:
        # What a proxy told of it is not passed on; what was believed of that is.
        extensions = {**extensions, PEER_EXTENSION: peer}
    name = (REQUEST_ID_HEADER, exchange.request_id)
    headers = [pair for pair in exchange.scope["headers"] if pair[0] not in _NOT_PASSED_ON]

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), name]
        await exchange.send(message)

    scope = {**exchange.scope, "headers": [*headers, name], "extensions": extensions}
    try:
        await app(scope, exchange.receive, send)
    finally:
        # Which route it was is known inside, and told of outside.
        exchange.scope["route"] = scope.get("route")


async def _read_body(exchange: _Exchange) -> bytes:
    length = exchange.headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > BODY_BYTES_MAX:
        raise BodyTooLarge(BODY_BYTES_MAX)
    encoding = exchange.headers.get(b"content-encoding", b"identity")
    if encoding.lower() != b"identity":
        raise UnsupportedEncoding(encoding.decode("latin-1"))
    return await read_body(exchange.receive)


async def read_body(receive: Receive) -> bytes:
    """Raises ClientGone, BodyTooLarge."""
    chunks: list[bytes] = []
    size_bytes, is_more = 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        is_more = message.get("more_body", False)
        size_bytes += len(chunk)
        if size_bytes > BODY_BYTES_MAX:
            raise BodyTooLarge(BODY_BYTES_MAX)
        chunks.append(chunk)
    return b"".join(chunks)


def _wishes(
    method: Method, headers: Mapping[bytes, bytes], query: bytes, content_type: str
) -> tuple[MediaType, float]:
    """How the answer is to be written, and how long its caller waits for it."""
    media = answer_type(headers.get(b"accept", b"").decode("latin-1"), content_type)
    wished = door_parameters(query)
    if not media.is_protobuf or wished.pretty or wished.no_shorthand:
        media = MediaType(
            pretty=media.pretty or wished.pretty,
            shorthand=media.shorthand and not wished.no_shorthand,
        )
    if wished.timeout_seconds is not None:
        return media, min(wished.timeout_seconds, POLL_SECONDS)
    header = headers.get(b"grpc-timeout")
    if header is None:
        return media, method.row.timeout_seconds
    parts = _GRPC_TIMEOUT.fullmatch(header)
    if parts is None:
        raise InvalidHeader("grpc-timeout", "must be a number and one of H M S m u n, as in 20S")
    return media, min(int(parts[1]) * _UNIT_SECONDS[parts[2]], POLL_SECONDS)


def _written(answer: ErrorAnswer, media: MediaType) -> tuple[Headers, bytes]:
    headers: Headers = [(k.encode(), v.encode("latin-1")) for k, v in answer.headers.items()]
    if media.is_protobuf:
        return [_PROTOBUF_HEADER, *headers], answer.status.SerializeToString()
    return [_JSON_HEADER, *headers], answer.json(pretty=media.pretty)


async def _send(
    exchange: _Exchange,
    status: int,
    headers: Headers,
    body: bytes,
    *,
    fixed: Headers = _ANSWER_HEADERS,
) -> None:
    await exchange.send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                *headers,
                (b"content-length", b"%d" % len(body)),
                (REQUEST_ID_HEADER, exchange.request_id),
                *fixed,
            ],
        }
    )
    content = b"" if exchange.is_head else body
    await exchange.send({"type": "http.response.body", "body": content})
