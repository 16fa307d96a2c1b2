"""signals: to one workflow that continues-as-new every thousand; each must be handled once."""

from __future__ import annotations

from pathlib import Path

from benchmarks.floor.driver import floor_target
from benchmarks.load import closed_loop
from benchmarks.machine import conditions
from benchmarks.product.driver import product
from benchmarks.product.signals import SignalSink
from benchmarks.report import Record, beside_floor, record
from benchmarks.windows import CLEAN_WINDOWS_MIN, Plan, Window, summarise

SENDERS = 64


async def run(data: Path, plan: Plan) -> list[Record]:
    """A minute of signals without a pause; hello on the floor before it is this machine's unit."""
    seconds = plan.window_seconds
    async with floor_target(data, activities=1) as floor:
        unit = [await closed_loop(floor, SENDERS, seconds) for _ in range(CLEAN_WINDOWS_MIN)]
    async with product(data, plan) as server:
        sink = SignalSink(server)
        target = await sink.open()
        count = round(plan.sustained_seconds / seconds)
        windows = [await closed_loop(target, SENDERS, seconds) for _ in range(count)]
        await target.audit()
    rows = [
        record(
            name,
            measured.name,
            f"closed {SENDERS}",
            summarise(taken),
            measured.tally,
            concurrency=SENDERS,
            window_seconds=seconds,
            worker=plan.worker,
            **conditions(data),
        )
        for name, measured, taken in (("hello", floor, unit), ("signals", target, windows))
    ]
    beside_floor(rows, rows[0]["rate_per_s"])
    rows[1]["note"] = note(windows, sink.drain_seconds)
    return rows


def note(windows: list[Window], drain_seconds: float) -> str:
    """What the median does not say: the whole stretch, and how far handling was behind."""
    sent, seconds = sum(w.count for w in windows), sum(w.seconds for w in windows)
    return (
        f"{sent} signals in {seconds:.0f} s ({sent / seconds:.0f}/s); "
        f"the last was handled {drain_seconds:.2f} s after the sending ended"
    )
