"""What only the SQLite store promises."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import apsw
import pytest

from engine.errors import DataLoss, DeadlineExceeded, StoreMismatch, StoreRejected, StoreUnavailable
from engine.persistence.protocols import ItemKind, ShardWrite
from engine.persistence.sqlite import SqliteStore, checkpoint, reader, runs
from engine.persistence.sqlite.checkpoint import Checkpointer
from engine.persistence.sqlite.connection import StoreFile
from engine.persistence.sqlite.writer import Writer
from engine.visibility.query import VisibilityQuery
from tests.engine.persistence.scenario import writes
from tests.engine.persistence.values import (
    NAMESPACE,
    NOW_NS,
    SHARD_COUNT,
    batch,
    key,
    own,
    put,
    put_visible,
    run_write,
    visible,
)


def damage(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    assert connection.total_changes() == 1
    connection.close()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize(("count", "transactions"), [(3, [3, 0]), (4, [3, 1])])
async def test_few_facts_are_deleted_in_one_transaction(
    sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch, count: int, transactions: list[int]
) -> None:
    monkeypatch.setattr(runs, "FACTS_DELETED_AT_ONCE", 3)
    for number in range(count):
        await put(sqlite, facts=b"%d" % number)
    deleted: list[int] = []
    transact = Writer.transact

    def noted(writer: Writer, work: Callable[[apsw.Connection], Any]) -> Any:
        def counted(connection: apsw.Connection) -> Any:
            before = connection.total_changes()
            done = work(connection)
            deleted.append(connection.total_changes() - before)
            return done

        return transact(writer, counted)

    monkeypatch.setattr(Writer, "transact", noted)
    await sqlite.delete_facts(count)
    assert deleted == transactions


async def test_its_files_are_for_their_owner_only(sqlite: SqliteStore, tmp_path: Path) -> None:
    await put(sqlite, run_write(key()))
    assert modes(tmp_path) == {"cell.db": 0o600, "cell.db-wal": 0o600, "cell.db-shm": 0o600}


async def test_it_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    for header in (None, b"first", b"second"):
        store = SqliteStore(tmp_path / "cell.db")
        await store.open(SHARD_COUNT)
        [run] = await store.load([key()])
        assert (run and run.header) == header
        await put(store, run_write(key(), b"second" if header else b"first"))
        await store.close()


async def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cell.db")
    await store.open(SHARD_COUNT)
    await store.close()
    connection = apsw.Connection(str(tmp_path / "cell.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreMismatch, match="schema version 99, not 1"):
        await store.open(SHARD_COUNT)


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "cell.db"))
    connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreMismatch, match="another program"):
        await SqliteStore(tmp_path / "cell.db").open(SHARD_COUNT)
    assert connection.execute("SELECT name FROM sqlite_schema").get == "theirs"
    connection.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cell.db").write_bytes(b"a letter, not a database " * 400)
    with pytest.raises(StoreMismatch, match="not an SQLite database"):
        await SqliteStore(tmp_path / "cell.db").open(SHARD_COUNT)


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="not open"):
        await SqliteStore(tmp_path / "cell.db").leases()


async def test_closing_finishes_what_was_asked(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cell.db")
    await store.open(SHARD_COUNT)
    epochs = await own(store)
    commit = asyncio.ensure_future(store.commit(writes(0, epochs)))
    await asyncio.sleep(0)
    await store.close()
    assert await commit == frozenset()


async def test_a_commit_lands_although_its_asker_gave_up(sqlite: SqliteStore) -> None:
    epochs = await own(sqlite)
    commit = asyncio.ensure_future(sqlite.commit(writes(0, epochs)))
    await asyncio.sleep(0)
    commit.cancel()
    # The next write stands behind it in the same lane.
    await own(sqlite)
    assert (await sqlite.load([key(1)]))[0] is not None


async def test_two_stores_on_one_file_fence_each_other(sqlite: SqliteStore, tmp_path: Path) -> None:
    old = await own(sqlite)
    other = SqliteStore(tmp_path / "cell.db")
    await other.open(SHARD_COUNT)
    [lease] = await other.acquire([1], "node-2", NOW_NS * 2, NOW_NS * 3)
    assert await sqlite.commit([ShardWrite(1, old[1], 1, [run_write(key())])]) == frozenset({1})
    await other.commit([ShardWrite(1, lease.epoch, 1, [run_write(key(), b"theirs")])])
    [run] = await sqlite.load([key()])
    assert run is not None
    assert run.header == b"theirs"
    await other.close()


Read = Callable[[SqliteStore], Coroutine[Any, Any, object]]
DAMAGED: dict[str, tuple[str, Read]] = {
    "history": ("UPDATE history SET blob = x'00'", lambda s: s.read_history(key(), 1, 9, 999)),
    "batch ids": (
        "UPDATE history SET last_event_id = 2",
        lambda s: s.read_history(key(), 1, 9, 99),
    ),
    "blob type": ("UPDATE history SET checksum = 0", lambda s: s.read_history(key(), 1, 9, 999)),
    "header": ("UPDATE run SET header = x'00'", lambda s: s.load([key()])),
    "item": ("UPDATE item SET blob = x'00'", lambda s: s.load([key()])),
    "summary": ("UPDATE summary SET blob = x'00'", lambda s: s.read_summaries(NAMESPACE, "", 9)),
    "fact": ("UPDATE fact SET sequence = 7", lambda s: s.read_facts(0, 9)),
}


@pytest.mark.parametrize("what", DAMAGED)
async def test_damaged_rows_are_data_loss(sqlite: SqliteStore, tmp_path: Path, what: str) -> None:
    items = {(ItemKind.TIMER, "timer"): b"item"}
    whole = run_write(key(), history=[batch(1)], items=items, summary=b"summary")
    await put(sqlite, whole, facts=b"fact")
    statement, read = DAMAGED[what]
    await read(sqlite)
    damage(tmp_path / "cell.db", statement)
    with pytest.raises(DataLoss):
        await read(sqlite)


async def test_text_that_is_no_unicode_is_refused_alone(sqlite: SqliteStore) -> None:
    with pytest.raises(StoreRejected, match="UnicodeEncodeError"):
        await put(sqlite, run_write(key(1)), run_write(key(2, workflow="\ud800")))
    assert await sqlite.load([key(1)]) == [None]
    await put(sqlite, run_write(key(1)))


async def test_a_read_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "STEPS_PER_LOOK", 1)
    store = SqliteStore(tmp_path / "cell.db", read_seconds_max=-1)
    await store.open(SHARD_COUNT)
    with pytest.raises(DeadlineExceeded, match="ask for less"):
        await store.list_visibility(VisibilityQuery(NAMESPACE))
    await store.close()


async def test_a_checkpoint_lets_the_log_begin_again(
    sqlite: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, file = tmp_path / "cell.db-wal", tmp_path / "cell.db"
    epochs = await own(sqlite)
    for step in range(20):
        await sqlite.commit(writes(step, epochs))
    log_bytes, file_bytes = log.stat().st_size, file.stat().st_size
    with monkeypatch.context() as patch:
        # Only for this checkpointer: that of the store would run beside it.
        patch.setattr(checkpoint, "CHECKPOINT_PAGES", 50)
        checkpointer = Checkpointer(StoreFile(file), threading.Lock())
        checkpointer.wrote(49)
        checkpointer.wrote(50)
        checkpointer.stop()
    assert file.stat().st_size > file_bytes
    for step in range(20, 30):
        await sqlite.commit(writes(step, epochs))
    assert log.stat().st_size == log_bytes


async def test_too_few_pages_are_no_reason_for_a_checkpoint(
    sqlite: SqliteStore, tmp_path: Path
) -> None:
    await put(sqlite, run_write(key()))
    before = (tmp_path / "cell.db").read_bytes()
    checkpointer = Checkpointer(StoreFile(tmp_path / "cell.db"), threading.Lock())
    checkpointer.wrote(checkpoint.CHECKPOINT_PAGES - 1)
    checkpointer.stop()
    assert (tmp_path / "cell.db").read_bytes() == before


async def test_lists_read_the_order_from_their_index(sqlite: SqliteStore, tmp_path: Path) -> None:
    await put_visible(sqlite, visible(1))
    connection = apsw.Connection(str(tmp_path / "cell.db"))
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT memo FROM visibility WHERE namespace_id = 'n'"
        " AND (close_order, start_at_ns, run_id) < (1, 2, 'r')"
        " ORDER BY close_order DESC, start_at_ns DESC, run_id DESC LIMIT 9"
    ).fetchall()
    connection.close()
    assert [detail for *_, detail in plan] == [
        "SEARCH visibility USING INDEX visibility_order"
        " (namespace_id=? AND (close_order,start_at_ns,run_id)<(?,?,?))"
    ]
