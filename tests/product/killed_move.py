"""`python -m api move` in small batches, which kills itself at a step of its work.

Steps are statements that are about to be sent to either database, or files that are about to be
renamed or removed. The first argument is the kind of step, the second its number, counted from 1;
at 0 the move lives.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

import psycopg
import sqlalchemy as sa

from api.__main__ import main
from api.move import control
from engine.persistence.sqlite import copy_out

ROWS_PER_BATCH = 3
FILE_EVENTS = frozenset(("os.rename", "os.remove"))


def arm(kind: str, last_step: int) -> None:
    steps = itertools.count(1)
    execute = psycopg.AsyncConnection.execute

    def step(of: str) -> None:
        if of == kind and next(steps) == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(connection: Any, *arguments: Any, **options: Any) -> Any:
        step("statement")
        return execute(connection, *arguments, **options)

    def audited(event: str, _arguments: Any) -> None:
        if event in FILE_EVENTS:
            step("file")

    psycopg.AsyncConnection.execute = counted  # type: ignore[method-assign, assignment]
    # Statements of the migrations count as well: a target may have half of its tables.
    sa.event.listen(sa.Engine, "before_cursor_execute", lambda *_: step("statement"))
    sys.addaudithook(audited)


if __name__ == "__main__":
    control.ROWS_PER_BATCH = copy_out.ROWS_PER_BATCH = ROWS_PER_BATCH
    arm(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["api", "move", *sys.argv[3:]]
    sys.exit(main())
