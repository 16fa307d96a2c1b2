"""Reads of a run that are overtaken by what happens to it in memory."""

from __future__ import annotations

import asyncio

import pytest

from engine.cell.reads import Reads
from engine.persistence.protocols import RunKey, StoredRun

RUN = RunKey("id-orders", "order-1", "run-1")
CURRENT = RUN._replace(run_id="")
OLD, NEW = (StoredRun(RUN, header, {}, None) for header in (b"old", b"new"))


class Asked:
    """The reads that were asked for, to be answered by hand."""

    def __init__(self) -> None:
        self.all: list[tuple[RunKey, asyncio.Future[StoredRun | None]]] = []

    def load(self, key: RunKey) -> asyncio.Future[StoredRun | None]:
        future: asyncio.Future[StoredRun | None] = asyncio.get_running_loop().create_future()
        self.all.append((key, future))
        return future


async def turn() -> None:
    """Lets everything that is ready happen."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.anyio
async def test_all_who_ask_meanwhile_share_one_read() -> None:
    asked = Asked()
    reads = Reads(asked.load)
    waiting = [asyncio.ensure_future(reads.read(RUN)) for _ in range(3)]
    await turn()
    [(_, future)] = asked.all
    future.set_result(OLD)
    assert await asyncio.gather(*waiting) == [OLD] * 3
    again = asyncio.ensure_future(reads.read(RUN))
    await turn()
    assert len(asked.all) == 2
    again.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("key", [RUN, CURRENT], ids=["by its run id", "as the current run"])
@pytest.mark.parametrize("is_answered_first", [False, True])
async def test_a_read_begun_before_the_run_left_memory_is_made_again(
    key: RunKey, is_answered_first: bool
) -> None:
    asked = Asked()
    reads = Reads(asked.load)
    waiting = asyncio.ensure_future(reads.read(key))
    await turn()
    if is_answered_first:
        asked.all[0][1].set_result(OLD)
    reads.left_memory(RUN)
    if not is_answered_first:
        asked.all[0][1].set_result(OLD)
    await turn()
    assert not waiting.done()
    assert [asked_key for asked_key, _ in asked.all] == [key, key]
    asked.all[1][1].set_result(NEW)
    assert await waiting == NEW


@pytest.mark.anyio
async def test_another_workflow_id_s_read_is_not_made_again() -> None:
    asked = Asked()
    reads = Reads(asked.load)
    waiting = asyncio.ensure_future(reads.read(RUN._replace(workflow_id="order-2")))
    await turn()
    reads.left_memory(RUN)
    asked.all[0][1].set_result(None)
    assert await waiting is None
    assert len(asked.all) == 1
