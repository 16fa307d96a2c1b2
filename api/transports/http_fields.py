"""Request fields that a path or a query names by dotted name and gives as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from api.transports.errors import InvalidJson, InvalidQuery
from api.transports.json_generate import construct
from api.transports.json_values import (
    SCALAR_READERS,
    WELL_KNOWN_READERS,
    Read,
    clip,
    enum_reader,
    read_bool_key,
)

QUERY_PARAMETERS_MAX = 256
CACHED_FIELDS_MAX = 4096
DOOR_PARAMETERS = frozenset({"pretty", "noPayloadShorthand", "timeout"})
"""What a query says to the door itself and not to the request."""
_DOOR_NAMES = tuple(name.encode() for name in DOOR_PARAMETERS)


class DoorParameters(NamedTuple):
    """What a caller wishes of the door, as far as the query says."""

    timeout_seconds: float | None = None
    pretty: bool = False
    no_shorthand: bool = False


_NO_WISHES = DoorParameters()
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s?")


def door_parameters(query: bytes) -> DoorParameters:
    """Reads `timeout` in seconds, and the two flags, whose presence is enough."""
    if not any(name in query for name in _DOOR_NAMES):
        return _NO_WISHES
    given = dict(_pairs(query))
    text = given.get("timeout")
    parts = None if text is None else _SECONDS.fullmatch(text)
    if text is not None and (parts is None or not float(parts[1])):
        raise InvalidQuery("timeout", "must be a number of seconds above 0, as in 20 or 1.5")
    return DoorParameters(
        None if parts is None else float(parts[1]), "pretty" in given, "noPayloadShorthand" in given
    )


class FieldTarget(NamedTuple):
    """Where a dotted name leads in a request, and how its text is read."""

    full_name: str
    parents: tuple[str, ...]
    name: str
    read: Read
    message_type: type[Message] | None
    is_repeated: bool


@lru_cache(maxsize=CACHED_FIELDS_MAX)
def find_field(message: Descriptor, dotted: str) -> FieldTarget:
    """Finds a field by its dotted name in either spelling; raises `InvalidQuery`."""
    names: list[str] = []
    owner: Descriptor | None = message
    found: FieldDescriptor | None = None
    for part in dotted.split("."):
        if found is not None and (found.is_repeated or owner is None):
            raise InvalidQuery(clip(dotted), f"{found.full_name} has no fields of its own here")
        fields = owner.fields if owner is not None else ()
        found = next((f for f in fields if part in (f.json_name, f.name)), None)
        if found is None:
            raise InvalidQuery(clip(dotted), f"no such field in {message.full_name}")
        names.append(found.name)
        owner = found.message_type
    assert found is not None
    read, message_type = _text_reader(found, dotted)
    return FieldTarget(
        ".".join(names), tuple(names[:-1]), names[-1], read, message_type, found.is_repeated
    )


def _text_reader(found: FieldDescriptor, dotted: str) -> tuple[Read, type[Message] | None]:
    if found.message_type is not None:
        read = WELL_KNOWN_READERS.get(found.message_type.full_name)
        if read is None or found.is_repeated:
            raise InvalidQuery(clip(dotted), f"{found.full_name} can only be set in a body")
        return read, GetMessageClass(found.message_type)
    if found.enum_type is not None:
        return enum_reader(found.enum_type), None
    if found.type == FieldDescriptor.TYPE_BOOL:
        return read_bool_key, None
    return SCALAR_READERS[found.type], None


def assign(message: Message, target: FieldTarget, texts: Sequence[str]) -> None:
    owner: Any = message
    for parent in target.parents:
        owner = getattr(owner, parent)
        owner.SetInParent()
    values = [target.read(text, 1) for text in texts]
    if target.is_repeated:
        owner.ClearField(target.name)
        getattr(owner, target.name).extend(values)
    elif len(values) > 1:
        raise InvalidJson("", f"given {len(values)} times, but takes one value")
    elif target.message_type is not None:
        getattr(owner, target.name).CopyFrom(construct(target.message_type, values[0]))
    else:
        setattr(owner, target.name, values[0])


def apply_query(message: Message, query: bytes, path_fields: Sequence[str] = ()) -> None:
    """Sets the fields that a query string names; it may not name what the path has set."""
    if not query:
        return
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    given: dict[str, tuple[FieldTarget, list[str]]] = {}
    for key, text in _pairs(query):
        if key in DOOR_PARAMETERS:
            continue
        target = find_field(descriptor, key)
        if target.full_name in path_fields:
            raise InvalidQuery(key, "already given by the path")
        given.setdefault(target.full_name, (target, []))[1].append(text)
    for name, (target, texts) in given.items():
        try:
            assign(message, target, texts)
        except InvalidJson as error:
            raise InvalidQuery(name, error.problem) from None


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=QUERY_PARAMETERS_MAX,
        )
    except UnicodeDecodeError:
        raise InvalidQuery("", "the query is not percent-encoded UTF-8") from None
    except ValueError:
        problem = f"the query has more than {QUERY_PARAMETERS_MAX} parameters"
        raise InvalidQuery("", problem) from None
