"""From the parts of an HTTP call to the request message that it makes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from api.transports.errors import (
    InvalidJson,
    InvalidPath,
    InvalidProtobuf,
    UnexpectedBody,
    UnsupportedMediaType,
)
from api.transports.http_fields import apply_query, assign, find_field
from api.transports.http_rule import Match
from api.transports.json_codec import JsonCodec

CACHED_HEADERS_MAX = 256

M = TypeVar("M", bound=Message)


class MediaType(NamedTuple):
    """How a body is written: protobuf, or JSON in one of its four variants."""

    is_protobuf: bool = False
    pretty: bool = False
    shorthand: bool = True


JSON = MediaType()
PROTOBUF = MediaType(is_protobuf=True)
_MEDIA_TYPES = {
    "application/x-protobuf": PROTOBUF,
    "application/json": JSON,
    "application/json+pretty": MediaType(pretty=True),
    "application/json+no-payload-shorthand": MediaType(shorthand=False),
    "application/json+pretty+no-payload-shorthand": MediaType(pretty=True, shorthand=False),
}


@lru_cache(maxsize=CACHED_HEADERS_MAX)
def media_type(content_type: str) -> MediaType:
    """Reads a Content-Type; none given means JSON."""
    name = content_type.partition(";")[0].strip().lower()
    found = _MEDIA_TYPES.get(name or "application/json")
    if found is None:
        raise UnsupportedMediaType(content_type)
    return found


@lru_cache(maxsize=CACHED_HEADERS_MAX)
def answer_type(accept: str, content_type: str) -> MediaType:
    """How to write an answer: the first acceptable form, or else the form of the body."""
    for item in accept.split(","):
        found = _MEDIA_TYPES.get(item.partition(";")[0].strip().lower())
        if found is not None:
            return found
    return _MEDIA_TYPES.get(content_type.partition(";")[0].strip().lower(), JSON)


def bind(
    match: Match,
    body: bytes,
    query: bytes,
    request_type: type[M],
    *,
    codec: JsonCodec,
    content_type: str,
) -> M:
    """The request that a call makes: its body, then the path's variables, then the query.

    The path has the last word, except that a body may not name another namespace than it does.
    """
    if not body:
        request = request_type()
    elif not match.route.body:
        raise UnexpectedBody(match.route.verb)
    else:
        request = _read(body, request_type, codec, media_type(content_type))
    descriptor = cast(Descriptor, request_type.DESCRIPTOR)
    for name, text in match.variables.items():
        if name == "namespace" and getattr(request, name) not in ("", text):
            raise InvalidPath(name, "the body names another namespace than the path: leave it out")
        try:
            assign(request, find_field(descriptor, name), (text,))
        except InvalidJson as error:
            raise InvalidPath(name, error.problem) from None
    if query:
        apply_query(request, query, match.route.path_fields)
    return request


def _read(body: bytes, request_type: type[M], codec: JsonCodec, media: MediaType) -> M:
    if not media.is_protobuf:
        return codec.decode(body, request_type, shorthand=media.shorthand)
    try:
        return request_type.FromString(body)
    except DecodeError:
        name = request_type.DESCRIPTOR.full_name
        raise InvalidProtobuf(f"the body is no {name} in protobuf") from None
