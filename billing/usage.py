"""Collecting: a cell's facts become hourly usage, each exactly once.

The usage, the cursor and the shards' marks change in one transaction. Whatever fails before its
commit is read again; whatever was committed is behind the cursor, and its (cell, shard, sequence)
is at or below the mark, so a row that comes again under any position counts nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from billing.facts import FactRow, FactSource, UsageKey, count_actions
from billing.tables import Model, Usage, UsageCursor, UsageMonth, UsageShard
from billing.times import hour_of, month_of
from tenancy import Database
from tenancy.dialects import insert

ROWS_PER_RUN_MAX = 1_000

AccountOf = Callable[[str], Awaitable[str | None]]
"""The account id of a namespace id, None while no account has it. It may use the database."""

_logger = logging.getLogger(__name__)


class Collector:
    """Moves the facts of one cell into usage, from where the last one stopped."""

    def __init__(self, database: Database, source: FactSource, account_of: AccountOf) -> None:
        self._database = database
        self._source = source
        self._account_of = account_of
        self._complete_hour = 0

    async def position(self) -> int:
        """Everything up to here is collected, and the cell may forget it."""
        async with self._database.reading() as session:
            cursor = await session.get(UsageCursor, self._source.cell_id)
            return cursor.position if cursor else 0

    async def run(self, now: datetime) -> None:
        """Collect all there is, and have the cell forget what was new."""
        is_new = False
        while count := await self.run_once():
            is_new = True
            if count < ROWS_PER_RUN_MAX:
                break
        # A cell where nothing happens is asked to forget nothing, or it would write for ever.
        if is_new:
            await self._source.delete_facts(await self.position())
        await self._note_complete(hour_of(now))

    async def _note_complete(self, hour: int) -> None:
        """The last read began after the hour and found the end. Written once an hour."""
        if hour <= self._complete_hour:
            return
        cell_id = self._source.cell_id
        async with self._database.transaction() as session:
            await _lock(session, cell_id)
            await session.execute(
                sa.update(UsageCursor)
                .where(UsageCursor.cell_id == cell_id, UsageCursor.complete_hour < hour)
                .values(complete_hour=hour)
            )
        self._complete_hour = hour

    async def run_once(self) -> int:
        """Collect the next rows; how many were read, 0 when there are none.

        Raises FactsUnreadable or UnknownFact and leaves the cursor in front of such rows.
        """
        rows = await self._source.read_facts(await self.position(), ROWS_PER_RUN_MAX)
        counted = [(row, count_actions(row)) for row in rows]
        unassigned = await self._unassigned()
        if not rows and not unassigned:
            return 0
        # Asked outside the transaction, whose lock the answer may need.
        namespace_ids = unassigned.union(key.namespace_id for _, keys in counted for key in keys)
        accounts = {name: await self._account_of(name) for name in sorted(namespace_ids)}
        for namespace_id in sorted(unassigned):
            if account_id := accounts[namespace_id]:
                await self._assign(namespace_id, account_id)
        if rows:
            async with self._database.transaction() as session:
                await _ingest(session, self._source.cell_id, counted, accounts)
        return len(rows)

    async def _unassigned(self) -> set[str]:
        """Namespaces that had no account when their usage was collected."""
        async with self._database.reading() as session:
            found = await session.scalars(
                sa.select(Usage.namespace_id).where(Usage.account_id.is_(None)).distinct()
            )
            return set(found)

    async def _assign(self, namespace_id: str, account_id: str) -> None:
        """Give usage without an account the one its namespace has by now.

        What a collector of another cell is writing is left for the next run: the two might take
        the same rows in another order.
        """
        key = sa.inspect(Usage).primary_key
        without = sa.select(*key).where(
            Usage.account_id.is_(None), Usage.namespace_id == namespace_id
        )
        async with self._database.transaction() as session:
            await session.execute(
                sa.update(Usage)
                .where(sa.tuple_(*key).in_(without.with_for_update(skip_locked=True)))
                .values(account_id=account_id),
                execution_options={"synchronize_session": False},
            )


async def _ingest(
    session: AsyncSession,
    cell_id: str,
    counted: Sequence[tuple[FactRow, Mapping[UsageKey, int]]],
    accounts: Mapping[str, str | None],
) -> None:
    """Add the rows that are new to the usage, raise the marks and move the cursor."""
    marks = await _lock(session, cell_id)
    totals: Counter[UsageKey] = Counter()
    for row, actions in counted:
        if row.sequence > marks.get(row.shard_id, -1):
            marks[row.shard_id] = row.sequence
            totals.update(actions)
    position = max(row.position for row, _ in counted)
    await session.execute(
        sa.update(UsageCursor)
        .where(UsageCursor.cell_id == cell_id, UsageCursor.position < position)
        .values(position=position)
    )
    await _upsert(
        session,
        UsageShard,
        UsageShard.sequence,
        [
            {"cell_id": cell_id, "shard_id": shard_id, "sequence": marks[shard_id]}
            for shard_id in sorted({row.shard_id for row, _ in counted})
        ],
        adds=False,
    )
    usage = [
        {**key._asdict(), "account_id": accounts[key.namespace_id], "count": totals[key]}
        for key in sorted(totals)
    ]
    await _upsert(session, Usage, Usage.count, usage, adds=True)
    months: Counter[tuple[int, str]] = Counter()
    for key, count in totals.items():
        months[month_of(key.hour).from_hour, key.namespace_id] += count
    sums = [
        {"from_hour": from_hour, "namespace_id": namespace_id, "count": count}
        for (from_hour, namespace_id), count in sorted(months.items())
    ]
    await _upsert(session, UsageMonth, UsageMonth.count, sums, adds=True)
    unassigned = {row["namespace_id"] for row in usage if row["account_id"] is None}
    if unassigned:
        _logger.info("usage_without_account", extra={"namespace_ids": sorted(unassigned)})


async def _lock(session: AsyncSession, cell_id: str) -> dict[int, int]:
    """Keep other collectors of the cell out until the commit; its shards' marks."""
    await session.execute(
        insert(session, UsageCursor)
        .values(cell_id=cell_id, position=0, complete_hour=0)
        .on_conflict_do_nothing(index_elements=["cell_id"])
    )
    await session.execute(
        sa.select(UsageCursor.position).where(UsageCursor.cell_id == cell_id).with_for_update()
    )
    marks = await session.execute(
        sa.select(UsageShard.shard_id, UsageShard.sequence).where(UsageShard.cell_id == cell_id)
    )
    return {shard_id: sequence for shard_id, sequence in marks}


async def _upsert(
    session: AsyncSession,
    model: type[Model],
    column: InstrumentedAttribute[int],
    rows: Sequence[Mapping[str, Any]],
    *,
    adds: bool,
) -> None:
    """Insert `rows`; where one exists, its `column` is replaced or added to."""
    if not rows:
        return
    statement = insert(session, model)
    new = statement.excluded[column.key]
    statement = statement.on_conflict_do_update(
        index_elements=[key.name for key in sa.inspect(model).primary_key],
        set_={column.key: column + new if adds else new},
    )
    await session.execute(statement, [dict(row) for row in rows])
