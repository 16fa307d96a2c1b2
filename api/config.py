"""The settings of one server: command line first, environment for what operators set there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PORT_DEFAULT = 8233
PORT_MAX = 65_535
OTLP_VARIABLE = "PERDURE_OTLP_ENDPOINT"


@dataclass(frozen=True, slots=True)
class Config:
    """`otlp_endpoint` is None where traces and metrics are off. Port 0 takes a free one."""

    data: Path
    host: str
    port: int
    is_quiet: bool
    otlp_endpoint: str | None


def read_config(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """Ends the process with a usage message where an argument is wrong."""
    environment = os.environ if environment is None else environment
    parser = argparse.ArgumentParser(prog="python -m api", description="Run the cloud.")
    parser.add_argument("verb", nargs="?", choices=("up",), default="up", help="run the server")
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
    given = parser.parse_args(arguments)
    return Config(
        data=given.data.absolute(),
        host=given.host,
        port=given.port,
        is_quiet=given.quiet,
        otlp_endpoint=given.otlp,
    )


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= port <= PORT_MAX:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {PORT_MAX}")
    return port
