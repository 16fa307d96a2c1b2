"""`perdure workflow`: start, see, signal, query and end workflows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from perdure.exceptions import ConversionError

if TYPE_CHECKING:
    from perdure.client import Client
    from perdure.execution import WorkflowExecution
    from perdure.handle import WorkflowHandle

EXIT_DONE = 0
LIST_EXECUTION_COUNT_DEFAULT = 20


def add_arguments(parser: argparse.ArgumentParser, shared: argparse.ArgumentParser) -> None:
    """The verbs and what each takes."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, *, of_one: bool = True) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = verbs.add_parser(name, parents=[shared], help=text)
        if of_one:
            added.add_argument("workflow_id", help="workflow id")
            added.add_argument("--run-id", help="one run of it; without, the latest")
        return added

    start = verb("start", "start a workflow", of_one=False)
    start.add_argument("type", help="workflow type")
    start.add_argument("--task-queue", required=True, help="where its workers poll")
    start.add_argument("--workflow-id", help="its id; without, a random one")
    start.add_argument("--run-timeout", type=float, metavar="SECONDS", help="limit of one run")
    start.add_argument("--wait", action="store_true", help="wait for the result and print it")
    listing = verb("list", "the workflows of the namespace", of_one=False)
    listing.add_argument("--query", help="list filter, as WorkflowType = 'Order'")
    count = LIST_EXECUTION_COUNT_DEFAULT
    listing.add_argument("--limit", type=int, default=count, help=f"at most so many ({count})")
    verb("describe", "the state of one workflow, as JSON")
    show = verb("show", "its history, one line for each event")
    show.add_argument("--json", action="store_true", help="the events as JSON")
    verb("result", "wait for its result")
    signal = verb("signal", "send a signal")
    signal.add_argument("name", help="signal name")
    query = verb("query", "ask a query")
    query.add_argument("name", help="query name")
    for taking in (start, signal, query):
        taking.add_argument(
            "--input", action="append", default=[], metavar="JSON", help="an argument; repeatable"
        )
    for ending in (verb("cancel", "ask it to cancel itself"), verb("terminate", "end it now")):
        ending.add_argument("--reason", default="", help="kept in its history, in clear")


async def run(arguments: argparse.Namespace, client: Client) -> int:
    """Carry out one verb and print its outcome."""
    if arguments.verb == "start":
        await _start(arguments, client)
    elif arguments.verb == "list":
        runs = client.list_workflows(arguments.query, limit=arguments.limit)
        _print_table([_row(run) async for run in runs])
    else:
        handle = client.get_workflow_handle(arguments.workflow_id, run_id=arguments.run_id)
        await _act(arguments, handle)
    return EXIT_DONE


async def _start(arguments: argparse.Namespace, client: Client) -> None:
    seconds = arguments.run_timeout
    handle = await client.start_workflow(
        arguments.type,
        id=arguments.workflow_id or str(uuid4()),
        task_queue=arguments.task_queue,
        args=_values(arguments.input),
        run_timeout=None if seconds is None else timedelta(seconds=seconds),
    )
    if arguments.wait:
        _print_value(await handle.result())
    else:
        print(f"{handle.id} {handle.result_run_id}")


async def _act(arguments: argparse.Namespace, handle: WorkflowHandle) -> None:
    match arguments.verb:
        case "describe":
            description = await handle.describe()
            print(json.dumps(description.raw_description, indent=2))
        case "show":
            await _show(arguments, handle)
        case "result":
            _print_value(await handle.result())
        case "signal":
            await handle.signal(arguments.name, args=_values(arguments.input))
        case "query":
            _print_value(await handle.query(arguments.name, args=_values(arguments.input)))
        case "cancel":
            await handle.cancel(reason=arguments.reason)
        case _:
            await handle.terminate(reason=arguments.reason)


async def _show(arguments: argparse.Namespace, handle: WorkflowHandle) -> None:
    history = await handle.fetch_history()
    if arguments.json:
        print(history.to_json())
        return
    for event in history.events:
        kind = str(event.get("eventType", "")).removeprefix("EVENT_TYPE_")
        print(f"{event.get('eventId', ''):>6}  {event.get('eventTime', '')[:23]:23}  {kind}")


def _values(texts: Iterable[str]) -> list[Any]:
    values = []
    for text in texts:
        try:
            values.append(json.loads(text))
        except ValueError as error:
            raise ConversionError(
                f"--input {text!r} is no JSON ({error}); quote text as '\"text\"'"
            ) from error
    return values


def _row(run: WorkflowExecution) -> tuple[str, ...]:
    started = f"{run.start_time:%Y-%m-%d %H:%M:%S}" if run.start_time else ""
    return run.status.name, run.id, run.workflow_type, run.task_queue, started


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    table = [("STATUS", "WORKFLOW", "TYPE", "QUEUE", "STARTED"), *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _print_value(value: Any) -> None:
    print(json.dumps(value, default=repr))
