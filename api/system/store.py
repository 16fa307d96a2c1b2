"""Where the system cell keeps its runs: beside the control plane's own data."""

from __future__ import annotations

from typing import cast

from api.installation import Installation
from api.system.lone_store import LoneStore
from engine.persistence.postgres import PostgresStore
from engine.persistence.protocols import Store
from engine.persistence.sqlite import SqliteStore

SCHEMA = "system"


def system_store(held: Installation, postgres: str | None) -> Store:
    """Not yet open: a file of its own, or a schema of its own in the database."""
    if postgres is None:
        store: Store = SqliteStore(held.system_path)
    else:
        store = PostgresStore(postgres, installation=held.cell_id, schema=SCHEMA)
    # It passes on what it does not answer, which a type checker cannot see.
    return cast(Store, LoneStore(store))
