"""A control plane's database with billing's tables, and a cell whose facts a test writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from billing.facts import FactRow
from billing.prices import Plan
from billing.tables import AccountPlan
from engine.metering.facts import Fact, fold
from tenancy import Database, Passwords
from tests.billing.payments import Payments, open_payments

CELL = "cell-a"


@dataclass
class Cell:
    """Facts of one cell, one row per commit, as its store would give them."""

    cell_id: str = CELL
    rows: list[FactRow] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)
    """Up to which position it was asked to forget rows, each time."""

    def commit(self, *facts: Fact, shard_id: int = 1) -> FactRow:
        last = max((row.sequence for row in self.rows if row.shard_id == shard_id), default=0)
        return self.add(FactRow(self.cell_id, shard_id, last + 1, 0, fold(facts)))

    def add(self, row: FactRow) -> FactRow:
        """Put the row behind all others, whatever position it had."""
        row = row._replace(position=len(self.rows) + 1)
        self.rows.append(row)
        return row

    async def read_facts(self, after_position: int, limit: int) -> Sequence[FactRow]:
        return [row for row in self.rows if row.position > after_position][:limit]

    async def delete_facts(self, up_to_position: int) -> None:
        self.forgotten.append(up_to_position)


@pytest.fixture
def cell() -> Cell:
    return Cell()


@pytest.fixture
async def database(control_url: str) -> AsyncIterator[Database]:
    database = Database(control_url)
    yield database
    await database.aclose()


async def put_plan(database: Database, account_id: str, plan: Plan, from_hour: int) -> None:
    """As if it had been chosen in the month before."""
    async with database.transaction() as session:
        session.add(AccountPlan(account_id=account_id, from_hour=from_hour, plan=plan))


async def account_of(namespace_id: str) -> str | None:
    """Namespace `x-1` belongs to account `x`; those of `nobody` have none."""
    account, _, _ = namespace_id.partition("-")
    return None if account == "nobody" else account


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(token_bytes=Random(1).randbytes, memory_kib=8, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture
async def payments(
    control_url: str, tmp_path: Path, passwords: Passwords
) -> AsyncIterator[Payments]:
    async with open_payments(control_url, tmp_path, passwords) as payments:
        yield payments
