"""Stories that are cleaned up, and the guards that every worker puts in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perdure.runtime import guards
from tests.sdk.story import Story


@pytest.fixture
def story() -> Iterator[Callable[..., Story]]:
    """`story(Workflow, argument, …)`: a run that is evicted when the test ends."""
    guards.install()
    stories: list[Story] = []

    def begin(cls: type, *arguments: Any, **options: Any) -> Story:
        stories.append(Story(cls, *arguments, **options))
        return stories[-1]

    yield begin
    for item in stories:
        item.close()
