"""JSON Schemas of messages, as the JSON codec reads and writes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from api.catalogue.references import Reference, reference

Schema = dict[str, Any]

SCHEMAS = "#/components/schemas/"
_INTEGER_64 = {"type": "string", "pattern": "^-?[0-9]{1,18}$"}
_UNSIGNED_64 = {"type": "string", "pattern": "^[0-9]{1,18}$"}
_INTEGER_32 = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_UNSIGNED_32 = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_ANYTHING: Schema = {"description": "Any JSON value."}

_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "minimum": -3.4e38, "maximum": 3.4e38},
    FieldDescriptor.TYPE_INT32: _INTEGER_32,
    FieldDescriptor.TYPE_SINT32: _INTEGER_32,
    FieldDescriptor.TYPE_SFIXED32: _INTEGER_32,
    FieldDescriptor.TYPE_UINT32: _UNSIGNED_32,
    FieldDescriptor.TYPE_FIXED32: _UNSIGNED_32,
    FieldDescriptor.TYPE_INT64: _INTEGER_64,
    FieldDescriptor.TYPE_SINT64: _INTEGER_64,
    FieldDescriptor.TYPE_SFIXED64: _INTEGER_64,
    FieldDescriptor.TYPE_UINT64: _UNSIGNED_64,
    FieldDescriptor.TYPE_FIXED64: _UNSIGNED_64,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$",
    },
}

WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "examples": ["2027-01-31T12:00:00.5Z"],
    },
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?s$",
        "examples": ["1.5s"],
    },
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": _ANYTHING,
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "description": "A message of the type that `@type` names, with its fields beside it.",
    },
    "temporal.api.common.v1.Payload": {
        "description": "Any JSON value, or `{metadata, data}` in base64 for other encodings.",
    },
    "temporal.api.common.v1.Payloads": {"type": "array", "items": _ANYTHING},
}


def is_offered(field: FieldDescriptor) -> bool:
    """Whether a caller may set the field at all."""
    return reference(field) is not Reference.ABSENT


def is_textual(field: FieldDescriptor) -> bool:
    """Whether a query can give the field, as one text or as several."""
    message = field.message_type
    if message is None:
        return True
    times = ("google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask")
    return message.full_name in times and not field.is_repeated


class Schemas:
    """Collects the schema of every message and enum that something refers to."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def reference(self, message: Descriptor) -> Schema:
        """A reference to the schema of a message, which is made if it is new."""
        name = message.full_name
        if name not in self.found:
            # Registered before it is filled, because messages contain themselves.
            schema = self.found[name] = {}
            schema.update(WELL_KNOWN.get(name) or self._message(message))
        return {"$ref": SCHEMAS + name}

    def field(self, field: FieldDescriptor) -> Schema:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            value = self.value(entry.fields_by_name["value"])
            return {"type": "object", "additionalProperties": value}
        value = self.value(field)
        return {"type": "array", "items": value} if field.is_repeated else value

    def value(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.reference(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return dict(_SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor) -> Schema:
        names = [value.name for value in enum.values]
        self.found.setdefault(enum.full_name, {"type": "string", "enum": names})
        return {"$ref": SCHEMAS + enum.full_name}

    def request(self, message: Descriptor, given: Collection[str], needed: Sequence[str]) -> Schema:
        """The schema of a body: without what the path gives, and with what it cannot go without."""
        schema = self._message(message, given)
        if needed:
            schema["required"] = list(needed)
        return schema

    def _message(self, message: Descriptor, without: Collection[str] = ()) -> Schema:
        if message.file.name == "google/protobuf/wrappers.proto":
            return self.value(message.fields_by_name["value"])
        fields = [f for f in message.fields if f.name not in without and is_offered(f)]
        schema: Schema = {"type": "object"}
        if fields:
            schema["properties"] = {field.json_name: self.field(field) for field in fields}
        schema["additionalProperties"] = False
        pairs = [
            {"required": [one.json_name, other.json_name]}
            for oneof in message.oneofs
            for one, other in combinations(oneof.fields, 2)
        ]
        if pairs:
            schema["not"] = {"anyOf": pairs}
        return schema
