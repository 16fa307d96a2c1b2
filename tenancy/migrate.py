"""Brings the database's tables up to this version of the code."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tenancy.database import failures_told
from tenancy.dialects import open_migration_engine, prepare_migration
from tenancy.errors import SchemaTooNew

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

# Alembic keeps the running migration in module globals, so one thread at a time may be in it.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Migrations:
    """Numbered steps in a folder, and the table that says which of them a database has seen."""

    folder: Path
    version_table: str

    def config(self, connection: sa.Connection) -> Config:
        # Here and below: doors and cells, which migrate nothing, start without Alembic.
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self.folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        config.attributes["version_table"] = self.version_table
        return config

    async def run(self, url: str) -> None:
        """Applies what is missing, all of it or nothing.

        Safe at every start, in several processes at once: one migrates, the rest wait. Raises
        SchemaTooNew and DatabaseUnavailable.
        """
        await asyncio.to_thread(self._run, url)

    def _run(self, url: str) -> None:
        from alembic import command
        from alembic.migration import MigrationContext
        from alembic.script import ScriptDirectory

        engine = open_migration_engine(url)
        try:
            with _one_at_a_time, failures_told(), engine.begin() as connection:
                prepare_migration(connection)
                config = self.config(connection)
                table = {"version_table": self.version_table}
                seen = MigrationContext.configure(connection, opts=table)
                _refuse_later(seen, ScriptDirectory.from_config(config))
                command.upgrade(config, "head")
        finally:
            engine.dispose()


def _refuse_later(seen: MigrationContext, steps: ScriptDirectory) -> None:
    known = {step.revision for step in steps.walk_revisions()}
    for revision in seen.get_current_heads():
        if revision not in known:
            raise SchemaTooNew(revision)


MIGRATIONS = Migrations(Path(__file__).parent / "migrations", "alembic_version")


async def migrate(url: str) -> None:
    """Tenancy's own tables; see `Migrations.run`."""
    await MIGRATIONS.run(url)
