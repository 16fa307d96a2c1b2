"""Moving the control plane's tables, and when an installation is not moved."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from api.cell_store import check_database, postgres_of
from api.config import read_config
from api.installation import (
    DirectoryInUse,
    Installation,
    SecretsUnusable,
    installation,
    part_of,
)
from api.move import command, control
from api.move.errors import AlreadyMoved, ControlDiffers, NothingToMove
from engine.errors import StoreHeld, StoreMismatch, StoreNotEmpty
from engine.persistence import move
from engine.persistence.postgres.copy_in import CopyIn
from engine.persistence.sqlite import copy_out
from engine.persistence.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION, TABLES
from tenancy import SchemaTooNew
from tenancy.dialects import open_migration_engine
from tests.control_database import migrated

VERSIONS = {"alembic_version", "billing_version"}
IDS = {
    "account": "acc001",
    "user_login": "user-1",
    "namespace": "namespace-1",
    "budget": "budget-1",
    "invoice": "invoice-1",
}
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
SHARD_COUNT = 16
USAGE_ROWS = 7


class Cut(Exception):
    """The move ends here, as if it were killed."""


def sample(column: sa.Column[Any], number: int) -> object:
    """A value of the column's kind."""
    for key in column.foreign_keys:
        return IDS[key.column.table.name]
    if column.name == "id" and column.table.name in IDS:
        return IDS[column.table.name]
    kind = getattr(column.type, "impl_instance", column.type)
    if isinstance(kind, sa.Enum) and kind.enum_class is not None:
        return kind.enum_class(kind.enums[0])
    values: dict[type, object] = {
        int: number,
        bool: True,
        datetime: AT,
        bytes: bytes([number]),
        object: {"b": [1, "two", None], "a": number},
        str: f"{column.name[:4]}{number}"[: getattr(kind, "length", None)],
    }
    return values[kind.python_type]


def fill(held: Installation) -> None:
    """A row in each table of the control plane, and an empty cell."""
    migrated(held.database_url)
    engine = open_migration_engine(held.database_url)
    with engine.begin() as connection:
        for table in control.TABLES:
            if table.name == "change_head":
                connection.execute(sa.update(table).values(seq=41))
                continue
            for number in range(USAGE_ROWS if table.name == "usage_hour" else 1):
                row = {column.name: sample(column, number) for column in table.columns}
                if table.name == "usage_hour":
                    row["workflow_type"] = f"tenant\0's {number}"
                connection.execute(table.insert(), [row])
    engine.dispose()
    with closing(sqlite3.connect(held.cell_path)) as cell:
        cell.executescript(TABLES)
        cell.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        cell.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        shards = [(shard_id,) for shard_id in range(SHARD_COUNT)]
        cell.executemany("INSERT INTO shard VALUES (?, '', 5, 9, 0)", shards)
        cell.commit()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each test works on a copy."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with installation(data) as held:
        fill(held)
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "data")


@pytest.fixture
def url(postgres_database: Callable[[], str]) -> str:
    return postgres_database()


def moved(data: Path, url: str) -> str:
    """What a move says."""
    told: list[str] = []
    command.main(data, url, told.append)
    return "\n".join(told)


async def copy(held: Installation, url: str, cut: int = 0) -> list[str]:
    """The batches of the control plane; a cut copy ends behind so many."""
    reports: list[str] = []

    def report(what: str, done: int, total: int) -> None:
        reports.append(f"{what}: {done} of {total}")
        if len(reports) == cut:
            raise Cut

    await control.bring_up_to_date(held.database_url, url)
    async with CopyIn(url, held.cell_id) as target:
        with (
            copy_out.store_file(held.cell_path) as cell,
            control.opened(held.database_url, url) as tables,
            suppress(Cut),
        ):
            await move.begin_copy(cell, target, "token", control.NEW_TABLES)
            tables.copy(target.place, report)
    return reports


def verify(held: Installation, url: str) -> None:
    with control.opened(held.database_url, url) as tables:
        tables.verify(lambda *_: None)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_every_table_of_the_control_plane_is_moved(data: Path) -> None:
    with closing(sqlite3.connect(data / "control.db")) as database:
        names = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    moved_names = [table.name for table in control.TABLES]
    assert sorted(name for (name,) in names) == sorted([*moved_names, *VERSIONS])


async def test_the_control_plane_is_copied_batch_by_batch(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ROWS_PER_BATCH", 2)
    with installation(data) as held:
        done: list[str] = []
        for cut in (1, 6, 9):
            done += await copy(held, url, cut)
        done += await copy(held, url)
        verify(held, url)
    assert len(done) == len(set(done)), "a batch was copied twice"
    assert f"control.usage_hour rows copied: {USAGE_ROWS} of {USAGE_ROWS}" in done


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE control.account SET audit_sequence = 9", "table account, row 1 of SQLite"),
        ("UPDATE control.change_head SET seq = 1", "table change_head"),
        ("UPDATE control.usage_hour SET count = 99 WHERE hour = 3", "table usage_hour, row 4"),
        ("DELETE FROM control.usage_shard", "table usage_shard: 0 rows instead of 1"),
    ],
)
async def test_the_first_difference_of_the_control_plane_is_named(
    data: Path, url: str, statement: str, what: str
) -> None:
    with installation(data) as held:
        await copy(held, url)
        execute(url, statement)
        with pytest.raises(ControlDiffers, match=what):
            verify(held, url)


def test_a_moved_installation_keeps_its_files_where_no_server_opens_them(
    data: Path, url: str
) -> None:
    told = moved(data, url)
    assert "equal on both sides" in told
    assert sorted(path.name for path in data.glob("*.db*")) == [
        "cell-1.db.moved",
        "control.db.moved",
    ]
    assert (data / "store").read_text() == "postgresql://"
    with pytest.raises(AlreadyMoved, match="already"):
        moved(data, url)
    (data / "secrets.json").unlink()
    with pytest.raises(SecretsUnusable, match="restore"):
        installation(data).__enter__()


def test_all_cells_of_an_installation_are_moved_each_into_a_schema(data: Path, url: str) -> None:
    shutil.copy(data / "cell-1.db", data / "cell-2.db")
    # The third was never started: it has nothing yet.
    (data / "cells").write_text("3")
    with installation(data, part_of("cell-2")), pytest.raises(DirectoryInUse, match="stop it"):
        moved(data, url)
    told = moved(data, url)
    for cell in ("cell-1", "cell-2"):
        assert f"{cell} is equal on both sides" in told
    assert "--processes" in told
    assert sorted(path.name for path in data.glob("*.db*")) == [
        "cell-1.db.moved",
        "cell-2.db.moved",
        "control.db.moved",
    ]
    for schema in ("engine", "engine_cell_2"):
        assert rows(url, f"SELECT DISTINCT epoch, sequence FROM {schema}.shard") == [(5, 9)]
        assert rows(url, f"SELECT is_verified FROM {schema}.move") == [(True,)]
    assert rows(url, "SELECT to_regnamespace('engine_cell_3')") == [(None,)]


def test_what_a_killed_move_left_is_put_away_by_the_next(data: Path, url: str) -> None:
    moved(data, url)
    for path in data.glob("*.moved"):
        path.rename(path.with_suffix(""))
    assert "put away" in moved(data, url)
    assert not list(data.glob("*.db"))


async def test_a_database_with_accounts_is_no_target(data: Path, url: str) -> None:
    await control.bring_up_to_date(url)
    execute(url, "UPDATE control.change_head SET seq = 7")
    execute(url, "INSERT INTO control.change (seq, kind, id) VALUES (7, 'user', 'u')")
    with installation(data) as held:
        with pytest.raises(StoreNotEmpty, match="move to an empty one"):
            await copy(held, url)


def test_a_database_of_another_installation_is_neither_a_target_nor_a_store(
    data: Path, url: str, tmp_path: Path
) -> None:
    moved(data, url)
    with installation(tmp_path / "other") as other:
        fill(other)
    with pytest.raises(StoreHeld, match="another installation"):
        moved(tmp_path / "other", url)


async def test_a_front_does_not_touch_the_database_of_another_installation(
    url: str, tmp_path: Path
) -> None:
    with installation(tmp_path / "one") as one, installation(tmp_path / "two") as two:
        assert one.cell_id != two.cell_id
        await check_database(one, url)
        with pytest.raises(StoreHeld, match="name a database of its own"):
            await check_database(two, url)
        await check_database(one, url)
        await check_database(two, "postgresql://nobody@/none?host=/nowhere")


def test_an_installation_is_not_moved_under_its_server(data: Path, url: str) -> None:
    with installation(data), pytest.raises(DirectoryInUse, match="stop it"):
        moved(data, url)


def test_where_nothing_is_nothing_is_moved(tmp_path: Path, url: str) -> None:
    with pytest.raises(NothingToMove, match="--data"):
        moved(tmp_path / "none", url)
    assert not (tmp_path / "none").exists()


def test_tables_of_a_later_release_are_no_target(
    data: Path, postgres_database: Callable[[], str]
) -> None:
    cell, tables = postgres_database(), postgres_database()
    for url in (cell, tables):
        migrated(url)
    execute(tables, "UPDATE control.alembic_version SET version_num = 'later'")
    with pytest.raises(SchemaTooNew, match="later"):
        moved(data, tables)
    execute(
        cell,
        "CREATE SCHEMA engine; CREATE TABLE engine.migration (number bigint PRIMARY KEY);"
        " INSERT INTO engine.migration VALUES (99)",
    )
    with pytest.raises(StoreMismatch, match="schema version 99"):
        moved(data, cell)
    assert (data / "control.db").exists()


def test_a_server_on_sqlite_makes_a_copy_stale(data: Path) -> None:
    with installation(data) as held:
        held.moving_path.write_text("token")
        with postgres_of(held, None) as postgres:
            assert postgres is None
        assert not held.moving_path.exists()


@pytest.mark.parametrize(
    "arguments", [["move"], ["move", "--to", "sqlite"], ["up", "--to", "postgres"]]
)
def test_a_move_needs_its_target_and_nothing_else_has_one(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_config(arguments, {})
    assert "--to postgres or --to postgresql://" in capsys.readouterr().err
    assert read_config(["move", "--to", "postgres"], {}).move_to == "postgres"
