"""Whichever call to the disk fails, nothing untrue is answered, and the store heals."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from engine.errors import DataLoss, StoreError, StoreFull, StoreUnavailable
from engine.persistence.sqlite import SqliteStore
from tests.engine.persistence.file_system import Recorder, broken_disk, full_disk
from tests.engine.persistence.scenario import FAT_BLOB_BYTES, marked, steps_found, writes
from tests.engine.persistence.values import SHARD_COUNT, key, own

STEP_COUNT = 5
FAULTS_SAMPLED = 7
FLIP_COUNT = 100


class FaultKind(NamedTuple):
    call: str
    error: Callable[[], apsw.Error]
    is_sticky: bool
    expected: type[StoreError]


KINDS = [
    FaultKind("write", broken_disk, False, StoreUnavailable),
    FaultKind("write", broken_disk, True, StoreUnavailable),
    FaultKind("sync", broken_disk, False, StoreUnavailable),
    FaultKind("sync", broken_disk, True, StoreUnavailable),
    FaultKind("write", full_disk, False, StoreFull),
    FaultKind("write", full_disk, True, StoreFull),
]


class NthCall:
    """Fails the n-th call of a kind, or all from there on."""

    def __init__(self, kind: FaultKind, number: int) -> None:
        self.kind = kind
        self.number = number
        self.seen = 0

    def __call__(self, call: str) -> apsw.Error | None:
        if call != self.kind.call:
            return None
        self.seen += 1
        hit = self.seen >= self.number if self.kind.is_sticky else self.seen == self.number
        return self.kind.error() if hit else None


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.fault = None
    recorder.remove()


async def opened(recorder: Recorder, path: Path) -> SqliteStore:
    store = SqliteStore(path, vfs=recorder.name)
    await store.open(SHARD_COUNT)
    return store


async def run_with(recorder: Recorder, path: Path, fault: NthCall) -> bool:
    """The scenario with a fault in it, then healed; whether the fault was met."""
    store = await opened(recorder, path)
    epochs = await own(store)
    recorder.fault = fault
    answered: set[int] = set()
    refused: set[int] = set()
    for step in range(STEP_COUNT):
        try:
            await store.commit(writes(step, epochs))
        except fault.kind.expected as error:
            if isinstance(error, StoreFull):
                refused.add(step)
            break
        answered.add(step)
    if len(answered) == STEP_COUNT:
        recorder.fault = None
        await store.close()
        return False
    if fault.kind.is_sticky:
        with pytest.raises(StoreError):
            await own(store)
    recorder.fault = None
    # What is not known to be written is read again, under a new epoch.
    epochs = await own(store)
    found = await steps_found(store, STEP_COUNT)
    assert answered <= found <= set(range(STEP_COUNT)) - refused
    for step in range(STEP_COUNT):
        if step not in found:
            assert await store.commit(writes(step, epochs)) == frozenset()
    await store.close()
    again = SqliteStore(path)
    await again.open(SHARD_COUNT)
    assert await steps_found(again, STEP_COUNT) == set(range(STEP_COUNT))
    await again.close()
    return True


async def calls_of_scenario(recorder: Recorder, path: Path, call: str) -> int:
    store = await opened(recorder, path)
    epochs = await own(store)
    before = recorder.calls.count(call)
    for step in range(STEP_COUNT):
        await store.commit(writes(step, epochs))
    count = recorder.calls.count(call) - before
    await store.close()
    return count


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.error.__name__}-{k.call}-{k.is_sticky}")
async def test_a_failing_call_answers_nothing_untrue(
    recorder: Recorder, tmp_path: Path, kind: FaultKind
) -> None:
    count = await calls_of_scenario(recorder, tmp_path / "whole.db", kind.call)
    step = max(1, count // FAULTS_SAMPLED)
    for number in range(1, count + 1, step):
        assert await run_with(recorder, tmp_path / f"{number}.db", NthCall(kind, number))


@pytest.mark.ci
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.error.__name__}-{k.call}-{k.is_sticky}")
async def test_no_failing_call_at_all_answers_anything_untrue(
    recorder: Recorder, tmp_path: Path, kind: FaultKind
) -> None:
    for number in itertools.count(1):
        if not await run_with(recorder, tmp_path / f"{number}.db", NthCall(kind, number)):
            break
    assert number > STEP_COUNT


@pytest.mark.parametrize("call", ["read", "open"])
async def test_a_store_that_cannot_read_says_so_and_heals(
    recorder: Recorder, tmp_path: Path, call: str
) -> None:
    store = await opened(recorder, tmp_path / "cell.db")
    epochs = await own(store)
    await store.commit(writes(0, epochs))
    await store.close()
    await store.open(SHARD_COUNT)
    recorder.fault = lambda name: broken_disk() if name == call else None
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
    recorder.fault = lambda call: full_disk() if call == "write" else None
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
