"""Polls with room for several tasks, and tasks on their way to polls that ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from engine.errors import Unavailable
from engine.limits import POLLER_SEEN_SECONDS_MAX
from engine.matching.queue import Poller, TaskQueue, poll
from engine.matching.task import PollerInfo, QueueKey, TaskRef
from engine.measures import Measures
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, SimLoop, run

POLL_SECONDS = 10.0
WORKER = PollerInfo("worker", "poll-1")


def task(name: str) -> TaskRef:
    return TaskRef("namespace", name, "run", "workflow", 2, 1)


class Matched:
    """A queue whose starts are decided at once and durable when the test says so."""

    def __init__(self, loop: SimLoop) -> None:
        self.env = SimEnv(loop, Host("node"), random.Random(0), skew_seconds=0, drift=0)
        key = QueueKey("namespace", "orders", "workflow")
        self.measures = Measures(self.env.monotonic)
        self.queue = TaskQueue(key, self.env, self, lambda key: None, self.measures)
        self.gone: set[str] = set()
        self.elsewhere: list[str] = []
        """What is started at another node, as often as it stands here: nobody learns whether."""
        self.started: list[tuple[Poller, bytes]] = []
        self.asked: list[str] = []
        """The request ids of all starts."""

    def start_now(
        self, queue: TaskQueue, poller: Poller, info: PollerInfo, task: TaskRef
    ) -> bool | None:
        if task.workflow_id in self.elsewhere:
            return None
        self.asked.append(info.request_id)
        if task.workflow_id in self.gone:
            return False
        self.started.append((poller, task.workflow_id.encode()))
        return True

    async def start(self, task: TaskRef, poller: PollerInfo) -> bytes:
        self.asked.append(poller.request_id)
        self.elsewhere.remove(task.workflow_id)
        raise Unavailable

    def offer(self, names: str) -> None:
        """One task for each letter."""
        for name in names:
            self.queue.offer(task(name))

    def commit(self, count: int | None = None) -> None:
        """Make the first `count` starts durable, or all."""
        done, self.started = self.started[:count], self.started[len(self.started[:count]) :]
        for poller, answer in done:
            self.queue.deliver(poller, answer)

    async def waiting(self, room: int) -> asyncio.Task[list[bytes]]:
        """A poll that has reached the queue."""
        polled = asyncio.ensure_future(self.poll(room))
        await asyncio.sleep(0)
        return polled

    async def poll(self, room: int) -> list[bytes]:
        (answers,) = await poll(self.env, [(self.queue, room)], WORKER, POLL_SECONDS)
        return answers


def in_queue(test: Callable[[Matched], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run the test's body on simulated time."""

    @wraps(test)
    def body() -> None:
        loop = SimLoop(0, in_order=True)

        async def main() -> None:
            await test(Matched(loop))

        run(loop, main())

    # Else pytest takes the body's parameter for a fixture.
    del body.__wrapped__
    return body


@in_queue
async def test_a_poll_gets_all_that_one_commit_has_for_it(m: Matched) -> None:
    polled = await m.waiting(3)
    m.offer("abcd")
    m.commit()
    assert await polled == [b"a", b"b", b"c"]
    assert m.queue.backlog_count == 1


@in_queue
async def test_waiting_polls_take_turns(m: Matched) -> None:
    first, second = await m.waiting(5), await m.waiting(5)
    m.offer("abc")
    m.commit()
    assert (await first, await second) == ([b"a", b"c"], [b"b"])


@in_queue
async def test_a_task_on_its_way_to_a_poll_that_ended_goes_to_the_next(m: Matched) -> None:
    polled = await m.waiting(5)
    m.offer("ab")
    m.commit(1)
    assert await polled == [b"a"]
    m.commit()
    assert await m.poll(5) == [b"b"]


@in_queue
async def test_a_poll_that_is_about_to_end_is_given_no_new_task(m: Matched) -> None:
    polled = await m.waiting(5)
    m.offer("a")
    m.commit()
    m.offer("b")
    assert not m.started
    assert await polled == [b"a"]
    assert m.queue.backlog_count == 1


@in_queue
async def test_a_poll_takes_as_many_undelivered_tasks_as_it_has_room_for(m: Matched) -> None:
    left = await m.waiting(3)
    m.offer("abc")
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    m.commit()
    assert await m.poll(2) == [b"a", b"b"]
    assert await m.poll(2) == [b"c"]


@in_queue
async def test_the_tasks_of_a_cancelled_poll_keep_their_order(m: Matched) -> None:
    left = await m.waiting(2)
    m.offer("ab")
    m.commit()
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert await m.poll(2) == [b"a", b"b"]


@in_queue
async def test_a_task_that_is_gone_takes_no_room(m: Matched) -> None:
    m.gone.add("a")
    polled = await m.waiting(1)
    m.offer("ab")
    m.commit()
    assert await polled == [b"b"]


@in_queue
async def test_a_poll_without_tasks_ends_empty(m: Matched) -> None:
    assert await m.poll(2) == []


@in_queue
async def test_a_queue_that_moves_tells_its_polls(m: Matched) -> None:
    polled = await m.waiting(2)
    m.queue.close(Unavailable())
    with pytest.raises(Unavailable):
        await polled


@in_queue
async def test_a_poll_starts_each_task_under_its_own_request_id(m: Matched) -> None:
    polled = await m.waiting(3)
    m.offer("aab")
    m.commit()
    await polled
    assert len(set(m.asked)) == 3


@in_queue
async def test_a_start_of_unknown_outcome_is_repeated_under_its_request_id(m: Matched) -> None:
    m.elsewhere = ["b", "b"]
    polled = await m.waiting(2)
    m.offer("ab")
    m.commit()
    assert await polled == [b"a"]
    following = await m.waiting(1)
    await asyncio.sleep(1)
    m.commit()
    assert await following == [b"b"]
    assert len(m.asked) == 4
    assert len(set(m.asked)) == 2


@in_queue
async def test_a_queue_keeps_nothing_of_polls_that_ended(m: Matched) -> None:
    assert await m.poll(2) == []
    left = await m.waiting(2)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    await asyncio.sleep(POLLER_SEEN_SECONDS_MAX + 1)
    assert m.queue.is_idle
