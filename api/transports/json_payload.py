"""The payload shorthand: a `Payload` whose content is JSON is written as that JSON.

Reading the shorthand keeps the meaning of the content, not its spelling: white space, number
notation and repeated keys are lost, and a `json/plain` null comes back as `binary/null`.
Where even the meaning could be lost, the payload is written in full.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from api.transports.errors import InvalidJson
from api.transports.json_values import Read, Write, read_bytes, refuse

PAYLOAD = "temporal.api.common.v1.Payload"
PAYLOADS = "temporal.api.common.v1.Payloads"
MESSAGE_TYPE_KEY = "_protoMessageType"

_PLAIN = b"json/plain"
_NULL = b"binary/null"
_PROTOBUF = b"json/protobuf"
_FULL_KEYS = frozenset({"metadata", "data", "externalPayloads", "external_payloads"})
_IN_FULL = object()
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_TWENTY_DIGITS = b"0" * 20
_NEGATIVE_NINETEEN_DIGITS = b"-" + b"0" * 19


def load_exactly(text: bytes) -> Any:
    """Parses JSON; refuses integers beyond 64 bits, which the parser would round silently."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidJson("", f"not JSON: {error}") from None
    alike = text.translate(_DIGITS_ALIKE)
    if _TWENTY_DIGITS in alike or _NEGATIVE_NINETEEN_DIGITS in alike:
        try:
            json.loads(text, parse_int=_refuse_wide)
        except RecursionError:
            raise InvalidJson("", "nested too deep") from None
    return value


def _refuse_wide(digits: str) -> None:
    if len(digits) > 20 or not -(1 << 63) <= int(digits) < 1 << 64:
        raise InvalidJson("", "an integer beyond 64 bits: send it as a string")


def dump_compactly(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise InvalidJson("", f"no JSON: {error}") from None


def shorthand_writer(write_plain: Write) -> Write:
    """Writes a payload as its content where that says everything, otherwise in full."""

    def write(payload: Any) -> Any:
        metadata = payload.metadata
        encoding = metadata.get("encoding")
        if not payload.external_payloads:
            if encoding == _PLAIN and len(metadata) == 1:
                value = _plain_content(payload.data)
            elif encoding == _NULL and len(metadata) == 1 and not payload.data:
                value = None
            elif encoding == _PROTOBUF and len(metadata) == 2:
                value = _protobuf_content(payload.data, metadata.get("messageType"))
            else:
                value = _IN_FULL
            if value is not _IN_FULL:
                return value
        full = write_plain(payload)
        # Both keys mark the full form, so that its reader does not take it for content.
        full.setdefault("metadata", {})
        if encoding is None:
            full.setdefault("data", "")
        return full

    return write


def _plain_content(data: bytes) -> Any:
    try:
        value = load_exactly(data)
    except InvalidJson:
        return _IN_FULL
    ambiguous = type(value) is dict and (MESSAGE_TYPE_KEY in value or _is_full(value))
    return _IN_FULL if ambiguous else value


def _protobuf_content(data: bytes, message_type: bytes | None) -> Any:
    try:
        value = load_exactly(data)
        name = message_type.decode() if message_type else ""
    except (InvalidJson, UnicodeDecodeError):
        return _IN_FULL
    if not name or type(value) is not dict or MESSAGE_TYPE_KEY in value:
        return _IN_FULL
    if _is_full({**value, MESSAGE_TYPE_KEY: name}):
        return _IN_FULL
    return {**value, MESSAGE_TYPE_KEY: name}


def shorthand_reader(read_plain: Read) -> Read:
    """Reads a payload in full form, or wraps any other JSON value as its content."""

    def read(value: Any, depth: int) -> Any:
        if value is None:
            return {"metadata": {"encoding": _NULL}}
        if type(value) is dict:
            if _is_full(value):
                return read_plain(value, depth)
            message_type = value.get(MESSAGE_TYPE_KEY)
            if type(message_type) is str and message_type:
                content = {k: v for k, v in value.items() if k != MESSAGE_TYPE_KEY}
                metadata = {"encoding": _PROTOBUF, "messageType": message_type.encode()}
                return {"metadata": metadata, "data": dump_compactly(content)}
        return {"metadata": {"encoding": _PLAIN}, "data": dump_compactly(value)}

    return read


def _is_full(value: dict[str, Any]) -> bool:
    """Whether an object is a payload in full form and not content that looks a little like it."""
    metadata = value.get("metadata")
    if type(metadata) is not dict or not value.keys() <= _FULL_KEYS:
        return False
    if "data" not in value and "encoding" not in metadata:
        return False
    try:
        for encoded in (*metadata.values(), value.get("data", "")):
            read_bytes(encoded, 0)
    except InvalidJson:
        return False
    return True


def payloads_reader(read_list: Read, read_plain: Read) -> Read:
    """Reads an array of payloads, or the message's full form."""

    def read(value: Any, depth: int) -> Any:
        if type(value) is list:
            return {"payloads": read_list(value, depth)}
        if type(value) is dict:
            return read_plain(value, depth)
        raise refuse("an array of payloads", value)

    return read
