"""Proto3 JSON forms of scalars and of the well-known types.

A reader takes a parsed JSON value and its nesting depth and returns what a message's
constructor takes; a writer takes a field's value and returns what `orjson` serializes.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from math import isfinite, isnan
from struct import pack, unpack
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from api.transports.errors import InvalidJson, UnrepresentableJson

Read = Callable[[Any, int], Any]
Write = Callable[[Any], Any]

CLIP_CHARS = 80
NUMBER_CHARS_MAX = 64
# The largest doubles that round to a finite number of 32 and of 64 bits.
FLOAT32_MAX = float.fromhex("0x1.fffffefffffffp+127")
FLOAT64_MAX = float.fromhex("0x1.fffffffffffffp+1023")
DURATION_SECONDS_MAX = 315_576_000_000
TIMESTAMP_SECONDS_MIN = -62_135_596_800
TIMESTAMP_SECONDS_MAX = 253_402_300_799
CACHED_SECONDS_MAX = 4096

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ENUM_NUMBER = re.compile(r"-?[0-9]{1,10}")
_SECOND = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_SUBSECOND_AND_ZONE = re.compile(r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))")
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")
_URL_SAFE = str.maketrans("-_", "+/")
_NONFINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def clip(text: str) -> str:
    """The quoted text, shortened so that an error never repeats a whole body."""
    return repr(text if len(text) <= CLIP_CHARS else text[:CLIP_CHARS] + "…")


def kind(value: object) -> str:
    """JSON's own word for the kind of a parsed value."""
    words = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else words.get(type(value), "a number")


def refuse(expected: str, value: object) -> InvalidJson:
    return InvalidJson("", f"expected {expected}, not {kind(value)}")


def read_text(value: Any, _depth: int) -> str:
    if type(value) is not str:
        raise refuse("a string", value)
    return value


def read_bool(value: Any, _depth: int) -> bool:
    if type(value) is not bool:
        raise refuse("true or false", value)
    return value


def read_bool_key(value: Any, _depth: int) -> bool:
    if value not in ("true", "false"):
        raise InvalidJson("", 'expected the key "true" or "false"')
    return bool(value == "true")


def integer_reader(bits: int, *, signed: bool) -> Read:
    """Reads a whole number, bare or in a string, that fits the field's width."""
    low = -(1 << bits - 1) if signed else 0
    high = (1 << bits - int(signed)) - 1
    problem = f"not a whole number between {low} and {high}"

    def read(value: Any, _depth: int) -> int:
        number: Any = value
        if type(value) is str:
            number = Decimal(value) if _is_number(value) else None
        elif type(value) is float:
            number = Decimal(value) if isfinite(value) else None
        elif type(value) is not int:
            raise refuse("a whole number", value)
        # The bounds come first: int() of a decimal with a huge exponent would never end.
        if number is None or not low <= number <= high or number != int(number):
            raise InvalidJson("", problem)
        return int(number)

    def read_fast(value: Any, depth: int) -> int:
        if type(value) is str and len(value) < 19 and value.isdecimal() and value.isascii():
            number = int(value)
            if number <= high:
                return number
        elif type(value) is int and low <= value <= high:
            return value
        return read(value, depth)

    return read_fast


def _is_number(text: str) -> bool:
    return len(text) <= NUMBER_CHARS_MAX and _NUMBER.fullmatch(text) is not None


def float_reader(largest: float) -> Read:
    """Reads a number, a number in a string, or one of the three names of no number."""

    def read(value: Any, _depth: int) -> float:
        if type(value) is str:
            if value in _NONFINITE:
                return _NONFINITE[value]
            number = float(value) if _is_number(value) else float("nan")
        elif type(value) is float or type(value) is int:
            # An integer beyond the largest double cannot be converted, only compared.
            number = float(value) if abs(value) <= FLOAT64_MAX else float("inf")
        else:
            raise refuse("a number", value)
        if not abs(number) <= largest:
            raise InvalidJson("", "not a finite number in range")
        return number

    return read


def write_double(value: float) -> float | str:
    if isfinite(value):
        return value
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def write_float(value: float) -> float | str:
    """The shortest decimal that reads back as the same 32-bit number."""
    if not isfinite(value):
        return write_double(value)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if abs(short) <= FLOAT32_MAX and unpack("f", pack("f", short))[0] == value:
            return short
    return float(f"{value:.9g}")


def write_bytes(value: bytes) -> str:
    return b2a_base64(value, newline=False).decode("ascii")


def read_bytes(value: Any, _depth: int) -> bytes:
    """Reads base64 of either alphabet, padded or not."""
    if type(value) is not str:
        raise refuse("a base64 string", value)
    try:
        return a2b_base64(value, strict_mode=True)
    except ValueError:
        pass
    bare = value.translate(_URL_SAFE).rstrip("=")
    try:
        return a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except (Base64Error, ValueError):
        raise InvalidJson("", "not base64") from None


class _EnumNames(dict[int, Any]):
    """Names by number; a number that a newer protocol added stands for itself."""

    def __missing__(self, number: int) -> int:
        return number


@cache
def enum_writer(enum: EnumDescriptor) -> Write:
    # With aliases, the name declared first is the canonical one.
    return _EnumNames({v.number: v.name for v in reversed(enum.values)}).__getitem__


@cache
def enum_reader(enum: EnumDescriptor) -> Read:
    """Reads a full name, a short name (`Running`), or a number."""
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    numbers: dict[str, int] = {}
    for value in enum.values:
        rest = value.name.removeprefix(prefix)
        numbers.setdefault("".join(word.capitalize() for word in rest.split("_")), value.number)
    numbers.update({value.name: value.number for value in enum.values})
    read_number = integer_reader(32, signed=True)

    def read(value: Any, depth: int) -> int:
        if type(value) is str:
            number = numbers.get(value)
            if number is not None:
                return number
            if not _ENUM_NUMBER.fullmatch(value):
                raise InvalidJson("", f"{clip(value)} is no value of {enum.full_name}")
        return int(read_number(value, depth))

    return read


_INT32 = integer_reader(32, signed=True)
_INT64 = integer_reader(64, signed=True)
_UINT32 = integer_reader(32, signed=False)
_UINT64 = integer_reader(64, signed=False)

SCALAR_READERS: dict[int, Read] = {
    FieldDescriptor.TYPE_DOUBLE: float_reader(FLOAT64_MAX),
    FieldDescriptor.TYPE_FLOAT: float_reader(FLOAT32_MAX),
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_BOOL: read_bool,
    FieldDescriptor.TYPE_STRING: read_text,
    FieldDescriptor.TYPE_BYTES: read_bytes,
}
# A type without a writer is its own JSON form.
SCALAR_WRITERS: dict[int, Write] = {
    FieldDescriptor.TYPE_DOUBLE: write_double,
    FieldDescriptor.TYPE_FLOAT: write_float,
    FieldDescriptor.TYPE_INT64: str,
    FieldDescriptor.TYPE_SINT64: str,
    FieldDescriptor.TYPE_SFIXED64: str,
    FieldDescriptor.TYPE_UINT64: str,
    FieldDescriptor.TYPE_FIXED64: str,
    FieldDescriptor.TYPE_BYTES: write_bytes,
}


@lru_cache(maxsize=CACHED_SECONDS_MAX)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


@lru_cache(maxsize=CACHED_SECONDS_MAX)
def _second_number(text: str) -> int:
    if _SECOND.fullmatch(text) is None:
        raise ValueError(text)
    since = datetime.fromisoformat(text + "+00:00") - _EPOCH
    return since.days * 86_400 + since.seconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _fraction(nanos: int) -> str:
    if nanos == 0:
        return ""
    if nanos % 1_000:
        return f".{nanos:09d}"
    return f".{nanos // 1_000:06d}" if nanos % 1_000_000 else f".{nanos // 1_000_000:03d}"


def write_timestamp(message: Any) -> str:
    seconds, nanos = message.seconds, message.nanos
    if not (TIMESTAMP_SECONDS_MIN <= seconds <= TIMESTAMP_SECONDS_MAX and 0 <= nanos < 10**9):
        raise UnrepresentableJson("", "a timestamp outside the years 1 to 9999")
    return f"{_second_text(seconds)}{_fraction(nanos)}Z"


def read_timestamp(value: Any, _depth: int) -> dict[str, int]:
    """Reads RFC 3339 with up to nine fractional digits and any offset."""
    if type(value) is not str:
        raise refuse("an RFC 3339 time", value)
    tail = _SUBSECOND_AND_ZONE.fullmatch(value, 19)
    try:
        seconds = _second_number(value[:19])
    except ValueError:
        tail = None
    if tail is None:
        raise InvalidJson("", "not an RFC 3339 time such as 2027-01-31T12:00:00.5Z")
    fraction, sign, hours, minutes = tail.groups()
    if sign is not None:
        offset_seconds = int(hours) * 3_600 + int(minutes) * 60
        seconds += offset_seconds if sign == "-" else -offset_seconds
        if not TIMESTAMP_SECONDS_MIN <= seconds <= TIMESTAMP_SECONDS_MAX:
            raise InvalidJson("", "a time outside the years 1 to 9999")
    return {"seconds": seconds, "nanos": int(fraction.ljust(9, "0")) if fraction else 0}


def write_duration(message: Any) -> str:
    seconds, nanos = message.seconds, message.nanos
    one_sign = (seconds <= 0 and nanos <= 0) or (seconds >= 0 and nanos >= 0)
    if abs(seconds) > DURATION_SECONDS_MAX or abs(nanos) >= 10**9 or not one_sign:
        raise UnrepresentableJson("", "a duration over 10,000 years or of two signs")
    minus = "-" if seconds < 0 or nanos < 0 else ""
    return f"{minus}{abs(seconds)}{_fraction(abs(nanos))}s"


def read_duration(value: Any, _depth: int) -> dict[str, int]:
    match = _DURATION.fullmatch(value) if type(value) is str else None
    if match is None:
        raise InvalidJson("", 'not a duration in seconds such as "1.5s"')
    minus, whole, fraction = match.groups()
    seconds = int(whole)
    if seconds > DURATION_SECONDS_MAX:
        raise InvalidJson("", f"a duration over {DURATION_SECONDS_MAX} seconds")
    nanos = int(fraction.ljust(9, "0")) if fraction else 0
    return {"seconds": -seconds, "nanos": -nanos} if minus else {"seconds": seconds, "nanos": nanos}


def _write_rare(message: Message) -> Any:
    """Types too rare to be worth a form of our own keep the protobuf library's."""
    try:
        written = json_format.MessageToDict(message)
    except (ValueError, json_format.Error) as error:
        raise UnrepresentableJson("", str(error)[:200]) from None
    return written


def _rare_reader(message_type: type[Message]) -> Read:
    def read(value: Any, _depth: int) -> Message:
        try:
            return json_format.ParseDict(value, message_type())
        except (ValueError, TypeError, AttributeError, json_format.Error):
            raise InvalidJson("", f"not a {message_type.DESCRIPTOR.full_name}") from None

    return read


WELL_KNOWN_WRITERS: dict[str, Write] = {
    "google.protobuf.Timestamp": write_timestamp,
    "google.protobuf.Duration": write_duration,
    **{t.DESCRIPTOR.full_name: _write_rare for t in (FieldMask, Struct, Value, ListValue)},
}
WELL_KNOWN_READERS: dict[str, Read] = {
    "google.protobuf.Timestamp": read_timestamp,
    "google.protobuf.Duration": read_duration,
    **{t.DESCRIPTOR.full_name: _rare_reader(t) for t in (FieldMask, Struct, Value, ListValue)},
}
