"""The examples run as their readers run them, one command each, against a real server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.house.tree import ROOT
from tests.product.client import Access, open_account
from tests.product.server import Product

NODE = shutil.which("node")
ANSWER_SECONDS_MAX = 120
IN_PYTHON = (sys.executable, "-u", "-m")


@dataclass(frozen=True)
class Example:
    """A command, and what it says in the end."""

    words: tuple[str, ...]
    told: str

    @property
    def name(self) -> str:
        return next(word for word in self.words if word.startswith("examples"))


EXAMPLES = [
    Example(
        (*IN_PYTHON, "examples.money_transfer"), r"transfer-\S+: {'alice': 7500, 'bob': 2500}\n"
    ),
    # Signals that arrive together may lead past a level.
    Example(
        (*IN_PYTHON, "examples.loyalty_points"),
        r".+\n1150 points;( customer-\S+ is gold)? customer-\S+ is platinum\n",
    ),
    Example(
        (*IN_PYTHON, "examples.shopping_cart", "--patience", "0.5"),
        r"ordered: {'cart-\S+': {'book': 2}}\n  cart-\S+ still holds book\n",
    ),
    Example(
        (*IN_PYTHON, "examples.subscription", "--period", "0.4"), r"\d+ periods paid(\n  .+)+\n"
    ),
    Example(
        (*IN_PYTHON, "examples.patient_activity", "--outage", "0.5"),
        r"Q3 is number (\d+), after \1 attempts\n",
    ),
    Example((*IN_PYTHON, "examples.worker_bare_python"), r"Hello, world!\n"),
]
IN_JAVASCRIPT = Example((str(NODE), "examples/worker_plain_javascript.mjs"), r"Hello, world!\n")
# Its workers leave failed tasks to their timeout, as workers do.
SLOW = Example(
    (*IN_PYTHON, "examples.bug_in_the_middle", "--count", "20"),
    r"20 orders, sum \d+; 0 items were reserved twice\n",
)


@pytest.fixture(scope="module")
async def customer(shared: Product) -> AsyncIterator[Access]:
    access = await open_account(shared, "examples")
    yield access
    await access.owner.http.aclose()


@pytest.mark.parametrize(
    "example",
    [
        *(pytest.param(each, id=each.name) for each in EXAMPLES),
        pytest.param(
            IN_JAVASCRIPT,
            id=IN_JAVASCRIPT.name,
            marks=pytest.mark.skipif(NODE is None, reason="node is not installed"),
        ),
        pytest.param(SLOW, id=SLOW.name, marks=pytest.mark.ci),
    ],
)
async def test_an_example_does_what_it_says(
    shared: Product, customer: Access, example: Example
) -> None:
    program = await asyncio.create_subprocess_exec(
        *example.words,
        cwd=ROOT,
        env={
            **os.environ,
            "PERDURE_ADDRESS": shared.address,
            "PERDURE_NAMESPACE": customer.namespace,
            "PERDURE_API_KEY": customer.key,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            out, errors = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.communicate()
    assert program.returncode == 0, errors.decode()
    assert re.fullmatch(example.told, out.decode()), out.decode()
