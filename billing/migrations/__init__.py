"""Billing's tables, brought to the newest form. Migrations go forward only."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

from tenancy.database import prepare_sqlite

VERSION_TABLE = "billing_version"
BOOT_LOCK = 0x62696C6C


async def migrate(url: str) -> None:
    """Apply what is missing, in one transaction that a second booting process waits for.

    Alembic keeps one migration in mind per process: do not run it beside another `migrate`.
    """
    engine = create_async_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine.sync_engine)
    try:
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(BOOT_LOCK)))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
