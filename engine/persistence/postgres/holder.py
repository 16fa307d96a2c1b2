"""Whose the tables are. Nodes of two installations have equal names, so they must never meet."""

from __future__ import annotations

from engine.errors import StoreHalfMoved, StoreHeld
from engine.persistence.postgres.connection import Connection, fetch


async def claim(connection: Connection, installation: str | None) -> None:
    """Note whose the tables are, within the caller's transaction; None leaves that open.

    What a move has copied and verified is the installation's from here on. Raises StoreHeld for
    tables of another one, StoreHalfMoved for a copy that is not whole.
    """
    await check_holder(connection, installation)
    if await fetch(connection, "SELECT 1 FROM move WHERE NOT is_verified"):
        raise StoreHalfMoved
    await fetch(connection, "DELETE FROM move")
    if installation is not None:
        await take(connection, installation)


async def take(connection: Connection, installation: str) -> None:
    await fetch(
        connection,
        "INSERT INTO holder (installation) VALUES ($1::text) ON CONFLICT DO NOTHING",
        installation,
    )


async def check_holder(connection: Connection, installation: str | None) -> None:
    """Raises StoreHeld for tables of another installation."""
    if installation is not None:
        for (holder,) in await fetch(connection, "SELECT installation FROM holder"):
            if holder != installation:
                raise StoreHeld
