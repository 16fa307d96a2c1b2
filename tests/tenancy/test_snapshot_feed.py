"""The snapshot told to a door without a database: whole, then change by change, and never back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tenancy import (
    ApiKey,
    CellPlace,
    Permission,
    SnapshotFeed,
    SnapshotFile,
    SnapshotFollower,
    SnapshotRejected,
    SnapshotTooOld,
    Unauthenticated,
)
from tenancy import snapshot_feed as feeds
from tenancy.changes import Change, ChangeHead, ChangeKind, record_change
from tenancy.key_text import KeyDigests
from tenancy.randomness import new_uuid
from tenancy.snapshot import SNAPSHOT_AGE_SECONDS_MAX
from tenancy.snapshot_feed import Place
from tenancy.snapshot_reader import SnapshotReader
from tenancy.snapshot_text import Signed
from tests.tenancy.cloud import PEPPER, Cloud

FOREIGN = b"pepper of another installation"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "BEAT_SECONDS", 0)


class Line:
    """A door and the control plane's end of its feed; `asked` are the versions it had."""

    def __init__(self, cloud: Cloud, kept: Path | None = None, pepper: bytes = PEPPER) -> None:
        self.random = cloud.random.randbytes
        self.reader = cloud.control.snapshot
        self.feed = self.feed_of(self.reader)
        self.asked: list[Place | None] = []
        self.told: list[bytes] = []
        now = cloud.clock.now
        self.door = SnapshotFollower(
            ask=self.ask,
            digests=KeyDigests(PEPPER),
            pepper=pepper,
            now=now,
            storage=None if kept is None else SnapshotFile(kept, pepper=pepper, now=now),
        )

    def feed_of(self, reader: SnapshotReader) -> SnapshotFeed:
        return SnapshotFeed(reader, pepper=PEPPER, token_bytes=self.random)

    async def ask(self, after: Place | None) -> bytes:
        self.asked.append(after)
        self.told.append(await self.feed.after(after))
        return self.told[-1]

    async def catch_up(self) -> None:
        """As the door does it, once."""
        await self.reader.refresh()
        await self.door.hear(await self.ask(self.door.place))

    def body(self) -> dict[str, object]:
        """What was told last."""
        found: dict[str, object] = json.loads(self.told[-1].partition(b"\n")[2])
        return found


async def test_a_door_is_told_all_and_then_each_change(cloud: Cloud) -> None:
    line = Line(cloud)
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    await line.catch_up()
    assert "whole" in line.body()
    assert line.door.resolve(ref.full_name) == ref
    text = (await cloud.key_in(owner, ref, Permission.WORKER)).text
    other = await cloud.namespace(owner, "billing")
    await line.catch_up()
    assert "whole" not in line.body()
    assert line.door.snapshot == line.reader.snapshot
    assert line.door.authenticate(text).permissions(ref.id) == {Permission.WORKER}
    assert line.door.resolve(other.full_name) == other


async def test_a_revoked_key_is_gone_and_told_at_the_door(cloud: Cloud) -> None:
    line = Line(cloud)
    owner = await cloud.owner()
    created = await cloud.key(owner, Permission.READ)
    await line.catch_up()
    revoked: list[str] = []
    line.door.on_revoked(revoked.append)
    line.door.authenticate(created.text)
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.revoke(session, owner, created.key.id)
    await line.catch_up()
    assert revoked == [created.key.id]
    with pytest.raises(Unauthenticated):
        line.door.authenticate(created.text)


async def test_where_nothing_changes_the_door_is_told_that_it_is_up_to_date(cloud: Cloud) -> None:
    line = Line(cloud)
    await cloud.owner()
    await line.catch_up()
    cloud.clock.move(minutes=5)
    assert line.door.staleness_seconds == 300
    await line.catch_up()
    assert line.body()["changes"] == []
    assert line.door.staleness_seconds == 0


async def test_a_door_that_missed_too_much_is_told_all_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "CHANGES_KEPT", 1)
    line = Line(cloud)
    owner = await cloud.owner()
    await line.catch_up()
    for name in ("orders", "billing"):
        await cloud.namespace(owner, name)
        await line.reader.refresh()
    await line.catch_up()
    assert "whole" in line.body()
    assert line.door.snapshot == line.reader.snapshot


async def test_news_of_another_installation_or_with_a_changed_byte_are_refused(
    cloud: Cloud,
) -> None:
    line, stranger = Line(cloud), Line(cloud, pepper=FOREIGN)
    await cloud.owner()
    with pytest.raises(SnapshotRejected, match="another installation"):
        await stranger.catch_up()
    await line.catch_up()
    for position in (0, 70, -1):
        changed = bytearray(line.told[-1])
        changed[position] ^= 1
        with pytest.raises(SnapshotRejected):
            await line.door.hear(bytes(changed))


async def test_news_that_are_older_than_what_the_door_has_are_refused(cloud: Cloud) -> None:
    line = Line(cloud)
    owner = await cloud.owner()
    await line.catch_up()
    old = line.told[-1]
    await cloud.key(owner, Permission.READ)
    await line.catch_up()
    has = line.door.snapshot
    with pytest.raises(SnapshotRejected, match="older than"):
        await line.door.hear(old)
    assert line.door.snapshot is has


async def test_a_change_of_what_the_door_does_not_have_is_refused(cloud: Cloud) -> None:
    line, beside = Line(cloud), Line(cloud)
    owner = await cloud.owner()
    await line.catch_up()
    with pytest.raises(SnapshotRejected, match="not known"):
        await beside.door.hear(await line.feed.after(line.door.place))
    await beside.catch_up()
    for name in ("orders", "billing"):
        await cloud.namespace(owner, name)
        await line.catch_up()
    with pytest.raises(SnapshotRejected, match="for changes after"):
        await beside.door.hear(line.told[-1])


@pytest.mark.parametrize("is_started_again", [False, True])
@pytest.mark.parametrize("is_passed", [False, True])
async def test_a_database_that_was_restored_goes_on_behind_what_doors_have_seen(
    cloud: Cloud, allow_log: Callable[[str], None], is_started_again: bool, is_passed: bool
) -> None:
    allow_log("changes_renumbered")
    line = Line(cloud)
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    await cloud.key(owner, Permission.READ)
    await line.catch_up()
    seen = line.door.snapshot
    assert seen is not None
    async with cloud.database.transaction() as session:
        await session.execute(sa.update(ChangeHead).values(seq=0))
        await session.execute(sa.delete(Change))
        await session.execute(sa.delete(ApiKey))
    if is_started_again:
        line.reader = SnapshotReader(
            database=cloud.database, digests=KeyDigests(PEPPER), now=cloud.clock.now
        )
        await line.reader.start()
        line.feed = line.feed_of(line.reader)
    elif is_passed:
        await line.reader.refresh()
    if is_passed:
        for _ in range(seen.version + 1):
            async with cloud.database.transaction() as session:
                await record_change(session, ChangeKind.USER, new_uuid(cloud.random.randbytes))
    await line.catch_up()
    has = line.door.snapshot
    assert has is not None
    assert has.version > seen.version
    assert has.api_keys == {}
    assert line.door.resolve(ref.full_name) == ref
    other = await cloud.namespace(owner, "billing")
    await line.catch_up()
    assert line.door.resolve(other.full_name) == other


async def test_other_cells_are_told_though_nothing_has_changed_in_the_database(
    cloud: Cloud,
) -> None:
    line = Line(cloud)
    await cloud.owner()
    await line.catch_up()
    places = (CellPlace("cell-1"), CellPlace("cell-2", "eu", "10.0.0.2:7233"))
    grown = SnapshotReader(
        database=cloud.database, digests=KeyDigests(PEPPER), now=cloud.clock.now, cells=places
    )
    line.reader, line.feed = grown, line.feed_of(grown)
    changed = line.door.next_change
    await line.catch_up()
    assert changed.is_set()
    assert line.door.snapshot is not None
    assert line.door.snapshot.cells == places


async def test_a_door_boots_from_what_it_was_told_before(cloud: Cloud, tmp_path: Path) -> None:
    owner = await cloud.owner()
    text = (await cloud.key(owner, Permission.READ)).text
    line = Line(cloud, tmp_path / "kept")
    await line.catch_up()
    booted = Line(cloud, tmp_path / "kept")
    await booted.door.start()
    booted.door.authenticate(text)
    assert (booted.door.is_usable, booted.door.problem) == (True, "away")
    assert booted.asked == []


async def test_a_door_that_heard_nothing_for_a_day_trusts_nobody(
    cloud: Cloud, tmp_path: Path
) -> None:
    text = (await cloud.key(await cloud.owner(), Permission.READ)).text
    line = Line(cloud, tmp_path / "kept")
    await line.catch_up()
    cloud.clock.move(seconds=SNAPSHOT_AGE_SECONDS_MAX)
    line.door.authenticate(text)
    cloud.clock.move(seconds=1)
    assert not line.door.is_usable
    with pytest.raises(SnapshotTooOld):
        line.door.authenticate(text)
    await line.catch_up()
    line.door.authenticate(text)


async def test_a_door_follows_by_itself_and_asks_for_all_after_what_it_must_refuse(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, allow_log: Callable[[str], None]
) -> None:
    allow_log("snapshot_not_fed")
    monkeypatch.setattr(feeds, "ASK_AGAIN_SECONDS", 0)
    line = Line(cloud)
    owner = await cloud.owner()
    await line.reader.refresh()
    following = asyncio.create_task(line.door.follow())
    await line.door.reached(line.reader.snapshot.version)  # type: ignore[union-attr]
    lies: list[bytes | Exception] = [Signed(FOREIGN).write({}), b"", ConnectionError()]

    async def lie(after: Place | None) -> bytes:
        if not lies:
            return await line.ask(after)
        told = lies.pop()
        if isinstance(told, Exception):
            raise told
        return told

    monkeypatch.setattr(line.door, "_ask", lie)
    ref = await cloud.namespace(owner)
    await line.reader.refresh()
    await line.door.reached(line.reader.snapshot.version)  # type: ignore[union-attr]
    assert line.door.resolve(ref.full_name) == ref
    assert line.door.is_fed
    assert "" in [place.feed_id for place in line.asked if place is not None]
    following.cancel()
    await asyncio.wait([following])
