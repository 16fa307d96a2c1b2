"""Search attributes: which there are, of which type, and how their payloads are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import IndexedValueType

from engine.errors import InvalidArgument
from engine.limits import (
    SEARCH_ATTRIBUTE_BYTES_MAX,
    SEARCH_ATTRIBUTE_COUNT_MAX,
    SEARCH_ATTRIBUTES_BYTES_MAX,
)
from engine.visibility.query import Value

KEYWORD_LIST = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST
TYPE_NAMES = {
    IndexedValueType.INDEXED_VALUE_TYPE_TEXT: "Text",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
    IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int",
    IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE: "Double",
    IndexedValueType.INDEXED_VALUE_TYPE_BOOL: "Bool",
    IndexedValueType.INDEXED_VALUE_TYPE_DATETIME: "Datetime",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST: "KeywordList",
}
TYPES_BY_NAME = {name: number for number, name in TYPE_NAMES.items()}
PREDEFINED = {
    "TemporalChangeVersion": "KeywordList",
    "BinaryChecksums": "KeywordList",
    "BuildIds": "KeywordList",
}
"""Attributes that workers may set without anybody registering them."""

NANOSECONDS = 1_000_000_000
INTEGER_END = 2**63
"""Integers lie strictly between this and its negative."""

FIELD = "search_attributes"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:(?P<time>[Tt ]\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<offset>[Zz]|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_json = msgspec.json.Decoder()


def datetime_ns(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time, without an offset UTC. Raises ValueError."""
    parts = _RFC_3339.fullmatch(text)
    if parts is None:
        raise ValueError("write it as 2026-01-31T13:00:00Z")
    moment = datetime.fromisoformat(parts["date"] + (parts["time"] or "T00:00:00"))
    offset = parts["offset"] or "Z"
    zone = UTC if offset in "Zz" else datetime.strptime(offset, "%z").tzinfo
    # Whole seconds by integers: a float of nanoseconds since 1970 has lost its last digits.
    seconds = (moment.replace(tzinfo=zone) - _EPOCH) // timedelta(seconds=1)
    at_ns = seconds * NANOSECONDS + int((parts["fraction"] or "").ljust(9, "0"))
    if abs(at_ns) >= INTEGER_END:
        raise ValueError("times lie between 1677-09-22 and 2262-04-11")
    return at_ns


def read_value(name: str, type_name: str, payload: Payload) -> Value | list[str] | None:
    """The payload as a value to compare. Raises InvalidArgument where the type does not fit."""
    try:
        value = _json.decode(payload.data) if payload.data else None
    except msgspec.DecodeError:
        raise InvalidArgument(
            f"search_attributes[{name!r}] is not JSON; search attributes are never encrypted",
            FIELD,
        ) from None
    if value is None:
        return None
    if isinstance(value, list) and type_name != "KeywordList" and len(value) == 1:
        value = value[0]
    try:
        return _READERS[type_name](value)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"search_attributes[{name!r}] must be of type {type_name}", FIELD
        ) from None


def check(fields: Mapping[str, Payload], types: Mapping[str, str], namespace: str) -> None:
    """Refuse unknown names, wrong types and sizes; note the type on every payload.

    Raises InvalidArgument naming the attribute and the limit.
    """
    if len(fields) > SEARCH_ATTRIBUTE_COUNT_MAX:
        raise InvalidArgument(
            f"search_attributes has more than {SEARCH_ATTRIBUTE_COUNT_MAX} keys", FIELD
        )
    total = 0
    for name in fields:
        type_name = types.get(name) or PREDEFINED.get(name)
        if type_name is None:
            raise InvalidArgument(
                f"Namespace {namespace} has no mapping defined for search attribute {name}",
                FIELD,
            )
        payload = fields[name]
        if len(payload.data) > SEARCH_ATTRIBUTE_BYTES_MAX:
            raise InvalidArgument(
                f"search_attributes[{name!r}] has more than {SEARCH_ATTRIBUTE_BYTES_MAX} bytes",
                FIELD,
            )
        total += len(payload.data)
        read_value(name, type_name, payload)
        payload.metadata["type"] = type_name.encode()
    if total > SEARCH_ATTRIBUTES_BYTES_MAX:
        raise InvalidArgument(
            f"search_attributes has more than {SEARCH_ATTRIBUTES_BYTES_MAX} bytes in all",
            FIELD,
        )


def decode_all(held: Mapping[str, bytes]) -> dict[str, Value | list[str]]:
    """Held payloads as values; they were checked when they came."""
    values = {}
    for name, encoded in held.items():
        payload = Payload.FromString(encoded)
        type_name = payload.metadata.get("type", b"Keyword").decode()
        value = read_value(name, type_name, payload)
        if value is not None:
            values[name] = value
    return values


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= INTEGER_END:
        raise TypeError
    return value


def _double(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _keyword_list(value: object) -> list[str]:
    return [_text(item) for item in (value if isinstance(value, list) else [value])]


_READERS: dict[str, Callable[[object], Value | list[str]]] = {
    "Text": _text,
    "Keyword": _text,
    "Int": _integer,
    "Double": _double,
    "Bool": _bool,
    "Datetime": lambda value: datetime_ns(_text(value)),
    "KeywordList": _keyword_list,
}
