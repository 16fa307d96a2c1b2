"""The product's program, imported once: each line on standard input starts it in a new process.

Most of a start is Python reading modules. What is killed and started again dozens of times is
forked from here instead, with all that any verb imports; from `main` on it is the process that
`python -m api` would be.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback

import alembic.command  # noqa: F401 - here and below: read once, for all that are forked

import api.move.command
import api.processes.cloud
import api.processes.control_plane
import api.processes.frontend
import api.processes.watch  # noqa: F401
from api.__main__ import main

PR_SET_PDEATHSIG = 1


def serve() -> None:
    """Answers each line with a process id.

    A line is a JSON array: the log's path, what the environment has besides, the arguments.
    """
    # Nobody waits for the children here: they leave nothing behind when they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        log, environment, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.environ.update(environment)
            become(log, arguments)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def become(log: str, arguments: list[str]) -> None:
    """The child's life: the program with these arguments, which ends when its parent does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    sys.argv = ["api", *arguments]
    status = 1
    try:
        status = main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
