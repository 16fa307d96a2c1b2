"""The control plane's tables, from SQLite to PostgreSQL by the models that both are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa

import billing.budgets.tables
import billing.migrations
import billing.tables
import tenancy.control_plane  # noqa: F401 - its imports register every table
from api.move.errors import ControlDiffers
from engine.persistence.move import Report
from engine.persistence.postgres import schema
from engine.persistence.postgres.copy_in import Place
from tenancy import migrate
from tenancy.database import Model, failures_told
from tenancy.dialects import SCHEMA, open_migration_engine

ROWS_PER_BATCH = 500

TABLES: Sequence[sa.Table] = (
    *Model.metadata.sorted_tables,
    *billing.tables.Model.metadata.sorted_tables,
)
"""Each behind those that it refers to."""

ROWS_OF_MIGRATIONS = {"change_head": 1}
"""What a new database has in tables that are empty otherwise."""

NEW_TABLES: Mapping[str, int] = {
    f"{SCHEMA}.{table.name}": ROWS_OF_MIGRATIONS.get(table.name, 0) for table in TABLES
}
"""How many rows each has where nobody was yet."""

ROW = sa.literal_column("rowid", sa.Integer)
"""SQLite's own number of a row: the order in which rows came."""

MOVE = sa.table("move", sa.column("part"), sa.column("place"), schema=schema.SCHEMA)
"""Where the cell's copy notes how far it is."""


async def bring_up_to_date(*urls: str) -> None:
    """Source and target have the same columns. Raises SchemaTooNew, DatabaseUnavailable."""
    for url in urls:
        await migrate(url)
        await billing.migrations.migrate(url)


@contextmanager
def opened(source_url: str, target_url: str) -> Iterator[ControlMove]:
    source, target = open_migration_engine(source_url), open_migration_engine(target_url)
    try:
        with failures_told(), source.connect() as reading:
            yield ControlMove(reading, target)
    finally:
        source.dispose()
        target.dispose()


class ControlMove:
    """From a database that nobody writes to."""

    def __init__(self, source: sa.Connection, target: sa.Engine) -> None:
        self._source = source
        self._target = target

    def copy(self, place: Place, report: Report) -> None:
        """What lies behind the place; each batch is one transaction with the place it reaches."""
        names = [_part(table) for table in TABLES]
        first = names.index(place.part) if place.part in names else 0
        for table in TABLES[first:]:
            self._copy(table, place.behind if _part(table) == place.part else -1, report)

    def verify(self, report: Report) -> None:
        """Raises ControlDiffers for the first row that is not the same on both sides."""
        for table in TABLES:
            count = sa.select(sa.func.count()).select_from(table)
            here = self._source.scalars(count).one()
            with self._target.connect() as target:
                there = target.scalars(count).one()
                if here != there:
                    raise ControlDiffers(f"table {table.name}: {there} rows instead of {here}")
                for rows in self._batches(table, -1):
                    _check(table, rows, target)
            report(f"{_part(table)} rows verified", here, here)

    def _copy(self, table: sa.Table, behind: int, report: Report) -> None:
        counted = self._source.execute(
            sa.select(sa.func.count().filter(ROW <= behind), sa.func.count()).select_from(table)
        )
        done, total = counted.one()
        for rows in self._batches(table, behind):
            place = {"part": _part(table), "place": msgspec.msgpack.encode(rows[-1][0])}
            with self._target.begin() as target:
                target.execute(table.insert(), [_values(table, row) for row in rows])
                target.execute(sa.update(MOVE).values(place))
            done += len(rows)
            report(f"{_part(table)} rows copied", done, total)

    def _batches(self, table: sa.Table, behind: int) -> Iterator[Sequence[sa.Row[Any]]]:
        """Rows with their number before the columns."""
        query = sa.select(ROW, table).order_by(ROW).limit(ROWS_PER_BATCH)
        while rows := self._source.execute(query.where(ROW > behind)).all():
            yield rows
            behind = rows[-1][0]


def _part(table: sa.Table) -> str:
    return f"{SCHEMA}.{table.name}"


def _values(table: sa.Table, row: sa.Row[Any]) -> dict[str, Any]:
    return dict(zip(table.columns.keys(), row[1:], strict=True))


def _check(table: sa.Table, rows: Sequence[sa.Row[Any]], target: sa.Connection) -> None:
    key = list(table.primary_key)
    names = [column.name for column in key]
    originals = [_values(table, row) for row in rows]
    keys = [tuple(row[name] for name in names) for row in originals]
    found = target.execute(sa.select(table).where(sa.tuple_(*key).in_(keys)))
    copies = {tuple(row[name] for name in names): dict(row) for row in found.mappings()}
    for number, (of, original) in enumerate(zip(keys, originals, strict=True)):
        if copies.get(of) != original:
            # Not the key itself: it may be what a tenant wrote.
            raise ControlDiffers(f"table {table.name}, row {rows[number][0]} of SQLite")
