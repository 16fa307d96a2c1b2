"""The query language of lists and counts, read into a condition tree.

    query       = [any] [GROUP BY name] [ORDER BY name [ASC | DESC] {"," …}]
    any         = all {OR all}
    all         = negation {AND negation}
    negation    = {NOT} ("(" any ")" | comparison)
    comparison  = name ("=" | "!=" | "<" | "<=" | ">" | ">=") value
                | name [NOT] (IN "(" value {"," value} ")" | BETWEEN value AND value
                              | STARTS_WITH value)
                | name IS [NOT] NULL

Keywords in any case, names exactly; names may stand in back-quotes, strings in ' or ".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from engine.errors import InvalidArgument
from engine.visibility.columns import OPERATORS, Column, find, read
from engine.visibility.lexer import Kind, Token, refused, tokens
from engine.visibility.query import (
    And,
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

QUERY_CHARACTERS_MAX = 10_000
QUERY_COMPARISON_COUNT_MAX = 200
QUERY_DEPTH_MAX = 50

ORDER = (("close_at_ns", "CloseTime"), ("start_at_ns", "StartTime"), ("run_id", "RunId"))
"""The one order of lists, each column from the highest to the lowest; open runs come first."""

_SIGNS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_RESERVED = frozenset("AND OR NOT IN BETWEEN IS STARTS_WITH GROUP ORDER BY NULL".split())


@dataclass(frozen=True, slots=True)
class Search:
    """What a query asks for: the runs that meet `where` (None: all), counted by `group_by`."""

    where: Condition | None = None
    group_by: str | None = None


def parse(query: str, custom: Mapping[str, str]) -> Search:
    """Read `query`; `custom` holds the types of the namespace's own search attributes.

    Raises InvalidArgument that names the place, the limit and the remedy.
    """
    if len(query) > QUERY_CHARACTERS_MAX:
        raise InvalidArgument(
            f"invalid query: it has {len(query)} characters, at most {QUERY_CHARACTERS_MAX}",
            "query",
        )
    return _Parser(tokens(query), custom).search()


class _Parser:
    """One pass over the tokens, one token of look-ahead."""

    def __init__(self, found: list[Token], custom: Mapping[str, str]) -> None:
        self._tokens = found
        self._custom = custom
        self._place = 0
        self._depth = 0
        self._comparisons = 0

    def search(self) -> Search:
        where = None
        if self._next.keyword not in ("GROUP", "ORDER") and self._next.kind is not Kind.END:
            where = self._any()
        group_by = self._group_by() if self._takes("GROUP") else None
        if self._takes("ORDER"):
            self._order_by()
        if self._next.kind is not Kind.END:
            raise self._expected("AND, OR or the end")
        return Search(where, group_by)

    def _any(self) -> Condition:
        conditions = [self._all()]
        while self._takes("OR"):
            conditions.append(self._all())
        return Or(tuple(conditions)) if len(conditions) > 1 else conditions[0]

    def _all(self) -> Condition:
        conditions = [self._negation()]
        while self._takes("AND"):
            conditions.append(self._negation())
        return And(tuple(conditions)) if len(conditions) > 1 else conditions[0]

    def _negation(self) -> Condition:
        opening = self._next
        if opening.keyword not in ("NOT", "("):
            return self._comparison()
        self._depth += 1
        if self._depth > QUERY_DEPTH_MAX:
            problem = f"more than {QUERY_DEPTH_MAX} levels of parentheses and NOT"
            raise refused(problem, opening.position)
        self._place += 1
        condition: Condition
        if opening.keyword == "NOT":
            condition = Not(self._negation())
        else:
            condition = self._any()
            self._expect(")")
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        self._comparisons += 1
        if self._comparisons > QUERY_COMPARISON_COUNT_MAX:
            problem = f"more than {QUERY_COMPARISON_COUNT_MAX} comparisons; use IN where you can"
            raise refused(problem, self._next.position)
        column = self._column()
        if self._takes("IS"):
            negated = self._takes("NOT")
            self._expect("NULL")
            condition: Condition = IsNull(column.attribute)
        else:
            negated = self._takes("NOT")
            condition = self._operation(column, worded=negated)
        return Not(condition) if negated else condition

    def _operation(self, column: Column, *, worded: bool) -> Condition:
        """The rest of a comparison; behind NOT (`worded`) no sign may stand."""
        token = self._next
        sign = None if worded else _SIGNS.get(token.keyword)
        if sign is None and token.keyword not in ("IN", "BETWEEN", "STARTS_WITH"):
            words = "IN, BETWEEN or STARTS_WITH"
            raise self._expected(words if worded else f"an operator (=, !=, <, IS, {words} …)")
        self._place += 1
        operator = sign or token.keyword
        allowed = OPERATORS[column.type_name]
        if operator not in allowed:
            known = ", ".join(sorted(allowed))
            problem = f"{column.name} cannot be compared with {operator}; it has {known}, IS NULL"
            raise refused(problem, token.position)
        if operator == "IN":
            return In(column.attribute, self._values(column))
        value = self._value(column)
        if operator == "BETWEEN":
            self._expect("AND")
            return Between(column.attribute, value, self._value(column))
        return Compare(column.attribute, cast(Comparison, operator), value)

    def _values(self, column: Column) -> tuple[Value, ...]:
        self._expect("(")
        values = [self._value(column)]
        while self._takes(","):
            values.append(self._value(column))
        self._expect(")")
        return tuple(values)

    def _value(self, column: Column) -> Value:
        token = self._next
        if token.kind is Kind.END or token.kind is Kind.SIGN:
            raise self._expected("a value")
        self._place += 1
        return read(column, token)

    def _column(self) -> Column:
        token = self._next
        is_word = token.kind is Kind.WORD and token.keyword not in _RESERVED
        if not is_word and token.kind is not Kind.NAME:
            raise self._expected("the name of a search attribute")
        self._place += 1
        return find(token, self._custom)

    def _group_by(self) -> str:
        self._expect("BY")
        token = self._next
        column = self._column()
        if column.attribute.name != "status" or column.attribute.custom:
            problem = f"GROUP BY goes with ExecutionStatus only, not with {token.shown}"
            raise refused(problem, token.position)
        return column.attribute.name

    def _order_by(self) -> None:
        """Accepts the order that lists have, or the beginning of it, and no other."""
        self._expect("BY")
        for field, _ in ORDER:
            token = self._next
            column = self._column()
            descends = self._takes("DESC")
            if column.attribute.name != field or not descends:
                fixed = ", ".join(f"{name} DESC" for _, name in ORDER)
                problem = f"lists have one order; leave ORDER BY out or write ORDER BY {fixed}"
                raise refused(problem, token.position)
            if not self._takes(","):
                return

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _takes(self, keyword: str) -> bool:
        if self._next.keyword != keyword:
            return False
        self._place += 1
        return True

    def _expect(self, keyword: str) -> None:
        if not self._takes(keyword):
            raise self._expected(keyword)

    def _expected(self, what: str) -> InvalidArgument:
        return refused(f"expected {what}, found {self._next.shown}", self._next.position)
