"""Conditions as PostgreSQL spells them, and the search attributes as they are searched.

Texts are compared as bytes. JSON cannot say them all (it has no NUL here), so names, texts and
words are in it as hexadecimal digits. The words of texts are found when the row is written: what
a word is, and its letter case, is for `predicate` alone to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from engine.persistence.condition import Where
from engine.visibility.predicate import words_of
from engine.visibility.query import Attribute, Value

BEYOND_ALL = "1e400"
"""Stands for infinity: more than any finite float."""


def searched(attributes: Mapping[str, Value | list[str]]) -> bytes:
    """What the conditions look at: values by name, and the words of those that are texts."""
    values = {_hex(name): _stored(value) for name, value in attributes.items()}
    words = {
        _hex(name): sorted(map(_hex, words_of(value)))
        for name, value in attributes.items()
        if isinstance(value, str)
    }
    return msgspec.json.encode({"values": values, "words": words})


def _stored(value: Value | list[str]) -> str | list[str] | msgspec.Raw | None:
    if isinstance(value, str):
        return _hex(value)
    if isinstance(value, list):
        return list(map(_hex, value))
    return None if math.isnan(value) else msgspec.Raw(_number(value).encode())


def _hex(text: str) -> str:
    return text.encode().hex()


def _number(value: float) -> str:
    """As a decimal number: what is equal is equal, whether it is an integer, float or bool."""
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    if math.isinf(value):
        return BEYOND_ALL if value > 0 else f"-{BEYOND_ALL}"
    return repr(value)


class PostgresWhere(Where):
    """The attributes are in `search`; see `searched`."""

    mark, true, false = "$", "true", "false"

    def _value(self, value: Value) -> str:
        if isinstance(value, str):
            return f"{self._parameter(value.encode())}::bytea"
        return f"{self._parameter(_number(value))}::text::numeric"

    def _custom(self, attribute: Attribute, *, is_text: bool) -> str:
        stored = self._custom_any(attribute)
        if is_text:
            value = f"decode({stored} #>> '{{}}', 'hex')"
            return f"CASE jsonb_typeof({stored}) WHEN 'string' THEN {value} END"
        return f"CASE jsonb_typeof({stored}) WHEN 'number' THEN ({stored})::numeric END"

    def _custom_any(self, attribute: Attribute) -> str:
        return f"(search -> 'values' -> {self._text(attribute.name)})"

    def _member(self, attribute: Attribute, test: Callable[[str], str]) -> str:
        stored = self._custom_any(attribute)
        members = f"SELECT decode(digits, 'hex') FROM jsonb_array_elements_text({stored}) AS digits"
        return (
            f"(CASE jsonb_typeof({stored}) WHEN 'array' THEN"
            f" EXISTS (SELECT 1 FROM ({members}) AS members (member) WHERE {test('member')}) END)"
        )

    def _has_words(self, attribute: Attribute, words: str, operand: str) -> str:
        name = self._text(attribute.name)
        wanted = [self._text(word) for word in sorted(words_of(words))]
        found = f"(search -> 'words' -> {name}) ?& ARRAY[{', '.join(wanted)}]::text[]"
        return f"CASE WHEN {operand} IS NOT NULL THEN {found} END"

    def _text(self, text: str) -> str:
        return f"{self._parameter(_hex(text))}::text"
