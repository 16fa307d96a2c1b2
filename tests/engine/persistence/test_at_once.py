"""Which commits their caller makes by itself, and which are left to the thread that writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import chain, repeat
from math import ceil, inf, log
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from engine.persistence.protocols import ItemKind, RunWrite, ShardWrite
from engine.persistence.sqlite import SqliteStore, writer
from engine.persistence.sqlite.connection import StoreFile
from engine.persistence.sqlite.store import QUICK_SECONDS_MAX, ROWS_AT_ONCE_MAX
from tests.engine.persistence.values import SHARD_COUNT, key, own, run_write

SHARD = 1


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path / "cell.db")
    await store.open(SHARD_COUNT)
    await own(store)
    try:
        yield store
    finally:
        await store.close()


async def is_made_at_once(store: SqliteStore, run: RunWrite) -> bool:
    """Whether the commit ends before the event loop turns."""
    lease = (await store.leases())[SHARD]
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    await store.commit([ShardWrite(SHARD, lease.epoch, lease.sequence + 1, [run], None)])
    return not turned.is_set()


def disk_that_takes(monkeypatch: pytest.MonkeyPatch, seconds: Iterable[float]) -> None:
    """One commit after the other takes as long as `seconds` says."""
    moments = chain.from_iterable((0.0, taken) for taken in seconds)
    monkeypatch.setattr(writer, "time", SimpleNamespace(monotonic=lambda: next(moments)))


async def test_a_small_commit_to_a_quick_disk_is_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_that_takes(monkeypatch, repeat(QUICK_SECONDS_MAX))
    async with opened(tmp_path) as store:
        assert await is_made_at_once(store, run_write(key()))
        assert await store.load([key()]) != [None]


@pytest.mark.parametrize(("item_count", "at_once"), [(-2, True), (-1, False)])
async def test_a_large_commit_is_left_to_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, item_count: int, at_once: bool
) -> None:
    disk_that_takes(monkeypatch, repeat(0.0))
    names = map(str, range(ROWS_AT_ONCE_MAX + item_count))
    large = run_write(key(), items={(ItemKind.TIMER, name): b"row" for name in names})
    async with opened(tmp_path) as store:
        assert await is_made_at_once(store, large) == at_once


async def test_a_commit_during_another_write_is_made_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_that_takes(monkeypatch, repeat(0.0))
    async with opened(tmp_path) as store:
        under_way = asyncio.create_task(store.delete_facts(0))
        lease = (await store.leases())[SHARD]
        write = ShardWrite(SHARD, lease.epoch, 1, [run_write(key())], None)
        commit = asyncio.create_task(store.commit([write]))
        await asyncio.gather(under_way, commit)
        assert await store.load([key()]) != [None]


async def test_the_disk_counts_as_slow_until_it_has_been_quick_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparing_and_owning, commits = [0.0, 0.0], 12
    stall = [2 * QUICK_SECONDS_MAX * writer.COMMITS_REMEMBERED]
    disk_that_takes(monkeypatch, chain(preparing_and_owning, stall, repeat(0.0)))
    async with opened(tmp_path) as store:
        at_once = [await is_made_at_once(store, run_write(key(n))) for n in range(commits)]
    # The average begins at twice what is quick and loses a part of itself with every commit.
    slow_count = ceil(log(1 / 2) / log(1 - 1 / writer.COMMITS_REMEMBERED))
    assert at_once == [n == 0 or n > slow_count for n in range(commits)]


def test_nobody_waits_for_the_checkpoint_that_has_the_file_to_itself(tmp_path: Path) -> None:
    file, gate = StoreFile(tmp_path / "cell.db"), threading.Lock()
    file.create()
    held = writer.Writer(file, gate, lambda _: None, quick_seconds_max=inf)
    held.transact(lambda connection: connection.execute("CREATE TABLE made (number INTEGER)"))
    with gate:
        assert held.transact_at_once(count_tables) is None
    assert held.transact_at_once(count_tables) == 1
    held.close()


def count_tables(connection: apsw.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() or (0,)
    return int(count)
