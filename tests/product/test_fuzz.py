"""Requests generated from the OpenAPI document, by one tenant beside another.

Whatever is sent, the service answers as documented, and neither shows nor changes what the other
tenant has.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
import schemathesis.schemas
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.product.answering import answering
from tests.product.client import open_account, program
from tests.product.server import Preloaded, Product, serving
from tests.product.stock import Stock, forms

Operation = schemathesis.schemas.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]

CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
OPENAPI = "/api/v1/openapi.json"
REQUESTS = 500
REQUESTS_OF_CI = 5_000
HANDLED_PART_MIN = 0.3
CALL_SECONDS_MAX = 30
NO_HTTP = "Invalid HTTP request received."
"""What the server beneath answers, and logs, where a made-up header is none."""
POLL_SECONDS = "0.01"
QUERY_SECONDS = "20"
"""Enough for the worker to answer in; nothing else that is asked here waits for somebody."""

REFUSED_BEFORE_A_HANDLER = frozenset((401, 403, 405, 413, 415))
INVALID_PROTOBUF = "the body is no "

SIDES = {"ours": 0.65, "theirs": 0.2, "mixed": 0.15}
"""How often the names in a request are of things that the caller has, the rival has, or either."""

GENERATED = 0.2
"""How often a name is left as it was generated."""

MORE = 1.4
"""Operations of few words have fewer different requests than others."""

NEGATIVE = 0.2
"""How often a request is made to break the document's rules."""

QUERY = "WorkflowService_QueryWorkflow"
DESTRUCTIVE = ("CloudService_DeleteNamespace", "CloudService_DeleteApiKey", "log_out")
"""Operations that would take the caller's own namespace and key away: theirs are never named."""

BODY_NAMES = {
    "namespace": "namespace",
    "workflowId": "workflow_id",
    "runId": "run_id",
    "activityId": "activity_id",
    "nextPageToken": "page_token",
    "pageToken": "page_token",
    "asyncOperationId": "async_operation_id",
}
"""Fields of bodies and queries, and what of the stock they name."""


class Bystander:
    """Puts real names into generated requests: of what the caller has, or its rival.

    Queries are about `answering`, a workflow of ours that has a worker.
    """

    def __init__(
        self, rng: random.Random, ours: Stock, theirs: Stock, answering: dict[str, str]
    ) -> None:
        self._rng = rng
        self._stocks = {"ours": ours.known, "theirs": theirs.known}
        self._answering = answering
        self._side = "ours"
        self._is_query = False

    def lend(self, case: Case) -> None:
        (self._side,) = self._rng.choices(list(SIDES), list(SIDES.values()))
        operation_id = str(case.operation.definition.raw.get("operationId", ""))
        is_destructive = operation_id.startswith(DESTRUCTIVE)
        self._is_query = operation_id.startswith(QUERY)
        for name in case.path_parameters:
            value = self._value(name, is_destructive=is_destructive)
            if value is not None:
                # What the generator made is quoted already, and names may hold any sign.
                case.path_parameters[name] = quote(value, safe="")
        for values in (case.query, case.body):
            if isinstance(values, dict) and not is_destructive:
                self._replace(values, operation_id)
        if "/api/v1/namespaces/" in case.path or case.path.startswith("/temporal."):
            seconds = QUERY_SECONDS if self._is_query else POLL_SECONDS
            case.query = {**(case.query or {}), "timeout": seconds}

    def _replace(self, values: dict[str, Any], operation_id: str) -> None:
        is_by_token = "Respond" in operation_id and "ById" not in operation_id
        if "taskToken" in values or is_by_token:
            kind = "workflow_task_token" if "WorkflowTask" in operation_id else "task_token"
            values["taskToken"] = self._value(kind) or values.get("taskToken", "")
        for name, known in BODY_NAMES.items():
            if name in values and (value := self._value(known)) is not None:
                values[name] = value
        for inner in values.values():
            if isinstance(inner, dict):
                self._replace(inner, "")

    def _value(self, name: str, *, is_destructive: bool = False) -> str | None:
        side = self._rng.choice(list(self._stocks)) if self._side == "mixed" else self._side
        if self._rng.random() < GENERATED or (is_destructive and side == "ours"):
            return None
        if self._is_query and side == "ours" and name in self._answering:
            return self._answering[name]
        return self._stocks[side].get(name)


class Tally:
    """How many requests were sent, and how many of them a handler decided on."""

    def __init__(self) -> None:
        self.sent = 0
        self.handled = 0

    def note(self, answer: Response) -> None:
        self.sent += 1
        self.handled += is_handled(answer)


def is_handled(answer: Response) -> bool:
    """Whether a handler decided on it, and not the door before."""
    if answer.status_code in REFUSED_BEFORE_A_HANDLER:
        return False
    if answer.status_code < 300:
        return True
    told = answer.json()
    # What the door reads it tells apart from its field; what a cell reads is one sentence.
    is_misread = any(
        violation["description"] != told["message"]
        for detail in told.get("details", ())
        for violation in detail.get("fieldViolations", ())
    )
    is_unknown = answer.status_code == 404 and "namespace" in told["message"]
    is_unread = told["message"].startswith(INVALID_PROTOBUF)
    return not is_misread and not is_unknown and not is_unread


@pytest.fixture
async def product(preloaded: Preloaded, tmp_path: Path) -> AsyncIterator[Product]:
    async with serving(preloaded, tmp_path / "data", expected=[NO_HTTP]) as product:
        yield product


@pytest.fixture
async def tenants(product: Product) -> AsyncIterator[tuple[Stock, Stock]]:
    """Us, and a rival whose secrets nobody else may ever see."""
    stocks = []
    for secret in ("ours alone", "canary-9f3b61d2c07e4a85b"):
        access = await open_account(product)
        stock = Stock(access, program(product, access), secret)
        await stock.furnish()
        stocks.append(stock)
    yield stocks[0], stocks[1]
    for stock in stocks:
        await stock.program.http.aclose()
        await stock.access.owner.http.aclose()


@contextmanager
def calling(key: str) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["authorization"] = f"Bearer {key}"
        yield session


def operations_of(document: dict[str, Any]) -> Iterator[Operation]:
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


def generated(
    operation: Operation,
    mode: GenerationMode,
    count: int,
    send: Callable[[Case], None],
) -> None:
    """Send so many requests, the same ones each time."""

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Case) -> None:
        send(case)

    # What takes no input cannot be given a wrong one.
    with suppress(Unsatisfiable):
        each()


@pytest.mark.parametrize(
    "count", [REQUESTS, pytest.param(REQUESTS_OF_CI, marks=pytest.mark.ci)], ids=["fast", "long"]
)
async def test_no_request_breaks_the_service_or_touches_another_tenant(
    product: Product, tenants: tuple[Stock, Stock], count: int
) -> None:
    ours, theirs = tenants
    before = await theirs.state()
    document = (await ours.program.http.get(OPENAPI)).json()
    operations = list(operations_of(document))
    rng = random.Random(count)
    secrets, tally = forms(theirs.secret), Tally()
    with (
        calling(ours.access.key) as session,
        answering(product, ours.access) as known,
    ):
        bystander = Bystander(rng, ours, theirs, known)

        def send(case: Case) -> None:
            bystander.lend(case)
            answer = case.call(base_url=product.address, session=session, timeout=CALL_SECONDS_MAX)
            told = f"{case.operation.label}: {answer.status_code} {answer.text[:500]}"
            if answer.text == NO_HTTP:
                return
            assert answer.status_code < 500, told
            assert not any(secret in answer.content for secret in secrets), told
            case.validate_response(answer, checks=CHECKS)
            tally.note(answer)

        for operation in operations:
            await ours.renew()
            examples = math.ceil(MORE * count / len(operations))
            negative = max(1, int(examples * NEGATIVE))
            for mode, part in (
                (GenerationMode.POSITIVE, examples - negative),
                (GenerationMode.NEGATIVE, negative),
            ):
                generated(operation, mode, part, send)
    assert tally.sent >= count
    assert tally.handled >= HANDLED_PART_MIN * tally.sent
    assert await theirs.state() == before
