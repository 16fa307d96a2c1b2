"""What every refusal is on the wire: one row for each class of every error tree.

`status_of` turns any exception into the `google.rpc.Status` that both doors send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure
from google.rpc.status_pb2 import Status
from temporalio.api.enums.v1 import ResourceExhaustedCause, ResourceExhaustedScope
from temporalio.api.errordetails.v1 import (
    NamespaceAlreadyExistsFailure,
    NamespaceNotFoundFailure,
    NotFoundFailure,
    PermissionDeniedFailure,
    QueryFailedFailure,
    ResourceExhaustedFailure,
    WorkflowExecutionAlreadyStartedFailure,
    WorkflowNotReadyFailure,
)
from temporalio.api.failure.v1 import Failure

from api.transports import errors as transport
from api.transports.json_codec import JsonCodec
from billing import errors as billing
from engine import errors as engine
from tenancy import errors as tenancy
from tenancy.single_sign_on import SignOnRefused

TYPE_URL_PREFIX = "type.googleapis.com/"
RETRY_AFTER_SECONDS = 1


class Code(IntEnum):
    """The codes of `google.rpc.Code`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS: Mapping[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

Details = Callable[[Any], Message | None]
Headers = Callable[[Any], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a class of errors is told: its code, and what goes with it.

    `http_status` is given where HTTP has a more exact word than the code's own. `text` replaces
    a message that is written for the operator and not for the caller.
    """

    code: Code
    details: Details | None = None
    http_status: int | None = None
    headers: Headers | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """A refusal as HTTP tells it."""

    http_status: int
    status: Status
    headers: Mapping[str, str]

    @property
    def is_our_fault(self) -> bool:
        """Whether it is a defect or damage of ours, which an operator must see."""
        return self.status.code in (Code.INTERNAL, Code.DATA_LOSS, Code.UNKNOWN)

    def json(self, *, pretty: bool = False) -> bytes:
        return _CODEC.encode(self.status, pretty=pretty)


_CODEC = JsonCodec()


def _field(error: Any) -> Message | None:
    if not error.field_path:
        return None
    return _violation(error.field_path, error.problem)


def _violation(field: str, problem: str) -> Message:
    violation = BadRequest.FieldViolation(field=field, description=problem)
    request: Message = BadRequest(field_violations=[violation])
    return request


def _invalid_field(error: tenancy.InvalidField) -> Message:
    return _violation(error.field, f"{error.limit}; {error.remedy}")


def _refused_field(error: engine.InvalidArgument) -> Message | None:
    return _violation(error.field, error.message) if error.field else None


def _missing(error: tenancy.NotFound) -> Message:
    if error.kind == "namespace":
        return NamespaceNotFoundFailure(namespace=error.id)
    return NotFoundFailure()


def _taken(error: tenancy.AlreadyExists) -> Message | None:
    return NamespaceAlreadyExistsFailure() if error.kind == "namespace" else None


def _restricted(error: tenancy.StartsRestricted) -> Message:
    violation = PreconditionFailure.Violation(
        type=error.cause.upper(), subject=error.namespace, description=error.why
    )
    failure: Message = PreconditionFailure(violations=[violation])
    return failure


def _denied(error: Exception) -> Message:
    return PermissionDeniedFailure(reason=str(error))


def _query_failed(error: engine.QueryFailed) -> Message:
    try:
        return QueryFailedFailure(failure=Failure.FromString(error.failure))
    except DecodeError:
        return QueryFailedFailure()


def _already_started(error: engine.WorkflowAlreadyStarted) -> Message:
    return WorkflowExecutionAlreadyStartedFailure(
        start_request_id=error.start_request_id,
        run_id=error.run_id,
        first_execution_run_id=error.first_run_id,
    )


def _exhausted(cause: ResourceExhaustedCause.ValueType, _error: Exception) -> Message:
    scope = ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE
    return ResourceExhaustedFailure(cause=cause, scope=scope)


_over_limit = partial(_exhausted, ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_OPS_LIMIT)
_over_rate = partial(_exhausted, ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT)


def _sign_on_refused(error: SignOnRefused) -> Message:
    message: Message = ErrorInfo(reason=error.problem.name, domain="single-sign-on")
    return message


def _retry_after(error: Exception) -> Mapping[str, str]:
    return {"retry-after": str(getattr(error, "retry_after_seconds", RETRY_AFTER_SECONDS))}


def _challenge(_error: Exception) -> Mapping[str, str]:
    return {"www-authenticate": "Bearer"}


def _allow(error: transport.WrongVerb) -> Mapping[str, str]:
    return {"allow": ", ".join(error.allowed)}


_OURS = "an internal error; it was recorded with this request's id"
_INVALID = Rule(Code.INVALID_ARGUMENT)
_INVALID_FIELD = Rule(Code.INVALID_ARGUMENT, _field)
_INTERNAL = Rule(Code.INTERNAL, text=_OURS)

TRANSPORT_RULES: Mapping[type[Exception], Rule] = {
    transport.TransportError: _INTERNAL,
    transport.FieldError: _INVALID_FIELD,
    transport.InvalidJson: _INVALID_FIELD,
    transport.InvalidQuery: _INVALID_FIELD,
    transport.InvalidPath: _INVALID_FIELD,
    transport.InvalidRequest: _INVALID_FIELD,
    transport.InvalidHeader: _INVALID_FIELD,
    transport.WrongHost: Rule(Code.INVALID_ARGUMENT, _field, http_status=421),
    transport.ForeignReference: _INVALID_FIELD,
    transport.InvalidProtobuf: _INVALID,
    transport.UnexpectedBody: _INVALID,
    transport.BodyTooLarge: Rule(Code.INVALID_ARGUMENT, http_status=413),
    transport.UnsupportedMediaType: Rule(Code.INVALID_ARGUMENT, http_status=415),
    transport.UnsupportedEncoding: Rule(
        Code.INVALID_ARGUMENT, http_status=415, headers=lambda _: {"accept-encoding": "identity"}
    ),
    transport.UnknownPath: Rule(Code.NOT_FOUND),
    transport.WrongVerb: Rule(Code.UNIMPLEMENTED, http_status=405, headers=_allow),
    transport.MissingCredential: Rule(Code.UNAUTHENTICATED, headers=_challenge),
    transport.AccessChanged: Rule(Code.UNAVAILABLE, headers=_retry_after),
    transport.NotServed: Rule(Code.UNIMPLEMENTED),
    transport.DeadlinePassed: Rule(Code.DEADLINE_EXCEEDED),
    transport.ClientGone: Rule(Code.CANCELLED),
    transport.Draining: Rule(Code.UNAVAILABLE, headers=_retry_after),
    transport.AuditLogFull: Rule(Code.UNAVAILABLE, headers=_retry_after),
    transport.ControlPlaneAway: Rule(Code.UNAVAILABLE, headers=_retry_after),
    # The same answer can be had as protobuf, so it is the request that does not fit.
    transport.UnrepresentableJson: Rule(
        Code.FAILED_PRECONDITION,
        _field,
        text="the answer holds a value that JSON cannot say: accept application/x-protobuf",
    ),
    transport.RouteCollision: _INTERNAL,
    transport.CatalogueGap: _INTERNAL,
}

ENGINE_RULES: Mapping[type[Exception], Rule] = {
    engine.EngineError: _INTERNAL,
    engine.InvalidArgument: Rule(Code.INVALID_ARGUMENT, _refused_field),
    engine.QueryFailed: Rule(Code.INVALID_ARGUMENT, _query_failed),
    engine.NotFound: Rule(Code.NOT_FOUND, lambda _: NotFoundFailure()),
    engine.NamespaceNotFound: Rule(
        Code.NOT_FOUND,
        lambda error: NamespaceNotFoundFailure(namespace=str(error.ids.get("namespace", ""))),
    ),
    engine.AlreadyExists: Rule(Code.ALREADY_EXISTS),
    engine.WorkflowAlreadyStarted: Rule(Code.ALREADY_EXISTS, _already_started),
    engine.FailedPrecondition: Rule(Code.FAILED_PRECONDITION),
    engine.WorkflowNotReady: Rule(Code.FAILED_PRECONDITION, lambda _: WorkflowNotReadyFailure()),
    engine.StartRefused: Rule(Code.FAILED_PRECONDITION),
    engine.PermissionDenied: Rule(Code.PERMISSION_DENIED, _denied),
    engine.ResourceExhausted: Rule(Code.RESOURCE_EXHAUSTED, _over_limit, headers=_retry_after),
    engine.Unavailable: Rule(Code.UNAVAILABLE, headers=_retry_after),
    engine.DeadlineExceeded: Rule(Code.DEADLINE_EXCEEDED),
    engine.Unimplemented: Rule(Code.UNIMPLEMENTED),
    engine.DataLoss: Rule(Code.DATA_LOSS),
    engine.Internal: _INTERNAL,
}

TENANCY_RULES: Mapping[type[Exception], Rule] = {
    tenancy.TenancyError: _INTERNAL,
    tenancy.InvalidField: Rule(Code.INVALID_ARGUMENT, _invalid_field),
    tenancy.NotFound: Rule(Code.NOT_FOUND, _missing),
    tenancy.AlreadyExists: Rule(Code.ALREADY_EXISTS, _taken),
    tenancy.Conflict: Rule(Code.ABORTED),
    tenancy.WrongState: Rule(Code.FAILED_PRECONDITION),
    tenancy.LimitReached: Rule(Code.RESOURCE_EXHAUSTED, _over_limit),
    tenancy.PermissionDenied: Rule(Code.PERMISSION_DENIED, _denied),
    tenancy.Unauthenticated: Rule(Code.UNAUTHENTICATED, headers=_challenge),
    SignOnRefused: Rule(Code.PERMISSION_DENIED, _sign_on_refused),
    tenancy.RateLimited: Rule(Code.RESOURCE_EXHAUSTED, _over_rate, headers=_retry_after),
    # Not RESOURCE_EXHAUSTED: clients try that again at once, and only a person can mend this.
    tenancy.StartsRestricted: Rule(Code.FAILED_PRECONDITION, _restricted, http_status=402),
    tenancy.AddressRefused: Rule(Code.INVALID_ARGUMENT),
    tenancy.NoAnswer: Rule(Code.FAILED_PRECONDITION),
    tenancy.ProvisioningRefused: Rule(Code.FAILED_PRECONDITION),
    tenancy.ChainBroken: Rule(Code.DATA_LOSS, text=_OURS),
    tenancy.SnapshotRejected: Rule(Code.UNAVAILABLE, headers=_retry_after, text=_OURS),
    tenancy.SnapshotTooOld: Rule(Code.UNAVAILABLE, headers=_retry_after),
    tenancy.SealBroken: Rule(Code.DATA_LOSS, text=_OURS),
    tenancy.DatabaseUnavailable: Rule(Code.UNAVAILABLE, headers=_retry_after),
    tenancy.SchemaTooNew: Rule(Code.UNAVAILABLE, text=_OURS),
}

BILLING_RULES: Mapping[type[Exception], Rule] = {
    billing.BillingError: _INTERNAL,
    billing.FactsUnreadable: Rule(Code.DATA_LOSS, text=_OURS),
    billing.UnknownFact: _INTERNAL,
    billing.NoPriceList: _INTERNAL,
    billing.PeriodOpen: Rule(Code.FAILED_PRECONDITION),
    billing.DeliveryDiffers: _INTERNAL,
    billing.UnsignedEvent: Rule(Code.INVALID_ARGUMENT),
    billing.PaymentsUnavailable: Rule(Code.UNAVAILABLE, headers=_retry_after),
    billing.PaymentsRefused: Rule(Code.INTERNAL),
}

RULES = {**TRANSPORT_RULES, **ENGINE_RULES, **TENANCY_RULES, **BILLING_RULES}
_FOREIGN_PAGE = Rule(Code.PERMISSION_DENIED, _denied)


def rule_of(error: BaseException) -> Rule:
    """The row of the error's class, or of the nearest parent that has one."""
    if (
        isinstance(error, tenancy.Unauthenticated)
        and error.reason is tenancy.UnauthenticatedReason.FOREIGN_PAGE
    ):
        # The caller is known; it is the page that may not speak for it.
        return _FOREIGN_PAGE
    return next((RULES[parent] for parent in type(error).__mro__ if parent in RULES), _INTERNAL)


def status_of(error: BaseException) -> ErrorAnswer:
    """How an error is answered. What no row knows is a defect of ours and keeps its text."""
    rule = rule_of(error)
    status = Status(code=rule.code, message=rule.text or str(error))
    details = None if rule.details is None else rule.details(error)
    if details is not None:
        status.details.append(
            AnyMessage(
                type_url=TYPE_URL_PREFIX + details.DESCRIPTOR.full_name,
                value=details.SerializeToString(),
            )
        )
    headers = {} if rule.headers is None else rule.headers(error)
    return ErrorAnswer(rule.http_status or HTTP_STATUS[rule.code], status, headers)
