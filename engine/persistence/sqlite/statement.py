"""Statements that take many rows at once.

A thread gives up Python's interpreter lock for every step of SQLite and has to win it back from
a busy event loop. So rows go in few, wide statements rather than one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import apsw

ROWS_PER_STATEMENT_MAX = 128


class ManyRows:
    """A statement over a table `given` with these columns, bound to the rows of a call.

    Row counts are split into powers of two, so that a few prepared statements serve them all.
    """

    def __init__(self, columns: str, statement: str) -> None:
        width = len(columns.split(","))
        row = f"({','.join('?' * width)})"
        self._texts: Final = {
            count: f"WITH given ({columns}) AS (VALUES {','.join([row] * count)}) {statement}"
            for count in (1, 2, 4, 8, 16, 32, 64, ROWS_PER_STATEMENT_MAX)
        }

    def run(self, connection: apsw.Connection, rows: Sequence[Iterable[Any]]) -> None:
        """Execute it for all rows, in their order."""
        done, count = 0, ROWS_PER_STATEMENT_MAX
        while done < len(rows):
            while count > len(rows) - done:
                count //= 2
            part = rows[done : done + count]
            connection.execute(self._texts[count], tuple(chain.from_iterable(part)))
            done += count
