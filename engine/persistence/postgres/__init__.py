"""A store in a PostgreSQL database: several nodes of a cell may share it."""

from engine.persistence.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
