"""Readers and writers of JSON, built from message descriptors when a type is first met.

Touching a message from Python is the cost of this codec. So a writer visits set fields only,
each through one table look-up, and a reader builds the nested arguments of one constructor
call, which makes the whole message tree without touching any part of it from Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default as default_pool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from api.transports import json_payload as payload
from api.transports.errors import InvalidJson, UnrepresentableJson
from api.transports.json_values import (
    SCALAR_READERS,
    SCALAR_WRITERS,
    WELL_KNOWN_READERS,
    WELL_KNOWN_WRITERS,
    Read,
    Write,
    clip,
    enum_reader,
    enum_writer,
    read_bool_key,
    refuse,
)

NESTED_MESSAGES_MAX = 100
ANY = "google.protobuf.Any"
_WRAPPERS_FILE = "google/protobuf/wrappers.proto"

M = TypeVar("M", bound=Message)


class FieldReading(NamedTuple):
    """How one JSON key is read: where to, by what, and what else it excludes."""

    name: str
    as_is: type | None
    read: Read
    oneof: str | None
    takes_null: bool


class _FieldWriters(dict[FieldDescriptor, tuple[str, Write | None]]):
    def __init__(self, make: Callable[[FieldDescriptor], Write | None]) -> None:
        self._make = make

    def __missing__(self, field: FieldDescriptor) -> tuple[str, Write | None]:
        entry = self[field] = (field.json_name, self._make(field))
        return entry


class _FieldReadings(dict[str, FieldReading]):
    def __init__(
        self, message: Descriptor, make: Callable[[FieldDescriptor], FieldReading]
    ) -> None:
        self._message_name = message.full_name
        self._fields = dict(message.fields_by_name)
        self._fields.update({field.json_name: field for field in message.fields})
        self._make = make

    def __missing__(self, key: str) -> FieldReading:
        field = self._fields.get(key)
        if field is None:
            raise InvalidJson("", f"no such field in {self._message_name}")
        entry = self[key] = self._make(field)
        return entry


class Converters:
    """Readers and writers of every message type, in one of the two forms of payloads."""

    def __init__(self, *, shorthand: bool) -> None:
        self._shorthand = shorthand
        self._writers = dict(WELL_KNOWN_WRITERS)
        self._readers = dict(WELL_KNOWN_READERS)
        self._writers[ANY] = self._write_any
        self._readers[ANY] = self._read_any
        self._special = {*WELL_KNOWN_WRITERS, ANY}
        if shorthand:
            self._special |= {payload.PAYLOAD, payload.PAYLOADS}

    def writer(self, message: Descriptor) -> Write:
        name = message.full_name
        if name not in self._writers:
            self._writers[name] = self._make_writer(message)
        return self._writers[name]

    def reader(self, message: Descriptor) -> Read:
        name = message.full_name
        if name not in self._readers:
            self._readers[name] = self._make_reader(message)
        return self._readers[name]

    def _make_writer(self, message: Descriptor) -> Write:
        if message.file.name == _WRAPPERS_FILE:
            return _wrapper_writer(self._value_writer(message.fields_by_name["value"]))
        write = _object_writer(_FieldWriters(self._field_writer))
        if self._shorthand and message.full_name == payload.PAYLOAD:
            return payload.shorthand_writer(write)
        if self._shorthand and message.full_name == payload.PAYLOADS:
            write_items = _list_writer(self._value_writer(message.fields_by_name["payloads"]))
            return lambda payloads: write_items(payloads.payloads)
        return write

    def _make_reader(self, message: Descriptor) -> Read:
        if message.file.name == _WRAPPERS_FILE:
            return _wrapper_reader(self._value_reader(message.fields_by_name["value"]))
        read = _object_reader(_FieldReadings(message, self._field_reading))
        if self._shorthand and message.full_name == payload.PAYLOAD:
            return payload.shorthand_reader(read)
        if self._shorthand and message.full_name == payload.PAYLOADS:
            items = self._field_reading(message.fields_by_name["payloads"])
            return payload.payloads_reader(items.read, read)
        return read

    def _value_writer(self, field: FieldDescriptor) -> Write | None:
        if field.message_type is not None:
            return self.writer(field.message_type)
        if field.enum_type is not None:
            return enum_writer(field.enum_type)
        return SCALAR_WRITERS.get(field.type)

    def _value_reader(self, field: FieldDescriptor) -> Read:
        if field.message_type is not None:
            return self.reader(field.message_type)
        if field.enum_type is not None:
            return enum_reader(field.enum_type)
        return SCALAR_READERS[field.type]

    def _field_writer(self, field: FieldDescriptor) -> Write | None:
        entry = _map_entry(field)
        if entry is not None:
            key, value = entry.fields
            return _map_writer(key, self._value_writer(value))
        write = self._value_writer(field)
        return _list_writer(write) if field.is_repeated else write

    def _field_reading(self, field: FieldDescriptor) -> FieldReading:
        oneof = field.containing_oneof
        oneof_name = None if oneof is None else oneof.name
        entry = _map_entry(field)
        if entry is not None:
            key, value = entry.fields
            read = _map_reader(_key_reader(key), self._value_reader(value))
            return FieldReading(field.name, None, read, oneof_name, False)
        read = self._value_reader(field)
        if field.is_repeated:
            return FieldReading(field.name, None, _list_reader(read), oneof_name, False)
        as_is = {FieldDescriptor.TYPE_STRING: str, FieldDescriptor.TYPE_BOOL: bool}
        message_name = field.message_type.full_name if field.message_type else ""
        takes_null = message_name == "google.protobuf.Value" or (
            self._shorthand and message_name == payload.PAYLOAD
        )
        return FieldReading(field.name, as_is.get(field.type), read, oneof_name, takes_null)

    def _write_any(self, message: Any) -> dict[str, Any]:
        if not message.ListFields():
            return {}
        descriptor = _find_type(message.type_url)
        if descriptor is None:
            raise UnrepresentableJson("", f"unknown type {clip(message.type_url)}")
        inner = GetMessageClass(descriptor)()
        try:
            inner.ParseFromString(message.value)
        except DecodeError:
            raise UnrepresentableJson("", f"not a {descriptor.full_name}") from None
        written = self.writer(descriptor)(inner)
        if self._is_object(descriptor):
            return {"@type": message.type_url, **written}
        return {"@type": message.type_url, "value": written}

    def _read_any(self, value: Any, depth: int) -> dict[str, Any]:
        if type(value) is not dict:
            raise refuse("an object", value)
        if not value:
            return {}
        url = value.get("@type")
        descriptor = _find_type(url) if type(url) is str else None
        if descriptor is None:
            raise InvalidJson("@type", "missing, or not the URL of a known type")
        rest = {key: item for key, item in value.items() if key != "@type"}
        if not self._is_object(descriptor):
            if rest.keys() != {"value"}:
                raise InvalidJson("", f"{descriptor.full_name} is given by one key: value")
            rest = rest["value"]
        inner = construct(GetMessageClass(descriptor), self.reader(descriptor)(rest, depth + 1))
        return {"type_url": url, "value": inner.SerializeToString(deterministic=True)}

    def _is_object(self, message: Descriptor) -> bool:
        """Whether the JSON form of a type has its fields as keys, with room for `@type`."""
        return message.full_name not in self._special and message.file.name != _WRAPPERS_FILE


def construct(message_type: type[M], arguments: Any) -> M:
    """The message that a reader's result describes."""
    if isinstance(arguments, message_type):
        return arguments
    try:
        return message_type(**arguments)
    except (TypeError, ValueError):
        # Readers check everything that parsed JSON can hold; a hand-made value may hold more.
        name = message_type.DESCRIPTOR.full_name
        raise InvalidJson("", f"a value that {name} cannot hold") from None


def _find_type(url: str) -> Descriptor | None:
    try:
        return default_pool().FindMessageTypeByName(url.rsplit("/", 1)[-1])
    except KeyError:
        return None


def _map_entry(field: FieldDescriptor) -> Descriptor | None:
    """The type of a map's entries; None for a field that is no map."""
    entry = field.message_type
    return entry if entry is not None and entry.GetOptions().map_entry else None


def _object_writer(fields: _FieldWriters) -> Write:
    def write(message: Any) -> dict[str, Any]:
        written: dict[str, Any] = {}
        name = ""
        try:
            for field, value in message.ListFields():
                name, convert = fields[field]
                written[name] = value if convert is None else convert(value)
        except UnrepresentableJson as error:
            error.under(name)
            raise
        return written

    return write


def _object_reader(fields: _FieldReadings) -> Read:
    def read(value: Any, depth: int) -> dict[str, Any]:
        if type(value) is not dict:
            raise refuse("an object", value)
        if depth > NESTED_MESSAGES_MAX:
            raise InvalidJson("", f"nested deeper than {NESTED_MESSAGES_MAX} messages")
        arguments: dict[str, Any] = {}
        chosen: set[str] = set()
        key = ""
        try:
            for key, item in value.items():
                name, as_is, convert, oneof, takes_null = fields[key]
                if item is None and not takes_null:
                    continue
                if name in arguments:
                    raise InvalidJson("", "given twice, under two spellings")
                if oneof is not None:
                    if oneof in chosen:
                        raise InvalidJson("", f"a second member of the oneof {oneof}")
                    chosen.add(oneof)
                arguments[name] = item if type(item) is as_is else convert(item, depth + 1)
        except InvalidJson as error:
            error.under(key if len(key) <= 80 else f"{key[:80]}…")
            raise
        return arguments

    return read


def _list_writer(write_item: Write | None) -> Write:
    if write_item is None:
        return list
    write = write_item
    return lambda values: [write(value) for value in values]


def _list_reader(read_item: Read) -> Read:
    def read(value: Any, depth: int) -> list[Any]:
        if type(value) is not list:
            raise refuse("an array", value)
        items: list[Any] = []
        try:
            for item in value:
                items.append(read_item(item, depth))
        except InvalidJson as error:
            error.under(f"[{len(items)}]")
            raise
        return items

    return read


def _map_writer(key: FieldDescriptor, write_value: Write | None) -> Write:
    def write_key(value: Any) -> str:
        return str(value).lower() if key.type == FieldDescriptor.TYPE_BOOL else str(value)

    def write(values: Any) -> dict[str, Any]:
        if write_value is None:
            return {write_key(k): value for k, value in values.items()}
        return {write_key(k): write_value(value) for k, value in values.items()}

    return write


def _key_reader(key: FieldDescriptor) -> Read:
    if key.type == FieldDescriptor.TYPE_BOOL:
        return read_bool_key
    return SCALAR_READERS[key.type]


def _map_reader(read_key: Read, read_value: Read) -> Read:
    def read(value: Any, depth: int) -> dict[Any, Any]:
        if type(value) is not dict:
            raise refuse("an object", value)
        entries: dict[Any, Any] = {}
        key = ""
        try:
            for key, item in value.items():
                entries[read_key(key, depth)] = read_value(item, depth)
        except InvalidJson as error:
            error.under(f"[{clip(key)}]")
            raise
        return entries

    return read


def _wrapper_writer(write_value: Write | None) -> Write:
    return lambda message: message.value if write_value is None else write_value(message.value)


def _wrapper_reader(read_value: Read) -> Read:
    return lambda value, depth: {"value": read_value(value, depth)}
