"""Who may read an account's metrics, how often, and what is said when a cell is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest

from api.dispatch import CellRpc
from api.metrics import account as account_module
from api.metrics.account import AccountMetrics, Choice, Completeness, may_read
from api.metrics.families import FAMILIES
from api.metrics.points import NamespacePoints
from api.metrics.scrape_limits import SCRAPES_AT_ONCE_MAX, SCRAPES_PER_HOUR_MAX, ScrapeLimits
from api.metrics.traffic import Traffic
from engine.call import Call
from engine.errors import Unavailable
from engine.handlers.handler import WORKFLOW_SERVICE
from engine.measures import FOLDED, SERIES_PER_WINDOW_MAX, Window, Windows, percentile
from tenancy import (
    AccountRole,
    NamespaceRef,
    Permission,
    Principal,
    PrincipalKind,
    RateLimited,
    Snapshot,
)

OURS = NamespaceRef("acme", "ns-1", "orders", "cell-1", 1)
THEIRS = NamespaceRef("rival", "ns-2", "orders", "cell-1", 1)
SECONDS_PER_HOUR = 3_600


def key(
    role: AccountRole | None = None,
    permission: Permission | None = None,
    grants: Mapping[str, Permission] | None = None,
) -> Principal:
    return Principal(PrincipalKind.API_KEY, "key", "acme", role, permission, grants or {})


@pytest.mark.parametrize(
    ("caller", "is_readable"),
    [
        (key(AccountRole.METRICS_READ), True),
        (key(AccountRole.OWNER), True),
        (key(AccountRole.READ, Permission.READ), True),
        (key(grants={OURS.id: Permission.READ}), True),
        (key(grants={OURS.id: Permission.WORKER}), False),
        (key(None, Permission.WORKER), False),
        (key(AccountRole.FINANCE_ADMIN), False),
    ],
)
def test_metrics_are_for_readers_and_for_the_role_that_has_nothing_else(
    caller: Principal, is_readable: bool
) -> None:
    assert may_read(caller, OURS) is is_readable
    assert not may_read(caller, THEIRS)


async def away(method: str, request: bytes, call: Call) -> bytes:
    raise Unavailable


async def silent(method: str, request: bytes, call: Call) -> bytes:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nothing ends this wait but its caller")


@pytest.mark.parametrize("cell", [away, silent])
async def test_while_a_cell_does_not_answer_it_is_said_that_this_is_not_all(
    cell: CellRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_module, "CELL_SECONDS_MAX", 0.01)
    snapshot = Snapshot(1, datetime.now(UTC), namespaces={OURS.full_name: OURS})
    account = AccountMetrics(
        snapshot=lambda: snapshot,
        cells=lambda cell_id: cell,
        traffic=Traffic(lambda: 0.0),
        audit=lambda act: nullcontext(),
        monotonic=lambda: 0.0,
    )
    _, completeness = await account.read(key(AccountRole.OWNER), Choice())
    assert completeness is Completeness.UNKNOWN


def test_scrapes_come_back_one_by_one() -> None:
    now = 0.0
    limits = ScrapeLimits(lambda: now)
    for _ in range(SCRAPES_AT_ONCE_MAX):
        limits.admit("acme")
    with pytest.raises(RateLimited) as refusal:
        limits.admit("acme")
    now += refusal.value.retry_after_seconds - 1
    with pytest.raises(RateLimited):
        limits.admit("acme")
    now += 1
    limits.admit("acme")
    admitted = 0
    for _ in range(SECONDS_PER_HOUR):
        now += 1
        try:
            limits.admit("acme")
        except RateLimited:
            continue
        admitted += 1
    assert admitted == SCRAPES_PER_HOUR_MAX


def test_a_namespace_cannot_fill_the_memory_with_names() -> None:
    window = Window()
    for number in range(SERIES_PER_WINDOW_MAX + 5):
        window.count(("poll_timeout", "workflow", f"queue-{number}"))
        window.took(("service_latency", f"operation-{number}"), 1.0)
    assert len(window.counts) == len(window.latencies) == SERIES_PER_WINDOW_MAX + 1
    assert window.counts["poll_timeout", FOLDED, FOLDED] == 5
    assert window.is_folded
    points = NamespacePoints()
    points.add_window(window)
    told = list(points.points())
    assert points.is_limited
    rates = sum(it.value for it in told if it.family.name.endswith("poll_timeout_count"))
    assert rates == pytest.approx((SERIES_PER_WINDOW_MAX + 5) / 60)


def test_a_window_is_told_for_one_minute_after_its_own() -> None:
    now = 30.0
    windows = Windows(lambda: now)
    windows.of("ns-1").count(("service_request", "Start"))
    assert windows.last("ns-1").counts == {}
    now = 60.0
    assert windows.last("ns-1").counts == {("service_request", "Start"): 1}
    now = 119.9
    assert windows.last("ns-1").counts == {("service_request", "Start"): 1}
    now = 120.0
    assert windows.last("ns-1").counts == {}


@pytest.mark.parametrize("seconds", [0.000_2, 0.004, 0.7, 35.0, 86_400.0])
def test_a_percentile_is_right_to_within_a_tenth(seconds: float) -> None:
    window = Window()
    for _ in range(98):
        window.took(("latency",), seconds)
    for _ in range(2):
        window.took(("latency",), seconds * 50)
    powers = window.latencies["latency",]
    for share in (0.5, 0.95):
        assert percentile(powers, share) == pytest.approx(seconds, rel=0.1)
    assert percentile(powers, 0.99) == pytest.approx(seconds * 50, rel=0.1)


def test_names_of_metrics_are_unique() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)


async def test_readings_of_a_history_that_wait_are_polls() -> None:
    now = 0.0
    traffic = Traffic(lambda: now)
    asked: list[Mapping[str, int]] = []

    async def cell(method: str, request: bytes, call: Call) -> bytes:
        asked.append(traffic.pending(OURS.id))
        return b""

    call = Call(OURS.id, OURS.full_name)
    history = WORKFLOW_SERVICE + "GetWorkflowExecutionHistory"
    for waits in (False, True):
        request = GetWorkflowExecutionHistoryRequest(wait_new_event=waits)
        await traffic.through(lambda cell_id: cell)("cell-1")(
            history, request.SerializeToString(), call
        )
    assert asked == [{}, {"PollWorkflowExecutionHistory": 1}]
    assert traffic.pending(OURS.id) == {}
    now = 60.0
    told = traffic.last(OURS.id)
    assert told.counts == {("service_request", "PollWorkflowExecutionHistory"): 1}
    assert list(told.latencies) == [("service_latency", "GetWorkflowExecutionHistory")]
