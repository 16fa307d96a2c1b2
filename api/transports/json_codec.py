"""Proto3 JSON of any message, with or without the payload shorthand."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import orjson
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from api.transports.errors import UnrepresentableJson
from api.transports.json_generate import Converters, construct
from api.transports.json_payload import load_exactly

M = TypeVar("M", bound=Message)


class JsonCodec:
    """Converts messages to JSON and back; what it learns of a type it keeps.

    Reading raises `InvalidJson`, writing `UnrepresentableJson`; both name the field's path.
    """

    def __init__(self) -> None:
        self._converters = {form: Converters(shorthand=form) for form in (False, True)}

    def encode(self, message: Message, *, shorthand: bool = True, pretty: bool = False) -> bytes:
        value = self.to_dict(message, shorthand)
        try:
            return orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else 0)
        except TypeError as error:
            raise UnrepresentableJson("", str(error)) from None

    def decode(self, data: bytes, message_type: type[M], *, shorthand: bool = True) -> M:
        return self._read(load_exactly(data), message_type, shorthand)

    def to_dict(self, message: Message, shorthand: bool = True) -> Any:
        """The JSON value of a message: a dict, unless its type has a form of its own."""
        write = self._converters[shorthand].writer(cast(Descriptor, message.DESCRIPTOR))
        try:
            return write(message)
        except RecursionError:
            raise UnrepresentableJson("", "nested too deep") from None

    def from_dict(self, value: Any, message: M, shorthand: bool = True) -> M:
        """Merges a parsed JSON value into the message and returns it."""
        message.MergeFrom(self._read(value, type(message), shorthand))
        return message

    def _read(self, value: Any, message_type: type[M], shorthand: bool) -> M:
        read = self._converters[shorthand].reader(cast(Descriptor, message_type.DESCRIPTOR))
        return construct(message_type, read(value, 1))
