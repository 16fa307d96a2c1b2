"""Visibility lists and counts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec

from engine.errors import InvalidArgument
from engine.persistence.condition import CLOSE_AT_NS, NUMBER_COLUMNS
from engine.persistence.postgres.condition import PostgresWhere
from engine.persistence.postgres.connection import Connection, fetch
from engine.visibility.query import Value, VisibilityQuery, VisibilityRow

COLUMNS = (
    "namespace_id, run_id, workflow_id, workflow_type, task_queue, status, start_at_ns,"
    f" execution_at_ns, {CLOSE_AT_NS}, history_length, history_bytes, transition_count,"
    " parent_workflow_id, parent_run_id, root_workflow_id, root_run_id, memo,"
    " search_attributes, attributes"
)
"""In the order of `VisibilityRow`'s fields."""

_attributes = msgspec.json.Decoder(dict[str, Value | list[str]])
_is_text = [
    field.name not in ("memo", "search_attributes", "attributes") for field in fields(VisibilityRow)
]


async def list_visibility(connection: Connection, query: VisibilityQuery) -> list[VisibilityRow]:
    """A page, newest first."""
    where = "namespace_id = $1"
    parameters: list[Any] = [query.namespace_id.encode()]
    if query.after is not None:
        close_order, start_at_ns, run_id = query.after
        where += (
            " AND (close_order, start_at_ns, run_id) < ($2::text::bigint, $3::text::bigint, $4)"
        )
        parameters += [str(close_order), str(start_at_ns), run_id.encode()]
    where = _extended(where, parameters, query)
    parameters.append(query.page_size)
    rows = await fetch(
        connection,
        f"SELECT {COLUMNS} FROM visibility WHERE {where}"
        " ORDER BY namespace_id DESC, close_order DESC, start_at_ns DESC, run_id DESC"
        f" LIMIT ${len(parameters)}::bigint",
        *parameters,
        prepare=False,
    )
    return [_row(*columns) for columns in rows]


def _row(*columns: Any) -> VisibilityRow:
    values: list[Any] = [
        column.decode() if is_text and isinstance(column, bytes) else column
        for column, is_text in zip(columns, _is_text, strict=True)
    ]
    attributes = values.pop()
    values.append(_attributes.decode(attributes) if attributes else {})
    return VisibilityRow(*values)


async def count_visibility(connection: Connection, query: VisibilityQuery) -> list[tuple[str, int]]:
    """How many rows match, by the value grouped by."""
    parameters: list[Any] = [query.namespace_id.encode()]
    where = _extended("namespace_id = $1", parameters, query)
    if query.group_by is None:
        [(count,)] = await fetch(
            connection,
            f"SELECT count(*) FROM visibility WHERE {where}",
            *parameters,
            prepare=False,
        )
        return [("", count)]
    column = NUMBER_COLUMNS.get(query.group_by)
    if column is None:
        raise InvalidArgument(
            f"query: GROUP BY {query.group_by} is not offered; use status", "query"
        )
    rows = await fetch(
        connection,
        f"SELECT {column}, count(*) FROM visibility WHERE {where} GROUP BY 1",
        *parameters,
        prepare=False,
    )
    return sorted((str(value), count) for value, count in rows)


def _extended(where: str, parameters: list[Any], query: VisibilityQuery) -> str:
    if query.where is None:
        return where
    compiled = PostgresWhere(query.where, first_number=len(parameters) + 1)
    parameters += compiled.parameters
    return f"{where} AND {compiled.sql}"
