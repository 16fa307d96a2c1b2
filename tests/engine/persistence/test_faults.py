"""Whichever call to the disk fails, nothing untrue is answered, and the store heals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from engine.errors import DataLoss, StoreError, StoreFull, StoreUnavailable
from engine.persistence.sqlite import SqliteStore, checkpoint, connection
from tests.engine.persistence.file_system import Recorder, broken_disk, full_disk
from tests.engine.persistence.scenario import FAT_BLOB_BYTES, marked, steps_found, writes
from tests.engine.persistence.values import SHARD_COUNT, key, own

STEP_COUNT = 60
PAGES_PER_CHECKPOINT = 200
"""So few that the scenario checkpoints some ten times."""

LOG_BYTES_MAX = 256 * 1024
"""So few that the log is cut after a checkpoint."""

FAULT_COUNT = 2
FAULT_COUNT_CI = 10
STEPS_PER_READ = 10
FLIP_COUNT = 100


class FaultKind(NamedTuple):
    call: str
    file: str
    """The database (main) or its log (wal); both where it is empty."""
    error: Callable[[], apsw.Error]
    is_sticky: bool
    expected: type[StoreError]


KINDS = [
    FaultKind(call, file, error, is_sticky, expected)
    for call, file, error, expected in (
        ("write", "wal", broken_disk, StoreUnavailable),
        ("write", "main", broken_disk, StoreUnavailable),
        ("write", "wal", full_disk, StoreFull),
        ("write", "main", full_disk, StoreFull),
        ("sync", "wal", broken_disk, StoreUnavailable),
        ("sync", "main", broken_disk, StoreUnavailable),
        ("read", "wal", broken_disk, StoreUnavailable),
        ("read", "main", broken_disk, StoreUnavailable),
        ("open", "", broken_disk, StoreUnavailable),
        ("truncate", "", broken_disk, StoreUnavailable),
    )
    for is_sticky in (False, True)
]


def is_of(kind: FaultKind, call: tuple[str, str]) -> bool:
    """Whether a call is of the kind that is failed."""
    name, file = call
    its_file = "wal" if file.endswith("-wal") else "main"
    return name == kind.call and kind.file in ("", its_file)


class NthCall:
    """Fails the n-th call of a kind, or all from there on."""

    def __init__(self, kind: FaultKind, number: int) -> None:
        self.kind = kind
        self.number = number
        self.seen = 0

    def __call__(self, call: str, file: str) -> apsw.Error | None:
        if not is_of(self.kind, (call, file)):
            return None
        self.seen += 1
        hit = self.seen >= self.number if self.kind.is_sticky else self.seen == self.number
        return self.kind.error() if hit else None

    @property
    def is_met(self) -> bool:
        return self.seen >= self.number


def name_of(kind: FaultKind) -> str:
    lasting = "from-there" if kind.is_sticky else "once"
    return "-".join(filter(None, (kind.error.__name__, kind.call, kind.file, lasting)))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.fault = None
    recorder.remove()


@pytest.fixture
def _often_checkpointed(monkeypatch: pytest.MonkeyPatch, allow_log: Callable[..., None]) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_PAGES", PAGES_PER_CHECKPOINT)
    monkeypatch.setattr(connection, "WAL_BYTES_MAX", LOG_BYTES_MAX)
    # Nobody waits for a checkpoint, so a fault that it meets is only told of.
    allow_log("checkpoint_failed")


def swept(test: Callable[..., Any]) -> Callable[..., Any]:
    """The test is made for every kind of fault."""
    # SQLite gets over some faults by itself, and apsw then has nobody to tell.
    over = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    checkpointed = pytest.mark.usefixtures("_often_checkpointed")
    each = pytest.mark.parametrize("kind", KINDS, ids=name_of)
    marked: Callable[..., Any] = over(checkpointed(each(test)))
    return marked


async def opened(recorder: Recorder, path: Path) -> SqliteStore:
    store = SqliteStore(path, vfs=recorder.name)
    await store.open(SHARD_COUNT)
    return store


class Played(NamedTuple):
    """What became of the scenario: steps that were answered, and one that surely was not done."""

    answered: set[int]
    refused: set[int]
    errors: list[StoreError]


async def play(store: SqliteStore) -> Played:
    """The scenario until something fails. Raises nothing."""
    played = Played(set(), set(), [])
    try:
        await store.open(SHARD_COUNT)
        epochs = await own(store)
        for step in range(STEP_COUNT):
            try:
                await store.commit(writes(step, epochs))
            except StoreFull:
                played.refused.add(step)
                raise
            played.answered.add(step)
            if step % STEPS_PER_READ == 0:
                await store.load([key(2 * step + 1)])
    except StoreError as error:
        played.errors.append(error)
    return played


async def run_with(recorder: Recorder, path: Path, fault: NthCall) -> None:
    """The scenario with a fault in it, then healed: nothing is lost, and nothing is damaged."""
    store = SqliteStore(path, vfs=recorder.name)
    recorder.fault = fault
    played = await play(store)
    assert all(isinstance(error, fault.kind.expected) for error in played.errors)
    recorder.fault = None
    # What is not known to be written is read again, under a new epoch.
    await store.open(SHARD_COUNT)
    epochs = await own(store)
    found = await steps_found(store, STEP_COUNT)
    assert played.answered <= found <= set(range(STEP_COUNT)) - played.refused
    for step in set(range(STEP_COUNT)) - found:
        assert await store.commit(writes(step, epochs)) == frozenset()
    await store.close()
    again = SqliteStore(path)
    await again.open(SHARD_COUNT)
    assert await steps_found(again, STEP_COUNT) == set(range(STEP_COUNT))
    await again.close()
    whole = apsw.Connection(str(path))
    assert whole.pragma("integrity_check") == "ok"
    whole.close()


async def sweep(recorder: Recorder, folder: Path, kind: FaultKind, fault_count: int) -> None:
    """A fault at so many of the scenario's calls of a kind, spread evenly over all of them.

    Other numbers of faults meet other calls.
    """
    whole = SqliteStore(folder / "whole.db", vfs=recorder.name)
    assert len((await play(whole)).answered) == STEP_COUNT
    await whole.close()
    call_count = sum(is_of(kind, call) for call in recorder.calls)
    met = 0
    for number in range(1, call_count + 1, max(1, call_count // fault_count)):
        fault = NthCall(kind, number)
        await run_with(recorder, folder / f"{number}.db", fault)
        met += fault.is_met
    # A checkpoint is a thread of its own: the last calls may be fewer than they were.
    assert met >= min(call_count, fault_count) - 2


@swept
async def test_a_failing_call_answers_nothing_untrue(
    recorder: Recorder, tmp_path: Path, kind: FaultKind
) -> None:
    await sweep(recorder, tmp_path, kind, FAULT_COUNT)


@pytest.mark.ci
@swept
async def test_many_failing_calls_of_every_kind_answer_nothing_untrue(
    recorder: Recorder, tmp_path: Path, kind: FaultKind
) -> None:
    await sweep(recorder, tmp_path, kind, FAULT_COUNT_CI)


@pytest.mark.parametrize("call", ["read", "open"])
async def test_a_store_that_cannot_read_says_so_and_heals(
    recorder: Recorder, tmp_path: Path, call: str
) -> None:
    store = await opened(recorder, tmp_path / "cell.db")
    epochs = await own(store)
    await store.commit(writes(0, epochs))
    await store.close()
    await store.open(SHARD_COUNT)
    recorder.fault = lambda name, _: broken_disk() if name == call else None
    with pytest.raises(StoreUnavailable):
        await store.load([key(1)])
    recorder.fault = None
    [run] = await store.load([key(1)])
    assert run is not None
    await store.close()


async def test_a_full_disk_is_read_as_ever(recorder: Recorder, tmp_path: Path) -> None:
    store = await opened(recorder, tmp_path / "cell.db")
    epochs = await own(store)
    await store.commit(writes(0, epochs))
    recorder.fault = lambda call, _: full_disk() if call == "write" else None
    with pytest.raises(StoreFull):
        await store.commit(writes(1, epochs))
    assert await steps_found(store, 2) == {0}
    recorder.fault = None
    await store.commit(writes(1, epochs))
    assert await steps_found(store, 2) == {0, 1}
    await store.close()


async def test_a_flipped_bit_is_never_answered(tmp_path: Path) -> None:
    path = tmp_path / "cell.db"
    store = SqliteStore(path)
    await store.open(SHARD_COUNT)
    for step in range(2):
        await store.commit(writes(step, await own(store)))
    await store.close()
    intact = await asyncio.to_thread(path.read_bytes)
    noticed = 0
    for offset in range(4096, len(intact), len(intact) // FLIP_COUNT):
        flipped = bytearray(intact)
        flipped[offset] ^= 0x10
        await asyncio.to_thread(path.write_bytes, flipped)
        noticed += not await reads_true(path)
    assert noticed > FLIP_COUNT // 20


async def reads_true(path: Path) -> bool:
    """Whether all blobs are read; what is missing or refused is allowed, what is wrong is not."""
    store = SqliteStore(path)
    try:
        await store.open(SHARD_COUNT)
        for fact in await store.read_facts(0, 9):
            assert fact.blob in (marked(0), marked(1))
        for number in range(1, 5):
            header = marked((number - 1) // 2)
            [run] = await store.load([key(number)])
            [batch] = await store.read_history(key(number), 1, 2, 9999)
            if run is None:
                return False
            assert run.header == header
            assert set(run.items.values()) <= {header}
            assert batch.blob == header + bytes(FAT_BLOB_BYTES)
    except (DataLoss, StoreError, ValueError):
        return False
    finally:
        await store.close()
    return True
