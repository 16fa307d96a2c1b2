"""What tests of limits share: which limit a test is of, and one side of it or the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from temporalio.api.common.v1 import Payloads

from engine.errors import EngineError, InvalidArgument
from tests.engine.cell import text

T = TypeVar("T")

TESTED: set[str] = set()
"""Names of `engine.limits` that have a test."""

ON_BOTH_SIDES = pytest.mark.parametrize("beyond", [-1, 0, 1])


def limit(*names: str) -> Callable[[T], T]:
    """The test is of these limits."""
    TESTED.update(names)
    return lambda test: test


@contextmanager
def refused_if(
    is_beyond: bool, message: str, error: type[EngineError] = InvalidArgument
) -> Iterator[None]:
    """What happens inside is refused beyond the limit, and only there."""
    if is_beyond:
        with pytest.raises(error, match=message):
            yield
    else:
        yield


def payloads_of(size_bytes: int) -> Payloads:
    """One text whose message has exactly that size."""
    count = size_bytes - 100
    payloads = text("x" * (count + size_bytes - text("x" * count).ByteSize()))
    assert payloads.ByteSize() == size_bytes
    return payloads
