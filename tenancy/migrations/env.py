"""Runs migrations in the transaction that `tenancy.migrate` has opened and holds the lock in."""

from __future__ import annotations

from alembic import context

import tenancy.control_plane  # noqa: F401 - its imports register every table
from tenancy.database import Model

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Model.metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
