"""Reading and writing the few protobuf shapes that the deciding core meets everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.history.v1 import History, HistoryEvent

NANOSECONDS = 1_000_000_000
EVENTS_FIELD_TAG = b"\x0a"


def set_timestamp(timestamp: Timestamp, at_ns: int) -> None:
    timestamp.seconds, timestamp.nanos = divmod(at_ns, NANOSECONDS)


def timestamp_ns(timestamp: Timestamp) -> int:
    return timestamp.seconds * NANOSECONDS + timestamp.nanos


def to_timestamp(at_ns: int) -> Timestamp:
    seconds, nanos = divmod(at_ns, NANOSECONDS)
    return Timestamp(seconds=seconds, nanos=nanos)


def to_duration(duration_ns: int) -> Duration:
    seconds, nanos = divmod(duration_ns, NANOSECONDS)
    return Duration(seconds=seconds, nanos=nanos)


def duration_ns(duration: Duration) -> int:
    return duration.seconds * NANOSECONDS + duration.nanos


def varint(value: int) -> bytes:
    """`value` in protobuf's base-128 encoding."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def message_tag(message: type[Message], field: str) -> bytes:
    """What stands before the length of a field that holds a message."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | 2)


def length_prefixed(tag: bytes, encoded: bytes) -> bytes:
    """A serialized message as a field of another; such pieces concatenate to a message."""
    return tag + varint(len(encoded)) + encoded


def event_size_prefixed(event: HistoryEvent) -> bytes:
    """`event` as one element of a serialized `History`: such pieces concatenate to a history."""
    encoded = event.SerializeToString()
    return EVENTS_FIELD_TAG + varint(len(encoded)) + encoded


def parse_events(blobs: Iterable[bytes]) -> list[HistoryEvent]:
    """The events of concatenated history pieces, in order."""
    return list(History.FromString(b"".join(blobs)).events)
