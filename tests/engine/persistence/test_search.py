"""Conformance: lists are complete, in order and by page; conditions mean what `predicate` says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvalidArgument
from engine.persistence.postgres import PostgresStore
from engine.persistence.protocols import Store
from engine.persistence.sqlite import SqliteStore
from engine.visibility.predicate import matches
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
    VisibilityQuery,
    VisibilityRow,
)
from tests.engine.persistence.values import (
    NAMESPACE,
    NOW_NS,
    SHARD_COUNT,
    own,
    put_visible,
    visible,
)

QUERY = VisibilityQuery(NAMESPACE)


async def run_ids(store: Store, query: VisibilityQuery = QUERY) -> list[str]:
    return [row.run_id for row in await store.list_visibility(query)]


async def test_open_runs_come_first_then_the_last_closed(store: Store) -> None:
    await put_visible(
        store,
        visible(1),
        visible(2, close_at_ns=NOW_NS + 5),
        visible(3, close_at_ns=NOW_NS + 9),
        visible(4),
        visible(5, start_at_ns=NOW_NS + 4),
    )
    assert await run_ids(store) == ["run-0005", "run-0004", "run-0001", "run-0003", "run-0002"]


async def test_a_row_is_listed_with_all_its_fields(store: Store) -> None:
    row = visible(
        1,
        execution_at_ns=NOW_NS + 7,
        close_at_ns=NOW_NS + 9,
        history_length=11,
        history_bytes=1000,
        transition_count=4,
        parent_workflow_id="parent",
        parent_run_id="parent-run",
        root_workflow_id="root",
        root_run_id="root-run",
        memo=b"memo",
        search_attributes=b"attributes",
        attributes={"A": "text", "B": 5, "C": 5.0, "D": True, "E": ["x", "y"], 'F"\\': ""},
    )
    await put_visible(store, row)
    [listed] = await store.list_visibility(QUERY)
    assert listed == row
    assert [type(value) for value in listed.attributes.values()] == [
        str,
        int,
        float,
        bool,
        list,
        str,
    ]


async def test_the_last_version_of_a_row_is_listed_once(store: Store) -> None:
    row = visible(1, attributes={"A": "old"})
    await put_visible(store, row)
    closed = replace(row, status=2, close_at_ns=NOW_NS + 9, attributes={"A": "new"})
    await put_visible(store, closed)
    assert await store.list_visibility(QUERY) == [closed]


async def test_rows_of_another_namespace_are_never_listed_or_counted(store: Store) -> None:
    await put_visible(store, visible(1), visible(1, namespace="namespace-b"))
    assert len(await store.list_visibility(QUERY)) == 1
    assert await store.count_visibility(QUERY) == [("", 1)]
    everything = Or((IsNull(Attribute("X", custom=True)), Not(IsNull(Attribute("status")))))
    assert len(await store.list_visibility(replace(QUERY, where=everything))) == 1


async def test_pages_of_any_size_make_the_whole_list(store: Store) -> None:
    closes = [None, 1, 1, 2]
    rows = [visible(n, start_at_ns=n % 3, close_at_ns=closes[n % 4]) for n in range(25)]
    await put_visible(store, *rows)
    whole = await store.list_visibility(QUERY)
    for page_size in (1, 7, 25):
        union: list[VisibilityRow] = []
        query = replace(QUERY, page_size=page_size)
        while page := await store.list_visibility(query):
            assert len(page) <= page_size
            union += page
            query = replace(query, after=page[-1].order)
        assert union == whole


async def test_a_page_keeps_to_its_condition(store: Store) -> None:
    await put_visible(store, *(visible(n, status=1 + n % 2) for n in range(6)))
    query = replace(QUERY, where=Compare(Attribute("status"), "=", 2), page_size=2)
    first = await store.list_visibility(query)
    rest = await run_ids(store, replace(query, after=first[-1].order))
    assert [row.run_id for row in first] + rest == ["run-0005", "run-0003", "run-0001"]


async def test_counts_are_whole_or_by_status(store: Store) -> None:
    assert await store.count_visibility(QUERY) == [("", 0)]
    assert await store.count_visibility(replace(QUERY, group_by="status")) == []
    await put_visible(store, *(visible(n, status=n % 3) for n in range(7)))
    assert await store.count_visibility(QUERY) == [("", 7)]
    by_status = await store.count_visibility(replace(QUERY, group_by="status"))
    assert by_status == [("0", 3), ("1", 2), ("2", 2)]
    some = replace(QUERY, group_by="status", where=Compare(Attribute("status"), ">", 0))
    assert await store.count_visibility(some) == [("1", 2), ("2", 2)]


async def test_counting_by_anything_else_is_refused(
    sqlite: SqliteStore, postgres: PostgresStore
) -> None:
    for store in (sqlite, postgres):
        with pytest.raises(InvalidArgument, match="use status"):
            await store.count_visibility(replace(QUERY, group_by="status; DROP TABLE run"))


async def test_a_thousand_conditions_are_no_expression_too_deep(store: Store) -> None:
    await put_visible(store, visible(1), visible(2))
    many = tuple(Compare(Attribute("run_id"), "=", f"run-{n:04d}") for n in range(2, 1_200))
    assert await run_ids(store, replace(QUERY, where=Or(many))) == ["run-0002"]


NAMES = ["Plain", "with space", 'quo"te', "back\\slash", "nul\0", "𝄞.dot", ""]
WORDS = ["", "a", "ab", "ab\U0010ffff", "b", "A B", "straße Ab", "\ud7ff", "\ue000", "nul\0x", "'"]
INTEGERS = [-(2**63), -1, 0, 1, 2, NOW_NS, 2**53 + 1, 2**63 - 1]
FLOATS = [-1.5, 0.0, 0.1, 1.0, 2.0, float(2**53), 1e300, 5e-324]

texts = st.sampled_from(WORDS)
numbers = st.sampled_from(INTEGERS) | st.sampled_from(FLOATS) | st.booleans()
values = texts | numbers
custom = st.builds(
    Attribute,
    st.sampled_from(NAMES),
    custom=st.just(True),
    keyword_list=st.booleans(),
    text=st.booleans(),
)
columns = st.sampled_from(
    [
        Attribute("workflow_id"),
        Attribute("workflow_type"),
        Attribute("parent_workflow_id"),
        Attribute("status"),
        Attribute("start_at_ns"),
        Attribute("close_at_ns"),
        Attribute("duration_ns"),
        Attribute("task_queue", keyword_list=True),
    ]
)
attributes = custom | columns
comparisons = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "STARTS_WITH"])
leaves = (
    st.builds(Compare, attributes, comparisons, values | st.just(2**70) | st.just(-(10**400)))
    | st.builds(In, attributes, st.lists(values, max_size=3).map(tuple))
    | st.builds(Between, attributes, values, values)
    | st.builds(IsNull, attributes)
)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=5,
)
held = st.dictionaries(
    st.sampled_from(NAMES), values | st.lists(texts, max_size=2), min_size=1, max_size=4
)
row_fields: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "workflow_type": texts,
        "parent_workflow_id": st.none() | texts,
        "task_queue": texts,
        "status": st.integers(0, 2),
        "start_at_ns": st.sampled_from([0, 1, 2]),
        "execution_at_ns": st.sampled_from([0, 1]),
        "close_at_ns": st.sampled_from([None, 0, 1, NOW_NS]),
        "attributes": st.just({}) | held,
    }
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def searched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Searched]:
    store: Store
    if request.param == "postgres":
        store = PostgresStore(request.getfixturevalue("postgres_database")())
    else:
        store = SqliteStore(tmp_path_factory.mktemp("search") / "cell.db")
    with asyncio.Runner() as runner:
        runner.run(store.open(SHARD_COUNT))
        runner.run(own(store, 1))
        yield Searched(runner, store)
        runner.run(store.close())


class Searched:
    """One store for all examples, each with a namespace of its own."""

    def __init__(self, runner: asyncio.Runner, store: Store) -> None:
        self._runner = runner
        self._store = store
        self._numbers = itertools.count()

    def compare(self, fields: list[dict[str, Any]], wanted: list[Condition]) -> None:
        namespace = f"namespace-{next(self._numbers)}"
        rows = [visible(n, namespace=namespace, **each) for n, each in enumerate(fields)]
        self._runner.run(put_visible(self._store, *rows))
        for condition in wanted:
            shown = {row.run_id for row in rows if matches(row, condition)}
            query = VisibilityQuery(namespace, condition)
            assert set(self._runner.run(run_ids(self._store, query))) == shown


@settings(max_examples=80, deadline=None)
@given(
    fields=st.lists(row_fields, min_size=1, max_size=8),
    wanted=st.lists(conditions, min_size=1, max_size=12),
)
def test_sql_finds_the_rows_that_the_predicate_shows(
    searched: Searched, fields: list[dict[str, Any]], wanted: list[Condition]
) -> None:
    searched.compare(fields, wanted)
