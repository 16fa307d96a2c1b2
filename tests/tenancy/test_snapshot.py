from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tenancy import (
    AccountRole,
    Database,
    KeyLabel,
    NotFound,
    Permission,
    SnapshotFile,
    SnapshotReader,
    SnapshotRejected,
    Unauthenticated,
    UnauthenticatedReason,
)
from tenancy.api_keys import KEY_LIFE_DAYS_DEFAULT
from tenancy.key_text import KeyDigests, key_text
from tenancy.randomness import new_secret
from tenancy.snapshot import SAVE_SECONDS, SNAPSHOT_AGE_SECONDS_MAX
from tests.tenancy.cloud import PEPPER, Cloud


def refusal_of(reader: SnapshotReader, text: str) -> UnauthenticatedReason:
    with pytest.raises(Unauthenticated) as refusal:
        reader.authenticate(text)
    return refusal.value.reason


def reader_beside(cloud: Cloud, database: Database, path: Path | None = None) -> SnapshotReader:
    """Another frontend of the same installation."""
    storage = None if path is None else SnapshotFile(path, pepper=PEPPER, now=cloud.clock.now)
    return SnapshotReader(
        database=database, digests=KeyDigests(PEPPER), now=cloud.clock.now, storage=storage
    )


async def set_disabled(cloud: Cloud, key_id: str, disabled: bool) -> None:
    key = await cloud.stored_key(key_id)
    owner = await cloud.principal(key.user_id)
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.update(
            session,
            owner,
            key_id,
            KeyLabel("ci", is_disabled=disabled),
            resource_version=key.resource_version,
        )


async def test_without_a_snapshot_nobody_gets_in(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    text = (await cloud.key(owner, Permission.READ)).text
    reader = cloud.control.snapshot
    assert reader.staleness_seconds == float("inf")
    assert refusal_of(reader, text) is UnauthenticatedReason.UNKNOWN_KEY
    with pytest.raises(NotFound):
        reader.resolve(ref.full_name)


async def test_a_revoked_key_is_refused_like_an_unknown_one(cloud: Cloud) -> None:
    owner = await cloud.owner()
    created = await cloud.key(owner, Permission.READ)
    reader = cloud.control.snapshot
    await reader.refresh()
    assert reader.authenticate(created.text).user_id == owner.id
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.revoke(session, owner, created.key.id)
    await reader.refresh()
    unknown = key_text("a" * 16, new_secret(cloud.random.randbytes))
    assert refusal_of(reader, created.text) is refusal_of(reader, unknown)


async def test_the_right_key_id_with_another_secret_is_unknown(cloud: Cloud) -> None:
    created = await cloud.key(await cloud.owner(), Permission.READ)
    await cloud.control.snapshot.refresh()
    forged = key_text(created.key.id, new_secret(cloud.random.randbytes))
    assert refusal_of(cloud.control.snapshot, forged) is UnauthenticatedReason.UNKNOWN_KEY


async def test_an_expired_key_is_told_so_to_its_holder_only(cloud: Cloud) -> None:
    created = await cloud.key(await cloud.owner(), Permission.READ)
    reader = cloud.control.snapshot
    await reader.refresh()
    cloud.clock.move(days=KEY_LIFE_DAYS_DEFAULT, seconds=-1)
    reader.authenticate(created.text)
    cloud.clock.move(seconds=1)
    assert refusal_of(reader, created.text) is UnauthenticatedReason.EXPIRED_KEY
    forged = key_text(created.key.id, new_secret(cloud.random.randbytes))
    assert refusal_of(reader, forged) is UnauthenticatedReason.UNKNOWN_KEY


async def test_a_disabled_key_works_again_when_enabled(cloud: Cloud) -> None:
    created = await cloud.key(await cloud.owner(), Permission.READ)
    reader = cloud.control.snapshot
    await set_disabled(cloud, created.key.id, True)
    await reader.refresh()
    assert refusal_of(reader, created.text) is UnauthenticatedReason.UNKNOWN_KEY
    await set_disabled(cloud, created.key.id, False)
    await reader.refresh()
    reader.authenticate(created.text)


async def test_only_active_namespaces_resolve(cloud: Cloud) -> None:
    owner = await cloud.owner()
    reader = cloud.control.snapshot
    await reader.refresh()
    async with cloud.control.acting(owner) as session:
        await cloud.control.namespaces.create(session, owner, "orders")
    await reader.refresh()
    name = f"orders.{owner.account_id}"
    with pytest.raises(NotFound):
        reader.resolve(name)
    await cloud.control.reconciler.reconcile(cloud.cell)
    await reader.refresh()
    ref = reader.resolve(name)
    async with cloud.control.acting(owner) as session:
        await cloud.control.namespaces.delete(session, owner, ref.id, resource_version=2)
    await reader.refresh()
    with pytest.raises(NotFound):
        reader.resolve(name)
    await cloud.control.reconciler.reconcile(cloud.cell)
    again = await cloud.namespace(owner, "orders")
    await reader.refresh()
    assert reader.resolve(name) == again != ref


async def test_a_reader_that_follows_holds_what_a_new_one_reads(cloud: Cloud) -> None:
    """The feed loses nothing: following every change equals reading everything at the end."""
    owner = await cloud.owner()
    following = reader_beside(cloud, cloud.database)
    await following.refresh()
    second = await cloud.member(owner, AccountRole.OWNER)
    developer = await cloud.member(owner, AccountRole.DEVELOPER)
    created = [await cloud.key(second, Permission.ADMIN), await cloud.key(owner, Permission.READ)]
    for step in range(8):
        if step == 1:
            await cloud.namespace(developer, "drafts")
        elif step == 3:
            await set_disabled(cloud, created[1].key.id, True)
        elif step == 5:
            async with cloud.control.acting(owner) as session:
                await cloud.set_role(session, owner, second.id, AccountRole.READ)
        elif step == 6:
            await cloud.namespace(owner, "orders")
        await following.refresh()
        fresh = reader_beside(cloud, cloud.database)
        await fresh.refresh()
        assert following.snapshot == fresh.snapshot


async def test_who_waits_with_a_revoked_or_narrowed_key_is_told(cloud: Cloud) -> None:
    owner = await cloud.owner()
    second = await cloud.member(owner, AccountRole.OWNER)
    revoked = (await cloud.key(owner, Permission.READ)).key.id
    narrowed = (await cloud.key(second, Permission.ADMIN)).key.id
    kept = (await cloud.key(owner, Permission.READ)).key.id
    reader = cloud.control.snapshot
    told: list[str] = []
    reader.on_revoked(told.append)
    await reader.refresh()
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.revoke(session, owner, revoked)
        await cloud.set_role(session, owner, second.id, AccountRole.READ)
    await reader.refresh()
    await set_disabled(cloud, kept, False)
    await reader.refresh()
    assert sorted(told) == sorted([revoked, narrowed])


@pytest.mark.allow_log("revocation_callback_failed")
async def test_a_failing_callback_keeps_no_other_from_being_told(cloud: Cloud) -> None:
    key_id = (await cloud.key(await cloud.owner(), Permission.READ)).key.id
    reader = cloud.control.snapshot
    told: list[str] = []

    def fail(_key_id: str) -> None:
        raise ZeroDivisionError

    reader.on_revoked(fail)
    reader.on_revoked(told.append)
    await reader.refresh()
    await set_disabled(cloud, key_id, True)
    await reader.refresh()
    assert told == [key_id]


async def test_a_following_reader_is_woken_by_a_commit(cloud: Cloud) -> None:
    owner = await cloud.owner()
    created = await cloud.key(owner, Permission.READ)
    reader = cloud.control.snapshot
    await reader.start()
    revoked = asyncio.Event()
    reader.on_revoked(lambda _key_id: revoked.set())
    following = asyncio.create_task(reader.follow())
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.revoke(session, owner, created.key.id)
    await asyncio.wait_for(revoked.wait(), 5)
    following.cancel()
    await asyncio.wait([following])


async def test_a_following_reader_sees_another_process_within_five_seconds(cloud: Cloud) -> None:
    owner = await cloud.owner()
    created = await cloud.key(owner, Permission.READ)
    elsewhere = Database(cloud.url)
    reader = reader_beside(cloud, elsewhere)
    await reader.start()
    revoked = asyncio.Event()
    reader.on_revoked(lambda _key_id: revoked.set())
    following = asyncio.create_task(reader.follow())
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.revoke(session, owner, created.key.id)
    await asyncio.wait_for(revoked.wait(), 5)
    following.cancel()
    await asyncio.wait([following])
    await elsewhere.aclose()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the control plane of the test keeps its snapshot."""
    return tmp_path / "snapshot"


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Database]:
    """A database that fails every question: it is empty.

    One that cannot be opened would do, but of a refused connection the driver leaves a thread
    behind that may outlive the loop of the test.
    """
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/empty.db")
    yield database
    await database.aclose()


@pytest.mark.allow_log("snapshot_from_storage")
async def test_a_frontend_boots_without_the_database(
    cloud: Cloud, kept: Path, away: Database
) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    text = (await cloud.key_in(owner, ref, Permission.WORKER)).text
    await cloud.control.snapshot.refresh()
    cloud.clock.move(hours=3)
    booted = reader_beside(cloud, away, kept)
    await booted.start()
    assert booted.snapshot == cloud.control.snapshot.snapshot
    assert booted.authenticate(text).permissions(ref.id) == {Permission.WORKER}
    assert booted.resolve(ref.full_name) == ref
    assert booted.staleness_seconds == 3 * 60 * 60


async def test_without_a_kept_snapshot_the_database_is_needed(cloud: Cloud, away: Database) -> None:
    with pytest.raises(sa.exc.OperationalError):
        await reader_beside(cloud, away).start()


@pytest.mark.allow_log("snapshot_from_storage")
async def test_a_key_revoked_while_the_database_was_away_is_told(
    cloud: Cloud, kept: Path, away: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await cloud.owner()
    created = await cloud.key(owner, Permission.READ)
    await cloud.control.snapshot.refresh()
    booted = reader_beside(cloud, cloud.database, kept)
    told: list[str] = []
    booted.on_revoked(told.append)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(cloud.database, "reading", away.reading)
        await booted.start()
    booted.authenticate(created.text)
    async with cloud.control.acting(owner) as session:
        await cloud.control.api_keys.revoke(session, owner, created.key.id)
    await booted.refresh()
    assert told == [created.key.id]


async def test_the_kept_snapshot_is_private_and_holds_no_key(cloud: Cloud, kept: Path) -> None:
    created = await cloud.key(await cloud.owner(), Permission.READ)
    await cloud.control.snapshot.refresh()
    mode, told = await asyncio.to_thread(lambda: (kept.stat().st_mode, kept.read_text()))
    assert stat.S_IMODE(mode) == 0o600
    assert created.key.id in told
    assert created.text[len("prd_") + 17 :][:43] not in told
    assert "example.com" not in told


def flip_bit(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("position", [0, 30, 64, 70, -1])
async def test_a_forged_snapshot_is_refused(cloud: Cloud, kept: Path, position: int) -> None:
    await cloud.key(await cloud.owner(), Permission.READ)
    await cloud.control.snapshot.refresh()
    flip_bit(kept, position)
    with pytest.raises(SnapshotRejected, match="damaged"):
        SnapshotFile(kept, pepper=PEPPER, now=cloud.clock.now).load()


async def test_a_snapshot_of_another_installation_or_too_old_or_missing_is_refused(
    cloud: Cloud, kept: Path
) -> None:
    await cloud.control.snapshot.refresh()
    now = cloud.clock.now
    with pytest.raises(SnapshotRejected, match="another installation"):
        SnapshotFile(kept, pepper=b"another pepper", now=now).load()
    with pytest.raises(SnapshotRejected, match="missing"):
        SnapshotFile(kept.with_name("none"), pepper=PEPPER, now=now).load()
    cloud.clock.move(seconds=SNAPSHOT_AGE_SECONDS_MAX)
    SnapshotFile(kept, pepper=PEPPER, now=now).load()
    cloud.clock.move(seconds=1)
    with pytest.raises(SnapshotRejected, match="older"):
        SnapshotFile(kept, pepper=PEPPER, now=now).load()


async def test_a_quiet_snapshot_is_kept_young(cloud: Cloud, kept: Path) -> None:
    reader = cloud.control.snapshot
    await reader.refresh()
    os.unlink(kept)
    cloud.clock.move(seconds=SAVE_SECONDS - 1)
    assert not await reader.refresh()
    assert not await asyncio.to_thread(kept.exists)
    cloud.clock.move(seconds=1)
    assert not await reader.refresh()
    assert reader.staleness_seconds == 0
    told = json.loads((await asyncio.to_thread(kept.read_bytes)).partition(b"\n")[2])
    assert told["refreshed_at"] == cloud.clock.now().isoformat()


async def test_reading_what_was_written_loses_nothing(cloud: Cloud, kept: Path) -> None:
    owner = await cloud.owner()
    await cloud.key(owner, Permission.ADMIN)
    await cloud.key(owner, Permission.WORKER)
    reader = cloud.control.snapshot
    await reader.refresh()
    loaded = SnapshotFile(kept, pepper=PEPPER, now=cloud.clock.now).load()
    assert reader.snapshot is not None
    assert loaded == reader.snapshot
