"""The names a query may use: what each one stands for, and how values of its type are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from temporalio.api.enums.v1 import WorkflowExecutionStatus

from engine.visibility.lexer import Kind, Token, refused
from engine.visibility.query import Attribute, Value
from engine.visibility.search_attributes import INTEGER_END, NANOSECONDS, PREDEFINED, datetime_ns

EQUALITIES = frozenset({"=", "!=", "IN"})
RANGES = EQUALITIES | {"<", "<=", ">", ">=", "BETWEEN"}
OPERATORS = {
    "Keyword": RANGES | {"STARTS_WITH"},
    "KeywordList": EQUALITIES,
    "Text": frozenset({"=", "!="}),
    "Int": RANGES,
    "Double": RANGES,
    "Bool": EQUALITIES,
    "Datetime": RANGES,
    "Status": EQUALITIES,
    "Duration": RANGES,
}
"""The operators of each type; IS NULL goes with every one."""

_SYSTEM = {
    "WorkflowId": ("workflow_id", "Keyword"),
    "ScheduleId": ("workflow_id", "Keyword"),
    "RunId": ("run_id", "Keyword"),
    "WorkflowType": ("workflow_type", "Keyword"),
    "TaskQueue": ("task_queue", "Keyword"),
    "ParentWorkflowId": ("parent_workflow_id", "Keyword"),
    "ParentRunId": ("parent_run_id", "Keyword"),
    "RootWorkflowId": ("root_workflow_id", "Keyword"),
    "RootRunId": ("root_run_id", "Keyword"),
    "StartTime": ("start_at_ns", "Datetime"),
    "ExecutionTime": ("execution_at_ns", "Datetime"),
    "CloseTime": ("close_at_ns", "Datetime"),
    "ExecutionStatus": ("status", "Status"),
    "ExecutionDuration": ("duration_ns", "Duration"),
    "HistoryLength": ("history_length", "Int"),
    "HistorySizeBytes": ("history_bytes", "Int"),
    "StateTransitionCount": ("transition_count", "Int"),
}
_PUBLISHED = {
    **PREDEFINED,
    "TemporalScheduledStartTime": "Datetime",
    "TemporalScheduledById": "Keyword",
    "TemporalSchedulePaused": "Bool",
    "TemporalNamespaceDivision": "Keyword",
    "BatcherNamespace": "Keyword",
    "BatcherUser": "Keyword",
    "TemporalPauseInfo": "KeywordList",
    "TemporalReportedProblems": "KeywordList",
    "TemporalWorkerDeployment": "Keyword",
    "TemporalWorkerDeploymentVersion": "Keyword",
    "TemporalWorkflowVersioningBehavior": "Keyword",
    "TemporalUsedWorkerDeploymentVersions": "KeywordList",
}
"""Attributes that every namespace has: queries may name them, also where no row has them."""

STATUSES = {
    name.removeprefix("WORKFLOW_EXECUTION_STATUS_"): number
    for name, number in WorkflowExecutionStatus.items()
    if number
}
STATUS_WORDS = ", ".join(
    "".join(word.capitalize() for word in name.split("_")) for name in STATUSES
)


class Column(NamedTuple):
    """An attribute under the name the query gave it, with its type."""

    name: str
    attribute: Attribute
    type_name: str


def find(token: Token, custom: Mapping[str, str]) -> Column:
    """The column of a name; `custom` holds the types of the namespace's own attributes.

    Raises InvalidArgument for a name that this namespace does not know.
    """
    name = token.text
    if name in _SYSTEM:
        field, type_name = _SYSTEM[name]
        return Column(name, Attribute(field), type_name)
    if name in custom:
        return _held(name, name, custom[name])
    for spelling in (name, f"Temporal{name}"):
        if spelling in _PUBLISHED:
            return _held(name, spelling, _PUBLISHED[spelling])
    raise refused(f"column name {token.shown} is not a valid search attribute", token.position)


def read(column: Column, token: Token) -> Value:
    """The value that the token stands for in a comparison with the column.

    Raises InvalidArgument that says how values of the column's type are written.
    """
    reader, remedy = _READERS[column.type_name]
    try:
        return reader(token)
    except ValueError as error:
        if token.kind is Kind.WORD and token.keyword == "NULL":
            remedy = "IS NULL or IS NOT NULL instead of a comparison"
        problem = f"{token.shown} is no value for {column.name}; write {remedy}"
        raise refused(f"{problem}{_why(error)}", token.position) from None


def _why(error: ValueError) -> str:
    return f" ({error})" if str(error) else ""


def _held(name: str, key: str, type_name: str) -> Column:
    is_list, is_text = type_name == "KeywordList", type_name == "Text"
    return Column(name, Attribute(key, custom=True, keyword_list=is_list, text=is_text), type_name)


def _string(token: Token) -> str:
    if token.kind is not Kind.STRING:
        raise ValueError
    return token.text


def _integer(token: Token) -> int:
    if token.kind is not Kind.NUMBER or not re.fullmatch(r"[+-]?\d{1,19}", token.text):
        raise ValueError
    value = int(token.text)
    if abs(value) >= INTEGER_END:
        raise ValueError
    return value


def _double(token: Token) -> float:
    if token.kind is not Kind.NUMBER:
        raise ValueError
    value = float(token.text)
    if abs(value) == float("inf"):
        raise ValueError
    return value


def _bool(token: Token) -> bool:
    if token.kind is not Kind.WORD or token.keyword not in ("TRUE", "FALSE"):
        raise ValueError
    return token.keyword == "TRUE"


def _datetime(token: Token) -> int:
    return datetime_ns(token.text) if token.kind is Kind.STRING else _integer(token)


def _status(token: Token) -> int:
    if token.kind is Kind.STRING:
        # `TimedOut`, `TIMED_OUT` and the published constant all mean the same.
        wanted = token.text.upper().removeprefix("WORKFLOW_EXECUTION_STATUS_").replace("_", "")
        for name, number in STATUSES.items():
            if name.replace("_", "") == wanted:
                return number
        raise ValueError
    value = _integer(token)
    if value not in STATUSES.values():
        raise ValueError
    return value


_UNIT_NS = {
    "h": 3600 * NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "s": NANOSECONDS,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_AMOUNT = r"(\d{1,19})(?:\.(\d{1,18}))?(h|ms|m|s|us|µs|ns)"
_CLOCK = re.compile(r"(\d{1,9}):([0-5]\d):([0-5]\d)", re.ASCII)


def _duration(token: Token) -> int:
    if token.kind is not Kind.STRING:
        return _integer(token)
    if clock := _CLOCK.fullmatch(token.text):
        hours, minutes, seconds = (int(part) for part in clock.groups())
        value_ns = ((hours * 60 + minutes) * 60 + seconds) * NANOSECONDS
    elif re.fullmatch(f"(?:{_AMOUNT})+", token.text, re.ASCII):
        value_ns = sum(
            (int(whole + fraction) * _UNIT_NS[unit]) // 10 ** len(fraction)
            for whole, fraction, unit in re.findall(_AMOUNT, token.text, re.ASCII)
        )
    else:
        raise ValueError
    if value_ns >= INTEGER_END:
        raise ValueError
    return value_ns


_QUOTED = "a string in single quotes"
_READERS: dict[str, tuple[Callable[[Token], Value], str]] = {
    "Keyword": (_string, _QUOTED),
    "KeywordList": (_string, _QUOTED),
    "Text": (_string, _QUOTED),
    "Int": (_integer, "a whole number below 2^63"),
    "Double": (_double, "a number"),
    "Bool": (_bool, "true or false"),
    "Datetime": (
        _datetime,
        "a time as '2026-01-31T13:00:00Z', or nanoseconds since 1970-01-01T00:00Z",
    ),
    "Status": (_status, f"one of {STATUS_WORDS} in single quotes"),
    "Duration": (_duration, "a duration as '1h30m' or '01:30:00', or nanoseconds"),
}

_SHOWN_TYPES = {"Status": "Keyword", "Duration": "Int"}
SYSTEM_TYPES = {name: _SHOWN_TYPES.get(kind, kind) for name, (_, kind) in _SYSTEM.items()}
"""The attributes that every run has, with the published type of each."""
