"""A cell from SQLite to PostgreSQL: its rows are copied, and read on both sides to compare them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from engine.errors import DataLoss, StoreDamaged, StoreDiffers
from engine.persistence.compare import Comparison
from engine.persistence.postgres.connection import MIGRATE_SECONDS_MAX
from engine.persistence.postgres.copy_in import CopyIn, Place
from engine.persistence.sqlite import SqliteStore, copy_out, leases

Report = Callable[[str, int, int], None]
"""Hears what is done, how much of it, and how much there is."""

Behind = tuple[int | str, ...]


class Part(NamedTuple):
    """The rows of one table in the order of a key, and what else hangs on them."""

    table: str
    key: str
    first: Behind
    read: Callable[[apsw.Connection, Any], Sequence[Any]]
    key_of: Callable[[Any], Behind]
    put: Callable[[CopyIn, Sequence[Any], Place], Awaitable[None]]


PARTS = (
    Part(
        "namespace",
        "namespace_id",
        ("",),
        copy_out.namespaces_behind,
        lambda row: (row.namespace_id,),
        CopyIn.put_namespaces,
    ),
    Part("run", "number", (0,), copy_out.runs_behind, lambda row: (row.number,), CopyIn.put_runs),
    Part(
        "summary",
        "namespace_id, run_id, workflow_id",
        ("", "", ""),
        copy_out.summaries_behind,
        lambda row: (row.key.namespace_id, row.key.run_id, row.key.workflow_id),
        CopyIn.put_summaries,
    ),
    Part(
        "fact",
        "position",
        (0,),
        copy_out.facts_behind,
        lambda row: (row.position,),
        CopyIn.put_facts,
    ),
)


async def begin_copy(
    source: apsw.Connection, target: CopyIn, token: str, others: Mapping[str, int]
) -> None:
    """See `CopyIn.begin`; the shards come along, with their epochs."""
    await target.begin(token, leases.leases(source), others)


async def copy_cell(source: apsw.Connection, target: CopyIn, report: Report) -> None:
    """What the target does not have yet; it may have begun with what comes behind the cell."""
    tables = [part.table for part in PARTS]
    if target.place.part and target.place.part not in tables:
        return
    for part in PARTS[tables.index(target.place.part or tables[0]) :]:
        await _copy(part, source, target, report)
    await target.draw_behind(copy_out.last_position(source))


async def _copy(part: Part, source: apsw.Connection, target: CopyIn, report: Report) -> None:
    is_begun = target.place.part == part.table
    behind: Behind = tuple(target.place.behind) if is_begun else part.first
    done, total = copy_out.progress(source, part.table, part.key, behind)
    while rows := _read(part, source, behind):
        behind = part.key_of(rows[-1])
        await part.put(target, rows, Place(part.table, behind))
        done += len(rows)
        report(f"{part.table} rows copied", done, total)


async def verify_cell(path: Path, target: CopyIn, report: Report) -> str:
    """The hash of all histories, equal on both sides. Raises StoreDiffers."""
    with copy_out.store_file(path) as source:
        counts = copy_out.row_counts(source)
        copied = await target.row_counts()
        for table, count in counts.items():
            if copied[table] != count:
                raise StoreDiffers(f"table {table}: {copied[table]} rows instead of {count}")
        there = target.store(MIGRATE_SECONDS_MAX)
        here = SqliteStore(path, read_seconds_max=MIGRATE_SECONDS_MAX)
        comparison = Comparison(here, there)
        try:
            await here.open(counts["shard"])
            done = 0
            for keys in copy_out.run_keys(source):
                await comparison.runs(keys)
                done += len(keys)
                report("runs verified", done, counts["run"])
            await comparison.shards()
            await comparison.namespaces(copy_out.namespace_ids(source))
            return comparison.digest.hexdigest()
        except DataLoss as error:
            raise StoreDiffers("a row that does not meet its checksum") from error
        finally:
            await here.close()
            await there.close()


def _read(part: Part, source: apsw.Connection, behind: Behind) -> Sequence[Any]:
    try:
        return part.read(source, behind)
    except DataLoss as error:
        raise StoreDamaged(f"table {part.table} behind {part.key} {behind}") from error
