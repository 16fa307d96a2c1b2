"""Whatever tree is written as a query is read again, and no text breaks the parser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidArgument
from engine.visibility.parser import Search, parse
from engine.visibility.query import (
    And,
    Attribute,
    Between,
    Compare,
    Condition,
    In,
    IsNull,
    Not,
    Or,
)

CUSTOM = {"City": "Keyword", "Amount": "Int"}
WORKFLOW_ID = Attribute("workflow_id")
CITY = Attribute("City", custom=True)
AMOUNT = Attribute("Amount", custom=True)
SECOND_NS = 1_000_000_000


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def written(condition: Condition) -> str:
    """The tree as a query, every part of it in parentheses."""
    if isinstance(condition, And | Or):
        word = " AND " if isinstance(condition, And) else " OR "
        return word.join(f"({written(part)})" for part in condition.conditions)
    if isinstance(condition, Not):
        return f"NOT ({written(condition.condition)})"
    name = "WorkflowId" if condition.attribute == WORKFLOW_ID else f"`{condition.attribute.name}`"
    if isinstance(condition, IsNull):
        return f"{name} IS NULL"
    if isinstance(condition, In):
        return f"{name} IN ({', '.join(literal(value) for value in condition.values)})"
    if isinstance(condition, Between):
        return f"{name} BETWEEN {literal(condition.low)} AND {literal(condition.high)}"
    return f"{name} {condition.operator} {literal(condition.value)}"


def literal(value: object) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


def comparisons(attribute: Attribute, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    signs = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    return st.one_of(
        st.builds(Compare, st.just(attribute), signs, values),
        st.builds(In, st.just(attribute), st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(Between, st.just(attribute), values, values),
        st.just(IsNull(attribute)),
    )


INT64 = st.integers(-(2**63) + 1, 2**63 - 1)
LEAVES = st.one_of(
    comparisons(WORKFLOW_ID, st.text(max_size=20)),
    comparisons(CITY, st.text(max_size=20)),
    comparisons(AMOUNT, INT64),
)


def branches(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, parts), st.builds(And, several), st.builds(Or, several))


@given(st.recursive(LEAVES, branches, max_leaves=8))
def test_every_tree_that_is_written_as_a_query_is_read_again(condition: Condition) -> None:
    assert parse(written(condition), CUSTOM) == Search(condition)


WORDS = st.sampled_from(
    "City Amount NOT AND OR IN BETWEEN IS NULL ( ) , = <= 'a' 5 `City` GROUP ORDER BY DESC "
    "ExecutionStatus 'Running' StartTime CloseTime ' \" ` \\ true 1.5e3 Ünï".split()
)


@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=15).map(" ".join)))
def test_any_text_is_read_or_refused_as_an_invalid_argument(query: str) -> None:
    try:
        outcome: Search | str = parse(query, CUSTOM)
    except InvalidArgument as error:
        outcome = error.message
    assert isinstance(outcome, Search) or outcome.startswith("invalid query: ")


@given(INT64, st.sampled_from(["", "Z", "+00:00"]))
def test_a_time_reads_back_to_its_nanosecond(at_ns: int, offset: str) -> None:
    seconds, fraction = divmod(at_ns, SECOND_NS)
    # Within the years that both bounds leave whole, so that every second has a date.
    seconds = max(min(seconds, 9_223_000_000), -9_223_000_000)
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    query = f"StartTime = '{date:%Y-%m-%dT%H:%M:%S}.{fraction:09d}{offset}'"
    expected = seconds * SECOND_NS + fraction
    assert parse(query, {}) == Search(Compare(Attribute("start_at_ns"), "=", expected))
