"""What an operation of the OpenAPI document takes to succeed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.product.stock import Stock


@dataclass
class Sample:
    """What an operation takes to succeed. The names are the document's."""

    path: dict[str, str] = field(default_factory=dict)
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    as_owner: bool = False
    """Whether it belongs to a browser's session and not to a key."""


Make = Callable[[Stock], Awaitable[Sample]]


def of(sample: Sample) -> Make:
    async def make(_stock: Stock) -> Sample:
        return sample

    return make
