"""Columns of many rows as PostgreSQL's binary arrays, which is how a commit sends them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

INT8_OID, INT8_ARRAY_OID = 20, 1016
BYTEA_OID, BYTEA_ARRAY_OID = 17, 1001
INT8_BYTES = 8

_HEADER = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i").pack
_NULL = _LENGTH(-1)


class Int8Array(bytes):
    """`bigint[]` as it is sent."""


class ByteaArray(bytes):
    """`bytea[]` as it is sent."""


def int8_array(values: Sequence[int | None]) -> Int8Array:
    """Raises struct.error for a number of more than eight bytes."""
    if None in values:
        packed = [None if value is None else struct.pack(">q", value) for value in values]
        return Int8Array(_array(INT8_OID, packed))
    body: list[int | None] = [INT8_BYTES] * (2 * len(values))
    body[1::2] = values
    header = _HEADER.pack(1, 0, INT8_OID, len(values), 1)
    return Int8Array(header + struct.pack(f">{'iq' * len(values)}", *body))


def bytea_array(values: Sequence[bytes | None]) -> ByteaArray:
    return ByteaArray(_array(BYTEA_OID, values))


def _array(oid: int, values: Sequence[bytes | None]) -> bytes:
    parts = [_HEADER.pack(1, None in values, oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts += (_LENGTH(len(value)), value)
    return b"".join(parts)


class _Int8ArrayDumper(Dumper):
    format, oid = Format.BINARY, INT8_ARRAY_OID

    def dump(self, obj: Int8Array) -> bytes:
        return obj


class _ByteaArrayDumper(Dumper):
    format, oid = Format.BINARY, BYTEA_ARRAY_OID

    def dump(self, obj: ByteaArray) -> bytes:
        return obj


def register(context: AdaptContext) -> None:
    """Teach a connection to send them."""
    assert context.connection is not None
    context.connection.adapters.register_dumper(Int8Array, _Int8ArrayDumper)
    context.connection.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
