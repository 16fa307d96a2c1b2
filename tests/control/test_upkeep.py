from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from api import upkeep as upkeep_module
from api.upkeep import Upkeep

FAR_SECONDS = 1_000.0


async def test_a_step_is_repeated_when_it_is_woken() -> None:
    steps: asyncio.Queue[None] = asyncio.Queue()
    wake, upkeep = asyncio.Event(), Upkeep()

    async def step() -> float:
        steps.put_nowait(None)
        return FAR_SECONDS

    upkeep.start("step", step, wake=wake)
    for _ in range(3):
        await steps.get()
        wake.set()
    await upkeep.stop()


async def test_a_step_that_fails_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    allow_log: Callable[..., None],
) -> None:
    allow_log("upkeep_failed")
    monkeypatch.setattr(upkeep_module, "RETRY_SECONDS", 0.0)
    upkeep, done, tries = Upkeep(), asyncio.Event(), 0

    async def step() -> float:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConnectionError("the cell is away")
        done.set()
        return FAR_SECONDS

    upkeep.start("step", step)
    await done.wait()
    await upkeep.stop()
    told = [record for record in caplog.records if record.msg == "upkeep_failed"]
    assert len(told) == 1


async def test_stopping_twice_or_without_a_start_is_fine() -> None:
    upkeep = Upkeep()
    await upkeep.stop()
    await upkeep.stop()
