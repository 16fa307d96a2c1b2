"""A condition tree as SQL over the visibility table. `predicate` says what it means.

Search attributes are one JSON column rather than a table of their own: a row per attribute would
multiply what the hot commit writes, and a list reads in time order, which no attribute index
could give. Their names and values are bound, never spelled in the statement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

from engine.persistence.sqlite.schema import CLOSE_AT_NS
from engine.visibility.query import (
    And,
    Attribute,
    Between,
    Compare,
    Comparison,
    Condition,
    In,
    IsNull,
    Not,
    Or,
    Value,
)

Parameter = str | int | float

TEXT_COLUMNS = frozenset(
    (
        "run_id",
        "workflow_id",
        "workflow_type",
        "task_queue",
        "parent_workflow_id",
        "parent_run_id",
        "root_workflow_id",
        "root_run_id",
        "namespace_id",
    )
)
NUMBER_COLUMNS = {
    name: name
    for name in (
        "status",
        "start_at_ns",
        "execution_at_ns",
        "history_length",
        "history_bytes",
        "transition_count",
    )
} | {"close_at_ns": CLOSE_AT_NS, "duration_ns": f"({CLOSE_AT_NS} - execution_at_ns)"}

UNKNOWN = "NULL"
CODE_POINT_MAX = 0x10FFFF
SURROGATE_FIRST = 0xD800
SURROGATE_LAST = 0xDFFF


class Where:
    """One condition compiled: `sql`, and the `parameters` its numbered marks stand for."""

    def __init__(self, condition: Condition, first_number: int) -> None:
        self.parameters: list[Parameter] = []
        self._first_number = first_number
        self.sql = self._condition(condition)

    def _bind(self, value: Value) -> str:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            # No stored integer is that large, so its nearest float compares just as it does.
            value = _as_float(value)
        self.parameters.append(value)
        return f"?{self._first_number + len(self.parameters) - 1}"

    def _condition(self, condition: Condition) -> str:
        if isinstance(condition, And):
            return _joined(" AND ", [self._condition(part) for part in condition.conditions], "1")
        if isinstance(condition, Or):
            return _joined(" OR ", [self._condition(part) for part in condition.conditions], "0")
        if isinstance(condition, Not):
            return f"(NOT {self._condition(condition.condition)})"
        if isinstance(condition, IsNull):
            return f"({self._any_type(condition.attribute)} IS NULL)"
        if isinstance(condition, Between):
            return self._between(condition)
        if isinstance(condition, In):
            return self._in(condition)
        return self._compare(condition)

    def _compare(self, condition: Compare) -> str:
        attribute, sign, value = condition.attribute, condition.operator, condition.value
        if sign == "!=":
            return f"(NOT {self._compare(Compare(attribute, '=', value))})"
        if sign == "STARTS_WITH" and not isinstance(value, str):
            return UNKNOWN
        if sign == "=" and attribute.text and not attribute.keyword_list and isinstance(value, str):
            return self._test(attribute, (value,), lambda text: self._has_words(text, value))
        return self._test(attribute, (value,), lambda operand: self._sign(operand, sign, value))

    def _between(self, condition: Between) -> str:
        low, high = condition.low, condition.high
        if not condition.attribute.keyword_list:
            bounds = (
                Compare(condition.attribute, ">=", low),
                Compare(condition.attribute, "<=", high),
            )
            return self._condition(And(bounds))
        return self._test(
            condition.attribute,
            (low, high),
            lambda operand: (
                f"{self._sign(operand, '>=', low)} AND {self._sign(operand, '<=', high)}"
            ),
        )

    def _in(self, condition: In) -> str:
        attribute, values = condition.attribute, condition.values
        if attribute.text and values:
            return self._condition(Or(tuple(Compare(attribute, "=", value) for value in values)))
        texts = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if not isinstance(value, str)]
        parts = [
            self._test(attribute, same, partial(self._one_of, same))
            for same in (texts, numbers)
            if same
        ]
        return _joined(" OR ", parts, f"iif({self._any_type(attribute)} IS NULL, NULL, 0)")

    def _one_of(self, values: Sequence[Value], operand: str) -> str:
        return f"{operand} IN ({', '.join(map(self._bind, values))})"

    def _has_words(self, operand: str, value: str) -> str:
        return f"has_words({operand}, {self._bind(value)})"

    def _sign(self, operand: str, sign: Comparison, value: Value) -> str:
        if sign != "STARTS_WITH":
            return f"{operand} {sign} {self._bind(value)}"
        prefix = str(value)
        begun = f"{operand} >= {self._bind(prefix)}"
        behind = _behind_prefix(prefix)
        return begun if behind is None else f"{begun} AND {operand} < {self._bind(behind)}"

    def _test(
        self, attribute: Attribute, values: Sequence[Value], test: Callable[[str], str]
    ) -> str:
        """`test` of the stored value where it is of the values' type, else unknown."""
        is_text = isinstance(values[0], str)
        if any(isinstance(value, str) != is_text for value in values):
            return UNKNOWN
        if attribute.keyword_list:
            return self._member_test(attribute, test) if is_text else UNKNOWN
        operand = self._operand(attribute, is_text=is_text)
        if operand == UNKNOWN:
            return UNKNOWN
        return f"({test(operand)})"

    def _member_test(self, attribute: Attribute, test: Callable[[str], str]) -> str:
        if not attribute.custom:
            return UNKNOWN
        path = self._bind(_path(attribute))
        members = f"SELECT 1 FROM json_each(attributes, {path}) AS member"
        return (
            f"(CASE json_type(attributes, {path}) WHEN 'array'"
            f" THEN EXISTS ({members} WHERE {test('member.value')}) END)"
        )

    def _operand(self, attribute: Attribute, *, is_text: bool) -> str:
        if not attribute.custom:
            columns = TEXT_COLUMNS if is_text else NUMBER_COLUMNS
            if attribute.name not in columns:
                return UNKNOWN
            return attribute.name if is_text else NUMBER_COLUMNS[attribute.name]
        path = self._bind(_path(attribute))
        types = "('text')" if is_text else "('integer', 'real', 'true', 'false')"
        return (
            f"CASE WHEN json_type(attributes, {path}) IN {types}"
            f" THEN json_extract(attributes, {path}) END"
        )

    def _any_type(self, attribute: Attribute) -> str:
        if attribute.custom:
            return f"json_extract(attributes, {self._bind(_path(attribute))})"
        return NUMBER_COLUMNS.get(attribute.name, attribute.name)


def _path(attribute: Attribute) -> str:
    return f"$.{json.dumps(attribute.name, ensure_ascii=False)}"


def _joined(word: str, parts: Sequence[str], of_none: str) -> str:
    """The parts in a balanced tree: SQLite bounds the depth of an expression, not its length."""
    if not parts:
        return of_none
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left = _joined(word, parts[:middle], of_none)
    return f"({left}{word}{_joined(word, parts[middle:], of_none)})"


def _behind_prefix(prefix: str) -> str | None:
    """The least text behind all that start with `prefix`; None where there is none."""
    stem = prefix.rstrip(chr(CODE_POINT_MAX))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if SURROGATE_FIRST <= following <= SURROGATE_LAST:
        following = SURROGATE_LAST + 1
    return stem[:-1] + chr(following)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
