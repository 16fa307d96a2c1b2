"""The numbers that operators read: as the document lists them, and without any tenant in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.core import Metric

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from api.server import AddressInUse
from api.telemetry import Telemetry, TelemetrySettings, observed
from api.telemetry.board import Board
from api.telemetry.document import filled
from api.telemetry.instruments import INSTRUMENTS, OF_THE_SYSTEM, Part, Type
from api.telemetry.operator_port import operator_port
from api.telemetry.settings import as_arguments
from engine.measures import BYTE_BOUNDS, Distribution, Reading
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, Site
from tests.openmetrics import families_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ANY_PORT = 0
LOOPBACK = "127.0.0.1"


def test_the_document_lists_what_there_is() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text) == text, "run ./dev python -m api.telemetry"


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Site]]:
    """Whoever asks the operators' port of a cloud, and its customers."""
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        held = stack.enter_context(installation(tmp_path))
        await stack.enter_async_context(telemetry.running())
        host, port = await stack.enter_async_context(
            operator_port(LOOPBACK, ANY_PORT, telemetry.board, telemetry.tell)
        )
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False)
        )
        assert (await http.get("/readyz")).json() == {"ready": False, "process": "starting"}
        cloud = await stack.enter_async_context(
            open_cloud(held, MemoryStore(), CloudSettings(ADDRESS), telemetry)
        )
        yield http, Site(cloud)


def by_name(text: str) -> dict[str, Metric]:
    return {family.name: family for family in families_of(text)}


async def test_a_small_run_emits_every_number_that_is_listed_and_no_other(
    operator: tuple[httpx.AsyncClient, Site],
) -> None:
    http, site = operator
    owner = await site.owner()
    name = await owner.namespace("canary")
    await owner.post(
        f"/api/v1/namespaces/{name}/workflows/canary-id",
        {"workflowType": {"name": "canary-type"}, "taskQueue": {"name": "canary-queue"}},
    )
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    told = by_name(answer.text)
    listed = {instrument.full_name for instrument in INSTRUMENTS.values()}
    assert {family for family in told if family.startswith("perdure_")} == listed
    system = {family.removesuffix("_total") for family in OF_THE_SYSTEM}
    assert {family for family in told if not family.startswith("perdure_")} == system
    for instrument in INSTRUMENTS.values():
        family = told[instrument.full_name]
        assert family.type == instrument.type
        assert family.samples, instrument.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == set(instrument.labels), instrument.name
    assert "canary" not in answer.text
    assert owner.account_id not in answer.text
    start = {"method": "WorkflowService/StartWorkflowExecution", "code": "200"}
    [calls] = [it.value for it in told["perdure_calls"].samples if it.labels == start]
    assert calls == 1
    sizes = {it.name: it.value for it in told["perdure_commit_bytes"].samples}
    assert sizes["perdure_commit_bytes_count"] >= 1
    assert sizes["perdure_commit_bytes_sum"] > len("canary-id")
    [backlog] = [
        it.value for it in told["perdure_backlog_tasks"].samples if it.labels["kind"] == "workflow"
    ]
    assert backlog >= 1


async def test_the_port_tells_health_and_nothing_else(
    operator: tuple[httpx.AsyncClient, Site],
) -> None:
    http, _ = operator
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/api/v1/namespaces")).status_code == 404


async def test_a_taken_port_is_told_with_the_setting_that_names_it() -> None:
    board = Board()
    async with operator_port(LOOPBACK, ANY_PORT, board, dict) as (host, port):
        with pytest.raises(AddressInUse, match="--metrics-port"):
            async with operator_port(host, port, board, dict):
                pass


async def test_telemetry_is_off_unless_somebody_asks() -> None:
    async with observed(TelemetrySettings()) as telemetry:
        assert telemetry is None


def test_each_process_gets_a_port_of_its_own() -> None:
    settings = TelemetrySettings(metrics_port=9464)
    assert as_arguments(settings, 2) == ["--metrics-port", "9466", "--metrics-host", LOOPBACK]
    anywhere = TelemetrySettings(metrics_port=ANY_PORT)
    assert as_arguments(anywhere, 2)[:2] == ["--metrics-port", "0"]


def test_a_reading_that_no_table_lists_is_a_defect() -> None:
    def invented() -> Iterator[Reading]:
        yield Reading("invented", {}, 1)

    board = Board()
    board.add(invented)
    with pytest.raises(KeyError, match="invented"):
        board.text()


def test_a_histogram_adds_up() -> None:
    sizes = Distribution(BYTE_BOUNDS)
    for size in (1, BYTE_BOUNDS[0], BYTE_BOUNDS[0] + 1, BYTE_BOUNDS[-1] + 1):
        sizes.observe(size)
    board = Board()
    board.add(lambda: [Reading("commit_bytes", {}, sizes)])
    buckets = {
        sample.labels["le"]: sample.value
        for sample in by_name(board.text().decode())["perdure_commit_bytes"].samples
        if sample.name.endswith("_bucket")
    }
    assert buckets[str(float(BYTE_BOUNDS[0]))] == 2
    assert buckets[str(float(BYTE_BOUNDS[1]))] == 3
    assert buckets["+Inf"] == 4


def test_every_instrument_says_who_tells_it_and_what_it_means() -> None:
    for instrument in INSTRUMENTS.values():
        assert instrument.part in Part
        assert instrument.type in Type
        assert instrument.help.endswith(".")
