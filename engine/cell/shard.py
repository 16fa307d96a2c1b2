"""One shard and its owner's memory of it.

All decisions about its workflow ids are made here, in order, on state in memory. A decision is
synchronous: `begin`, change the state through a transition, `record`. What it wrote is durable
when `durable` returns, and no reply leaves before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from engine.cell import looked_at
from engine.cell.find_together import find_together, pages
from engine.cell.loaded_run import LoadedRun, Watcher
from engine.cell.memory import Memory
from engine.cell.reads import Reads
from engine.cell.taken import AfterCommit, Taken, TakenRun
from engine.cell.wakeups import Wakeups
from engine.env import Env, run_id
from engine.errors import EngineError, Internal, NotFound, Unavailable
from engine.history import timeouts
from engine.history.state import RunState, decode
from engine.history.transition import StartRun, Transition
from engine.ids import IdFilter
from engine.measures import Measures
from engine.persistence.protocols import RunKey, ShardLease, Store, StoredRun

if TYPE_CHECKING:
    from engine.cell.dispatch import Dispatcher
    from engine.cell.inline import Inline

log = logging.getLogger(__name__)

PARKED_SECONDS = 60
"""How long after a run could not be stored what is due in it is tried again."""


class ShardParts(NamedTuple):
    """What every shard of a node works with."""

    env: Env
    store: Store
    load: Callable[[RunKey], asyncio.Future[StoredRun | None]]
    dispatcher: Dispatcher
    wake_committer: Callable[[], None]
    measures: Measures
    retention_ended: Callable[[Shard, RunKey], None]


class Shard:
    """The shard as its owner holds it, under one epoch. A lost shard answers nothing more."""

    def __init__(self, lease: ShardLease, parts: ShardParts) -> None:
        self.shard_id = lease.shard_id
        self.epoch = lease.epoch
        self.sequence = lease.sequence
        self.lost = False
        self.lease_until = 0.0
        """Seconds on the loop's clock until which nobody else can have taken the shard."""
        self._durable_sequence = lease.sequence
        self._env = parts.env
        self._store = parts.store
        self._dispatcher = parts.dispatcher
        self._retention_ended = parts.retention_ended
        self._wake_committer = parts.wake_committer
        self._runs: OrderedDict[RunKey, LoadedRun] = OrderedDict()
        self._current: dict[tuple[str, str], str] = {}
        self.memory = Memory(parts.measures)
        self._reads = Reads(parts.load)
        self._ids = IdFilter()
        self._dirty: dict[RunKey, LoadedRun] = {}
        self._in_flight: dict[RunKey, LoadedRun] = {}
        self._waiters: deque[tuple[int, LoadedRun, asyncio.Future[None]]] = deque()
        self._after_commit: list[AfterCommit] = []
        self.wakeups = Wakeups(self, parts)

    async def recover(self) -> None:
        """Take over: learn the ids, load what is active, re-offer its tasks, arm its timers."""
        for namespace_id, workflow_id in await self._store.workflow_ids(self.shard_id):
            self._ids.add(namespace_id, workflow_id)
        await self.offer_again(None)
        await self.wakeups.read()

    async def offer_again(self, home_shard: int | None) -> None:
        """Offer every waiting task (again) whose queue lives in `home_shard`, or every one."""
        keys = dict.fromkeys(await self._store.active_runs(self.shard_id))
        keys.update((key, None) for key, run in self._runs.items() if run.state.is_active)
        for page in pages(keys):
            for run in await find_together([(self, key) for key in page]):
                if self.lost:
                    return
                if isinstance(run, EngineError):
                    raise run
                if run is not None and run.state.is_open:
                    self._dispatcher.offer_again(self, run, home_shard)

    @property
    def has_work(self) -> bool:
        return bool(self._dirty) and not self.lost

    # --- reading and deciding -------------------------------------------------------------

    async def run(self, key: RunKey) -> LoadedRun:
        """The run named, from memory or the store. Raises NotFound."""
        run = await self.find(key)
        if run is None:
            raise NotFound(f"workflow not found for ID: {key.workflow_id}", run_id=key.run_id)
        return run

    async def find(self, key: RunKey) -> LoadedRun | None:
        """The run named (an empty run id: the current one), or None."""
        self.check_owned()
        run = self.held(key)
        if run is None:
            if self._ids.never_seen(key.namespace_id, key.workflow_id):
                return None
            run = await self._read(key)
        if run is not None:
            looked_at.note(self, run)
        return run

    async def _read(self, key: RunKey) -> LoadedRun | None:
        """The run named, from the store."""
        stored = await self._reads.read(key)
        self.check_owned()
        held = self.held(key)
        if held is not None or stored is None:
            return held
        # Somebody else who waited for the same rows may have put the run here meanwhile.
        return self._runs.get(stored.key) or self._admit(stored, current=not key.run_id)

    def create(self, key: RunKey) -> LoadedRun:
        """An empty run in memory; its first transition makes it the id's current run."""
        run = LoadedRun(RunState(key), self.sequence, created=True)
        self._runs[key] = run
        return run

    def begin(self, run: LoadedRun) -> Transition:
        return Transition(run.state, self._env.now_ns(), lambda: run_id(self._env))

    def record(self, run: LoadedRun, t: Transition, inline: Inline | None = None) -> None:
        """Take a transition into the next commit: events, rows, facts, effects.

        `inline` takes the tasks that the caller wants for itself.
        """
        self.sequence += 1
        run.sequence = self.sequence
        if run.created and run.key not in self._dirty:
            # Only with the first of its transitions: the next run may follow in the same commit.
            self._current[run.key[:2]] = run.key.run_id
            self._ids.add(run.key.namespace_id, run.key.workflow_id)
        offers = []
        for effect in t.effects:
            if isinstance(effect, StartRun):
                self._start_next(run, effect)
            else:
                offers.append(effect)
        run.absorb(t)
        self._dirty[run.key] = run
        for offer in offers:
            if inline is None or not inline.take(self, run, offer):
                self._dispatcher.offer(self, run, offer)
        if run.queries.pending:
            self._dispatcher.offer_queries(self, run)
        self.wakeups.arm(run)
        self._wake_committer()

    def forget(self, run: LoadedRun) -> None:
        """Remove the run's rows with the next commit: its retention ended, or it was deleted."""
        self.sequence += 1
        run.sequence = self.sequence
        run.deleted = True
        self._dirty[run.key] = run
        self._wake_committer()

    async def durable(self, run: LoadedRun) -> None:
        """Return when all that was decided about the run so far is on stable storage."""
        self.check_owned()
        if run.parked is not None:
            raise run.parked
        if run.sequence <= self._durable_sequence:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((run.sequence, run, waiter))
        await waiter

    def after_commit(
        self,
        run: LoadedRun,
        action: Callable[[], None],
        undo: Callable[[], None] | None = None,
    ) -> None:
        """Call `action` when what was decided about the run so far is durable.

        `undo` is called instead where that will never be.
        """
        if run.sequence <= self._durable_sequence:
            action()
        else:
            self._after_commit.append(AfterCommit(run.sequence, run, action, undo))

    async def changed(
        self, run: LoadedRun, timeout_seconds: float, *, until_closed: bool = False
    ) -> None:
        """Return when something new of the run, or its end, is durable, or after the timeout."""
        watcher = Watcher(asyncio.get_running_loop().create_future(), until_closed)
        run.watchers.append(watcher)
        timer = self._env.call_later(timeout_seconds, watcher.wake)
        try:
            await watcher.woken
        finally:
            timer.cancel()
            if watcher in run.watchers:
                run.watchers.remove(watcher)

    @property
    def is_owned(self) -> bool:
        """Whether nobody else can own the shard."""
        return not self.lost and self._env.monotonic() <= self.lease_until

    def check_owned(self) -> None:
        """Raises Unavailable once somebody else may own the shard."""
        if not self.is_owned:
            raise Unavailable(shard_id=self.shard_id)

    # --- committing -----------------------------------------------------------------------

    def take(self) -> Taken:
        """Everything ready, encoded; a run that cannot be encoded is parked, alone."""
        runs: list[TakenRun] = []
        self._in_flight, self._dirty = self._dirty, {}
        for run in list(self._in_flight.values()):
            try:
                write = run.take()
            except Exception:
                log.exception("run_parked", extra={"run_id": run.key.run_id})
                self.park(run.key)
                continue
            runs.append(TakenRun(write, run.facts, run.attempt_ends, run.sequence))
            run.facts, run.attempt_ends = [], []
        return Taken(self.sequence, runs)

    def committed(self, sequence: int) -> None:
        """All up to `sequence` is durable: answer, run effects, wake watchers."""
        self._durable_sequence = sequence
        ready = [entry for entry in self._after_commit if entry.sequence <= sequence]
        self._after_commit = [entry for entry in self._after_commit if entry.sequence > sequence]
        while self._waiters and self._waiters[0][0] <= sequence:
            _, run, waiter = self._waiters.popleft()
            if not waiter.done():
                if run.parked is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(run.parked)
        for entry in ready:
            if entry.run.parked is None:
                entry.action()
            elif entry.undo is not None:
                entry.undo()
        in_flight, self._in_flight = self._in_flight, {}
        for run in in_flight.values():
            run.notify()
            run.trim()
            self.memory.note(run)
            # What was deleted behind this commit is gone with the next; until then it is read here.
            if run.deleted and run.key not in self._dirty:
                self._drop(run)
        # Memory stays bounded: what nobody waits for can be read again.
        for run in self.memory.surplus(self._runs.values(), self._is_idle):
            self._drop(run)

    def park(self, key: RunKey) -> None:
        """Give up on one run that cannot be written: drop it from memory, tell its waiters."""
        run = self._runs.get(key)
        if run is not None:
            self._in_flight.pop(key, None)
            self._dirty.pop(key, None)
            self._drop(run)
            run.park(Internal("this execution could not be stored", run_id=key.run_id))
            self.wakeups.look_again(key, PARKED_SECONDS)

    def lose(self) -> None:
        """Fenced or failed: forget everything and answer nothing more."""
        self.lost = True
        error = Unavailable(shard_id=self.shard_id)
        for _, _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()
        for run in self._runs.values():
            run.fail(error)
        self._runs.clear()
        self._current.clear()
        self._dirty.clear()
        self._in_flight.clear()
        self.wakeups.stop()
        undone, self._after_commit = self._after_commit, []
        for entry in undone:
            if entry.undo is not None:
                entry.undo()

    def look_at(self, run: LoadedRun) -> None:
        """Do what is due."""
        run.wakeup_at_ns = None
        t = self.begin(run)
        if timeouts.look(t):
            self._retention_ended(self, run.key)
        elif t.batch or t.effects or run.state.changed:
            self.record(run, t)
        self.wakeups.arm(run)

    # --- memory ---------------------------------------------------------------------------

    def held(self, key: RunKey) -> LoadedRun | None:
        """The run named (an empty run id: the current one), if it is in memory."""
        if not key.run_id:
            current = self._current.get(key[:2])
            if current is None:
                return None
            key = RunKey(key.namespace_id, key.workflow_id, current)
        run = self._runs.get(key)
        if run is not None:
            self._runs.move_to_end(key)
        return run

    def _admit(self, stored: StoredRun, *, current: bool) -> LoadedRun:
        state = decode(stored)
        timeouts.arm_all(state)
        run = LoadedRun(state, self._durable_sequence, created=False)
        run.loaded(stored)
        self._runs[stored.key] = run
        self.memory.note(run)
        if current:
            self._current[stored.key[:2]] = stored.key.run_id
        self.wakeups.arm(run)
        return run

    def _drop(self, run: LoadedRun) -> None:
        self._runs.pop(run.key, None)
        self._reads.left_memory(run.key)
        self.memory.forget(run)
        if self._current.get(run.key[:2]) == run.key.run_id:
            del self._current[run.key[:2]]

    def _is_idle(self, run: LoadedRun) -> bool:
        busy = run.key in self._dirty or run.key in self._in_flight
        return not (busy or run.watchers or run.queries.pending)

    def _start_next(self, run: LoadedRun, effect: StartRun) -> None:
        key = RunKey(run.key.namespace_id, run.key.workflow_id, effect.run_id)
        following = self.create(key)
        t = self.begin(following)
        effect.begin(t)
        self.record(following, t)
