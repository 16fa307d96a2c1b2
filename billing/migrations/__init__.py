"""Billing's tables, brought to the newest form. Migrations go forward only."""

from __future__ import annotations

from pathlib import Path

from tenancy.migrate import Migrations

MIGRATIONS = Migrations(Path(__file__).parent, "billing_version")


async def migrate(url: str) -> None:
    """Safe at every start; see `Migrations.run`."""
    await MIGRATIONS.run(url)
