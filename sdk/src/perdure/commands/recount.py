"""`perdure recount`: prints where usage and recount differ.

Exit code 0 if nowhere, 1 if they do, 2 if nobody can tell since histories are gone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from perdure.recount import Get, Recount, recount

EXIT_EQUAL = 0
EXIT_DIFFERENT = 1
EXIT_UNTOLD = 2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes besides the namespace, which all commands take."""
    for name, text in (("from", "first hour"), ("to", "hour behind the last")):
        parser.add_argument(
            f"--{name}",
            dest=f"{name}_hour",
            metavar="HOUR",
            type=parse_hour,
            help=f"{text}, UTC, as 2026-01-31T13; without it there is no bound",
        )


async def run(arguments: argparse.Namespace, get: Get) -> int:
    outcome = await recount(get, arguments.namespace, arguments.from_hour, arguments.to_hour)
    for line in table(outcome):
        print(line)
    if outcome.differences:
        return EXIT_DIFFERENT
    return EXIT_UNTOLD if outcome.untold else EXIT_EQUAL


def parse_hour(text: str) -> int:
    """Hours since the epoch of an ISO time; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no hour; write 2026-01-31T13") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    hour, rest = divmod(at - EPOCH, timedelta(hours=1))
    if rest:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole hour; write 2026-01-31T13")
    return hour


def table(outcome: Recount) -> Iterator[str]:
    """The differences, one line each, and the sums."""
    if outcome.differences or outcome.untold:
        rows = [("HOUR", "ACTION", "TYPE", "QUEUE", "RECOUNT", "USAGE", "DIFFERENCE")]
        for (hour, action, workflow_type, task_queue), recounted, usage in (
            *outcome.differences,
            *outcome.untold,
        ):
            at = f"{EPOCH + timedelta(hours=hour):%Y-%m-%dT%H}"
            counts = (str(recounted), str(usage), f"{usage - recounted:+d}")
            rows.append((at, action, workflow_type, task_queue, *counts))
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield "  ".join(cells).rstrip()
    if outcome.runs_without_history:
        yield (
            f"Runs without a history any more: {outcome.runs_without_history}; "
            "only what their counters hold was recounted"
        )
    verdict = f"different in {len(outcome.differences)}" if outcome.differences else "equal"
    if outcome.untold:
        verdict += f", and {len(outcome.untold)} that only histories which are gone could tell"
    yield (
        f"Runs: {outcome.runs}. Actions recounted: {outcome.recounted}, "
        f"in the usage: {outcome.usage}: {verdict}"
    )
