"""`perdure dev`: the cloud itself on this machine, if it is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

SERVER_DISTRIBUTION = "perdure-cloud"
EXIT_NOT_INSTALLED = 1


def run(arguments: Sequence[str]) -> int:
    """Become the server; returns only if there is none."""
    try:
        # Asked for by its distribution, since a module named api may be anybody's.
        distribution(SERVER_DISTRIBUTION)
    except PackageNotFoundError:
        print(
            f"perdure: the server is not installed here; install {SERVER_DISTRIBUTION}",
            file=sys.stderr,
        )
        return EXIT_NOT_INSTALLED
    command = [sys.executable, "-m", "api", "up", *arguments]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - the interpreter that runs this already.
