"""Whether a row meets a condition: the meaning of a condition tree, without a database.

SQL's three values: True, False, and None where the row lacks the attribute or holds a value of
another type than the one compared with. A store that searches in SQL must say the same.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from engine.visibility.query import (
    And,
    Attribute,
    Between,
    Comparison,
    Condition,
    In,
    IsNull,
    Not,
    Or,
    Value,
    VisibilityRow,
)

_ORDERINGS: dict[Comparison, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "STARTS_WITH": str.startswith,
}
_WORD = re.compile(r"\w+")


def matches(row: VisibilityRow, condition: Condition | None) -> bool:
    """Whether a search for `condition` shows `row`; no condition shows every row."""
    return condition is None or evaluate(row, condition) is True


def has_words(text: str, words: str) -> bool:
    """Whether every word of `words` occurs in `text`, whatever the case."""
    return words_of(words) <= words_of(text)


def words_of(text: str) -> set[str]:
    """What counts as the words of a text."""
    return set(_WORD.findall(text.casefold()))


def evaluate(row: VisibilityRow, condition: Condition) -> bool | None:
    """True, False or None (unknown); the three-valued logic of SQL."""
    if isinstance(condition, And):
        return _all(evaluate(row, part) for part in condition.conditions)
    if isinstance(condition, Or):
        return _negated(_all(_negated(evaluate(row, part)) for part in condition.conditions))
    if isinstance(condition, Not):
        return _negated(evaluate(row, condition.condition))
    stored = _stored(row, condition.attribute)
    if isinstance(condition, IsNull):
        return stored is None
    if isinstance(condition, Between):
        low = _compare(stored, condition.attribute, ">=", condition.low)
        if not condition.attribute.keyword_list or not isinstance(stored, list):
            return _all((low, _compare(stored, condition.attribute, "<=", condition.high)))
        bounds = (condition.low, condition.high)
        if not all(isinstance(bound, str) for bound in bounds):
            return None
        return any(bounds[0] <= element <= bounds[1] for element in stored)
    if isinstance(condition, In):
        equal = (_compare(stored, condition.attribute, "=", value) for value in condition.values)
        return None if stored is None else _negated(_all(_negated(each) for each in equal))
    return _compare(stored, condition.attribute, condition.operator, condition.value)


def _stored(row: VisibilityRow, attribute: Attribute) -> Any:
    if attribute.custom:
        return row.attributes.get(attribute.name)
    return getattr(row, attribute.name)


def _compare(stored: Any, attribute: Attribute, sign: Comparison, value: Value) -> bool | None:
    if sign == "!=":
        return _negated(_compare(stored, attribute, "=", value))
    ordering = _ORDERINGS[sign]
    if sign == "STARTS_WITH" and not isinstance(value, str):
        return None
    if attribute.keyword_list:
        if not isinstance(stored, list) or not isinstance(value, str):
            return None
        return any(ordering(element, value) for element in stored)
    if (
        stored is None
        or isinstance(stored, list)
        or isinstance(stored, str) != isinstance(value, str)
    ):
        return None
    if attribute.text and sign == "=" and isinstance(stored, str):
        return has_words(stored, str(value))
    return ordering(stored, value)


def _negated(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _all(truths: Iterable[bool | None]) -> bool | None:
    result: bool | None = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result
