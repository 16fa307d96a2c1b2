from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator

import pytest

from api.logs import FIELDS, set_up_logs
from api.request_id import REQUEST_ID
from tests.house.tree import ROOT, product_files


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    set_up_logs(is_quiet=False, stream=stream)
    yield stream
    root.handlers[:], root.level = handlers, level


def test_a_line_holds_the_event_and_listed_fields_only(stream: io.StringIO) -> None:
    logging.getLogger("door").info("call_ended", extra={"run_id": "r-1", "password": "hunter2"})
    told = json.loads(stream.getvalue())
    assert (told["event"], told["level"], told["logger"]) == ("call_ended", "info", "door")
    assert told["run_id"] == "r-1"
    assert "hunter2" not in stream.getvalue()


def test_an_exception_stays_on_its_line(stream: io.StringIO) -> None:
    logging.getLogger("door").info("call_failed", exc_info=ZeroDivisionError("why"))
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError: why" in json.loads(line)["traceback"]


def test_a_person_reads_short_lines(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setattr(stream, "isatty", lambda: True)
    set_up_logs(is_quiet=False, stream=stream)
    logging.getLogger("door").info("shard_lost", extra={"shard_id": 3})
    assert stream.getvalue().rstrip().endswith("shard_lost shard_id=3")


def test_quiet_means_warnings_and_worse(stream: io.StringIO) -> None:
    set_up_logs(is_quiet=True, stream=stream)
    logging.getLogger("door").info("shard_lost")
    assert stream.getvalue() == ""


def test_a_line_of_a_request_has_its_id(stream: io.StringIO) -> None:
    token = REQUEST_ID.set("r-7")
    logging.getLogger("door").info("within")
    REQUEST_ID.reset(token)
    logging.getLogger("door").info("outside")
    within, outside = map(json.loads, stream.getvalue().splitlines())
    assert within["request_id"] == "r-7"
    assert "request_id" not in outside


def test_whatever_the_product_logs_is_listed() -> None:
    given: set[str] = set()
    for path in product_files(".py"):
        if not path.startswith(("api/", "billing/", "engine/", "tenancy/", "web/")):
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "extra":
                if isinstance(node.value, ast.Dict):
                    given |= {ast.literal_eval(key) for key in node.value.keys if key}
    assert given >= {"run_id", "shard_id"}
    assert given - set(FIELDS) == set()
