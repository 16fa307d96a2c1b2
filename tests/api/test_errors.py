"""Every refusal of every folder has its code, its HTTP status and its details."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from temporalio.api.failure.v1 import Failure

from api.errors import HTTP_STATUS, RULES, Code, status_of
from api.transports import errors as transport
from billing.errors import BillingError, UnknownFact
from engine import errors as engine
from engine.cell import remote
from tenancy import errors as tenancy

TREES = (engine.EngineError, tenancy.TenancyError, transport.TransportError, BillingError)


def family(parent: type[Exception]) -> Iterator[type[Exception]]:
    yield parent
    for child in parent.__subclasses__():
        yield from family(child)


@pytest.mark.parametrize("tree", TREES)
def test_every_class_of_errors_has_a_row_of_its_own(tree: type[Exception]) -> None:
    assert [error.__name__ for error in family(tree) if error not in RULES] == []


def test_every_code_has_an_http_status() -> None:
    assert HTTP_STATUS.keys() == set(Code)


TOLD = [
    (engine.InvalidArgument("workflow_id: over 1,000 bytes"), 400, 3, None),
    (engine.NotFound("no such run"), 404, 5, "NotFoundFailure"),
    (engine.NamespaceNotFound(namespace="orders.acme"), 404, 5, "NamespaceNotFoundFailure"),
    (
        engine.WorkflowAlreadyStarted("running", "r-1", "run-1", "run-0"),
        409,
        6,
        "WorkflowExecutionAlreadyStartedFailure",
    ),
    (engine.InvalidArgument("page_size must be 0 to 5", "page_size"), 400, 3, "BadRequest"),
    (engine.InvalidArgument("the request is no X message"), 400, 3, None),
    (engine.WorkflowNotReady(), 400, 9, "WorkflowNotReadyFailure"),
    (engine.QueryFailed("no", b"\xff"), 400, 3, "QueryFailedFailure"),
    (engine.ResourceExhausted(), 429, 8, "ResourceExhaustedFailure"),
    (engine.Unavailable(), 503, 14, None),
    (engine.DataLoss(), 500, 15, None),
    (tenancy.NotFound("namespace", "orders.acme"), 404, 5, "NamespaceNotFoundFailure"),
    (tenancy.NotFound("API key", "k"), 404, 5, "NotFoundFailure"),
    (tenancy.AlreadyExists("namespace", "orders.acme"), 409, 6, "NamespaceAlreadyExistsFailure"),
    (tenancy.Conflict("namespace", "id", 3), 409, 10, None),
    (tenancy.PermissionDenied("Start", "orders", "ask"), 403, 7, "PermissionDeniedFailure"),
    (tenancy.InvalidField("name", "at most 3", "shorten it"), 400, 3, "BadRequest"),
    (transport.InvalidJson("input[0]", "not base64"), 400, 3, "BadRequest"),
    (transport.InvalidJson("", "not JSON"), 400, 3, None),
    (transport.BodyTooLarge(4), 413, 3, None),
    (transport.UnsupportedMediaType("text/x"), 415, 3, None),
    (transport.NotServed("X"), 501, 12, None),
    (transport.DeadlinePassed(2), 504, 4, None),
]


@pytest.mark.parametrize(("error", "http_status", "code", "detail"), TOLD)
def test_an_error_is_told_by_status_code_and_detail(
    error: Exception, http_status: int, code: int, detail: str | None
) -> None:
    answer = status_of(error)
    told = json.loads(answer.json())
    types = [each["@type"].rpartition(".")[2] for each in told.get("details", [])]
    assert (answer.http_status, told["code"]) == (http_status, code)
    assert types == ([] if detail is None else [detail])
    assert told["message"] == str(error)


def test_what_a_cell_behind_a_wire_refuses_names_its_field_too() -> None:
    told = remote.encode_refusal(engine.InvalidArgument("input is too large", "input"))
    with pytest.raises(engine.InvalidArgument) as refused:
        remote.answer_of(told)
    (detail,) = json.loads(status_of(refused.value).json())["details"]
    (violation,) = detail["fieldViolations"]
    assert violation == {"field": "input", "description": "input is too large"}


def test_details_carry_the_ids_that_clients_act_on() -> None:
    error = engine.WorkflowAlreadyStarted("running", "r-1", "run-1", "run-0")
    detail = json.loads(status_of(error).json())["details"][0]
    assert (detail["startRequestId"], detail["runId"]) == ("r-1", "run-1")
    assert detail["firstExecutionRunId"] == "run-0"
    failure = Failure(message="unknown query")
    failed = status_of(engine.QueryFailed("no", failure.SerializeToString()))
    assert json.loads(failed.json())["details"][0]["failure"] == {"message": "unknown query"}


@pytest.mark.parametrize("error", [ValueError("secret"), UnknownFact("x"), engine.Internal("y")])
def test_a_defect_of_ours_keeps_its_text_to_itself(error: Exception) -> None:
    answer = status_of(error)
    assert (answer.http_status, answer.is_our_fault) == (500, True)
    assert str(error) not in answer.status.message


def test_a_missing_credential_is_challenged_and_a_foreign_page_is_forbidden() -> None:
    reasons = tenancy.UnauthenticatedReason
    unknown = status_of(tenancy.Unauthenticated(reasons.UNKNOWN_KEY))
    assert (unknown.http_status, unknown.headers["www-authenticate"]) == (401, "Bearer")
    assert status_of(transport.MissingCredential()).headers == unknown.headers
    assert status_of(tenancy.Unauthenticated(reasons.FOREIGN_PAGE)).http_status == 403


def test_whoever_came_too_often_is_told_when_to_come_back() -> None:
    assert status_of(tenancy.RateLimited(7)).headers["retry-after"] == "7"
