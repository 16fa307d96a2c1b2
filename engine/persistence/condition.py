"""A condition tree as SQL over the visibility table. `predicate` says what it means.

Search attributes are one JSON column rather than a table of their own: a row per attribute would
multiply what the hot commit writes, and a list reads in time order, which no attribute index
could give. Their names and values are bound, never spelled in the statement.

`Where` is what all SQL has in common; a store says how it spells and binds the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

from engine.visibility.query import (
    OPEN_CLOSE_AT_NS,
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

CLOSE_AT_NS = f"nullif(close_order, {OPEN_CLOSE_AT_NS})"
"""The close time of a visibility row, NULL while open; `close_order` is what lists sort by."""

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


class Where(ABC):
    """One condition compiled: `sql`, and the `parameters` its numbered marks stand for."""

    mark: str
    """What stands before the number of a parameter."""

    true: str
    false: str

    def __init__(self, condition: Condition, first_number: int) -> None:
        self.parameters: list[Value | bytes] = []
        self._first_number = first_number
        self.sql = self._condition(condition)

    @abstractmethod
    def _value(self, value: Value) -> str:
        """`value`, bound so that it compares with what is stored."""

    @abstractmethod
    def _custom(self, attribute: Attribute, *, is_text: bool) -> str:
        """The stored search attribute where it is a text, or else a number; NULL elsewhere."""

    @abstractmethod
    def _custom_any(self, attribute: Attribute) -> str:
        """Something that is NULL where there is no such search attribute."""

    @abstractmethod
    def _member(self, attribute: Attribute, test: Callable[[str], str]) -> str:
        """Whether a member of the stored list passes the test; NULL where it is no list."""

    @abstractmethod
    def _has_words(self, attribute: Attribute, words: str, operand: str) -> str:
        """Whether every one of `words` occurs in the operand, the search attribute's text."""

    def _parameter(self, value: Value | bytes) -> str:
        self.parameters.append(value)
        return f"{self.mark}{self._first_number + len(self.parameters) - 1}"

    def _bind(self, value: Value) -> str:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            # No stored integer is that large, so its nearest float compares just as it does.
            value = _as_float(value)
        return self._value(value)

    def _condition(self, condition: Condition) -> str:
        if isinstance(condition, And):
            return _joined(" AND ", list(map(self._condition, condition.conditions)), self.true)
        if isinstance(condition, Or):
            return _joined(" OR ", list(map(self._condition, condition.conditions)), self.false)
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
            return self._test(attribute, (value,), partial(self._has_words, attribute, value))
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
        if not parts:
            return f"CASE WHEN {self._any_type(attribute)} IS NOT NULL THEN {self.false} END"
        return _joined(" OR ", parts, self.false)

    def _one_of(self, values: Sequence[Value], operand: str) -> str:
        return f"{operand} IN ({', '.join(map(self._bind, values))})"

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
            return self._member(attribute, test) if is_text and attribute.custom else UNKNOWN
        operand = self._operand(attribute, is_text=is_text)
        if operand == UNKNOWN:
            return UNKNOWN
        return f"({test(operand)})"

    def _operand(self, attribute: Attribute, *, is_text: bool) -> str:
        if attribute.custom:
            return self._custom(attribute, is_text=is_text)
        columns = TEXT_COLUMNS if is_text else NUMBER_COLUMNS
        if attribute.name not in columns:
            return UNKNOWN
        return attribute.name if is_text else NUMBER_COLUMNS[attribute.name]

    def _any_type(self, attribute: Attribute) -> str:
        if attribute.custom:
            return self._custom_any(attribute)
        return NUMBER_COLUMNS.get(attribute.name, attribute.name)


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
