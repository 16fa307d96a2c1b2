"""What only the PostgreSQL store promises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

from engine.errors import (
    DataLoss,
    DeadlineExceeded,
    StoreError,
    StoreFull,
    StoreMismatch,
    StoreRejected,
    StoreUnavailable,
)
from engine.persistence.postgres import PostgresStore, migrations, runs
from engine.persistence.postgres import commit as commit_module
from engine.persistence.postgres import store as store_module
from engine.persistence.postgres.connection import BY_KEY, WRITE, Role, write_failure
from engine.persistence.postgres.schema import FACTS_LOCK
from engine.persistence.protocols import ItemKind, RunKey, ShardWrite
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
)

LOOK_AGAIN_SECONDS = 0.01
WAIT_SECONDS_MAX = 30
WAITING = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement, outside of any store."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=engine") as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def waits_for_a_lock(url: str) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not execute(url, f"SELECT 1 {WAITING}"):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def test_it_is_there_after_closing_and_opening(postgres_url: str) -> None:
    for header in (None, b"first", b"second"):
        store = PostgresStore(postgres_url)
        await store.open(SHARD_COUNT)
        [run] = await store.load([key()])
        assert (run and run.header) == header
        await put(store, run_write(key(), b"second" if header else b"first"))
        await store.close()


async def test_a_store_of_a_later_release_is_refused(postgres_database: Callable[[], str]) -> None:
    url = postgres_database()
    store = PostgresStore(url)
    await store.open(SHARD_COUNT)
    await store.close()
    execute(url, "INSERT INTO migration (number) VALUES (99)")
    with pytest.raises(StoreMismatch, match="schema version 99, and this release knows 2"):
        await store.open(SHARD_COUNT)


async def test_migrations_are_applied_in_order_and_once(
    postgres_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_database()
    await opened_and_closed(url)
    later = "CREATE TABLE later (x bigint)", "ALTER TABLE later ADD COLUMN y bigint"
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, *later])
    await opened_and_closed(url)
    await opened_and_closed(url)
    assert execute(url, "SELECT number FROM migration ORDER BY number") == [(1,), (2,), (3,), (4,)]
    assert execute(url, "SELECT x, y FROM later") == []


async def test_a_migration_that_fails_leaves_the_tables_as_they_were(
    postgres_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_database()
    await opened_and_closed(url)
    with monkeypatch.context() as patch:
        broken = "CREATE TABLE half (x bigint)", "SELECT 1 / 0"
        patch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, *broken])
        with pytest.raises(StoreError):
            await opened_and_closed(url)
    assert execute(url, "SELECT to_regclass('half')") == [(None,)]
    await opened_and_closed(url)


async def opened_and_closed(url: str) -> None:
    store = PostgresStore(url)
    await store.open(SHARD_COUNT)
    await store.close()


async def test_a_store_that_is_not_open_says_so(postgres_url: str) -> None:
    with pytest.raises(StoreUnavailable, match="not open"):
        await PostgresStore(postgres_url).leases()


async def test_closing_finishes_what_was_asked(postgres_url: str) -> None:
    store = PostgresStore(postgres_url)
    await store.open(SHARD_COUNT)
    epochs = await own(store)
    commit = asyncio.ensure_future(store.commit(writes(0, epochs)))
    await asyncio.sleep(0)
    await store.close()
    assert await commit == frozenset()


async def test_a_commit_lands_although_its_asker_gave_up(postgres: PostgresStore) -> None:
    epochs = await own(postgres)
    commit = asyncio.ensure_future(postgres.commit(writes(0, epochs)))
    await asyncio.sleep(0)
    commit.cancel()
    # The next write waits for the same connection.
    await own(postgres)
    assert (await postgres.load([key(1)]))[0] is not None


async def test_an_owner_that_is_fenced_between_its_commits_writes_nothing_more(
    postgres: PostgresStore, postgres_url: str
) -> None:
    epochs = await own(postgres)
    other = PostgresStore(postgres_url)
    await other.open(SHARD_COUNT)
    # Many are under way when the other takes shard 1; each carries the same epoch.
    commits = [
        asyncio.ensure_future(
            postgres.commit(
                [
                    ShardWrite(shard, epochs[shard], n, [run_write(key(SHARD_COUNT * n + shard))])
                    for shard in (1, 2)
                ]
            )
        )
        for n in range(1, 40)
    ]
    await commits[5]
    [lease] = await other.acquire([1], "node-2", NOW_NS * 2, NOW_NS * 3)
    fenced = await asyncio.gather(*commits)
    first_fenced = fenced.index(frozenset({1}))
    assert fenced == [frozenset()] * first_fenced + [frozenset({1})] * (39 - first_fenced)
    assert lease.sequence == first_fenced
    keys = [key(SHARD_COUNT * n + shard) for n in range(1, 40) for shard in (1, 2)]
    found = {run.key for run in await other.load(keys) if run is not None}
    assert {named for named in keys if named not in found} == {
        key(SHARD_COUNT * n + 1) for n in range(first_fenced + 1, 40)
    }
    await other.close()


async def test_a_commit_that_waits_for_a_new_owner_is_fenced_by_it(
    postgres: PostgresStore, postgres_url: str
) -> None:
    epochs = await own(postgres)
    async with await psycopg.AsyncConnection.connect(
        postgres_url, options="-c search_path=engine"
    ) as other:
        await other.execute("UPDATE shard SET epoch = epoch + 1 WHERE shard_id = 1")
        write = ShardWrite(1, epochs[1], 1, [run_write(key())], b"facts")
        commit = asyncio.ensure_future(postgres.commit([write]))
        await waits_for_a_lock(postgres_url)
    assert await commit == frozenset({1})
    assert await postgres.load([key()]) == [None]
    assert await postgres.read_facts(0, 9) == []


async def test_a_reader_of_facts_passes_none_by(postgres: PostgresStore, postgres_url: str) -> None:
    epochs = await own(postgres)
    await postgres.commit([ShardWrite(1, epochs[1], 1, [], b"first")])
    async with await psycopg.AsyncConnection.connect(
        postgres_url, options="-c search_path=engine"
    ) as other:
        # Another node's commit has drawn its position and is not at its end.
        await other.execute(f"SELECT pg_advisory_xact_lock_shared({FACTS_LOCK})".encode())
        await other.execute("SELECT nextval('fact_position_seq')")
        reading = asyncio.ensure_future(postgres.read_facts(0, 9))
        await waits_for_a_lock(postgres_url)
        assert not reading.done()
    assert [fact.blob for fact in await reading] == [b"first"]


async def test_cells_in_one_database_wait_for_nothing_of_each_other(
    postgres: PostgresStore, postgres_url: str
) -> None:
    neighbour = PostgresStore(postgres_url, schema="engine_of_a_neighbour")
    await neighbour.open(SHARD_COUNT)
    try:
        async with await psycopg.AsyncConnection.connect(
            postgres_url, options="-c search_path=engine"
        ) as other:
            # A commit of ours that does not come to its end.
            await other.execute(f"SELECT pg_advisory_xact_lock_shared({FACTS_LOCK})".encode())
            taken = await own(neighbour)
            write = ShardWrite(1, taken[1], 1, [], b"the neighbour's")
            assert await neighbour.commit([write]) == frozenset()
            [fact] = await neighbour.read_facts(0, 9)
            assert fact.blob == b"the neighbour's"
        assert await postgres.read_facts(0, 9) == []
    finally:
        await neighbour.close()


async def test_facts_are_deleted_some_at_a_time(
    postgres: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FACTS_DELETED_AT_ONCE", 2)
    epochs = await own(postgres)
    for sequence in range(5):
        await postgres.commit([ShardWrite(1, epochs[1], sequence, [], b"fact")])
    rows = await postgres.read_facts(0, 9)
    await postgres.delete_facts(rows[3].position)
    assert await postgres.read_facts(0, 9) == rows[4:]


async def test_names_of_any_length_are_no_index_entry_too_long(postgres: PostgresStore) -> None:
    rng = random.Random(1)
    long = "".join(chr(rng.randrange(0x10000, 0x110000)) for _ in range(1_000))
    named = RunKey(NAMESPACE, long, "run-1")
    items = {(ItemKind.SIGNAL_REQUEST, long): b"row"}
    await put(postgres, run_write(named, items=dict(items), becomes_current=True))
    [run] = await postgres.load([named._replace(run_id="")])
    assert run is not None
    assert (run.key, run.items) == (named, items)


async def test_a_workflow_id_goes_on_to_its_next_run_as_the_last_is_deleted(
    postgres: PostgresStore,
) -> None:
    older, newer = key(1), key(2, workflow="workflow-1")
    await put(postgres, run_write(older, becomes_current=True))
    await put(
        postgres, run_write(newer, b"newer", becomes_current=True), run_write(older, deleted=True)
    )
    [run] = await postgres.load([newer._replace(run_id="")])
    assert run is not None
    assert run.key == newer


Read = Callable[[PostgresStore], Coroutine[Any, Any, object]]
DAMAGED: dict[str, tuple[str, Read]] = {
    "history": (r"UPDATE history SET blob = '\x00'", lambda s: s.read_history(key(), 1, 9, 999)),
    "batch ids": (
        "UPDATE history SET last_event_id = 2",
        lambda s: s.read_history(key(), 1, 9, 99),
    ),
    "header": (r"UPDATE run SET header = '\x00'", lambda s: s.load([key()])),
    "item": (r"UPDATE item SET blob = '\x00'", lambda s: s.load([key()])),
    "summary": (
        r"UPDATE summary SET blob = '\x00'",
        lambda s: s.read_summaries(NAMESPACE, "", 9),
    ),
    "fact": ("UPDATE fact SET sequence = 7", lambda s: s.read_facts(0, 9)),
}


@pytest.mark.parametrize("what", DAMAGED)
async def test_damaged_rows_are_data_loss(
    postgres: PostgresStore, postgres_url: str, what: str
) -> None:
    items = {(ItemKind.TIMER, "timer"): b"item"}
    whole = run_write(key(), history=[batch(1)], items=items, summary=b"summary")
    await put(postgres, whole, facts=b"fact")
    statement, read = DAMAGED[what]
    await read(postgres)
    execute(postgres_url, statement)
    with pytest.raises(DataLoss):
        await read(postgres)


async def test_text_that_is_no_unicode_is_refused_alone(postgres: PostgresStore) -> None:
    with pytest.raises(StoreRejected, match="UnicodeEncodeError"):
        await put(postgres, run_write(key(1)), run_write(key(2, workflow="\ud800")))
    assert await postgres.load([key(1)]) == [None]
    await put(postgres, run_write(key(1)))


async def test_a_commit_that_is_too_large_is_refused_so_that_its_parts_are_tried(
    postgres: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = await own(postgres)
    both = [ShardWrite(n, epochs[n], 1, [run_write(key(n), bytes(900))]) for n in (1, 2)]
    monkeypatch.setattr(commit_module, "COMMIT_BYTES_MAX", 2_000)
    with pytest.raises(StoreRejected, match="more than 2000 bytes"):
        await postgres.commit(both)
    for write in both:
        assert await postgres.commit([write]) == frozenset()


async def test_a_number_that_is_too_large_is_refused(postgres: PostgresStore) -> None:
    with pytest.raises(StoreRejected):
        await put(postgres, run_write(key(), wakeup_at_ns=2**63))
    await put(postgres, run_write(key(), wakeup_at_ns=2**63 - 1))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (psycopg.errors.DiskFull(), StoreFull),
        (psycopg.errors.UniqueViolation(), StoreRejected),
        (psycopg.errors.ProgramLimitExceeded(), StoreRejected),
        (psycopg.errors.QueryCanceled(), StoreUnavailable),
        (psycopg.errors.LockNotAvailable(), StoreUnavailable),
        (psycopg.errors.DeadlockDetected(), StoreUnavailable),
        (psycopg.errors.AdminShutdown(), StoreUnavailable),
        (psycopg.OperationalError("lost"), StoreUnavailable),
        (ConnectionResetError(), StoreUnavailable),
    ],
)
def test_only_what_the_server_refused_is_known_not_to_be_written(
    error: Exception, meaning: type[StoreError]
) -> None:
    assert type(write_failure(error)) is meaning


async def test_a_commit_gives_up_waiting_for_a_lock_and_the_next_goes_through(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "WRITE", Role(0.2, BY_KEY))
    store = PostgresStore(postgres_url)
    await store.open(SHARD_COUNT)
    epochs = await own(store)
    with psycopg.connect(postgres_url, options="-c search_path=engine") as other:
        other.execute("SELECT FROM shard WHERE shard_id = 1 FOR UPDATE")
        with pytest.raises(StoreUnavailable, match=r"LockNotAvailable|QueryCanceled"):
            await store.commit([ShardWrite(1, epochs[1], 1, [run_write(key())])])
    assert await store.load([key()]) == [None]
    assert await store.commit([ShardWrite(1, epochs[1], 1, [run_write(key())])]) == frozenset()
    await store.close()


async def test_a_read_that_takes_too_long_is_given_up(
    postgres_database: Callable[[], str],
) -> None:
    url = postgres_database()
    store = PostgresStore(url, read_seconds_max=0.1)
    await store.open(SHARD_COUNT)
    await put(store, run_write(key()))
    execute(
        url,
        "ALTER TABLE visibility RENAME TO quick",
        "CREATE VIEW visibility AS"
        " SELECT quick.* FROM (SELECT pg_sleep(60)) AS slow LEFT JOIN quick ON true",
    )
    with pytest.raises(DeadlineExceeded, match="ask for less"):
        await store.count_visibility(VisibilityQuery(NAMESPACE))
    # What waits behind it is served; commits never wait for it.
    await put(store, run_write(key()))
    await store.close()


async def test_lists_read_the_order_from_their_index(
    postgres: PostgresStore, postgres_url: str
) -> None:
    await put_visible(postgres)
    plan = execute(
        postgres_url,
        "SET enable_seqscan = off",
        "SET enable_bitmapscan = off",
        "EXPLAIN SELECT memo FROM visibility WHERE namespace_id = 'n'"
        " AND (close_order, start_at_ns, run_id) < (1, 2, 'r')"
        " ORDER BY namespace_id DESC, close_order DESC, start_at_ns DESC, run_id DESC LIMIT 9",
    )
    lines = [line.strip() for (line,) in plan]
    assert lines[1].startswith("->  Merge Append")
    assert not any("Sort  (" in line for line in lines)
    assert sum("Index Scan Backward using" in line for line in lines) == 8


def test_commits_are_flushed_and_bounded_in_time() -> None:
    conninfo = WRITE.conninfo("postgresql://u@h/d")
    for setting in (
        "synchronous_commit=on",
        "statement_timeout=10000",
        "lock_timeout=5000",
        "idle_in_transaction_session_timeout=10000",
    ):
        assert setting in conninfo
