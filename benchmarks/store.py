"""python -m benchmarks.store [postgres]: what group commits of a store cost, by their size.

Each run has four transitions as a workflow of one activity has: a start, two in between and a
close, with header, history, an item that comes and goes, a wake-up, lists and metering facts.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from api.local_postgres import kept_running
from engine.persistence.postgres import PostgresStore
from engine.persistence.protocols import (
    HistoryBatch,
    ItemKind,
    RunKey,
    RunWrite,
    ShardWrite,
    Store,
)
from engine.persistence.sqlite import SqliteStore
from engine.visibility.query import VisibilityRow

SHARD_COUNT = 64
TRANSITIONS_PER_RUN = 4
RUNS_PER_COMMIT = (1, 16, 64, 1_000)
WINDOW_SECONDS = 1.0
HEADER = bytes(range(256)) * 2
EVENTS = bytes(range(250)) * 2
FACTS = b"f" * 120
NAMESPACE = "6f9d7ac0-5f0f-4f0e-9a3e-5a0a3a1c2b11"
ACTIVITY = (ItemKind.ACTIVITY, "5")
DATA = Path(__file__).parent.parent / ".data"


def transition(number: int, step: int) -> RunWrite:
    """The step-th transition of a run."""
    run_id = f"{number:08x}-5f0f-7f0e-9a3e-5a0a3a1c2b11"
    key = RunKey(NAMESPACE, f"order-{number * 7919 % 1_000_003:07d}-{number}", run_id)
    write = RunWrite(key, HEADER, active=step < TRANSITIONS_PER_RUN - 1)
    write.history = [HistoryBatch(3 * step + 1, 3 * step + 3, EVENTS)]
    if step in (0, TRANSITIONS_PER_RUN - 1):
        closed_at_ns = number if step else None
        write.visibility = VisibilityRow(
            NAMESPACE, run_id, key.workflow_id, "Order", "orders", 1, number, number, closed_at_ns
        )
    if step == 0:
        write.becomes_current, write.wakeup_at_ns = True, 10**12 + number
    elif step == 1:
        write.items[ACTIVITY] = EVENTS
    elif step == 2:
        write.items[ACTIVITY] = None
    else:
        write.summary = FACTS
        write.wakeup_was_ns = 10**12 + number
    return write


async def measure(store: Store, run_count: int, first_number: int) -> tuple[int, list[float]]:
    """Commits of `run_count` runs each for a while: runs used, and the seconds of each commit."""
    leases = await store.leases()
    used, seconds = 0, []
    until = time.perf_counter() + WINDOW_SECONDS
    for sequence in count(1):
        if time.perf_counter() > until:
            break
        step = (sequence - 1) % TRANSITIONS_PER_RUN
        used += run_count if step == 0 else 0
        writes = [
            ShardWrite(lease.shard_id, lease.epoch, lease.sequence + sequence, [], FACTS)
            for lease in leases[: min(run_count, SHARD_COUNT)]
        ]
        for number in range(first_number + used - run_count, first_number + used):
            writes[number % len(writes)].runs.append(transition(number, step))
        begun = time.perf_counter()
        assert not await store.commit(writes)
        seconds.append(time.perf_counter() - begun)
    return used, seconds


@contextmanager
def chosen(name: str) -> Iterator[Store]:
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=DATA) as folder:
        if name == "postgres":
            with kept_running(Path(folder) / "postgres") as url:
                yield PostgresStore(url)
        else:
            yield SqliteStore(Path(folder) / "cell.db")


async def main(name: str) -> None:
    with chosen(name) as store:
        await store.open(SHARD_COUNT)
        await store.acquire(range(SHARD_COUNT), "benchmark", 0, 1)
        print("runs/commit  transitions/s  commits/s   p50 ms   p99 ms  CPU us/transition")
        first_number = 0
        for run_count in RUNS_PER_COMMIT:
            cpu = time.process_time()
            used, seconds = await measure(store, run_count, first_number)
            cpu = time.process_time() - cpu
            first_number += used
            rate = len(seconds) / sum(seconds)
            seconds.sort()
            p50_ms, p99_ms = (seconds[int(len(seconds) * q)] * 1e3 for q in (0.5, 0.99))
            cpu_us = cpu / (len(seconds) * run_count) * 1e6
            print(
                f"{run_count:11} {rate * run_count:14,.0f} {rate:10,.0f}"
                f" {p50_ms:8.2f} {p99_ms:8.2f} {cpu_us:18.1f}"
            )
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store")
    parser.add_argument("store", nargs="?", choices=("sqlite", "postgres"), default="sqlite")
    asyncio.run(main(parser.parse_args().store))
