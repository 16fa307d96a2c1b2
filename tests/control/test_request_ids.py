"""Whatever answers a request, its caller and the log are told the same id."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from api.logs import JsonLines
from tenancy import ChainBroken
from tenancy.sessions import Sessions
from tests.control.visitor import Site

SESSION = "/api/v1/session"
OTHERS = "/api/v1/namespaces/orders.nobody/workflows"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("path", [SESSION, "/login", OTHERS, "/cloud/account", "/nothing"])
async def test_every_answer_has_the_id_of_its_request(site: Site, path: str) -> None:
    visitor = site.stranger(accept="text/html")
    mine = await visitor.http.get(path, headers={"x-request-id": "mine-1"})
    assert mine.headers.get_list("x-request-id") == ["mine-1"]
    new = [(await visitor.http.get(path)).headers["x-request-id"] for _ in range(2)]
    assert len({*new, "mine-1"}) == 3


@pytest.mark.allow_log("call_failed", "request_failed")
@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), ChainBroken("acme", 7)])
async def test_a_defect_behind_the_door_is_logged_once_with_the_id_of_its_request(
    site: Site, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Sessions, "resume", fail)
    visitor = site.stranger(cookie="perdure_session=x")
    answer = await visitor.http.get(SESSION, headers={"x-request-id": "mine-2"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine-2")
    assert "internal error" in answer.json()["message"]
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [each["request_id"] for each in told if "traceback" in each] == ["mine-2"]
