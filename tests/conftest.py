"""What every test gets: one event loop kind, a guard on the log, and a list of what did not run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

pytest_plugins = ["tests.house.resume", "tests.postgres", "tests.control_database"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Session-wide, so that asynchronous fixtures of any scope share the tests' event loop."""
    return "asyncio"


class LogGuard(logging.Handler):
    """Keeps every WARNING and worse of one test, and the event names the test accepts."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []
        self.accepted: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def unexpected(self) -> list[str]:
        """One line for each record whose event was not accepted, with its exception if any."""
        return [
            f"{record.levelname} {record.name}: {record.getMessage()} {_told_with(record)}"
            for record in self.records
            if record.msg not in self.accepted and record.getMessage() not in self.accepted
        ]


def _told_with(record: logging.LogRecord) -> str:
    """The record's fields and its exception."""
    plain = vars(logging.makeLogRecord({}))
    told = {name: value for name, value in vars(record).items() if name not in plain}
    return repr(told) if not record.exc_info else f"{told!r} ({record.exc_info[1]!r})"


@pytest.fixture(autouse=True)
def _log_guard(request: pytest.FixtureRequest) -> Iterator[LogGuard]:
    """Fails a test during which something logged a WARNING or worse that it does not accept."""
    guard = LogGuard()
    for marker in request.node.iter_markers("allow_log"):
        guard.accepted.update(marker.args)
    logging.getLogger().addHandler(guard)
    yield guard
    logging.getLogger().removeHandler(guard)
    if unexpected := guard.unexpected():
        pytest.fail(
            "unexpected log records (accept one with allow_log):\n" + "\n".join(unexpected),
            pytrace=False,
        )


@pytest.fixture
def allow_log(_log_guard: LogGuard) -> Callable[..., None]:
    """`allow_log("event name", ...)`: these WARNING and ERROR events belong to this test."""
    return lambda *events: _log_guard.accepted.update(events)


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The reason a skipped test gave, without pytest's prefix."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists what did not run, one line for each reason."""
    reasons = Counter(skip_reason(report) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in sorted(reasons.items()):
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"Not run on this machine: {reason} ({tests})", yellow=True)
