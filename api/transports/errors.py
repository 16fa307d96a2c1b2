"""What a door refuses before a call reaches its handler, or instead of its answer.

TransportError
├── InvalidJson            the body is not the proto3 JSON of the request
├── InvalidProtobuf        the body is not the protobuf encoding of the request
├── InvalidQuery           a query parameter names no field, or does not fit it
├── InvalidPath            a path variable does not fit the field that it sets
├── InvalidRequest         a field that the door itself reads is missing or not acceptable
├── InvalidHeader          a header that the door itself reads
├── WrongHost              the call is for another host than that of its connection
├── ForeignReference       a field names something outside the call's namespace
├── UnexpectedBody         this call takes no body
├── BodyTooLarge
├── UnsupportedMediaType
├── UnsupportedEncoding
├── UnknownPath
├── WrongVerb              the path exists, with other verbs
├── MissingCredential
├── AccessChanged          the caller's rights changed while the call was open
├── NotServed              a published method that this cloud does not offer
├── DeadlinePassed
├── ClientGone             nobody is left to answer
├── Draining               this process is about to end
├── AuditLogFull           what would be done could not be recorded
├── ControlPlaneAway       what only the control plane can answer
├── UnrepresentableJson    the answer holds a value for which JSON has no form
├── RouteCollision         raised when a route table is built, never by a call
└── CatalogueGap           as above, for the catalogue
"""

from __future__ import annotations

from collections.abc import Iterable


class TransportError(Exception):
    """A call could not be read, or its answer could not be written."""


class FieldError(TransportError):
    """A problem at one field; `field_path` grows outwards while the error passes its parents."""

    def __init__(self, field_path: str, problem: str) -> None:
        super().__init__(field_path, problem)
        self.field_path = field_path
        self.problem = problem

    def under(self, step: str) -> None:
        """Puts the parent's name, or `[index]`, before the path."""
        joint = "." if self.field_path and not self.field_path.startswith("[") else ""
        self.field_path = f"{step}{joint}{self.field_path}"

    def __str__(self) -> str:
        return f"{self.field_path}: {self.problem}" if self.field_path else self.problem


class InvalidJson(FieldError):
    """A JSON document is not the proto3 JSON of the message it should be."""


class UnrepresentableJson(FieldError):
    """A message holds a value for which proto3 JSON has no form."""


class InvalidQuery(FieldError):
    """A query parameter names no field of the request, or does not fit it."""


class InvalidPath(FieldError):
    """A path variable does not fit the request field that it sets."""


class InvalidRequest(FieldError):
    """A field that the door needs to place the call is missing or not acceptable."""


class InvalidHeader(FieldError):
    """A request header is not acceptable; `field_path` is the header's name."""


class WrongHost(FieldError):
    """A call says something else than the host name of its connection does."""


class ForeignReference(FieldError):
    """A field names something outside the namespace of the call."""


class InvalidProtobuf(TransportError):
    """The body is not the protobuf encoding of the request message."""


class UnexpectedBody(TransportError):
    def __init__(self, verb: str) -> None:
        super().__init__(f"{verb} takes no body here: name the fields in the query")
        self.verb = verb


class BodyTooLarge(TransportError):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes: send less in one call")
        self.limit_bytes = limit_bytes


class UnsupportedMediaType(TransportError):
    """A body's media type is neither JSON nor protobuf."""

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"content type {content_type[:100]!r} is not supported:"
            " send application/json or application/x-protobuf"
        )
        self.content_type = content_type


class UnsupportedEncoding(TransportError):
    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"content encoding {encoding[:100]!r} is not supported: send the body as it is"
        )
        self.encoding = encoding


class UnknownPath(TransportError):
    def __init__(self, verb: str, path: str) -> None:
        super().__init__(
            f"there is no {verb[:20]} {path[:200]}: the paths are listed in /api/v1/openapi.json"
        )


class WrongVerb(TransportError):
    def __init__(self, verb: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(sorted(allowed))
        super().__init__(f"{verb[:20]} is not possible here: use {' or '.join(self.allowed)}")


class MissingCredential(TransportError):
    """The call carries no credential: send `Authorization: Bearer <API key>`, or log in."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class AccessChanged(TransportError):
    """What the credential may do was changed while the call was open: call again."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class NotServed(TransportError):
    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is not offered by this cloud")
        self.method = method


class DeadlinePassed(TransportError):
    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(
            f"no answer within {timeout_seconds:g} seconds; the call may still take effect,"
            " so repeat it with the same request id"
        )
        self.timeout_seconds = timeout_seconds


class ClientGone(TransportError):
    """The client left before its call was answered."""


class Draining(TransportError):
    """This server is about to restart: call again."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class AuditLogFull(TransportError):
    """The audit log cannot be written now, so nothing that it must record is done: call again."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class ControlPlaneAway(TransportError):
    """The control plane is away: workflows, workers, keys and certificates go on; logging in, the
    console, namespaces, new keys, usage and bills wait for it: call again."""

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()))


class RouteCollision(TransportError):
    """Two routes answer to the same verb and path."""


class CatalogueGap(TransportError):
    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        super().__init__(f"the catalogue and the services differ in: {', '.join(self.names)}")
