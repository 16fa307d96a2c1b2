"""Conditions of the query language in SQLite's SQL."""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.persistence.condition import Where
from engine.visibility.query import Attribute, Value


class SqliteWhere(Where):
    mark = "?"
    true = "1"
    false = "0"

    def _value(self, value: Value) -> str:
        return self._parameter(value)

    def _custom(self, attribute: Attribute, *, is_text: bool) -> str:
        path = self._path(attribute)
        types = "('text')" if is_text else "('integer', 'real', 'true', 'false')"
        return (
            f"CASE WHEN json_type(attributes, {path}) IN {types}"
            f" THEN json_extract(attributes, {path}) END"
        )

    def _custom_any(self, attribute: Attribute) -> str:
        return f"json_extract(attributes, {self._path(attribute)})"

    def _member(self, attribute: Attribute, test: Callable[[str], str]) -> str:
        path = self._path(attribute)
        members = f"SELECT 1 FROM json_each(attributes, {path}) AS member"
        return (
            f"(CASE json_type(attributes, {path}) WHEN 'array'"
            f" THEN EXISTS ({members} WHERE {test('member.value')}) END)"
        )

    def _has_words(self, attribute: Attribute, words: str, operand: str) -> str:
        return f"has_words({operand}, {self._parameter(words)})"

    def _path(self, attribute: Attribute) -> str:
        return self._parameter(f"$.{json.dumps(attribute.name, ensure_ascii=False)}")
