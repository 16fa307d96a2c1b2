"""What operators ask a running cloud: `close-month`, and `system` for its own workflows."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from api.config import CLOSE_MONTH, SYSTEM
from api.days_ahead import follow_clock
from api.installation import InstallationError, system_socket
from api.processes.loop import run
from api.system.cell import system_client
from api.wire.cell import open_cell_client
from billing.closing import GRACE_HOURS
from billing.times import hour_of, hour_start, month_named
from billing.workflows.activities import closing_id, count_query, start_closing
from perdure import Client
from perdure.commands import workflow
from perdure.exceptions import RPCError, RPCStatusCode
from tenancy.clock import now

LIST_COUNT = 50

Say = Callable[[str], None]


class NotRunning(InstallationError):
    def __init__(self, data: Path) -> None:
        super().__init__(
            f"no control plane answers in {data}: start it with ./dev up,"
            " or name another directory with --data"
        )
        self.data = data


class MonthNotOver(InstallationError):
    def __init__(self, month: str, closes_at: datetime) -> None:
        super().__init__(f"{month} can be closed from {closes_at:%Y-%m-%d %H:%M} UTC")
        self.month = month


class NoSuchWorkflow(InstallationError):
    def __init__(self, id: str) -> None:
        super().__init__(f"there is no workflow {id!r}: `{SYSTEM}` alone lists all")
        self.id = id


def main(arguments: Sequence[str], say: Say) -> int:
    """Raises InstallationError; ends the process with a usage message where one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m api")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    closing = verbs.add_parser(CLOSE_MONTH, help="invoice a month that is over, if it is not yet")
    closing.add_argument("--month", type=_month, required=True, help="as 2026-11")
    system = verbs.add_parser(SYSTEM, help="the cloud's own workflows, or the history of one")
    system.add_argument("workflow_id", nargs="?", help="as close-2026-11")
    for verb in (closing, system):
        verb.add_argument("--data", type=Path, default=Path(".data"), help="directory of all state")
    given = parser.parse_args(arguments)
    data = given.data.absolute()
    follow_clock(data)
    if given.verb == CLOSE_MONTH:
        _check_ended(given.month)
        run(_close_month(data, given.month, say))
    else:
        run(_show(data, given.workflow_id))
    return 0


async def _close_month(data: Path, month: str, say: Say) -> None:
    async with _connected(data) as client:
        await start_closing(client, month)
        described = await client.get_workflow_handle(closing_id(month)).describe()
        say(f"{closing_id(month)}: {described.status.name.lower()}")
        for status in ("Running", "Completed", "Failed", "Terminated"):
            count = (await client.count_workflows(count_query(month, status))).count
            if count:
                say(f"accounts {status.lower()}: {count}")


async def _show(data: Path, id: str | None) -> None:
    """Prints as the command line of the client library does."""
    asked = {"workflow_id": id, "run_id": None, "json": False, "query": None, "limit": LIST_COUNT}
    verb = "list" if id is None else "show"
    async with _connected(data) as client:
        try:
            await workflow.run(argparse.Namespace(verb=verb, **asked), client)
        except RPCError as error:
            if id is None or error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise NoSuchWorkflow(id) from error


@asynccontextmanager
async def _connected(data: Path) -> AsyncIterator[Client]:
    path = system_socket(data)
    if path is None or not _is_answering(path):
        raise NotRunning(data)

    async def connect(protocol: Callable[[], asyncio.Protocol]) -> object:
        return await asyncio.get_running_loop().create_unix_connection(protocol, str(path))

    async with open_cell_client(SYSTEM, connect) as cell, system_client(cell.call) as client:
        yield client


def _is_answering(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _month(text: str) -> str:
    try:
        month_named(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a month is named as 2026-11") from None
    return text


def _check_ended(month: str) -> None:
    closes_at = hour_start(month_named(month).to_hour + GRACE_HOURS)
    if hour_of(now()) < hour_of(closes_at):
        raise MonthNotOver(month, closes_at)
