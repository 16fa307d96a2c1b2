"""Bugs planted in the engine while a test runs, and where each must be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.simulation import bugs, mistakes
from tests.simulation.disk import SimDisk
from tests.simulation.swarm import (
    LATER_NEMESES,
    NEMESES,
    POWER_CUT,
    WRONG_CLOCK,
    Swarm,
    draw_swarm,
)


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake: how it is made, what kind of seed shows it, which invariants tell of it."""

    name: str
    found_by: frozenset[str]
    store: type[SimDisk] = SimDisk
    plant: Callable[[pytest.MonkeyPatch], None] = lambda monkeypatch: None
    features: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    nemeses: tuple[str, ...] = ()
    commit_seconds: float = 0.0
    """How long commits take; 0 leaves it to the seed."""
    nemesis_pause_seconds: float = 0.0
    """How long misfortune pauses; 0 leaves it to the seed."""
    is_on_sqlite: bool = False
    alone: bool = False
    """Whether nothing else is done, and nothing else goes wrong."""

    def swarm(self, seed: int) -> Swarm:
        """The seed's configuration, with what the bug needs to show switched on."""
        drawn = draw_swarm(seed)
        if self.alone:
            drawn = replace(drawn, features=(), nemeses=(), sites=())
        return replace(
            drawn,
            namespace_count=2,
            is_on_sqlite=self.is_on_sqlite,
            commit_seconds=self.commit_seconds or drawn.commit_seconds,
            nemesis_pause_seconds=self.nemesis_pause_seconds or drawn.nemesis_pause_seconds,
            features=tuple(dict.fromkeys((*drawn.features, *self.features))),
            sites=tuple(dict.fromkeys((*drawn.sites, *self.sites))),
            nemeses=tuple(dict.fromkeys((*drawn.nemeses, *self.nemeses))),
        )


BUGS = (
    Bug(
        "a fenced owner's rows written in a pipelined commit",
        frozenset({"I23"}),
        store=bugs.FencedRowsWritten,
        features=("activities", "signals"),
        sites=("commit.slow",),
        nemeses=("pause",),
        nemesis_pause_seconds=1.0,
        alone=True,
    ),
    Bug(
        "acknowledge before commit",
        frozenset({"I24"}),
        store=bugs.AcknowledgedBeforeCommit,
    ),
    Bug("timer 1 ms early", frozenset({"I19"}), plant=mistakes.timer_early),
    Bug(
        "a jump of the wall clock followed",
        frozenset({"I20"}),
        plant=mistakes.clock_follows_jumps,
        nemeses=("jump",),
    ),
    Bug(
        "timer lost on takeover",
        frozenset({"I28"}),
        store=bugs.TimersLostOnTakeover,
        nemeses=("crash",),
    ),
    Bug(
        "tasks lost on takeover",
        frozenset({"I28"}),
        store=bugs.TasksLostOnTakeover,
        nemeses=("crash",),
    ),
    Bug(
        "a stale attempt accepted",
        frozenset({"I8"}),
        plant=mistakes.stale_attempt_accepted,
        features=("activities",),
        sites=("task.slow", "task.vanish"),
    ),
    Bug(
        "a task offered twice given twice to one poll",
        frozenset({"I8"}),
        plant=mistakes.starts_are_confused,
        features=("activities", "batches"),
        sites=("link.slow",),
        nemeses=("crash", "full"),
    ),
    Bug(
        "a buffered signal dropped",
        frozenset({"I2", "I16"}),
        store=bugs.BufferLostOnTakeover,
        features=("signals", "signal_with_start"),
        sites=("task.slow",),
        nemeses=("crash",),
    ),
    Bug(
        "dedupe key without namespace",
        frozenset({"I1"}),
        plant=mistakes.dedupe_without_namespace,
        sites=("client.same_request_id",),
    ),
    Bug(
        "metering counted on retry",
        frozenset({"I33"}),
        plant=mistakes.metered_on_retry,
        features=("signals",),
        sites=("client.repeat",),
    ),
    Bug(
        "a read answered from undurable state",
        frozenset({"I24"}),
        plant=mistakes.read_before_durable,
        features=("reads",),
        commit_seconds=0.5,
    ),
    Bug(
        "a refusal answered from undurable state",
        frozenset({"I24"}),
        plant=mistakes.refused_before_durable,
        features=("signals", "terminates"),
        commit_seconds=0.5,
    ),
    Bug(
        "a retried run that never begins",
        frozenset({"I12"}),
        plant=mistakes.next_run_lost,
        features=("retries",),
    ),
    Bug(
        "a retried run that does not wait",
        frozenset({"I12"}),
        plant=mistakes.backoff_of_retried_run_forgotten,
        features=("retries",),
    ),
    Bug(
        "a schedule counted from the end of a run",
        frozenset({"I12"}),
        plant=mistakes.schedule_counted_from_the_end,
        features=("crons",),
    ),
    Bug(
        "an execution timeout that begins anew with each run",
        frozenset({"I12"}),
        plant=mistakes.execution_timeout_begins_anew,
        features=("continue", "crons", "retries", "timeouts"),
    ),
    Bug(
        "a run timeout forgotten on takeover",
        frozenset({"I20", "I28"}),
        plant=mistakes.run_timeout_forgotten,
        features=("timeouts",),
        nemeses=("crash",),
    ),
    Bug(
        "a schedule-to-close timeout that begins anew with each attempt",
        frozenset({"I20"}),
        plant=mistakes.close_timeout_of_each_attempt,
        features=("activity_timeouts",),
        alone=True,
    ),
    Bug(
        "a schedule-to-start timeout 1 ms early",
        frozenset({"I19"}),
        plant=mistakes.start_timeout_early,
        features=("activity_timeouts",),
    ),
    Bug(
        "a deleted run answered from memory",
        frozenset({"I32"}),
        plant=mistakes.deleted_run_stays_in_memory,
        features=("deletes", "reads"),
    ),
    Bug(
        "a deleted run's usage forgotten",
        frozenset({"I33"}),
        store=bugs.SummaryLostWithRun,
        features=("deletes", "queries", "heartbeats", "signal_with_start"),
    ),
    Bug(
        "a namespace purged once, and not looked at again",
        frozenset({"I32"}),
        plant=mistakes.purge_looks_at_one_page,
        features=("purge",),
        sites=("commit.lost", "commit.slow"),
    ),
    Bug(
        "a run begun by a call that may begin none",
        frozenset({"I3"}),
        plant=mistakes.restricted_starts_begin,
        features=("restricted_starts",),
    ),
    Bug(
        "a deletion that a node missed",
        frozenset({"I32"}),
        plant=mistakes.deletion_not_heard,
        features=("purge",),
        sites=("link.drop",),
        nemeses=("partition",),
    ),
    Bug(
        "commits that are not synced",
        frozenset({"I1", "I2", "I4", "I23", "I46"}),
        plant=mistakes.commits_not_synced,
        nemeses=(POWER_CUT,),
        is_on_sqlite=True,
    ),
    Bug(
        "leases judged by wall clocks",
        frozenset({"I26"}),
        plant=mistakes.leases_judged_by_wall_clocks,
        nemeses=(WRONG_CLOCK,),
    ),
    Bug(
        "a first attempt that awaits the clock of the node before",
        frozenset({"I28"}),
        plant=mistakes.first_attempt_awaits_its_clock,
        features=("activities",),
        sites=("task.slow",),
        nemeses=(WRONG_CLOCK, "pause"),
        nemesis_pause_seconds=0.7,
        alone=True,
    ),
)

assert {*NEMESES, *LATER_NEMESES} >= {name for bug in BUGS for name in bug.nemeses}
