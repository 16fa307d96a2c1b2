"""Where an installation keeps its runs and its control plane, chosen once at its first start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from api.cells import SHARD_COUNT
from api.installation import (
    Installation,
    InstallationError,
    alone,
    kept_number,
    sync_folder,
    write_whole,
)
from api.local_postgres import kept_running
from engine.errors import StoreUnavailable
from engine.persistence.postgres import PostgresStore
from engine.persistence.postgres.schema import SCHEMA
from engine.persistence.protocols import Store
from engine.persistence.sqlite import SqliteStore
from tenancy.placement import CELL_DEFAULT

SQLITE = "sqlite"
POSTGRES = "postgres"
SERVER = "postgresql://"
"""A server of somebody's; its URL is given at each start and never written down."""


class AnotherStore(InstallationError):
    def __init__(self, held: Installation, kept: str) -> None:
        super().__init__(
            f"the data of {held.data} is in the store {kept!r}:"
            f" start with --store {kept}, or choose another directory with --data"
        )
        self.kept = kept


class SeveralCells(InstallationError):
    def __init__(self, held: Installation, count: int) -> None:
        super().__init__(
            f"the installation of {held.data} has {count} cells:"
            " start it with --processes, and with --cells if more are wanted"
        )
        self.count = count


def cell_count(held: Installation, wanted: int | None) -> int:
    """How many cells run on this machine; that is noted, and never gets less.

    With None, as many as there were. Raises SeveralCells.
    """
    return kept_number(held.cells_path, wanted, first=1, refused=partial(SeveralCells, held))


@contextmanager
def postgres_of(
    held: Installation, choice: str | None, running: str | None = None
) -> Iterator[str | None]:
    """The URL of its PostgreSQL, None if it has SQLite; as choice None is what it has.

    `running` is the URL of the server that would be started, if it is running already.
    """
    choice = _remembered(held, choice)
    if choice == SQLITE:
        # What was copied of it before is from now on not what it holds.
        if held.moving_path.exists():
            held.moving_path.unlink(missing_ok=True)
            sync_folder(held.data)
        yield None
    elif choice != POSTGRES:
        yield choice
    elif running is not None:
        yield running
    else:
        with kept_running(held.data / "postgres") as url:
            yield url


def cell_store(held: Installation, postgres: str | None, cell_id: str = CELL_DEFAULT) -> Store:
    """The store of one of its cells, not yet open."""
    if postgres is None:
        return SqliteStore(held.store_file(cell_id))
    return PostgresStore(postgres, installation=held.cell_id, schema=cell_schema(cell_id))


def cell_schema(cell_id: str) -> str:
    """Where in a PostgreSQL database one of several cells has its tables."""
    return SCHEMA if cell_id == CELL_DEFAULT else f"{SCHEMA}_{cell_id.replace('-', '_')}"


async def check_database(held: Installation, postgres: str) -> None:
    """For who uses the database without its cell: raises StoreError if another one's cell is there.

    A database that cannot be reached is as it was left.
    """
    store = cell_store(held, postgres)
    try:
        with suppress(StoreUnavailable):
            await store.open(SHARD_COUNT)
    finally:
        await store.close()


def kept_store(held: Installation) -> str | None:
    """The kind of store that has the installation's data; None where there is none yet."""
    note = held.store_path
    return note.read_text() if note.exists() else SQLITE if held.cell_path.exists() else None


def _remembered(held: Installation, choice: str | None) -> str:
    with alone(held.data):
        kept = kept_store(held)
        choice = choice or kept or SQLITE
        kind = kind_of(choice)
        if kept is None:
            write_whole(held.store_path, kind.encode())
        elif kept != kind or choice == SERVER:
            raise AnotherStore(held, f"{kept}…" if kept == SERVER else kept)
    return choice


def kind_of(choice: str) -> str:
    """What may be written down of a choice."""
    return choice if choice in (SQLITE, POSTGRES) else SERVER
