"""The codec against the protobuf library's own, on random messages of every published type."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from struct import pack, unpack
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import DoubleValue
from temporalio.api.cloud.cloudservice.v1 import service_pb2 as cloud
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload
from temporalio.api.errordetails.v1 import NotFoundFailure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.operatorservice.v1 import service_pb2 as operator
from temporalio.api.workflowservice.v1 import service_pb2 as workflow

from api.transports.errors import InvalidJson
from api.transports.json_codec import JsonCodec
from engine.protocol import tasks_pb2

CODEC = JsonCodec()
SEEDS = range(3)
TEXTS = ["", "a", "orders/7", "naïve ✓ 😀", 'quote " and \\', "\x00\x1f\x7f"]
JSON_VALUES: list[Any] = [
    True,
    -1,
    2**63,
    1.5,
    "text",
    [],
    [None, {"a": [1]}],
    {},
    {"metadata": {"a": "no base64!"}, "data": "YQ=="},
    {"metadata": {"encoding": "YQ=="}, "data": "YQ=="},
    {"_protoMessageType": "a.B", "c": 1},
    {"data": "YQ=="},
]


def published_types() -> list[Any]:
    found: dict[str, Any] = {}
    for module in (workflow, operator, cloud, tasks_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                for message in (method.input_type, method.output_type):
                    found[message.full_name] = message
    for owner in (HistoryEvent.DESCRIPTOR, Command.DESCRIPTOR):
        found[owner.full_name] = owner
        for field in owner.oneofs_by_name["attributes"].fields:
            attributes: Any = field.message_type
            found[attributes.full_name] = attributes
    return list(found.values())


TYPES = published_types()


class Filler:
    """Fills messages with random values that proto3 JSON can represent."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def message(self, message_type: Descriptor, depth: int = 0) -> Any:
        message = GetMessageClass(message_type)()
        special = getattr(self, "fill_" + message_type.name.lower(), None)
        known = message_type.file.package == "google.protobuf" or message_type.name == "Payload"
        if special is not None and known:
            special(message)
            return message
        for field in message_type.fields:
            if self.random.random() < (0.6 if depth < 2 else 0.25 if depth < 5 else 0):
                self.field(message, field, depth + 1)
        return message

    def field(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        target = getattr(message, field.name)
        times = range(self.random.randrange(3))
        if field.message_type and field.message_type.GetOptions().map_entry:
            key, value = field.message_type.fields
            for _ in times:
                if value.message_type:
                    target[self.scalar(key)].CopyFrom(self.message(value.message_type, depth))
                else:
                    target[self.scalar(key)] = self.scalar(value)
        elif field.is_repeated:
            for _ in times:
                new = field.message_type and self.message(field.message_type, depth)
                target.append(new if field.message_type else self.scalar(field))
        elif field.message_type:
            target.SetInParent()
            target.CopyFrom(self.message(field.message_type, depth))
        else:
            setattr(message, field.name, self.scalar(field))

    def scalar(self, field: FieldDescriptor) -> Any:
        pick, kind = self.random.choice, field.cpp_type
        if field.enum_type:
            return pick([*(value.number for value in field.enum_type.values), 99_999, -1])
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self.random.randbytes(self.random.randrange(5))
        if kind == FieldDescriptor.CPPTYPE_FLOAT:
            wide = pick([0.1, -1e-30, 16_777_216.0, self.random.uniform(-1e9, 1e9), 3.4e38])
            return unpack("f", pack("f", wide))[0]
        choices: dict[int, Callable[[], Any]] = {
            FieldDescriptor.CPPTYPE_STRING: lambda: pick(TEXTS),
            FieldDescriptor.CPPTYPE_BOOL: lambda: pick([True, False]),
            FieldDescriptor.CPPTYPE_INT32: lambda: pick([0, 7, 2**31 - 1, -(2**31)]),
            FieldDescriptor.CPPTYPE_INT64: lambda: pick([0, 7, 2**63 - 1, -(2**63)]),
            FieldDescriptor.CPPTYPE_UINT32: lambda: pick([0, 7, 2**32 - 1]),
            FieldDescriptor.CPPTYPE_UINT64: lambda: pick([0, 7, 2**64 - 1]),
            FieldDescriptor.CPPTYPE_DOUBLE: lambda: pick([0.0, -2.5, 1e300, float("inf")]),
        }
        return choices[kind]()

    def fill_timestamp(self, message: Any) -> None:
        message.seconds = self.random.randrange(-62_135_596_800, 253_402_300_800)
        message.nanos = self.random.choice([0, 5_000_000, 5_000, 5, 999_999_999])

    def fill_duration(self, message: Any) -> None:
        sign = self.random.choice([1, -1])
        message.seconds = sign * self.random.choice([0, 1, 315_576_000_000 - 1])
        message.nanos = sign * self.random.choice([0, 5_000_000, 5_000, 5, 999_999_999])

    def fill_fieldmask(self, message: Any) -> None:
        message.paths.extend(["a_b.c", "d"])

    def fill_any(self, message: Any) -> None:
        inner: Any = self.random.choice([Duration, NotFoundFailure, DoubleValue, Struct, Payload])
        message.Pack(self.message(inner.DESCRIPTOR, 4), deterministic=True)

    def fill_value(self, message: Any) -> None:
        message.string_value = self.random.choice(TEXTS)

    def fill_struct(self, message: Any) -> None:
        message.update({"a": [1.5, None, True, {"b": "c"}]})

    def fill_payload(self, message: Any) -> None:
        content = orjson.dumps(self.random.choice(JSON_VALUES))
        metadata, message.data = self.random.choice(
            [
                ({"encoding": b"json/plain"}, content),
                ({"encoding": b"json/plain"}, b"no JSON"),
                ({"encoding": b"json/plain", "type": b"Keyword"}, content),
                ({"encoding": b"binary/null"}, b""),
                ({"encoding": b"binary/null"}, b"x"),
                ({"encoding": b"binary/encrypted", "key": b"\xff"}, b"\x00\xff"),
                ({"encoding": b"binary/plain"}, b""),
                ({"encoding": b"json/protobuf", "messageType": b"a.B"}, content),
                ({"encoding": b"json/protobuf", "messageType": b"\xff"}, content),
                ({"encoding": b"json/protobuf"}, content),
                ({}, content),
                ({}, b""),
            ]
        )
        message.metadata.update(metadata)
        if self.random.random() < 0.2:
            message.external_payloads.add(size_bytes=5)


def full_json(message: Message) -> str:
    return str(json_format.MessageToJson(message, indent=None))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_published_type_is_written_as_the_library_writes_it(seed: int) -> None:
    for message_type in TYPES:
        message = Filler(f"{message_type.full_name}/{seed}").message(message_type)
        assert CODEC.to_dict(message, False) == json_format.MessageToDict(message)
        assert json.loads(CODEC.encode(message, shorthand=False)) == json.loads(full_json(message))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_published_type_survives_the_way_there_and_back(seed: int) -> None:
    for message_type in TYPES:
        message = Filler(f"{message_type.full_name}/{seed}").message(message_type)
        kind = type(message)
        for shorthand in (True, False):
            written = CODEC.encode(message, shorthand=shorthand, pretty=seed == 0)
            assert CODEC.decode(written, kind, shorthand=shorthand) == message
        theirs = json_format.MessageToJson(message, preserving_proto_field_name=seed == 1)
        assert CODEC.decode(theirs.encode(), kind, shorthand=False) == message


def mutated(value: Any, chance: random.Random) -> Any:
    """The JSON value with one of its nodes replaced, renamed or doubled."""
    nodes: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            nodes.append((node, key))
            if isinstance(node[key], dict | list):
                collect(node[key])

    collect(value)
    if not nodes:
        return {"unknown": 1}
    owner, key = chance.choice(nodes)
    new = chance.choice(
        [
            *(None, True, {}, [], [None], {"a": None}, "", "x", "1.5", "-1", "1e3", "NaN"),
            *(7, -1, 2**31, 2**63, 2**64 - 1, 1.5, 1e300, "99999999999", "1s", "1.s"),
            *("2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00"),
            *({"@type": "x/none"}, {"@type": 1}, {"@type": "x/google.protobuf.Duration"}),
        ]
    )
    if isinstance(owner, dict) and chance.random() < 0.2:
        owner[chance.choice(["unknown", "[a.b]", key + "_", key.upper() + "Z"])] = owner.pop(key)
    else:
        owner[key] = new
    return value


# Where this codec refuses what the library lets through: true as a number, 1.5 as an enum, ""
# or [] as an empty message, base64 with foreign characters, other spellings of times.
STRICTER = (
    "expected an object",
    "expected a number, not a boolean",
    "expected a whole number, not a boolean",
    "not a whole number between -2147483648",
    "not base64",
    "not an RFC 3339",
    "not a duration",
)


def library_reads(text: str, kind: type[Message]) -> Message | None:
    try:
        return json_format.Parse(text, kind())
    except json_format.ParseError:
        return None


def test_what_the_library_refuses_is_refused_with_a_path_and_what_it_reads_is_read_alike() -> None:
    chance = random.Random("mutations")
    refused = accepted = 0
    for message_type in TYPES * 8:
        message = Filler(f"{message_type.full_name}/{chance.random()}").message(message_type)
        text = json.dumps(mutated(json_format.MessageToDict(message), chance))
        theirs = library_reads(text, type(message))
        try:
            ours = CODEC.decode(text.encode(), type(message), shorthand=False)
        except InvalidJson as refusal:
            if theirs is None:
                refused += bool(refusal.field_path)
            elif not any(reason in refusal.problem for reason in STRICTER):
                pytest.fail(f"{refusal} in {text}")
            continue
        # An Any holds bytes, in which the library leaves the order of maps to chance.
        assert theirs is not None, text
        assert ours == theirs or CODEC.to_dict(ours, False) == CODEC.to_dict(theirs, False), text
        accepted += 1
    assert refused > 500
    assert accepted > 500
