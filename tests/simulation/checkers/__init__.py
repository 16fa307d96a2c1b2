"""What must hold after every seed: each invariant is a function from the evidence to findings.

The numbers are those of `docs/simulation.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.simulation.checkers import (
    answers,
    chains,
    commits,
    deletions,
    histories,
    metering,
    timers,
)
from tests.simulation.checkers.evidence import Evidence
from tests.simulation.history_log import Finding, Record

Checker = Callable[[Evidence], Iterator[str]]

CHECKERS: tuple[tuple[str, Checker], ...] = (
    ("I1", answers.acknowledged_starts_exist),
    ("I2", answers.acknowledged_calls_are_in_history),
    ("I3", answers.nothing_is_invented),
    ("I3", chains.restricted_calls_begin_nothing),
    ("I4", histories.reads_are_prefixes),
    ("I5", histories.ids_are_gapless_and_one_event_closes),
    ("I6", histories.times_never_go_back),
    ("I7", histories.references_hold),
    ("I8", answers.attempts_are_handed_and_answered_once),
    ("I9", histories.workflow_tasks_come_one_at_a_time),
    ("I10", histories.state_is_the_fold_of_history),
    ("I12", commits.runs_of_an_id_follow_each_other),
    ("I12", chains.runs_form_chains),
    ("I14", answers.signals_come_once_and_in_order),
    ("I16", commits.buffered_events_are_flushed_in_order),
    ("I19", timers.nothing_fires_early),
    ("I20", timers.wall_clocks_do_not_matter),
    ("I21", timers.timers_end_once),
    ("I23", commits.epochs_never_decrease),
    ("I24", answers.nothing_is_told_before_it_is_durable),
    ("I25", answers.queries_see_what_was_acknowledged),
    ("I25", answers.reads_see_what_is_durable),
    ("I26", commits.shards_are_taken_from_the_silent),
    ("I28", histories.open_runs_wait_for_something),
    ("I31", histories.lists_agree_with_histories),
    ("I32", deletions.what_is_deleted_is_gone),
    ("I33", metering.recount_equals_the_ledger),
)


def check(record: Record) -> list[Finding]:
    """Everything that is wrong with a seed."""
    evidence = Evidence(record)
    found = list(record.findings)
    for invariant, checker in CHECKERS:
        try:
            found += [Finding(invariant, text) for text in checker(evidence)]
        except (IndexError, KeyError) as error:
            # Evidence may be so broken that a checker does not find what it counts on.
            found.append(Finding(invariant, f"cannot be checked: {error!r}"))
    return found
