"""Values as JSON and back, guided by type hints."""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import types
import typing
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, get_args, get_origin
from uuid import UUID

from perdure.exceptions import ConversionError


def dump(value: Any) -> bytes:
    """The compact JSON of a value; dataclasses, enums, times and UUIDs included."""
    try:
        text = json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False)
    except TypeError as error:
        raise ConversionError(f"{type(value).__qualname__} is not JSON: {error}") from error
    return text.encode()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        # The order of a set differs between processes and would differ between replays.
        return sorted(value, key=repr)
    raise TypeError(f"no JSON form for {type(value).__qualname__}")


def typed(value: Any, hint: Any) -> Any:
    """The plain JSON value as the hinted type; no hint or Any returns it unchanged."""
    if hint is None or hint is type(None):
        if value is not None and hint is type(None):
            raise ConversionError(f"expected null, got {value!r:.80}")
        return value
    if hint is Any or hint is object or isinstance(hint, typing.TypeVar):
        return value
    if isinstance(hint, typing.NewType):
        return typed(value, hint.__supertype__)
    origin = get_origin(hint)
    if origin is typing.Annotated:
        return typed(value, get_args(hint)[0])
    if origin is typing.Literal:
        if value not in get_args(hint):
            raise ConversionError(f"{value!r:.80} is none of {get_args(hint)}")
        return value
    if origin in (typing.Union, types.UnionType):
        return _union(value, get_args(hint))
    if origin is not None:
        return _container(value, origin, get_args(hint))
    return _single(value, hint)


def _union(value: Any, options: tuple[Any, ...]) -> Any:
    if value is None and type(None) in options:
        return None
    reasons: list[str] = []
    for option in options:
        if option is type(None):
            continue
        try:
            return typed(value, option)
        except ConversionError as error:
            reasons.append(str(error))
    raise ConversionError("; ".join(reasons))


def _container(value: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(origin, type):
        return value
    if issubclass(origin, collections.abc.Mapping):
        _expect(value, dict, origin)
        key_hint, item_hint = arguments or (Any, Any)
        return {_key(key, key_hint): typed(item, item_hint) for key, item in value.items()}
    if origin is tuple:
        _expect(value, list, origin)
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(typed(item, arguments[0]) for item in value)
        if len(arguments) != len(value):
            raise ConversionError(f"expected {len(arguments)} items, got {len(value)}")
        return tuple(typed(item, hint) for item, hint in zip(value, arguments, strict=True))
    if issubclass(origin, collections.abc.Iterable):
        _expect(value, list, origin)
        items = [typed(item, arguments[0] if arguments else Any) for item in value]
        return origin(items) if origin in (set, frozenset) else items
    if dataclasses.is_dataclass(origin):
        return _single(value, origin)
    return value


def _key(key: str, hint: Any) -> Any:
    if hint in (int, float):
        return hint(key)
    return typed(key, hint)


def _single(value: Any, hint: Any) -> Any:
    if not isinstance(hint, type):
        return value
    if dataclasses.is_dataclass(hint):
        return _dataclass(value, hint)
    try:
        if issubclass(hint, Enum):
            return hint(value)
        if hint is UUID:
            return UUID(value)
        if hint in (datetime, date):
            return hint.fromisoformat(value)
        if hint is timedelta:
            return timedelta(seconds=value)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConversionError(f"{value!r:.80} is no {hint.__qualname__}") from error
    if hint is float and type(value) is int:
        return float(value)
    if hint in (set, frozenset, tuple) and isinstance(value, list):
        return hint(value)
    if hint in (str, int, float, bool, list, dict):
        _expect(value, hint, hint)
        if hint is not bool and isinstance(value, bool):
            raise ConversionError(f"expected {hint.__qualname__}, got a boolean")
    return value


def _dataclass(value: Any, hint: Any) -> Any:
    _expect(value, dict, hint)
    hints = typing.get_type_hints(hint)
    known = {item.name for item in dataclasses.fields(hint) if item.init}
    # Unknown keys are dropped: a newer sender may know fields that this process does not.
    fields = {name: typed(item, hints[name]) for name, item in value.items() if name in known}
    try:
        return hint(**fields)
    except TypeError as error:
        raise ConversionError(f"{hint.__qualname__}: {error}") from error


def _expect(value: Any, kind: type, wanted: Any) -> None:
    if not isinstance(value, kind):
        raise ConversionError(f"expected {wanted.__qualname__}, got {value!r:.80}")
