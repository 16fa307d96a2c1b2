"""Whenever connection or server is lost, nothing untrue is answered, and the store heals."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import suppress

import psycopg
import pytest

from api.local_postgres import LocalPostgres
from engine.errors import StoreUnavailable
from engine.persistence.postgres import PostgresStore, connection
from engine.persistence.postgres import store as store_module
from engine.persistence.postgres.connection import BY_KEY, Role
from tests.engine.persistence.pg_proxy import Proxy, between
from tests.engine.persistence.scenario import steps_found, writes
from tests.engine.persistence.test_postgres import WAITING, execute, waits_for_a_lock
from tests.engine.persistence.values import SHARD_COUNT, own

KILLS = 4
KILLS_CI = 60
STEPS_PER_KILL_MAX = 12
MOMENT_SECONDS_MAX = 0.004
HEALED_SECONDS_MAX = 60
LOOK_AGAIN_SECONDS = 0.02


@pytest.fixture
async def cut(mortal_server: LocalPostgres, mortal_url: str) -> AsyncIterator[Cut]:
    """A store whose connections lead through a proxy."""
    async with between(mortal_url) as (proxy, url):
        store = PostgresStore(url)
        await store.open(SHARD_COUNT)
        yield Cut(store, proxy)
        await store.close()


class Cut:
    def __init__(self, store: PostgresStore, proxy: Proxy) -> None:
        self.store = store
        self.proxy = proxy


async def healed(store: PostgresStore) -> dict[int, int]:
    """Take all shards again, as an owner does who does not know what was written."""
    async with asyncio.timeout(HEALED_SECONDS_MAX):
        while True:
            try:
                return await own(store)
            except StoreUnavailable:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def test_a_commit_is_one_round_trip(cut: Cut) -> None:
    epochs = await own(cut.store)
    # The first of each shape is prepared by another.
    await cut.store.commit(writes(0, epochs))
    cut.proxy.count_turns()
    await cut.store.commit(writes(1, epochs))
    assert cut.proxy.turns == 1


async def test_a_commit_whose_answer_is_lost_is_unknown_and_found(cut: Cut) -> None:
    await cut.store.commit(writes(0, await own(cut.store)))
    epochs = await own(cut.store)
    cut.proxy.on_answer = lambda _: False
    with pytest.raises(StoreUnavailable):
        await cut.store.commit(writes(1, epochs))
    cut.proxy.on_answer = lambda _: True
    await healed(cut.store)
    assert await steps_found(cut.store, 2) == {0, 1}


async def test_a_commit_that_never_arrives_is_unknown_and_not_found(cut: Cut) -> None:
    await cut.store.commit(writes(0, await own(cut.store)))
    epochs = await own(cut.store)
    cut.proxy.on_question = lambda _: False
    with pytest.raises(StoreUnavailable):
        await cut.store.commit(writes(1, epochs))
    cut.proxy.on_question = lambda _: True
    epochs = await healed(cut.store)
    assert await steps_found(cut.store, 2) == {0}
    assert await cut.store.commit(writes(1, epochs)) == frozenset()
    assert await steps_found(cut.store, 2) == {0, 1}


async def test_a_commit_whose_connection_is_ended_under_way_is_unknown(
    postgres: PostgresStore, postgres_url: str
) -> None:
    epochs = await own(postgres)
    with psycopg.connect(postgres_url, options="-c search_path=engine") as other:
        other.execute("SELECT FROM shard FOR UPDATE")
        commit = asyncio.ensure_future(postgres.commit(writes(0, epochs)))
        await waits_for_a_lock(postgres_url)
        execute(
            postgres_url,
            f"SELECT pg_terminate_backend(pid) {WAITING}",
        )
        with pytest.raises(StoreUnavailable, match="AdminShutdown"):
            await commit
    epochs = await healed(postgres)
    assert await steps_found(postgres, 1) == set()
    assert await postgres.commit(writes(0, epochs)) == frozenset()


async def test_a_server_that_does_not_answer_is_given_up(
    mortal_server: LocalPostgres, mortal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "NO_ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "WRITE", Role(0.2, BY_KEY))
    store = PostgresStore(mortal_url)
    await store.open(SHARD_COUNT)
    epochs = await own(store)
    [(pid,)] = execute(
        mortal_url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE 'UPDATE shard%' ORDER BY state_change DESC LIMIT 1",
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await store.commit(writes(0, epochs))
    finally:
        os.kill(pid, signal.SIGCONT)
    await healed(store)
    # It was on its way, so either is true; half of it is not.
    await steps_found(store, 1)
    await store.close()


async def test_who_asks_while_the_server_is_away_hears_it_at_once(
    mortal_server: LocalPostgres, mortal_url: str
) -> None:
    store = PostgresStore(mortal_url)
    await store.open(SHARD_COUNT)
    mortal_server.kill()
    try:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await store.leases()
        with pytest.raises(StoreUnavailable, match="a moment ago"):
            await store.leases()
        with pytest.raises(StoreUnavailable):
            await own(store)
    finally:
        mortal_server.start()
    assert len(await healed(store)) == SHARD_COUNT
    await store.close()


@pytest.mark.parametrize("kills", [KILLS, pytest.param(KILLS_CI, marks=pytest.mark.ci)])
async def test_a_killed_server_loses_nothing_that_was_answered(
    mortal_server: LocalPostgres, mortal_url: str, kills: int
) -> None:
    rng = random.Random(kills)
    store = PostgresStore(mortal_url)
    await store.open(SHARD_COUNT)
    next_step, answered = 0, set[int]()
    for _ in range(kills):
        epochs = await healed(store)
        for _ in range(rng.randint(0, STEPS_PER_KILL_MAX)):
            assert await store.commit(writes(next_step, epochs)) == frozenset()
            answered.add(next_step)
            next_step += 1
        commit = asyncio.ensure_future(store.commit(writes(next_step, epochs)))
        await asyncio.sleep(rng.uniform(0, MOMENT_SECONDS_MAX))
        mortal_server.kill()
        with suppress(StoreUnavailable):
            await commit
            answered.add(next_step)
        next_step += 1
        mortal_server.start()
    epochs = await healed(store)
    found = await steps_found(store, next_step)
    assert answered <= found
    for step in set(range(next_step)) - found:
        assert await store.commit(writes(step, epochs)) == frozenset()
    assert await steps_found(store, next_step) == set(range(next_step))
    await store.close()
