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

from api import mail_settings, part_settings, stripe_settings
from api.cell_store import POSTGRES, SERVER, SQLITE
from api.days_ahead import DAYS_AHEAD_MAX
from api.mail_settings import MailSettings
from api.part_settings import PartSettings
from api.telemetry import TelemetrySettings
from api.telemetry import settings as telemetry_settings
from api.tls import TlsSettings
from api.tls.config import add_arguments, tls_settings
from billing.stripe import StripeSettings

PORT_DEFAULT = 8233
PORT_MAX = 65_535
STORE_VARIABLE = "PERDURE_STORE"
LOOPBACK_VARIABLE = "PERDURE_ALLOW_LOOPBACK_REQUESTS"


class Verb(StrEnum):
    """What a process is: the whole cloud, or the part of it behind or before the wire."""

    UP = "up"
    CELL = "cell"
    CONTROL_PLANE = "control-plane"
    FRONTEND = "frontend"
    MOVE = "move"


CLOSE_MONTH = "close-month"
SYSTEM = "system"
COMMANDS = (CLOSE_MONTH, SYSTEM)
"""What a cloud that runs already is asked for; see `api.system.command`."""


@dataclass(frozen=True, slots=True)
class Config:
    """Port 0 takes a free one.

    `allows_loopback`: what tenants let us call (webhooks, identity providers) may be on this
    machine, without TLS. `store` and `days_ahead` are None for what the installation has.
    `running_postgres` is the URL of the server that whoever watches this process has started for
    the installation. `move_to` is there with `move` alone.
    """

    verb: Verb
    has_processes: bool
    data: Path
    host: str
    port: int
    is_quiet: bool
    telemetry: TelemetrySettings
    store: str | None
    running_postgres: str | None
    tls: TlsSettings
    parts: PartSettings
    mail: MailSettings
    stripe: StripeSettings | None
    allows_loopback: bool
    days_ahead: int | None = None
    move_to: str | None = None


def read_config(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """Ends the process with a usage message where an argument is wrong."""
    environment = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(prog="python -m api", description="Run the cloud.")
    _add_arguments(parser, environment)
    telemetry_settings.add_arguments(parser, _port, environment)
    add_arguments(parser, _port)
    part_settings.add_arguments(parser, environment)
    mail_settings.add_arguments(parser, environment)
    given = parser.parse_args(arguments)
    verb = Verb(given.verb)
    if given.cells is not None and not given.processes:
        parser.error("--cells goes with --processes")
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
        telemetry=telemetry_settings.telemetry_settings(given),
        store=given.store,
        running_postgres=given.running_postgres,
        tls=tls_settings(parser, given, environment),
        parts=part_settings.part_settings(given),
        mail=mail_settings.mail_settings(given),
        stripe=stripe_settings.stripe_settings(parser, environment),
        allows_loopback=_switch(parser, LOOPBACK_VARIABLE, environment),
        days_ahead=given.days_ahead,
        move_to=given.to,
    )


def _add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    parser.add_argument(
        "verb",
        nargs="?",
        choices=tuple(Verb),
        default=Verb.UP,
        help="run all of the cloud or one of its parts; or move its data",
    )
    parser.add_argument(
        "--processes", action="store_true", help="with up: each part in a process of its own"
    )
    parser.add_argument("--data", type=Path, default=Path(".data"), help="directory of all state")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=PORT_DEFAULT, help="0 takes a free one")
    parser.add_argument("--quiet", action="store_true", help="log warnings and errors only")
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
        "--days-ahead",
        type=_days,
        metavar="DAYS",
        help="live so many days ahead of this machine's clock from now on, never fewer: to see at"
        " once what comes after a month",
    )
    parser.add_argument(
        "--to",
        type=_store,
        metavar="STORE",
        help="with move: postgres, or postgresql://USER:PASSWORD@HOST/DATABASE",
    )


def environment_with(told: Mapping[str, str]) -> dict[str, str]:
    """What a process that is started here finds in its environment: ours, and what it is told."""
    return {**os.environ, **told}


def _switch(parser: argparse.ArgumentParser, variable: str, environment: Mapping[str, str]) -> bool:
    """For development alone, so it is no argument that somebody meets while reading the help."""
    text = environment.get(variable, "")
    if text not in ("", "0", "1"):
        parser.error(f"{variable} is 1 or 0")
    return text == "1"


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


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= days <= DAYS_AHEAD_MAX:
        raise argparse.ArgumentTypeError(f"days are a number from 0 to {DAYS_AHEAD_MAX}")
    return days


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= port <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {PORT_MAX}")
    return port
