"""The command `perdure`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.commands import dev, namespace, recount, workflow
from perdure.exceptions import PerdureError, RPCError, RPCStatusCode
from perdure.tls import TLSConfig

RETRY_SECONDS_MAX = 3.0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_REFUSED = 4
EXIT_UNREACHABLE = 5
EXIT_INTERRUPTED = 130

_EXIT_OF_STATUS = {
    RPCStatusCode.NOT_FOUND: EXIT_NOT_FOUND,
    RPCStatusCode.PERMISSION_DENIED: EXIT_REFUSED,
    RPCStatusCode.UNAUTHENTICATED: EXIT_REFUSED,
    RPCStatusCode.UNAVAILABLE: EXIT_UNREACHABLE,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["dev"]:
        # What follows is the server's to read.
        return dev.run(arguments[1:])
    parsed = parser(os.environ).parse_args(arguments)
    try:
        return asyncio.run(_run(parsed))
    except RPCError as error:
        print(f"perdure: {error.message} ({error.status.name})", file=sys.stderr)
        return _EXIT_OF_STATUS.get(error.status, EXIT_FAILED)
    except PerdureError as error:
        print(f"perdure: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """All commands; the environment gives defaults for what every call needs."""
    shared = argparse.ArgumentParser(add_help=False)
    for name, default, text in (
        ("address", "127.0.0.1:8233", "host:port or URL of the cloud"),
        ("namespace", "default", "namespace"),
        ("api-key", "", "API key; the variable keeps it out of the list of processes"),
    ):
        variable = f"PERDURE_{name.upper().replace('-', '_')}"
        # The default is not shown, since it may be the key.
        shared.add_argument(
            f"--{name}", default=environment.get(variable, default), help=f"{text} [{variable}]"
        )
    _add_tls(shared, environment)
    root = argparse.ArgumentParser(prog="perdure", description="Durable execution from a shell.")
    nouns = root.add_subparsers(dest="noun", required=True, metavar="COMMAND")
    for module, name, text in (
        (workflow, "workflow", "start, see and end workflows"),
        (namespace, "namespace", "the namespaces of the account"),
    ):
        module.add_arguments(nouns.add_parser(name, help=text), shared)
    text = "compare the usage with what histories say"
    recount.add_arguments(nouns.add_parser("recount", help=text, parents=[shared]))
    nouns.add_parser("dev", help="run the cloud on this machine, if it is installed")
    return root


def _tls(arguments: argparse.Namespace) -> TLSConfig | bool:
    if not any(getattr(arguments, f"tls_{name}") for name in ("ca", "cert", "key", "domain")):
        return True
    try:
        return TLSConfig(
            server_root_ca_cert=arguments.tls_ca,
            domain=arguments.tls_domain or None,
            client_cert=arguments.tls_cert,
            client_private_key=arguments.tls_key,
        )
    except ValueError as error:
        raise PerdureError(str(error)) from error


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error


def _add_tls(shared: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    for name, read, text in (
        ("tls-ca", _content, "file with the CA of the server, in PEM"),
        ("tls-cert", _content, "file with a client certificate and its intermediates, in PEM"),
        ("tls-key", _content, "file with its key, in PEM"),
        ("tls-domain", str, "name of the server where the address has another"),
    ):
        variable = f"PERDURE_{name.upper().replace('-', '_')}"
        default = environment.get(variable, "")
        shared.add_argument(f"--{name}", type=read, default=default, help=f"{text} [{variable}]")


async def _run(arguments: argparse.Namespace) -> int:
    from perdure.client import Client

    client = await Client.connect(
        arguments.address,
        namespace=arguments.namespace,
        api_key=arguments.api_key or None,
        tls=_tls(arguments),
    )
    # Somebody is waiting at the other end of the keyboard.
    client.transport.retry_seconds = RETRY_SECONDS_MAX
    async with client:
        if arguments.noun == "workflow":
            return await workflow.run(arguments, client)
        if arguments.noun == "namespace":
            return await namespace.run(arguments, client.transport)

        async def get(path: str, params: Mapping[str, str]) -> Mapping[str, Any]:
            return await client.transport.call("GET", path, query=params)

        return await recount.run(arguments, get)
