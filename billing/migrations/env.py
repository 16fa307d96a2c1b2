"""Alembic's entry: runs on the connection that `migrate` opened."""

from __future__ import annotations

from alembic import context

from billing.migrations import VERSION_TABLE
from billing.tables import Model

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Model.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
