"""Visibility lists and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from engine.errors import InvalidArgument
from engine.persistence.condition import CLOSE_AT_NS, NUMBER_COLUMNS
from engine.persistence.sqlite.condition import SqliteWhere
from engine.visibility.query import Value, VisibilityQuery, VisibilityRow

COLUMNS = (
    "namespace_id, run_id, workflow_id, workflow_type, task_queue, status, start_at_ns,"
    f" execution_at_ns, {CLOSE_AT_NS}, history_length, history_bytes, transition_count,"
    " parent_workflow_id, parent_run_id, root_workflow_id, root_run_id, memo,"
    " search_attributes, attributes"
)
"""In the order of `VisibilityRow`'s fields."""

_attributes = msgspec.json.Decoder(dict[str, Value | list[str]])


def list_visibility(connection: apsw.Connection, query: VisibilityQuery) -> list[VisibilityRow]:
    """A page, newest first."""
    where = "namespace_id = ?1"
    parameters: list[Value | bytes] = [query.namespace_id]
    if query.after is not None:
        where += " AND (close_order, start_at_ns, run_id) < (?2, ?3, ?4)"
        parameters += query.after
    where = _extended(where, parameters, query)
    parameters.append(query.page_size)
    rows = _select(
        connection,
        f"SELECT {COLUMNS} FROM visibility INDEXED BY visibility_order WHERE {where}"
        " ORDER BY close_order DESC, start_at_ns DESC, run_id DESC"
        f" LIMIT ?{len(parameters)}",
        parameters,
    )
    return [row_of(*columns) for columns in rows]


def row_of(*columns: Any) -> VisibilityRow:
    """The row of `COLUMNS`."""
    *values, attributes = columns
    values.append(_attributes.decode(attributes) if attributes else {})
    return VisibilityRow(*values)


def count_visibility(connection: apsw.Connection, query: VisibilityQuery) -> list[tuple[str, int]]:
    """How many rows match, by the value grouped by."""
    parameters: list[Value | bytes] = [query.namespace_id]
    where = _extended("namespace_id = ?1", parameters, query)
    if query.group_by is None:
        (count,) = _select(
            connection, f"SELECT count(*) FROM visibility WHERE {where}", parameters
        )[0]
        return [("", count)]
    column = NUMBER_COLUMNS.get(query.group_by)
    if column is None:
        raise InvalidArgument(
            f"query: GROUP BY {query.group_by} is not offered; use status", "query"
        )
    rows = _select(
        connection,
        f"SELECT {column}, count(*) FROM visibility WHERE {where} GROUP BY 1",
        parameters,
    )
    return sorted((str(value), count) for value, count in rows)


def _extended(where: str, parameters: list[Value | bytes], query: VisibilityQuery) -> str:
    if query.where is None:
        return where
    compiled = SqliteWhere(query.where, first_number=len(parameters) + 1)
    parameters += compiled.parameters
    return f"{where} AND {compiled.sql}"


def _select(
    connection: apsw.Connection, statement: str, parameters: Sequence[Value | bytes]
) -> list[tuple[Any, ...]]:
    # The statement cache is left to the fixed statements: every search differs.
    return list(connection.execute(statement, parameters, can_cache=False))
