"""Makes the long proofs resumable: a `deep` test that passed runs again only when code changed.

What passed is written to pytest's cache after each test, so an interrupted run loses one test at
most. `--cache-clear` begins anew.
"""

from __future__ import annotations

import hashlib
from typing import cast

import pytest

from tests.house.tree import ROOT, product_files

CACHE_KEY = "perdure/deep_passed"
TOLD_OF_TESTS = ("docs/reports/", "CHANGELOG.md")
"""Written after a long proof, which must not make it due again."""


def fingerprint() -> str:
    """A digest of every file of the product: equal digests mean equal behaviour."""
    digest = hashlib.sha256()
    for path in product_files():
        if path.startswith(TOLD_OF_TESTS):
            continue
        digest.update(path.encode() + b"\0" + (ROOT / path).read_bytes() + b"\0")
    return digest.hexdigest()


class Resumption:
    """Remembers, for one state of the code, which deep tests have passed."""

    def __init__(self, cache: pytest.Cache) -> None:
        self.cache = cache
        self.code = fingerprint()
        kept = cast("dict[str, object]", cache.get(CACHE_KEY, {}))
        same_code = kept.get("code") == self.code
        self.passed = set(cast("list[str]", kept["passed"])) if same_code else set[str]()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leaves out what has passed; after a complete run everything is due again."""
        done = [item for item in items if item.nodeid in self.passed]
        if len(done) == len(items):
            self.passed.clear()
            return
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if item.nodeid not in self.passed]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a test whose every phase passed; its teardown is the last of them."""
        if report.failed:
            self.passed.discard(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        if report.when == "teardown":
            self.cache.set(CACHE_KEY, {"code": self.code, "passed": sorted(self.passed)})


def pytest_configure(config: pytest.Config) -> None:
    # Without the cache plugin there is no such attribute.
    cache = getattr(config, "cache", None)
    if config.option.markexpr == "deep" and cache is not None:
        config.pluginmanager.register(Resumption(cache))
