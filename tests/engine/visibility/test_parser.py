"""Queries become condition trees; what cannot be read is refused with its place and a remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus

from engine.errors import InvalidArgument
from engine.visibility.parser import (
    QUERY_CHARACTERS_MAX,
    QUERY_COMPARISON_COUNT_MAX,
    QUERY_DEPTH_MAX,
    Search,
    parse,
)
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
    VisibilityRow,
)

CUSTOM = {
    "City": "Keyword",
    "Note": "Text",
    "Amount": "Int",
    "Weight": "Double",
    "Paid": "Bool",
    "Due": "Datetime",
    "Tags": "KeywordList",
    "odd name-1": "Keyword",
}
WORKFLOW_ID = Attribute("workflow_id")
STATUS = Attribute("status")
CITY = Attribute("City", custom=True)
AMOUNT = Attribute("Amount", custom=True)
RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
TIMED_OUT = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT
SECOND_NS = 1_000_000_000


def where(query: str) -> Condition | None:
    return parse(query, CUSTOM).where


def is_city(city: str) -> Compare:
    return Compare(CITY, "=", city)


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("", None),
        (" \n ", None),
        ("WorkflowId = 'a'", Compare(WORKFLOW_ID, "=", "a")),
        ('WorkflowId="a"', Compare(WORKFLOW_ID, "=", "a")),
        ("`WorkflowId`='a'", Compare(WORKFLOW_ID, "=", "a")),
        ("`odd name-1` <> 'a'", Compare(Attribute("odd name-1", custom=True), "!=", "a")),
        ("ScheduleId = 'a'", Compare(WORKFLOW_ID, "=", "a")),
        ("WorkflowType STARTS_WITH 'Or'", Compare(Attribute("workflow_type"), "STARTS_WITH", "Or")),
        ("City not starts_with 'B'", Not(Compare(CITY, "STARTS_WITH", "B"))),
        ("Amount >= -3", Compare(AMOUNT, ">=", -3)),
        ("Weight < 2.5e1", Compare(Attribute("Weight", custom=True), "<", 25.0)),
        ("Paid = TRUE", Compare(Attribute("Paid", custom=True), "=", True)),
        ("Paid != false", Compare(Attribute("Paid", custom=True), "!=", False)),
        (
            "Note = 'two words'",
            Compare(Attribute("Note", custom=True, text=True), "=", "two words"),
        ),
        ("Tags IN ('a', \"b\")", In(Attribute("Tags", custom=True, keyword_list=True), ("a", "b"))),
        ("City NOT IN ('a')", Not(In(CITY, ("a",)))),
        ("Amount BETWEEN 1 AND 5 AND City = 'a'", And((Between(AMOUNT, 1, 5), is_city("a")))),
        ("Amount NOT BETWEEN 1 AND 5", Not(Between(AMOUNT, 1, 5))),
        ("ParentRunId IS NULL", IsNull(Attribute("parent_run_id"))),
        ("City is not null", Not(IsNull(CITY))),
        (
            "BuildIds = 'x'",
            Compare(Attribute("BuildIds", custom=True, keyword_list=True), "=", "x"),
        ),
        (
            "ChangeVersion = 'x'",
            Compare(Attribute("TemporalChangeVersion", custom=True, keyword_list=True), "=", "x"),
        ),
    ],
)
def test_a_comparison_is_read(query: str, condition: Condition | None) -> None:
    assert parse(query, CUSTOM) == Search(condition)


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        (
            "City='a' OR City='b' AND City='c'",
            Or((is_city("a"), And((is_city("b"), is_city("c"))))),
        ),
        (
            "(City='a' OR City='b') AND City='c'",
            And((Or((is_city("a"), is_city("b"))), is_city("c"))),
        ),
        ("NOT City='a' AND City='b'", And((Not(is_city("a")), is_city("b")))),
        ("NOT (City='a' AND City='b')", Not(And((is_city("a"), is_city("b"))))),
        ("not not City='a'", Not(Not(is_city("a")))),
    ],
)
def test_and_binds_closer_than_or_and_not_closest(query: str, condition: Condition) -> None:
    assert where(query) == condition


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("'it''s'", "it's"),
        (r"'it\'s'", "it's"),
        (r"'back\\slash'", "back\\slash"),
        (r"'line\nline'", "line\nline"),
        ('"say ""no"""', 'say "no"'),
        ("'\"'", '"'),
        ("'München 🚚'", "München 🚚"),
        ("''", ""),
    ],
)
def test_strings_have_two_quotes_and_escapes(literal: str, text: str) -> None:
    assert where(f"City = {literal}") == is_city(text)


@pytest.mark.parametrize(
    ("literal", "at_ns"),
    [
        ("'1970-01-01T00:00:01Z'", SECOND_NS),
        ("'1970-01-01 01:00:01+01:00'", SECOND_NS),
        ("'1970-01-02'", 86_400 * SECOND_NS),
        ("'2026-01-31T13:00:00.123456789Z'", 1_769_864_400_123_456_789),
        ("'1969-12-31T23:59:59.9Z'", -100_000_000),
        ("1500", 1500),
    ],
)
def test_times_are_exact_to_the_nanosecond(literal: str, at_ns: int) -> None:
    assert where(f"StartTime > {literal}") == Compare(Attribute("start_at_ns"), ">", at_ns)


@pytest.mark.parametrize(
    ("literal", "duration_ns"),
    [
        ("'1h30m'", 5400 * SECOND_NS),
        ("'1.5s'", 1_500_000_000),
        ("'2ms3µs4ns'", 2_003_004),
        ("'01:30:05'", 5405 * SECOND_NS),
        ("'100:00:00'", 360_000 * SECOND_NS),
        ("7", 7),
    ],
)
def test_durations_are_written_in_three_ways(literal: str, duration_ns: int) -> None:
    expected = Compare(Attribute("duration_ns"), "<", duration_ns)
    assert where(f"ExecutionDuration < {literal}") == expected


@pytest.mark.parametrize(
    ("literal", "status"),
    [
        ("'Running'", RUNNING),
        ("'running'", RUNNING),
        ("1", RUNNING),
        ("'TimedOut'", TIMED_OUT),
        ("'TIMED_OUT'", TIMED_OUT),
        ("'WORKFLOW_EXECUTION_STATUS_TIMED_OUT'", TIMED_OUT),
    ],
)
def test_a_status_is_a_name_or_a_number(literal: str, status: int) -> None:
    assert where(f"ExecutionStatus = {literal}") == Compare(STATUS, "=", status)


def test_counts_are_grouped_by_status() -> None:
    assert parse("GROUP BY ExecutionStatus", {}) == Search(None, "status")
    grouped = parse("ExecutionStatus = 'Running' group by `ExecutionStatus`", {})
    assert grouped == Search(Compare(STATUS, "=", RUNNING), "status")


@pytest.mark.parametrize(
    "order",
    [
        "CloseTime DESC",
        "CloseTime desc, StartTime DESC",
        "CloseTime DESC, StartTime DESC, RunId DESC",
    ],
)
def test_the_order_that_lists_have_may_be_asked_for(order: str) -> None:
    assert parse(f"City = 'a' ORDER BY {order}", CUSTOM) == Search(is_city("a"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("Nope = 'a'", "column name 'Nope' is not a valid search attribute (at character 1)"),
        ("city = 'a'", "column name 'city' is not a valid search attribute"),
        ("City = a", "'a' is no value for City; write a string in single quotes (at character 8)"),
        ("City = 5", "write a string in single quotes"),
        ("City = NULL", "write IS NULL or IS NOT NULL"),
        ("Amount = '5'", "write a whole number below 2^63"),
        ("Amount = 1.5", "write a whole number below 2^63"),
        ("Amount = 9223372036854775808", "write a whole number below 2^63"),
        ("Weight = 1e999", "'1e999' is no value for Weight; write a number"),
        ("Paid = 'true'", "write true or false"),
        ("StartTime > 'yesterday'", "write a time as '2026-01-31T13:00:00Z'"),
        ("StartTime > '2026-02-30'", "day is out of range"),
        ("StartTime > '9999-01-01'", "times lie between 1677-09-22 and 2262-04-11"),
        ("ExecutionDuration > '1 hour'", "write a duration as '1h30m' or '01:30:00'"),
        ("ExecutionStatus = 'Asleep'", "write one of Running, Completed, Failed, Canceled"),
        ("ExecutionStatus = 99", "write one of Running"),
        ("ExecutionStatus > 1", "ExecutionStatus cannot be compared with >; it has !=, =, IN"),
        ("Tags > 'a'", "Tags cannot be compared with >; it has !=, =, IN, IS NULL"),
        ("Note STARTS_WITH 'a'", "Note cannot be compared with STARTS_WITH"),
        (
            "City",
            "expected an operator (=, !=, <, IS, IN, BETWEEN or STARTS_WITH …), found the end",
        ),
        ("City LIKE 'a%'", "expected an operator"),
        ("City NOT = 'a'", "expected IN, BETWEEN or STARTS_WITH, found '='"),
        ("City =", "expected a value, found the end (at character 7)"),
        ("City IN ()", "expected a value, found ')'"),
        ("City IN ('a'", "expected ), found the end"),
        ("Amount BETWEEN 1 OR 2", "expected AND, found 'OR'"),
        ("(City = 'a'", "expected ), found the end"),
        ("City = 'a')", "expected AND, OR or the end, found ')'"),
        ("City = 'a' City = 'b'", "expected AND, OR or the end, found 'City' (at character 12)"),
        ("City = 'a' LIMIT 5", "expected AND, OR or the end, found 'LIMIT'"),
        ("AND City = 'a'", "expected the name of a search attribute, found 'AND'"),
        ("'City' = 'a'", "expected the name of a search attribute"),
        ("City = 'a", "the ' that opens here is never closed (at character 8)"),
        ("`City = 'a'", "the ` that opens here is never closed"),
        ("City = 5x", "neither a number nor a name"),
        ("City = 'a';", "';' means nothing here"),
        ("City IS 'a'", "expected NULL, found 'a'"),
        ("GROUP BY City", "GROUP BY goes with ExecutionStatus only, not with 'City'"),
        ("ORDER BY StartTime DESC", "leave ORDER BY out or write ORDER BY CloseTime DESC"),
        ("ORDER BY CloseTime", "leave ORDER BY out or write ORDER BY CloseTime DESC"),
        ("ORDER City", "expected BY, found 'City'"),
    ],
)
def test_a_refusal_says_what_is_wrong_where_and_what_to_write(query: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse(query, CUSTOM)
    assert refusal.value.message.startswith("invalid query: ")
    assert message in refusal.value.message


def test_a_long_literal_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse(f"Amount = '{'x' * 500}'", CUSTOM)
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize(("extra", "accepted"), [(-1, True), (0, True), (1, False)])
def test_the_length_of_a_query_is_bounded(extra: int, accepted: bool) -> None:
    query = "City = 'a'".ljust(QUERY_CHARACTERS_MAX + extra)
    assert (f"at most {QUERY_CHARACTERS_MAX}" not in refusal_of(query)) is accepted


@pytest.mark.parametrize(("extra", "accepted"), [(-1, True), (0, True), (1, False)])
def test_the_number_of_comparisons_is_bounded(extra: int, accepted: bool) -> None:
    query = " OR ".join(["City = 'a'"] * (QUERY_COMPARISON_COUNT_MAX + extra))
    limit = f"more than {QUERY_COMPARISON_COUNT_MAX} comparisons"
    assert (limit not in refusal_of(query)) is accepted


@pytest.mark.parametrize(("extra", "accepted"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("opening", ["NOT ", "("])
def test_the_depth_of_a_query_is_bounded(opening: str, extra: int, accepted: bool) -> None:
    depth = QUERY_DEPTH_MAX + extra
    query = opening * depth + "City = 'a'" + (")" * depth if opening == "(" else "")
    assert (f"more than {QUERY_DEPTH_MAX} levels" not in refusal_of(query)) is accepted


def refusal_of(query: str) -> str:
    """The message of the refusal, "" for a query that is read."""
    try:
        parse(query, CUSTOM)
    except InvalidArgument as error:
        return error.message
    return ""


ROW = VisibilityRow(
    namespace_id="n",
    run_id="r",
    workflow_id="w",
    workflow_type="Order",
    task_queue="orders",
    status=RUNNING,
    start_at_ns=0,
    execution_at_ns=SECOND_NS,
)


@pytest.mark.parametrize(
    ("query", "open_matches", "closed_matches"),
    [
        ("ParentWorkflowId IS NULL", True, True),
        ("ParentWorkflowId != 'p'", False, False),
        ("CloseTime IS NULL", True, False),
        ("ExecutionDuration = '2s'", False, True),
        ("ExecutionDuration != '2s'", False, False),
        ("NOT ExecutionDuration > '2s'", False, True),
        ("TemporalScheduledById IS NULL", True, True),
    ],
)
def test_a_run_without_the_attribute_matches_neither_way(
    query: str, open_matches: bool, closed_matches: bool
) -> None:
    closed = replace(ROW, close_at_ns=3 * SECOND_NS)
    assert matches(ROW, where(query)) is open_matches
    assert matches(closed, where(query)) is closed_matches
