"""The settings of one server: command line first, environment for what operators set there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from api.cell_store import POSTGRES, SERVER, SQLITE
from api.tls import TlsSettings
from api.tls.config import add_arguments, tls_settings

PORT_DEFAULT = 8233
PORT_MAX = 65_535
OTLP_VARIABLE = "PERDURE_OTLP_ENDPOINT"
STORE_VARIABLE = "PERDURE_STORE"


class Verb(StrEnum):
    """What a process is: the whole cloud, or the part of it behind or before the wire."""

    UP = "up"
    CELL = "cell"
    FRONT = "front"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Config:
    """`otlp_endpoint` is None where traces and metrics are off. Port 0 takes a free one.

    `store` is None for the one that the installation has. `running_postgres` is the URL of the
    server that whoever watches this process has started for the installation. `move_to` is there
    with `move` alone.
    """

    verb: Verb
    has_processes: bool
    data: Path
    host: str
    port: int
    is_quiet: bool
    otlp_endpoint: str | None
    store: str | None
    running_postgres: str | None
    tls: TlsSettings
    move_to: str | None = None


def read_config(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """Ends the process with a usage message where an argument is wrong."""
    environment = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(prog="python -m api", description="Run the cloud.")
    parser.add_argument(
        "verb",
        nargs="?",
        choices=tuple(Verb),
        default=Verb.UP,
        help="run all of the cloud, its cell alone, or all but the cell; or move its data",
    )
    parser.add_argument(
        "--processes", action="store_true", help="with up: the cell in a process of its own"
    )
    parser.add_argument("--data", type=Path, default=Path(".data"), help="directory of all state")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=PORT_DEFAULT, help="0 takes a free one")
    parser.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    parser.add_argument(
        "--otlp",
        metavar="URL",
        default=environment.get(OTLP_VARIABLE) or None,
        help=f"send traces and metrics to this OTLP/HTTP endpoint (also: {OTLP_VARIABLE})",
    )
    parser.add_argument(
        "--store",
        type=_store,
        metavar="STORE",
        default=environment.get(STORE_VARIABLE) or None,
        help="keep all data in: sqlite (at first), postgres (a server that is started here), or"
        f" postgresql://USER:PASSWORD@HOST/DATABASE (also: {STORE_VARIABLE})",
    )
    parser.add_argument("--running-postgres", help=argparse.SUPPRESS)
    parser.add_argument(
        "--to",
        type=_store,
        metavar="STORE",
        help="with move: postgres, or postgresql://USER:PASSWORD@HOST/DATABASE",
    )
    add_arguments(parser, _port)
    given = parser.parse_args(arguments)
    verb = Verb(given.verb)
    if given.processes and verb is not Verb.UP:
        parser.error(f"--processes goes with {Verb.UP}: {verb} is one process")
    if (verb is Verb.MOVE) != (given.to is not None) or given.to == SQLITE:
        parser.error(f"{Verb.MOVE} goes with --to {POSTGRES} or --to {SERVER}…")
    return Config(
        verb=verb,
        has_processes=given.processes,
        data=given.data.absolute(),
        host=given.host,
        port=given.port,
        is_quiet=given.quiet,
        otlp_endpoint=given.otlp,
        store=given.store,
        running_postgres=given.running_postgres,
        tls=tls_settings(parser, given, environment),
        move_to=given.to,
    )


def _store(text: str) -> str:
    if text in (SQLITE, POSTGRES):
        return text
    try:
        if text.startswith(SERVER) and conninfo_to_dict(text).get("host"):
            return text
    except psycopg.ProgrammingError:
        pass  # It may hold a password, so it is not repeated.
    raise argparse.ArgumentTypeError(
        f"a store is {SQLITE}, {POSTGRES} or {SERVER}USER:PASSWORD@HOST/DATABASE"
    )


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= port <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {PORT_MAX}")
    return port
