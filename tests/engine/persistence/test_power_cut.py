"""After a power cut at any moment, what was answered is there, whole, and nothing in part."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import apsw
import pytest

from engine.errors import StoreFull
from engine.persistence.sqlite import SqliteStore, checkpoint
from tests.engine.persistence.file_system import AfterCut, Operation, Recorder, cut, full_disk
from tests.engine.persistence.scenario import steps_found, writes
from tests.engine.persistence.values import SHARD_COUNT, own

STEP_COUNT = 12
CUT_COUNT = 200
CUT_COUNT_CI = 1_000
CI_PARTS = range(5)
PAGES_PER_CHECKPOINT = 60
"""So few that the recorded scenario checkpoints several times."""


async def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Operation]:
    """What the scenario does to the disk, with a mark where each commit is answered."""
    monkeypatch.setattr(checkpoint, "CHECKPOINT_PAGES", PAGES_PER_CHECKPOINT)
    recorder = Recorder()
    store = SqliteStore(folder / "cell.db", vfs=recorder.name)
    await store.open(SHARD_COUNT)
    epochs = await own(store)
    for step in range(STEP_COUNT):
        assert await store.commit(writes(step, epochs)) == frozenset()
        recorder.note(Operation("acked"))
    await store.close()
    recorder.remove()
    return recorder.log


async def found_after(state: AfterCut, folder: Path) -> set[int]:
    """The steps that a store opened on what is left holds."""
    state.write(folder)
    store = SqliteStore(folder / "cell.db")
    await store.open(SHARD_COUNT)
    found = await steps_found(store, STEP_COUNT)
    await store.close()
    connection = apsw.Connection(str(folder / "cell.db"))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    shutil.rmtree(folder)
    return found


async def lost_steps(log: list[Operation], folder: Path, cut_count: int, seed: int = 0) -> int:
    """Answered steps that are not found, over cuts spread evenly; no other damage is allowed.

    The seed decides what of the last writes each cut leaves.
    """
    rng = random.Random(seed)
    lost = 0
    for number in range(cut_count):
        length = 1 + number * (len(log) - 1) // (cut_count - 1)
        state = cut(log, length, rng)
        found = await found_after(state, folder / f"cut-{number}")
        assert found == set(range(len(found)))
        assert len(found) <= state.acked + 1
        lost += max(0, state.acked - len(found))
    return lost


async def test_a_power_cut_loses_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await recorded(tmp_path, monkeypatch)
    written = {operation.file for operation in log if operation.kind == "write"}
    assert written >= {"cell.db", "cell.db-wal"}
    assert await lost_steps(log, tmp_path, CUT_COUNT) == 0


@pytest.mark.ci
@pytest.mark.parametrize("part", CI_PARTS)
async def test_five_thousand_power_cuts_lose_nothing_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    assert len(CI_PARTS) * CUT_COUNT_CI == 5_000
    log = await recorded(tmp_path, monkeypatch)
    assert await lost_steps(log, tmp_path, CUT_COUNT_CI, seed=1 + part) == 0


async def test_a_commit_that_did_not_sync_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [
        operation
        for operation in await recorded(tmp_path, monkeypatch)
        if (operation.kind, operation.file) != ("sync", "cell.db-wal")
    ]
    rng = random.Random(1)
    answered = [number for number, each in enumerate(log, 1) if each.kind == "acked"]
    for number, length in enumerate(answered):
        state = cut(log, length, rng)
        try:
            found = await found_after(state, tmp_path / f"cut-{number}")
        except Exception:
            return
        if len(found) < state.acked:
            return
    pytest.fail("no answered step was lost although nothing was synced")


async def test_what_a_full_disk_refused_never_comes_back(tmp_path: Path) -> None:
    recorder = Recorder()
    store = SqliteStore(tmp_path / "cell.db", vfs=recorder.name)
    await store.open(SHARD_COUNT)
    epochs = await own(store)
    await store.commit(writes(0, epochs))
    recorder.note(Operation("acked"))
    for write_count in range(6):
        remaining = [write_count]

        def fault(call: str, _: str, remaining: list[int] = remaining) -> apsw.Error | None:
            if call == "write":
                remaining[0] -= 1
            return full_disk() if remaining[0] < 0 else None

        recorder.fault = fault
        with pytest.raises(StoreFull):
            await store.commit(writes(1, epochs))
        recorder.fault = None
        for seed in range(3):
            state = cut(recorder.log, len(recorder.log), random.Random(seed))
            assert await found_after(state, tmp_path / f"cut-{write_count}-{seed}") == {0}
    await store.close()
    recorder.remove()
