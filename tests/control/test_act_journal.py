"""The audit trail of a door without a database: on its own disk before the answer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api import act_journal
from api.act_journal import ActFile, JournaledTrail, Kept, read_acts
from api.transports.errors import AuditLogFull
from api.wire.client import Disconnected
from tenancy import Act, NotFound, Principal, PrincipalKind

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALLER = Principal(PrincipalKind.API_KEY, "key-1", "acme00")


class World:
    """A trail, and a control plane that takes what it is given unless it is `away`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.away = False
        self.taken: dict[tuple[str, int], Act] = {}
        self.deliveries = 0
        self.open()

    def open(self) -> None:
        self.trail = JournaledTrail(ActFile(self.path), self.take, lambda: AT)

    async def take(self, journal_id: str, acts: Sequence[Kept]) -> int:
        self.deliveries += 1
        if self.away:
            raise Disconnected
        self.taken |= {(journal_id, it.sequence): it.act for it in read_acts(acts)}
        return acts[-1][0]

    def tell(self, number: int, account_id: str = "acme00") -> asyncio.Task[None]:
        """A caller that waits until its act is noted."""
        caller = Principal(CALLER.kind, CALLER.id, account_id)
        return asyncio.create_task(self.do(Act(caller, "Terminate", ("ns-1", f"wf-{number}"))))

    async def do(self, act: Act, failure: Exception | None = None) -> None:
        async with self.trail.recording(act):
            if failure is not None:
                raise failure

    async def note(self, *numbers: int) -> None:
        telling = [self.tell(number) for number in numbers]
        await self.trail.noted.wait()
        await self.trail.write()
        await asyncio.gather(*telling)

    @property
    def workflows(self) -> list[str]:
        return [act.target_ids[1] for _, act in sorted(self.taken.items())]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "acts.db")
    yield world
    await world.trail.close()


async def test_an_act_is_on_the_disk_before_its_caller_is_answered(world: World) -> None:
    telling = world.tell(1)
    await world.trail.noted.wait()
    assert not telling.done()
    await world.trail.write()
    await telling
    with sqlite3.connect(world.path) as beside:
        assert beside.execute("SELECT count(*) FROM act").fetchone() == (1,)
    assert world.deliveries == 0


async def test_acts_are_delivered_as_they_were_and_then_forgotten(world: World) -> None:
    await world.note(1, 2)
    await world.trail.deliver()
    await world.trail.deliver()
    assert world.deliveries == 1
    act = next(iter(world.taken.values()))
    assert act == Act(CALLER, "Terminate", ("ns-1", "wf-1"), at=AT)
    assert world.workflows == ["wf-1", "wf-2"]


async def test_what_cannot_be_delivered_waits_also_for_another_process(world: World) -> None:
    world.away = True
    await world.note(1)
    with pytest.raises(Disconnected):
        await world.trail.deliver()
    await world.trail.close()
    world.open()
    await world.note(2)
    world.away = False
    await world.trail.deliver()
    assert world.workflows == ["wf-1", "wf-2"]
    assert len({journal_id for journal_id, _ in world.taken}) == 1


async def test_numbers_are_not_given_again_when_all_is_delivered(world: World) -> None:
    await world.note(1)
    await world.trail.deliver()
    await world.trail.close()
    world.open()
    await world.note(2)
    await world.trail.deliver()
    assert world.workflows == ["wf-1", "wf-2"]


async def test_an_act_that_fails_is_not_noted(world: World) -> None:
    with pytest.raises(NotFound):
        await world.do(Act(CALLER, "Terminate", ()), NotFound("workflow", "wf-1"))
    assert world.trail.waiting_count == 0


@pytest.mark.parametrize("limit", ["ACTS_KEPT_MAX", "ACTS_KEPT_PER_ACCOUNT_MAX"])
async def test_beyond_the_limit_acts_are_refused_until_some_are_delivered(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(act_journal, limit, 2)
    await world.note(1, 2)
    await world.trail.close()
    world.open()
    with pytest.raises(AuditLogFull):
        await world.tell(3)
    await world.trail.deliver()
    await world.note(3)
    await world.trail.deliver()
    assert world.workflows == ["wf-1", "wf-2", "wf-3"]


async def test_a_disk_that_fails_keeps_callers_waiting_and_refuses_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_file: ActFile, _acts: Sequence[Act]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    telling = world.tell(1)
    await world.trail.noted.wait()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(ActFile, "append", fail)
        with pytest.raises(sqlite3.OperationalError):
            await world.trail.write()
    assert not telling.done()
    with pytest.raises(AuditLogFull):
        await world.tell(2)
    await world.trail.write()
    await telling
    await world.note(3)
    await world.trail.deliver()
    assert world.workflows == ["wf-1", "wf-3"]


async def test_a_write_that_is_given_up_halfway_notes_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    append: Callable[[ActFile, Sequence[Act]], None] = ActFile.append
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def slow(file: ActFile, acts: Sequence[Act]) -> None:
        loop.call_soon_threadsafe(begun.set)
        append(file, acts)

    monkeypatch.setattr(ActFile, "append", slow)
    telling = world.tell(1)
    await world.trail.noted.wait()
    writing = asyncio.create_task(world.trail.write())
    await begun.wait()
    writing.cancel()
    await asyncio.wait([writing])
    await world.trail.write()
    await telling
    await world.trail.deliver()
    assert world.workflows == ["wf-1"]
