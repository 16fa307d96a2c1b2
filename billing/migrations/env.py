"""Runs migrations in the transaction that `tenancy.migrate` has opened and holds the lock in."""

from __future__ import annotations

from alembic import context

import billing.budgets.tables  # noqa: F401 - its import registers its tables
from billing.tables import Model

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Model.metadata,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
