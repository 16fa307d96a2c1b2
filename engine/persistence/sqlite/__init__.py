"""A store in one SQLite file: the embedded default of a cell."""

from engine.persistence.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
