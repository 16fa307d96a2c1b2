"""The snapshot's copy with each cell: lent by the control plane, borrowed by who knows nothing."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from api.cells import CellHealth, Cells
from api.wire import snapshot_copy
from api.wire.snapshot_copy import AGAIN_SECONDS, LEND_SECONDS, READ, SnapshotCopy, borrow, lend
from engine.call import Call
from engine.errors import Unavailable
from tenancy.snapshot import SNAPSHOT_AGE_SECONDS_MAX
from tests.tenancy.cloud import Cloud
from tests.tenancy.test_snapshot_feed import FOREIGN, Line

ABOUT = Call("", "", "")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_copy, "SETTLE_SECONDS", 0)


class KeepingCell:
    """A cell that may be away, with nothing but its copy."""

    health = CellHealth(True, "")

    def __init__(self, folder: Path) -> None:
        self.copy = SnapshotCopy(folder / "cell.snapshot")
        self.is_away = False

    async def call(self, method: str, request: bytes, call: Call) -> bytes:
        if self.is_away:
            raise Unavailable
        assert method in snapshot_copy.METHODS
        return await self.copy.answer(method, request)


@pytest.fixture
def keepers(tmp_path: Path) -> dict[str, KeepingCell]:
    for name in ("cell-1", "cell-2"):
        (tmp_path / name).mkdir()
    return {name: KeepingCell(tmp_path / name) for name in ("cell-1", "cell-2")}


async def test_a_door_that_knows_nothing_serves_from_the_copy_of_any_cell(
    cloud: Cloud, keepers: dict[str, KeepingCell]
) -> None:
    line, cells = Line(cloud), Cells(keepers)
    ref = await cloud.namespace(await cloud.owner())
    await line.reader.refresh()
    assert await lend(line.feed.after, cells) == LEND_SECONDS
    keepers["cell-1"].is_away = True
    await borrow(line.door, cells)
    assert line.door.resolve(ref.full_name) == ref
    # It goes on where the copy ends, as if it had been told so by the control plane.
    await cloud.namespace(await cloud.owner("bob@example.com"), "billing")
    await line.catch_up()
    assert "changes" in line.body()


async def test_a_cell_without_a_copy_is_passed_over(
    cloud: Cloud, keepers: dict[str, KeepingCell]
) -> None:
    line, cells = Line(cloud), Cells(keepers)
    await line.reader.refresh()
    keepers["cell-1"].is_away = True
    assert await lend(line.feed.after, cells) == AGAIN_SECONDS
    keepers["cell-1"].is_away = False
    assert await keepers["cell-1"].call(READ, b"", ABOUT) == b""
    await borrow(line.door, cells)
    assert line.door.snapshot == line.reader.snapshot


async def test_a_door_that_knows_something_borrows_nothing(
    cloud: Cloud, keepers: dict[str, KeepingCell]
) -> None:
    line, cells = Line(cloud), Cells(keepers)
    await cloud.owner()
    await line.catch_up()
    known = line.door.snapshot
    await cloud.namespace(await cloud.owner("bob@example.com"))
    await line.reader.refresh()
    await lend(line.feed.after, cells)
    await borrow(line.door, cells)
    assert line.door.snapshot is known


async def test_a_copy_is_no_younger_than_what_it_was_made_of(
    cloud: Cloud, keepers: dict[str, KeepingCell]
) -> None:
    line, cells = Line(cloud), Cells(keepers)
    await line.reader.refresh()
    await lend(line.feed.after, cells)
    cloud.clock.move(seconds=SNAPSHOT_AGE_SECONDS_MAX + 1)
    await borrow(line.door, cells)
    assert not line.door.is_usable


@pytest.mark.allow_log("snapshot_copy_refused")
async def test_what_the_control_plane_did_not_sign_is_refused(
    cloud: Cloud, keepers: dict[str, KeepingCell]
) -> None:
    line = Line(cloud, pepper=FOREIGN)
    await line.reader.refresh()
    await lend(line.feed.after, Cells(keepers))
    await borrow(line.door, Cells(keepers))
    assert line.door.snapshot is None
    for broken in (b"no copy", zlib.compress(b"no copy")):
        await keepers["cell-1"].call(snapshot_copy.KEEP, broken, ABOUT)
        await borrow(line.door, Cells(keepers))
        assert line.door.snapshot is None
