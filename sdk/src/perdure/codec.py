"""Payload codecs, and where in a message they apply.

A codec sees every payload of a message except search attributes (the server indexes them), headers
and the SDK's own markers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from perdure.exceptions import ConversionError
from perdure.protojson import Message

Transform = Callable[[Sequence[Message]], Awaitable[list[Message]]]

_CLEAR_FIELDS = frozenset(
    {
        "searchAttributes",
        "header",
        "recordMarkerCommandAttributes",
        "markerRecordedEventAttributes",
    }
)


class PayloadCodec(ABC):
    """Turns payloads into others on their way out and back on their way in.

    A payload is ``{"metadata": {name: base64}, "data": base64}``. Both calls return as many
    payloads as they were given, in the same order. Decoding leaves payloads it does not know alone.
    """

    @abstractmethod
    async def encode(self, payloads: Sequence[Message]) -> list[Message]:
        """The payloads as they may leave this machine."""

    @abstractmethod
    async def decode(self, payloads: Sequence[Message]) -> list[Message]:
        """The payloads as they were before encode."""


class ChainCodec(PayloadCodec):
    """Several codecs: the first named is the first applied on the way out."""

    def __init__(self, *codecs: PayloadCodec) -> None:
        self._codecs = codecs

    async def encode(self, payloads: Sequence[Message]) -> list[Message]:
        result = list(payloads)
        for codec in self._codecs:
            result = await codec.encode(result)
        return result

    async def decode(self, payloads: Sequence[Message]) -> list[Message]:
        result = list(payloads)
        for codec in reversed(self._codecs):
            result = await codec.decode(result)
        return result


async def transform_payloads(message: Message, transform: Transform) -> None:
    """Replace, in place, every payload of the message that codecs apply to."""
    found = list(_payloads(message))
    if not found:
        return
    results = await transform(found)
    if len(results) != len(found):
        raise ConversionError(f"codec returned {len(results)} payloads for {len(found)}")
    for payload, result in zip(found, [dict(result) for result in results], strict=True):
        payload.clear()
        payload.update(result)


def _payloads(node: Any) -> Iterator[Message]:
    if isinstance(node, list):
        for item in node:
            yield from _payloads(item)
    elif _is_payload(node):
        yield node
    elif isinstance(node, dict):
        for name, value in node.items():
            # A memo field may have any name, so a payload itself is never passed over.
            if name not in _CLEAR_FIELDS or _is_payload(value):
                yield from _payloads(value)


def _is_payload(node: Any) -> bool:
    """User data is base64 text, so only a real payload has this shape."""
    metadata = node.get("metadata") if isinstance(node, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("encoding"), str)
