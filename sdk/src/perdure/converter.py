"""Python values as payloads and back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from perdure import json_types
from perdure.codec import PayloadCodec, transform_payloads
from perdure.exceptions import ConversionError
from perdure.protojson import Message

_NULL = b64encode(b"binary/null").decode()
_BINARY = b64encode(b"binary/plain").decode()
_JSON = b64encode(b"json/plain").decode()


@dataclass(frozen=True)
class RawValue:
    """A payload passed through unconverted, for handlers that take any value."""

    payload: Message


class PayloadConverter(ABC):
    """Turns one value into one payload and back; runs inside workflow code, so it is pure."""

    @abstractmethod
    def to_payload(self, value: Any) -> Message:
        """The payload of a value; raises ConversionError."""

    @abstractmethod
    def from_payload(self, payload: Message, type_hint: Any = None) -> Any:
        """The value of a payload as the hinted type; raises ConversionError."""

    def to_payloads(self, values: Iterable[Any]) -> Message | None:
        """A payload list message; None when there is no value."""
        payloads = [self.to_payload(value) for value in values]
        return {"payloads": payloads} if payloads else None

    def from_payloads(self, message: Message | None, type_hints: Sequence[Any] = ()) -> list[Any]:
        """The values of a payload list message; missing hints mean plain JSON values."""
        payloads = (message or {}).get("payloads", [])
        hints = [*type_hints, *[None] * (len(payloads) - len(type_hints))]
        return [self.from_payload(item, hint) for item, hint in zip(payloads, hints, strict=False)]

    def to_payload_map(self, values: Mapping[str, Any]) -> Message:
        """Named payloads, as memos hold them."""
        return {name: self.to_payload(value) for name, value in values.items()}

    def from_payload_map(self, payloads: Mapping[str, Message]) -> dict[str, Any]:
        """The values of named payloads."""
        return {name: self.from_payload(payload) for name, payload in payloads.items()}


class JsonPayloadConverter(PayloadConverter):
    """None as binary/null, bytes as binary/plain, everything else as json/plain."""

    def to_payload(self, value: Any) -> Message:
        if isinstance(value, RawValue):
            return value.payload
        if value is None:
            return {"metadata": {"encoding": _NULL}}
        if isinstance(value, bytes | bytearray):
            return {"metadata": {"encoding": _BINARY}, "data": b64encode(value).decode()}
        data = b64encode(json_types.dump(value)).decode()
        return {"metadata": {"encoding": _JSON}, "data": data}

    def from_payload(self, payload: Message, type_hint: Any = None) -> Any:
        if type_hint is RawValue:
            return RawValue(payload)
        encoding = payload.get("metadata", {}).get("encoding", "")
        if encoding == _NULL:
            return None
        data = b64decode(payload.get("data", ""))
        if encoding == _BINARY:
            return data
        if encoding != _JSON:
            raise ConversionError(f"unknown payload encoding {b64decode(encoding)!r}")
        try:
            value = json.loads(data)
        except ValueError as error:
            raise ConversionError("payload holds no JSON") from error
        return json_types.typed(value, type_hint)


@dataclass(frozen=True)
class DataConverter:
    """How values travel: converter for their form, codec for what leaves the machine."""

    payload_converter: PayloadConverter = field(default_factory=JsonPayloadConverter)
    codec: PayloadCodec | None = None

    async def encode(self, message: Message) -> Message:
        """The outgoing message with the codec applied; its payloads stay clear for their owner."""
        if self.codec is not None:
            message = deepcopy(message)
            await transform_payloads(message, self.codec.encode)
        return message

    async def decode(self, message: Message) -> Message:
        """Undo the codec on an incoming message, in place."""
        if self.codec is not None:
            await transform_payloads(message, self.codec.decode)
        return message


def search_attribute_fields(attributes: Mapping[str, Any]) -> Message:
    """Search attributes as indexed fields, always clear JSON; None removes an attribute."""
    clear = JsonPayloadConverter()
    return {name: clear.to_payload(value) for name, value in attributes.items()}
