"""Load on a target that is a function: what is counted, and what is not."""

from __future__ import annotations

import asyncio
import os

import pytest

from benchmarks.load import Failed, Tally, Target, beside, closed_loop, open_loop


class Fake:
    """An operation that yields to its neighbours and fails where it is told to."""

    def __init__(self, fail_every: int = 0) -> None:
        self.calls = 0
        self.dues: list[float] = []
        self.fail_every = fail_every

    async def operation(self, due: float) -> float:
        self.calls += 1
        self.dues.append(due)
        await asyncio.sleep(0)
        if self.fail_every and self.calls % self.fail_every == 0:
            raise Failed
        return 0.25

    def target(self, units: int = 1) -> Target:
        return Target("fake", os.getpid(), self.operation, units_per_operation=units)


@pytest.mark.anyio
async def test_a_closed_loop_counts_what_finished_in_the_target_s_unit() -> None:
    fake = Fake()
    window = await closed_loop(fake.target(units=5), concurrency=3, seconds=0.02)
    assert window.count == 5 * fake.calls > 0
    assert set(window.latencies) == {0.25}
    assert len(window.latencies) == fake.calls


@pytest.mark.anyio
async def test_a_failed_operation_counts_for_nothing() -> None:
    fake = Fake(fail_every=2)
    window = await closed_loop(fake.target(), concurrency=1, seconds=0.02)
    assert window.count == fake.calls - fake.calls // 2


@pytest.mark.anyio
async def test_an_open_loop_starts_as_many_as_are_due_at_even_distances() -> None:
    fake = Fake()
    window = await open_loop(fake.target(), rate_per_s=1_000, seconds=0.02)
    assert window.count == 20
    gaps = [later - sooner for sooner, later in zip(fake.dues, fake.dues[1:], strict=False)]
    assert gaps == pytest.approx([0.001] * 19)


@pytest.mark.anyio
async def test_work_beside_ends_with_the_body() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with beside([endless()]):
        await asyncio.sleep(0)
    assert ended.is_set()


@pytest.mark.anyio
async def test_work_beside_that_breaks_breaks_the_body() -> None:
    async def broken() -> None:
        raise ValueError("the worker broke")

    with pytest.raises(ExceptionGroup) as caught:
        async with beside([broken()]):
            await asyncio.Event().wait()
    assert isinstance(caught.value.exceptions[0], ValueError)


def test_a_tally_keeps_its_first_problem() -> None:
    tally = Tally()
    tally.note("the first")
    tally.note("the second")
    assert (tally.errors, tally.first_problem) == (2, "the first")
