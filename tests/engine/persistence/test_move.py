"""A cell that is moved from SQLite to PostgreSQL answers as it did; half a copy answers nobody."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import apsw
import psycopg
import pytest

from engine.errors import (
    StoreDamaged,
    StoreDiffers,
    StoreError,
    StoreHalfMoved,
    StoreHeld,
    StoreMismatch,
    StoreNotEmpty,
)
from engine.persistence import move
from engine.persistence.checksum import checksum
from engine.persistence.copied import CELL_TABLES
from engine.persistence.postgres import PostgresStore
from engine.persistence.postgres.copy_in import CopyIn, Place
from engine.persistence.protocols import ItemKind, NamespaceRow, RunKey
from engine.persistence.sqlite import SqliteStore, copy_out
from engine.visibility.query import VisibilityQuery
from tests.engine.persistence.scenario import steps_found, writes
from tests.engine.persistence.values import (
    NAMESPACE,
    NOW_NS,
    SHARD_COUNT,
    batch,
    due,
    key,
    own,
    put,
    run_write,
    visible,
)
from tests.postgres import TABLES

INSTALLATION, ANOTHER = "installation-a", "installation-b"
STEPS = 12
ODD = RunKey(NAMESPACE, "tenant\0's \N{SNOWMAN}" + "w" * 1_000, "run-odd")
FAT = key(500)
GONE = key(501)


class Cut(Exception):
    """The move ends here, as if it were killed."""


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store file with something of everything that a store keeps."""
    path = tmp_path / "cell.db"
    store = SqliteStore(path)
    await store.open(SHARD_COUNT)
    await own(store)
    epochs = await own(store)
    for step in range(STEPS):
        await store.commit(writes(step, epochs))
    await store.delete_facts(3)
    shown = visible(502, attributes={"Note": "a\0b", "Count": 7, "Tags": ["x", "y"]}, memo=b"memo")
    await put(
        store,
        run_write(
            ODD,
            history=[batch(1, 2), batch(3, 9), batch(10)],
            items={(ItemKind.SIGNAL_REQUEST, "\0" * 999): b"", (ItemKind.ACTIVITY, "1"): b"one"},
        ),
        run_write(FAT, history=[batch(1, 2, size_bytes=3_000_000)], visibility=shown),
        run_write(GONE, history=[batch(1)]),
        facts=b"fact",
    )
    await put(store, run_write(GONE, deleted=True, summary=b"all that is left"))
    await store.put_namespace(NamespaceRow(NAMESPACE, "orders", b"settings"))
    await store.close()
    return path


async def copy(
    path: Path, url: str, token: str = "first", *, installation: str = INSTALLATION, cut: int = 0
) -> list[str]:
    """What is reported; a cut copy ends behind so many batches."""
    reports: list[str] = []

    def report(what: str, done: int, total: int) -> None:
        reports.append(f"{what}: {done} of {total}")
        if len(reports) == cut:
            raise Cut

    async with CopyIn(url, installation) as target:
        with copy_out.store_file(path) as source, suppress(Cut):
            await move.begin_copy(source, target, token, {})
            await move.copy_cell(source, target, report)
    return reports


async def verified(path: Path, url: str) -> str:
    async with CopyIn(url, INSTALLATION) as target:
        digest = await move.verify_cell(path, target, lambda *_: None)
        await target.confirm()
    return digest


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True, options="-c search_path=engine") as connection:
        connection.execute(statement.encode())


async def opened(url: str, installation: str = INSTALLATION) -> PostgresStore:
    store = PostgresStore(url, installation=installation)
    await store.open(SHARD_COUNT)
    return store


@pytest.mark.parametrize("rows_per_batch", [1, 500])
async def test_a_moved_cell_answers_as_it_did(
    path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, rows_per_batch: int
) -> None:
    monkeypatch.setattr(copy_out, "ROWS_PER_BATCH", rows_per_batch)
    await copy(path, postgres_url)
    await verified(path, postgres_url)
    store = await opened(postgres_url)
    try:
        query = VisibilityQuery(NAMESPACE)
        assert len(await store.list_visibility(query)) == 2 * STEPS + 1
        [odd] = await store.load([ODD])
        assert odd is not None
        assert odd.items[ItemKind.SIGNAL_REQUEST, "\0" * 999] == b""
        assert await store.read_summaries(NAMESPACE, "", 9) == [(GONE, b"all that is left")]
        assert await due(store, 0, NOW_NS)
        facts = await store.read_facts(0, 99)
        assert facts[0].position == 4
        epochs = {lease.shard_id: lease.epoch for lease in await store.leases()}
        taken = await own(store)
        assert taken == {shard_id: epoch + 1 for shard_id, epoch in epochs.items()}
        await put(store, run_write(key(900)), facts=b"later")
        assert (await store.read_facts(facts[-1].position, 9))[0].blob == b"later"
    finally:
        await store.close()


async def test_a_position_that_a_reader_has_noted_is_not_drawn_again(
    path: Path, postgres_url: str
) -> None:
    store = SqliteStore(path)
    await store.open(SHARD_COUNT)
    last = (await store.read_facts(0, 99))[-1].position
    await store.delete_facts(last)
    await store.close()
    await copy(path, postgres_url)
    await verified(path, postgres_url)
    moved = await opened(postgres_url)
    await own(moved)
    await put(moved, run_write(key(900)), facts=b"later")
    assert [fact.position for fact in await moved.read_facts(0, 9)] == [last + 1]
    await moved.close()


async def test_an_empty_cell_may_be_moved(tmp_path: Path, postgres_url: str) -> None:
    path = tmp_path / "cell.db"
    store = SqliteStore(path)
    await store.open(SHARD_COUNT)
    await store.close()
    await copy(path, postgres_url)
    await verified(path, postgres_url)
    moved = await opened(postgres_url)
    assert await steps_found(moved, 0) == set()
    await moved.close()


@pytest.mark.parametrize("cut", [1, 5, 11])
async def test_a_copy_that_was_cut_off_goes_on_where_it_was(
    path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(copy_out, "ROWS_PER_BATCH", 5)
    done = await copy(path, postgres_url, cut=cut)
    with pytest.raises(StoreHalfMoved, match="run the move again"):
        await opened(postgres_url)
    rest = await copy(path, postgres_url)
    assert len({*done, *rest}) == len(done) + len(rest), "a batch was copied twice"
    digest = await verified(path, postgres_url)
    execute(postgres_url, "DELETE FROM move; DELETE FROM holder; DELETE FROM shard")
    await copy(path, postgres_url)
    assert await verified(path, postgres_url) == digest


async def test_a_copy_of_what_has_changed_since_gives_way(path: Path, postgres_url: str) -> None:
    await copy(path, postgres_url, cut=2)
    store = SqliteStore(path)
    await store.open(SHARD_COUNT)
    await own(store)
    await put(store, run_write(key(1), b"changed", history=[batch(900)]))
    await store.close()
    await copy(path, postgres_url, "first")
    with pytest.raises(StoreDiffers):
        await verified(path, postgres_url)
    await copy(path, postgres_url, "second")
    await verified(path, postgres_url)
    await copy(path, postgres_url, "third")
    await verified(path, postgres_url)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE run SET wakeup_at_ns = wakeup_at_ns + 1 WHERE wakeup_at_ns = 5", "the header of"),
        ("UPDATE run SET active = false WHERE wakeup_at_ns = 5", "the active runs of shard"),
        ("UPDATE item SET name = 'x' WHERE kind = 1", "pending items of run run-odd"),
        (
            f"UPDATE history SET blob = 'x', checksum = {checksum(b'x', 10, 10)}"
            " WHERE first_event_id = 10 AND last_event_id = 10 AND run_key IN"
            " (SELECT run_key FROM run WHERE run_id = 'run-odd')",
            "the history of run run-odd",
        ),
        ("UPDATE history SET blob = 'x' WHERE first_event_id = 3", "meet its checksum"),
        ("UPDATE visibility SET memo = 'x' WHERE memo <> ''", "the lists of namespace"),
        ("UPDATE current_run SET run_key = 'x'", "the header of"),
        ("UPDATE shard SET epoch = 1 WHERE shard_id = 2", "the leases"),
        ("UPDATE fact SET sequence = 0, checksum = 0 WHERE position = 4", "meet its checksum"),
        ("UPDATE fact SET position = 1 WHERE position = 4", "the facts"),
        ("UPDATE namespace SET name = 'x'", "the namespaces"),
        ("UPDATE summary SET workflow_id = 'x'", "the summaries of namespace"),
        ("DELETE FROM history WHERE first_event_id = 10", "table history"),
        ("DELETE FROM item WHERE kind = 1", "table item"),
    ],
)
async def test_the_first_difference_is_named_and_no_server_opens_the_copy(
    path: Path, postgres_url: str, statement: str, what: str
) -> None:
    await copy(path, postgres_url)
    if "position = 1" in statement:
        execute(postgres_url, "ALTER TABLE fact ALTER position SET GENERATED BY DEFAULT")
        statement = "WITH old AS (DELETE FROM fact WHERE position = 4 RETURNING *)" + (
            " INSERT INTO fact SELECT 1, shard_id, sequence, checksum, blob FROM old"
        )
    execute(postgres_url, statement)
    with pytest.raises(StoreDiffers, match=what):
        await verified(path, postgres_url)
    with pytest.raises(StoreHalfMoved):
        await opened(postgres_url)


async def test_what_a_server_has_opened_is_never_taken_for_a_copy(
    path: Path, postgres_url: str
) -> None:
    await copy(path, postgres_url)
    await verified(path, postgres_url)
    await (await opened(postgres_url)).close()
    for token in ("first", "second"):
        with pytest.raises(StoreNotEmpty, match="empty one"):
            await copy(path, postgres_url, token)


async def test_a_store_that_was_begun_is_no_target(path: Path, postgres_url: str) -> None:
    await (await opened(postgres_url)).close()
    with pytest.raises(StoreNotEmpty):
        await copy(path, postgres_url)


async def test_a_copy_is_its_installations(path: Path, postgres_url: str) -> None:
    await copy(path, postgres_url, cut=1)
    with pytest.raises(StoreHeld, match="another installation"):
        await copy(path, postgres_url, installation=ANOTHER)
    with pytest.raises(StoreHeld):
        await opened(postgres_url, ANOTHER)


async def test_a_store_has_one_installation(postgres_url: str) -> None:
    """Their nodes have equal names, so they would take each other's shards."""
    first = await opened(postgres_url)
    with pytest.raises(StoreHeld, match="name a database of its own"):
        await opened(postgres_url, ANOTHER)
    second = await opened(postgres_url)
    for store in (first, second):
        await store.close()


async def test_a_store_from_before_the_name_is_whoevers_opens_it_next(postgres_url: str) -> None:
    store = PostgresStore(postgres_url)
    await store.open(SHARD_COUNT)
    await store.close()
    await (await opened(postgres_url)).close()
    with pytest.raises(StoreHeld):
        await opened(postgres_url, ANOTHER)


async def test_what_is_no_store_is_not_moved(tmp_path: Path, postgres_url: str) -> None:
    path = tmp_path / "cell.db"
    path.touch()
    with pytest.raises(StoreMismatch, match="another program"):
        await copy(path, postgres_url)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StoreMismatch, match="not an SQLite database"):
        await copy(path, postgres_url)
    with pytest.raises(StoreError):
        await copy(tmp_path / "none.db", postgres_url)


async def test_every_table_of_a_cell_is_copied(
    path: Path, postgres: PostgresStore, postgres_url: str
) -> None:
    connection = apsw.Connection(str(path))
    here = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    connection.close()
    assert sorted(str(name) for (name,) in here) == sorted(CELL_TABLES)
    with psycopg.connect(postgres_url) as server:
        there = server.execute(TABLES.encode()).fetchall()
    assert {name for (name,) in there} - {"holder", "move"} == set(CELL_TABLES)


async def test_a_damaged_row_is_not_copied(path: Path, postgres_url: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE history SET blob = zeroblob(9) WHERE first_event_id = 3")
    connection.close()
    with pytest.raises(StoreDamaged, match="table run behind number"):
        await copy(path, postgres_url)


async def test_a_batch_ends_with_the_run_that_fills_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with copy_out.store_file(path) as source:
        everything = copy_out.runs_behind(source, (0,))
        sizes = [row.size_bytes for row in everything]
        for limit in (sum(sizes[:2]) - 1, sum(sizes[:2]), sum(sizes[:2]) + 1):
            monkeypatch.setattr(copy_out, "BYTES_PER_BATCH", limit)
            taken: Sequence[int] = [row.number for row in copy_out.runs_behind(source, (0,))]
            assert len(taken) == (3 if limit > sum(sizes[:2]) else 2)


async def test_a_fenced_copy_is_no_copy(path: Path, postgres_url: str) -> None:
    """Nobody takes shards of a half-moved store; if somebody did, it would not pass unnoticed."""
    async with CopyIn(postgres_url, INSTALLATION) as target:
        with copy_out.store_file(path) as source:
            await move.begin_copy(source, target, "first", {})
            execute(postgres_url, "UPDATE shard SET epoch = epoch + 1")
            rows = copy_out.runs_behind(source, (0,))
            with pytest.raises(AssertionError, match="took a shard"):
                await target.put_runs(rows, Place("run", (rows[-1].number,)))
